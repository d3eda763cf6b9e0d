"""What a condition may ask of earlier runs of a moment: whether it was true, how often, whether it fired.

Unlike what other moments of the same cycle ask, which is worked out anew, this rests on the table
moment_state: on runs that ended no later than this one looks, and were dispatched no later than it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from jobs.kernel.cycle import Cycle, CycleCalendar, CycleKind
from jobs.kernel.located_yaml import StrictModel

MOST_RUNS = 60


class Asked(StrictModel):
    """A moment as a condition, as written.

    Attributes:
        moment: The moment's rule.
        times: In how many of its last runs it was true.
        of_last: How many runs that is out of.
        fired_in_days: It fired in so many days, up to the one before.
    """

    moment: str
    times: int | None = Field(default=None, ge=1)
    of_last: int | None = Field(default=None, ge=1, le=MOST_RUNS)
    fired_in_days: int | None = Field(default=None, ge=1, le=400)

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.times is None) != (self.of_last is None):
            raise ValueError("'times' and 'of_last' go together")
        if self.times is not None and self.fired_in_days is not None:
            raise ValueError("asks one thing: 'times' and 'of_last', or 'fired_in_days'")
        if self.times is not None and self.of_last is not None and self.times > self.of_last:
            raise ValueError("'times' is more than 'of_last'")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the moment alone."""
        return self.times is None and self.fired_in_days is None


@dataclass(frozen=True)
class Past:
    """What is asked of earlier runs of a moment.

    Attributes:
        moment: The moment.
        kind: Its cycle.
        times: In how many runs it was true, at least.
        of_last: Out of how many.
        fired_in_days: Instead: it fired on a day among so many.
        is_own_cycle: The rule that asks is of the same cycle; its own run is not looked at then.
    """

    moment: str
    kind: CycleKind
    times: int = 1
    of_last: int = 1
    fired_in_days: int | None = None
    is_own_cycle: bool = False

    @property
    def name(self) -> str:
        """What the column is called in which the answer stands."""
        if self.fired_in_days is not None:
            return f"past_{self.moment}_fired_{self.fired_in_days}d"
        return f"past_{self.moment}_{self.times}_of_{self.of_last}"

    @property
    def text(self) -> str:
        """The question in words."""
        if self.fired_in_days is not None:
            return f"{self.moment} fired in the last {self.fired_in_days} days"
        if self.of_last == 1:
            return f"{self.moment} was true in its last {self.kind} run"
        return f"{self.moment} was true in {self.times} of its last {self.of_last} {self.kind} runs"

    def runs(self, cycle: Cycle, calendar: CycleCalendar) -> tuple[date, ...]:
        """The runs that are looked at, by as_of, the latest first; fewer where a calendar has no more."""
        if self.fired_in_days is not None:
            return ()
        return calendar.last_ends(self.kind, cycle, self.of_last, itself=not self.is_own_cycle)

    def days(self, cycle: Cycle) -> tuple[date, date]:
        """The first and the last as_of on which it may have fired."""
        last = cycle.as_of - timedelta(days=1 if self.is_own_cycle else 0)
        return last - timedelta(days=(self.fired_in_days or 1) - 1), last

    def answer(self, true: int, unknown: int, runs: int) -> bool | None:
        """Whether it was true often enough; None when it may have been.

        Args:
            true: Runs in which it was true.
            unknown: Runs in which it was unknown.
            runs: Runs of which anything is known.

        Example:
            >>> twice = Past("low_balance", CycleKind.daily, times=2, of_last=3)
            >>> twice.answer(2, 0, 3), twice.answer(1, 1, 3), twice.answer(1, 0, 3), twice.answer(1, 0, 2)
            (True, None, False, None)
        """
        if true >= self.times:
            return True
        return None if true + unknown + (self.of_last - runs) >= self.times else False


def past_of(asked: Asked, kind: CycleKind, asking: CycleKind) -> Past:
    """What is asked, of a moment of one cycle by a rule of another or the same."""
    times, of_last = asked.times or 1, asked.of_last or 1
    return Past(asked.moment, kind, times, of_last, asked.fired_in_days, kind is asking)


def circle_of(asked: Iterable[tuple[str, CycleKind, Iterable[Past]]]) -> str | None:
    """Why cycles cannot be run one after the other, if they cannot.

    Of one date the cycle that is asked comes before the one that asks, so they may not ask each other.

    Args:
        asked: Rules with their cycle and what they ask.

    Example:
        >>> weekly = Past("call_drop", CycleKind.weekly)
        >>> daily = Past("low_balance", CycleKind.daily)
        >>> circle_of([("a", CycleKind.daily, [weekly])]) is None
        True
        >>> circle_of([("a", CycleKind.daily, [weekly]), ("b", CycleKind.weekly, [daily])])
        'daily and weekly cycles ask each other, so none can come first: a asks call_drop; b asks low_balance'
    """
    asks: dict[CycleKind, dict[CycleKind, str]] = defaultdict(dict)
    for rule_id, kind, pasts in asked:
        for past in sorted(pasts, key=lambda past: past.name):
            if past.kind is not kind:
                asks[kind].setdefault(past.kind, f"{rule_id} asks {past.moment}")
    for kind in CycleKind:
        if (circle := _circle(kind, asks)) is not None:
            told = "; ".join(asks[one][other] for one, other in pairwise([*circle, circle[0]]))
            return f"{' and '.join(circle)} cycles ask each other, so none can come first: {told}"
    return None


def _circle(
    kind: CycleKind, asks: Mapping[CycleKind, Mapping[CycleKind, str]], path: tuple[CycleKind, ...] = ()
) -> tuple[CycleKind, ...] | None:
    """Kinds of cycle that ask each other, if one comes upon them from a kind."""
    if kind in path:
        return path[path.index(kind) :]
    found = (_circle(other, asks, (*path, kind)) for other in asks.get(kind, ()))
    return next((circle for circle in found if circle is not None), None)
