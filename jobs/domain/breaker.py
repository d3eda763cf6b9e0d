"""The circuit breaker of dispatch: moments of which there are far more, or fewer, than usual are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from jobs.config.dispatch import Breaker

Counts = Mapping[tuple[str, str | None], int]
"""Alerts by moment and city."""


@dataclass(frozen=True, order=True)
class Unusual:
    """A moment that is not as usual.

    Attributes:
        moment: Its id.
        city: The city in which it is not; None for the province.
        count: How many there are.
        usual: The median of the earlier dates.
    """

    moment: str
    city: str | None
    count: int
    usual: float

    def __str__(self) -> str:
        where = f" in {self.city}" if self.city else ""
        return f"{self.count:,}{where}, usually {self.usual:,g}"


def unusual(now: Counts, earlier: Mapping[str, Sequence[Counts]], limits: Breaker) -> list[Unusual]:
    """Moments past the limits, one line each: the province's where that is past them, else the worst city's.

    Too many are more than most_times the usual number, and least_alerts beyond it. Too few are none at all
    where least_alerts or more are usual.

    Args:
        now: What fired for the date.
        earlier: What fired on the newest earlier dates, by moment; only moments that were evaluated then.
        limits: conf/dispatch.yaml.

    Example:
        >>> limits = Breaker(dates=8, least_dates=2, most_times=4.0, least_alerts=30)
        >>> past = [{("complaint", "南京"): 10}, {("complaint", "南京"): 12}]
        >>> [str(one) for one in unusual({("complaint", "南京"): 90}, {"complaint": past}, limits)]
        ['90, usually 11']
    """
    found = []
    for moment, dates in sorted(earlier.items()):
        if moment in limits.apart_from or len(dates) < limits.least_dates:
            continue
        cities = {city for counts in (now, *dates) for name, city in counts if name == moment}
        told = []
        for place in [None, *sorted(city for city in cities if city)]:
            count = _count(now, moment, place)
            usual = float(median(_count(counts, moment, place) for counts in dates))
            if _is_past(count, usual, limits):
                told.append(Unusual(moment, place, count, usual))
        if told:
            found.append(min(told, key=lambda one: (one.city is not None, -abs(one.count - one.usual), one)))
    return found


def _is_past(count: int, usual: float, limits: Breaker) -> bool:
    too_many = count > limits.most_times * usual and count - usual > limits.least_alerts
    return too_many or (count == 0 and usual >= limits.least_alerts)


def _count(counts: Counts, moment: str, place: str | None) -> int:
    """Alerts of a moment in a city, or in all."""
    return sum(n for (name, city), n in counts.items() if name == moment and place in (None, city))
