"""Power and roaming signalling, and troubles with the network; some subscriptions have a bad spell."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Bools, Ints, dates, moments, money, words
from jobs.synthetic.facts import COUNTRIES, PROVINCES
from jobs.synthetic.habits import DAYS, presence, spread, times
from jobs.synthetic.hashing import below, chance, child_keys, pick, poisson, uniform
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import EVENT_DAYS, EVENTS_FROM

_SIGNALS_A_DAY: Final = 0.1
_TROUBLED_DAYS: Final = 0.1
_TROUBLES: Final = {"dropped_calls": 0.4, "blocked_calls": 0.25, "poor_quality": 0.4, "detaches": 0.15}
"""Mean counts on a troubled day."""

_BAD_SPELLS: Final = 0.03
_BAD_SPELL_DAYS: Final = 7
_KINDS: Final = ("power_off", "power_on", "attach", "detach")
_COUNTRIES: Final = ("CN", *COUNTRIES)
_PROVINCES: Final = (*PROVINCES, None)
_NOON: Final = 12 * 3_600


def network(lines: Lines) -> Iterator[Batch]:
    """Yields signalling events and network-quality counts."""
    present = presence(lines)
    yield _signalling(lines, present)
    yield _quality(lines, present)


def _signalling(lines: Lines, present: Bools) -> Batch:
    day_keys = child_keys(child_keys(lines.keys, 1)[:, None], DAYS)
    counts = poisson(day_keys, "signals", np.where(present & ~lines.told[:, None], _SIGNALS_A_DAY, 0.0))
    line, at, rank = spread(counts)
    keys = child_keys(day_keys[line, at], rank)
    abroad = chance(keys, "abroad", 0.02)
    country = np.where(abroad, 1 + below(keys, "country", len(COUNTRIES)), 0)
    province = np.where(abroad, len(PROVINCES), pick(keys, "province", (80.0, 9.0, 4.0, 4.0, 3.0)))
    kind = pick(keys, "kind", (30.0, 30.0, 25.0, 15.0))
    seconds = times(keys, rank, counts[line, at])
    told = [
        (line, it.day, _KINDS.index(it.kind), _COUNTRIES.index(it.country), _PROVINCES.index(it.province))
        for line, signals in lines.tellings(lambda story: story.signals)
        for it in signals
    ]
    told_line, told_on, *told_parts = np.array(told, dtype=np.int64).reshape(-1, 5).T
    line, on = np.concatenate([line, told_line]), np.concatenate([DAYS[at], told_on])
    kind, country, province = (
        np.concatenate(pair) for pair in zip((kind, country, province), told_parts, strict=True)
    )
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "occurred_at": moments(on, np.concatenate([seconds, np.full(len(told), _NOON)])),
        "kind": words(_KINDS, kind),
        "country": words(_COUNTRIES, country),
        "province": words(_PROVINCES, province),
    }
    return Batch("roaming_signalling", on, columns)


def _quality(lines: Lines, present: Bools) -> Batch:
    """Returns counts of trouble; a story's subscription has no trouble but the story's."""
    keys = child_keys(child_keys(lines.keys, 2)[:, None], DAYS)
    spell_from = (EVENTS_FROM + below(lines.keys, "bad spell from", EVENT_DAYS))[:, None]
    bad = chance(lines.keys, "bad spell", _BAD_SPELLS)[:, None]
    bad = bad & (spell_from <= DAYS) & (spell_from + _BAD_SPELL_DAYS > DAYS)
    troubled = (
        (uniform(keys, "trouble") < np.where(bad, 0.6, _TROUBLED_DAYS)) & present & ~lines.told[:, None]
    )
    counts = {
        name: np.where(troubled, poisson(keys, name, np.where(bad, 2.5 * rate, rate)), 0)
        for name, rate in _TROUBLES.items()
    }
    for told, troubles in lines.tellings(lambda story: story.network):
        for on, events in troubles:
            counts["dropped_calls"][told, on - EVENTS_FROM] = events // 2
            counts["poor_quality"][told, on - EVENTS_FROM] = events - events // 2
    line, at = np.nonzero(np.sum(list(counts.values()), axis=0))
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "measured_on": dates(DAYS[at]),
        **{name: _count(values[line, at]) for name, values in counts.items()},
    }
    return Batch("network_quality", DAYS[at], columns)


def _count(counts: Ints) -> pa.Array:
    """Returns counts as decimals, empty where nothing was counted."""
    filled = money(counts * 100)
    return pa.compute.if_else(pa.array(counts > 0), filled, pa.scalar(None, filled.type))
