"""Monthly usage totals: exact sums of the days from April on, estimates about the same level before."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys, dates, money
from jobs.synthetic.billing import declines
from jobs.synthetic.circles import Circles, is_off_net
from jobs.synthetic.habits import (
    DAYS,
    MEAN_CALL_SECONDS,
    MESSAGES_A_DAY,
    ROAMING_CALLS,
    ROAMING_DATA_DAYS,
    ROAMING_PART,
    data_mb_a_month,
)
from jobs.synthetic.hashing import child_keys, normal
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import MONTH_LENGTHS, MONTH_STARTS

_SUMMED: Final = (4, 5)
"""Positions of the months at event grain."""

_ESTIMATED: Final = (0, 1, 2, 3)
_NUMBERS: Final = 10**11
_USES: Final = ("seconds", "calls", "mb", "messages", "contacts", "offnet_contacts")


class MonthlyTotals:
    """Sums what the days of April and May hold, by subscription and month."""

    def __init__(self, lines: Lines) -> None:
        """Starts at zero for every subscription."""
        self._lines = lines
        self._month = np.searchsorted(MONTH_STARTS, DAYS, side="right") - 1 - _SUMMED[0]
        self._sums = {
            name: np.zeros((len(lines), len(_SUMMED)), dtype=np.int64)
            for name in (*_USES, "roaming_seconds", "roaming_mb")
        }

    def add_calls(self, line: Ints, at: Ints, seconds: Ints, numbers: Ints, roaming: Bools) -> None:
        """Adds calls: their line, the position of their day, length, other number and whether roaming."""
        self._add("seconds", line, self._month[at], seconds)
        self._add("roaming_seconds", line, self._month[at], seconds * roaming)
        self._add("calls", line, self._month[at])
        pairs = np.unique((line * len(_SUMMED) + self._month[at]) * _NUMBERS + numbers)
        where, number = pairs // _NUMBERS, pairs % _NUMBERS
        line, month = where // len(_SUMMED), where % len(_SUMMED)
        self._add("contacts", line, month)
        self._add("offnet_contacts", line, month, is_off_net(number).astype(np.int64))

    def add_data(self, line: Ints, at: Ints, mb: Ints, roaming_mb: Ints) -> None:
        """Adds data volumes, and what of them was used while roaming."""
        self._add("mb", line, self._month[at], mb)
        self._add("roaming_mb", line, self._month[at], roaming_mb)

    def add_messages(self, line: Ints, at: Ints) -> None:
        """Adds messages."""
        self._add("messages", line, self._month[at])

    def batches(self) -> Iterator[Batch]:
        """Yields the totals of each month, also of those in the network who used nothing."""
        for position, month in enumerate(_SUMMED):
            sums = {name: values[:, position] for name, values in self._sums.items()}
            yield _batch(self._lines, month, sums)

    def _add(self, name: str, line: Ints, month: Ints, amounts: Ints | int = 1) -> None:
        np.add.at(self._sums[name], (line, month), amounts)


def estimated(lines: Lines, circles: Circles) -> Iterator[Batch]:
    """Yields the totals of the months before the days are kept."""
    remaining = declines(lines)
    offline = np.zeros(len(lines), dtype=np.bool_)
    offline[[line for line, _ in lines.tellings(lambda story: story.only_data)]] = True
    for month in _ESTIMATED:
        keys = child_keys(lines.keys, month)
        start, length = MONTH_STARTS[month], int(MONTH_LENGTHS[month])
        held = np.minimum(lines.life.closed, start + length) - np.maximum(lines.life.joined, start)
        part = np.clip(held / length, 0.0, 1.0) * remaining[month]
        calls = _about(lines.call_rate * length * part, keys, "calls")
        contacts = np.minimum(_distinct(calls, circles.sizes), calls)
        sums = {
            "seconds": _about(np.asarray(calls * MEAN_CALL_SECONDS), keys, "call seconds"),
            "calls": calls,
            "mb": np.where(offline, 0, _about(data_mb_a_month(lines) * part, keys, "data")),
            "messages": _about(MESSAGES_A_DAY * length * part, keys, "messages"),
            "contacts": contacts,
            "offnet_contacts": np.asarray(np.rint(contacts * lines.off_net), dtype=np.int64),
        }
        sums["roaming_seconds"] = np.asarray(sums["seconds"] * ROAMING_CALLS, dtype=np.int64)
        sums["roaming_mb"] = np.asarray(sums["mb"] * ROAMING_DATA_DAYS * ROAMING_PART, dtype=np.int64)
        yield _batch(lines, month, sums)


def _about(level: Floats | Ints, keys: Keys, stream: str) -> Ints:
    """Returns whole numbers about a level."""
    return np.asarray(np.rint(level * np.clip(1 + 0.1 * normal(keys, stream), 0.6, 1.4)), dtype=np.int64)


def _distinct(calls: Ints, circle: Ints) -> Ints:
    """Returns how many of a circle are likely to be met in so many calls."""
    return np.asarray(np.rint(circle * (1 - np.exp(-calls / circle))), dtype=np.int64)


def _batch(lines: Lines, month: int, sums: dict[str, Ints]) -> Batch:
    start, end = int(MONTH_STARTS[month]), int(MONTH_STARTS[month + 1])
    rows = np.flatnonzero((lines.life.joined < end) & (lines.life.closed > start))
    days = np.full(len(rows), start)
    columns = {
        "subscription_id": lines.ids.take(pa.array(rows)),
        "month": dates(days),
        "voice_minutes": money(_minutes(sums["seconds"][rows])),
        "calls": money(sums["calls"][rows] * 100),
        "data_mb": money(sums["mb"][rows] * 100),
        "messages": pa.array(sums["messages"][rows]),
        "contacts": pa.array(sums["contacts"][rows]),
        "offnet_contacts": pa.array(sums["offnet_contacts"][rows]),
        "roaming_minutes": money(_minutes(sums["roaming_seconds"][rows])),
        "roaming_mb": money(sums["roaming_mb"][rows] * 100),
    }
    return Batch("usage_monthly", days, columns)


def _minutes(seconds: Ints) -> Ints:
    """Returns minutes in hundredths, rounded half up.

    >>> _minutes(np.array([90, 1])).tolist()
    [150, 2]
    """
    return (seconds * 10 + 3) // 6
