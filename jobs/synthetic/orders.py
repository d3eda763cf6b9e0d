"""Faults that customers report, and when they are mended."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import constant, moments, words
from jobs.synthetic.care import both, event_ids, monthly_events, told_events, two_stages
from jobs.synthetic.facts import FAMILIES
from jobs.synthetic.hashing import below, chance, pick
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import NEVER

_FAULTS_A_MONTH: Final = 0.004
_SLOW: Final = 0.12
_WEIGHTS: Final = tuple(40.0 if family == "broadband" else 6.0 for family in FAMILIES)
_STAGES: Final = ("accepted", "completed")
_SYMPTOMS: Final = ("no_service", "interrupted", "slow", "function")
_MORNING, _EVENING = 9 * 3_600, 17 * 3_600


def orders(lines: Lines) -> Iterator[Batch]:
    """Yields the stages of faults: accepted, and completed once they are mended."""
    drawn = monthly_events(lines, 60, _FAULTS_A_MONTH)
    told = [(line, it) for line, faults in lines.tellings(lambda story: story.faults) for it in faults]
    events = both(drawn, told_events(lines, 61, [(line, it.reported) for line, it in told]))
    slow = chance(drawn.keys, "slow repair", _SLOW)
    days = np.where(slow, 4 + below(drawn.keys, "slow repair days", 12), below(drawn.keys, "repair days", 3))
    told_mended = np.array([it.mended or NEVER for _, it in told], dtype=np.int64)
    mended = np.concatenate([drawn.on + days, told_mended])
    row, stage, on = two_stages(events.on, mended)
    family = np.concatenate(
        [
            pick(drawn.keys, "faulty family", _WEIGHTS),
            np.array([FAMILIES.index(it.family) for _, it in told], dtype=np.int64),
        ]
    )
    columns = {
        "order_id": event_ids(lines, "F", events).take(pa.array(row)),
        "subscription_id": lines.ids.take(pa.array(events.line[row])),
        "kind": constant("fault", len(row)),
        "stage": words(_STAGES, stage),
        "occurred_at": moments(on, np.where(stage == 0, _MORNING, _EVENING)),
        "family": words(FAMILIES, family[row]),
        "channel": constant("hotline", len(row)),
        "symptom": words(_SYMPTOMS, below(events.keys, "symptom", len(_SYMPTOMS))[row]),
    }
    yield Batch("service_orders", on, columns)
