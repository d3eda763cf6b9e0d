"""Cycles: which dates a run looks at, and on which date its alerts are dispatched."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import islice

from jobs.kernel.errors import CycleError, Issue

LONGEST_CYCLE_DAYS = 31


class CycleKind(StrEnum):
    """How fast a need passes."""

    daily = "daily"
    weekly = "weekly"
    monthly = "monthly"


@dataclass(frozen=True, order=True)
class Cycle:
    """One cycle: the state of the world at the end of as_of, as known at the end of cutoff.

    Attributes:
        kind: daily, weekly or monthly.
        as_of: Last business date it looks at.
        cutoff: Last date on which a delivery may have become available to count.
    """

    kind: CycleKind
    as_of: date
    cutoff: date

    @property
    def dispatch_date(self) -> date:
        """The date its alerts are dispatched on: the date of its cutoff."""
        return self.cutoff


@dataclass(frozen=True)
class CycleCalendar:
    """When cycles are due.

    Attributes:
        grace_days: Days after as_of at whose end the cycle's inputs are taken as complete.
        week_ends_on: ISO weekday of a week's last day, 7 is Sunday.
        snapshot: The single date of a source that delivers once; every cycle is due on it.
    """

    grace_days: Mapping[CycleKind, int]
    week_ends_on: int = 7
    snapshot: date | None = None

    def ends(self, kind: CycleKind, as_of: date) -> bool:
        """Whether a cycle of this kind ends on as_of."""
        if self.snapshot is not None:
            return as_of == self.snapshot
        if kind is CycleKind.weekly:
            return as_of.isoweekday() == self.week_ends_on
        if kind is CycleKind.monthly:
            return as_of == month_end(as_of)
        return True

    def cycle(self, kind: CycleKind, as_of: date) -> Cycle:
        """The cycle of this kind that ends on as_of."""
        return Cycle(kind, as_of, as_of + timedelta(days=self.grace_days[kind]))

    def last_ends(self, kind: CycleKind, cycle: Cycle, count: int, itself: bool = True) -> tuple[date, ...]:
        """as_of of the last cycles of a kind that were dispatched when a cycle was, the latest first.

        Args:
            kind: The kind.
            cycle: No later than this one's as_of and cutoff.
            count: How many; fewer where there are no more.
            itself: Whether one with the same as_of counts.

        Example:
            >>> calendar = CycleCalendar({kind: 1 for kind in CycleKind})
            >>> today = calendar.cycle(CycleKind.daily, date(2026, 5, 31))
            >>> [str(day) for day in calendar.last_ends(CycleKind.monthly, today, 2)]
            ['2026-05-31', '2026-04-30']
            >>> [str(day) for day in calendar.last_ends(CycleKind.daily, today, 2, itself=False)]
            ['2026-05-30', '2026-05-29']
        """
        first = 0 if itself else 1
        reach = range(first, first + LONGEST_CYCLE_DAYS * (count + 1))
        days = (cycle.as_of - timedelta(days=back) for back in reach)
        found = (day for day in days if self.ends(kind, day) and self.cycle(kind, day).cutoff <= cycle.cutoff)
        return tuple(islice(found, count))

    def due(self, dispatch_date: date) -> list[Cycle]:
        """All cycles whose alerts are dispatched on a date, daily first.

        Example:
            >>> every = {kind: 1 for kind in CycleKind}
            >>> [str(c.kind) for c in CycleCalendar(every).due(date(2026, 6, 1))]
            ['daily', 'weekly', 'monthly']
        """
        found = []
        for kind in CycleKind:
            as_of = dispatch_date - timedelta(days=self.grace_days[kind])
            if self.ends(kind, as_of):
                found.append(self.cycle(kind, as_of))
        return found


def month_start(day: date) -> date:
    """First day of the month of a date."""
    return day.replace(day=1)


def month_end(day: date) -> date:
    """Last day of the month of a date.

    Example:
        >>> month_end(date(2028, 2, 3))
        datetime.date(2028, 2, 29)
    """
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def add_months(first: date, months: int) -> date:
    """The first day of the month that lies so many months away."""
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def last_complete_month(as_of: date) -> date:
    """First day of the last calendar month that has ended by the end of as_of.

    Example:
        >>> last_complete_month(date(2026, 5, 31)), last_complete_month(date(2026, 5, 30))
        (datetime.date(2026, 5, 1), datetime.date(2026, 4, 1))
    """
    start = month_start(as_of)
    return start if as_of == month_end(as_of) else add_months(start, -1)


def parse_month(text: str) -> date:
    """Reads YYYY-MM as the first day of the month.

    Raises:
        CycleError: When it is no month.

    Example:
        >>> parse_month("2026-05")
        datetime.date(2026, 5, 1)
    """
    try:
        return parse_date(f"{text}-01")
    except CycleError:
        message = f"'{text}' is not a month of the form YYYY-MM"
        raise CycleError(Issue("CYCLE_BAD_DATE", message)) from None


def parse_date(text: str) -> date:
    """Reads YYYY-MM-DD.

    Raises:
        CycleError: When it is not a calendar date.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # fromisoformat reads 20260531 and 2026-W22-7 as well.
    if day is None or day.isoformat() != text:
        message = f"'{text}' is not a calendar date of the form YYYY-MM-DD"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))
    return day
