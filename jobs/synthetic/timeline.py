"""The province's calendar: which days and months it covers, and which file a day's rows are delivered in.

Days are whole numbers (days since 1970-01-01), so that they can be drawn, compared and shifted as arrays.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from jobs.synthetic.arrays import Ints


def day(year: int, month: int, day_of_month: int) -> int:
    """Returns the day number of a date.

    >>> day(1970, 1, 2)
    1
    """
    return day_of(date(year, month, day_of_month))


def day_of(value: date) -> int:
    """Returns the day number of a date object."""
    return value.toordinal() - date(1970, 1, 1).toordinal()


def date_of(number: int) -> date:
    """Returns the date of a day number."""
    return date.fromordinal(number + date(1970, 1, 1).toordinal())


MONTHS: Final = ((2025, 12), (2026, 1), (2026, 2), (2026, 3), (2026, 4), (2026, 5))
"""Months with bills and monthly usage."""

MONTH_STARTS: Final = np.array([*(day(y, m, 1) for y, m in MONTHS), day(2026, 6, 1), day(2026, 7, 1)])
"""First day of each month; June is foreseen, so that those who leave in it behave like leavers in May."""

MONTH_LENGTHS: Final = np.diff(MONTH_STARTS)

OPENING: Final = day(2025, 11, 30)
"""Date of the opening position of all state contracts."""

FIRST: Final = day(2025, 12, 1)
EVENTS_FROM: Final = day(2026, 4, 1)
"""First day at event grain."""

LAST: Final = day(2026, 5, 31)
EVENT_DAYS: Final = LAST - EVENTS_FROM + 1
NEVER: Final = day(2999, 12, 31)
"""Stands for 'does not happen'; written as an empty field."""

SNAPSHOTS: Final = (*(int(start) - 1 for start in MONTH_STARTS[1:6]), *range(LAST - 4, LAST + 1))
"""Dates with a full snapshot of the balances: month ends, then the last five days."""


class Periods(NamedTuple):
    """Delivery periods of a kind of extract, in order: their names and the last day each one holds."""

    names: tuple[str, ...]
    last_days: tuple[int, ...]

    def of(self, days: Ints) -> Ints:
        """Returns the position of each day's period."""
        return np.searchsorted(np.array(self.last_days), days, side="left")


def _periods(*names_and_days: tuple[str, int]) -> Periods:
    names, last_days = zip(*names_and_days, strict=True)
    return Periods(names, last_days)


def _month_ends(months: Sequence[tuple[int, int]]) -> list[tuple[str, int]]:
    starts = dict(zip(MONTHS, MONTH_STARTS[1:], strict=False))
    return [(f"{y}{m:02d}", int(starts[y, m]) - 1) for y, m in months]


_LAST_DAYS: Final = (("202605", LAST - 2), ("20260530", LAST - 1), ("20260531", LAST))

EVENT_PERIODS: Final = _periods(*_month_ends(MONTHS[4:5]), *_LAST_DAYS)
"""The last two days come daily; the file of May ends before them."""

MONTH_PERIODS: Final = _periods(*_month_ends(MONTHS))
SNAPSHOT_PERIODS: Final = _periods(*_month_ends(MONTHS[:5]), *_LAST_DAYS)
STATE_PERIODS: Final = _periods(("202511", OPENING), *_month_ends(MONTHS[:5]), *_LAST_DAYS)
