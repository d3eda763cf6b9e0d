"""What customers order, and the faults that they report, stage by stage."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.synthetic.arrays import Ints, constant, dates, moments, words
from jobs.synthetic.care import Events, both, event_ids, monthly_events, told_events, two_stages
from jobs.synthetic.facts import FAMILIES
from jobs.synthetic.hashing import below, chance, pick
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import NEVER

_FAULTS_A_MONTH: Final = 0.004
_REQUESTS_A_MONTH: Final = 0.008
_SLOW: Final = 0.12
_WEIGHTS: Final = tuple(40.0 if family == "broadband" else 6.0 for family in FAMILIES)
_STAGES: Final = ("accepted", "completed", "visit_booked")
_BOOKED: Final = _STAGES.index("visit_booked")
_KINDS: Final = ("new", "change", "cancel")
_CHANNELS: Final = ("hotline", "counter", "app")
_SYMPTOMS: Final = ("no_service", "interrupted", "slow", "function")
_TIMES: Final = np.array([9, 17, 10]) * 3_600
"""Seconds of the day at which each stage is reached."""

_PROMISED_DAYS: Final = 3
_VISITED: Final = 0.5
_BROADBAND: Final = FAMILIES.index("broadband")


def orders(lines: Lines) -> Iterator[Batch]:
    """Yields the stages of orders and of faults."""
    yield _requests(lines)
    yield _faults(lines)


def _requests(lines: Lines) -> Batch:
    """Returns the stages of orders: accepted, and completed once they are done."""
    placed = monthly_events(lines, 62, _REQUESTS_A_MONTH)
    row, stage, on = two_stages(placed.on, placed.on + below(placed.keys, "days to do it", 5))
    family = pick(placed.keys, "ordered family", (1.0,) * len(FAMILIES))
    columns = {
        **_told(lines, "R", placed, (row, stage, on), family),
        "kind": words(_KINDS, pick(placed.keys, "kind", (5.0, 3.0, 2.0))[row]),
        "channel": words(_CHANNELS, pick(placed.keys, "ordered through", (3.0, 2.0, 5.0))[row]),
    }
    return Batch("service_orders", on, columns)


def _faults(lines: Lines) -> Batch:
    """Returns the stages of faults: accepted, a visit booked for some, and completed once they are mended."""
    drawn = monthly_events(lines, 60, _FAULTS_A_MONTH)
    told = [(line, it) for line, faults in lines.tellings(lambda story: story.faults) for it in faults]
    events = both(drawn, told_events(lines, 61, [(line, it.reported) for line, it in told]))
    slow = chance(drawn.keys, "slow repair", _SLOW)
    days = np.where(slow, 4 + below(drawn.keys, "slow repair days", 12), below(drawn.keys, "repair days", 3))
    told_mended = np.array([it.mended or NEVER for _, it in told], dtype=np.int64)
    mended = np.concatenate([drawn.on + days, told_mended])
    family = np.concatenate(
        [
            pick(drawn.keys, "faulty family", _WEIGHTS),
            np.array([FAMILIES.index(it.family) for _, it in told], dtype=np.int64),
        ]
    )
    visited = chance(drawn.keys, "visited", _VISITED) & (family[: len(days)] == _BROADBAND) & (days > 0)
    told_visits = np.array([it.visit or NEVER for _, it in told], dtype=np.int64)
    visit = np.concatenate([np.where(visited, drawn.on + days, NEVER), told_visits])
    row, stage, on = two_stages(events.on, mended)
    booked = np.flatnonzero(visit < NEVER)
    row = np.concatenate([row, booked])
    stage = np.concatenate([stage, np.full(len(booked), _BOOKED)])
    on = np.concatenate([on, events.on[booked]])
    columns = {
        **_told(lines, "F", events, (row, stage, on), family),
        "kind": constant("fault", len(row)),
        "channel": constant("hotline", len(row)),
        "visit_from": pc.if_else(pa.array(stage == _BOOKED), moments(visit[row], _TIMES[0]), None),
        "symptom": words(_SYMPTOMS, below(events.keys, "symptom", len(_SYMPTOMS))[row]),
    }
    return Batch("service_orders", on, columns)


def _told(
    lines: Lines, prefix: str, events: Events, stages: tuple[Ints, Ints, Ints], family: Ints
) -> dict[str, pa.Array]:
    """Returns what every stage of orders and faults tells.

    Args:
        lines: The subscriptions.
        prefix: Of the ids.
        events: The orders.
        stages: The position of the order, the stage and the day, of each stage.
        family: The family of each order.
    """
    row, stage, on = stages
    return {
        "order_id": event_ids(lines, prefix, events).take(pa.array(row)),
        "subscription_id": lines.ids.take(pa.array(events.line[row])),
        "stage": words(_STAGES, stage),
        "occurred_at": moments(on, _TIMES[stage]),
        "family": words(FAMILIES, family[row]),
        "promised_on": dates(np.where(stage == 0, on + _PROMISED_DAYS, NEVER)),
    }
