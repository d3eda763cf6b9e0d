"""When a moment is unusual: counts by city against the medians of earlier dates."""

from __future__ import annotations

import pytest

from jobs.config.dispatch import Breaker
from jobs.domain.breaker import unusual

LIMITS = Breaker(dates=8, least_dates=3, most_times=4.0, least_alerts=50)
Counts = dict[tuple[str, str | None], int]


def counts(**cities: int) -> Counts:
    return {("complaint", city or None): number for city, number in cities.items()}


def told(now: Counts, *earlier: Counts, limits: Breaker = LIMITS) -> list[str]:
    return [str(one) for one in unusual(now, {"complaint": earlier}, limits)]


QUIET = [counts(nanjing=20, suzhou=8), counts(nanjing=18, suzhou=9), counts(nanjing=22, suzhou=10)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (counts(nanjing=20, suzhou=9), []),
        # Beyond four times, and more than fifty beyond: each bound by itself is not enough.
        (counts(nanjing=80, suzhou=9), []),
        (counts(nanjing=81, suzhou=9), ["81 in nanjing, usually 20"]),
        (counts(nanjing=20, suzhou=58), []),
        (counts(nanjing=20, suzhou=60), ["60 in suzhou, usually 9"]),
        # Of what is past the limits in a city and in the province, the province is told.
        (counts(nanjing=90, suzhou=60), ["150, usually 28"]),
        # A city of which nothing was known before.
        (counts(nanjing=20, suzhou=9, wuxi=51), ["51 in wuxi, usually 0"]),
        # Few are none of the breaker's business.
        ({}, []),
    ],
)
def test_too_many(now: Counts, expected: list[str]) -> None:
    assert told(now, *QUIET) == expected


def test_none_at_all_is_unusual_where_many_are_usual() -> None:
    busy = [counts(nanjing=60, suzhou=9)] * 3
    assert told({}, *busy) == ["0, usually 69"]
    assert told(counts(suzhou=9), *busy) == ["0 in nanjing, usually 60"]
    assert told(counts(nanjing=1, suzhou=9), *busy) == []


def test_one_odd_date_does_not_make_odd_dates_usual() -> None:
    assert told(counts(nanjing=500), *QUIET, counts(nanjing=900)) == ["500, usually 30"]


def test_few_dates_and_moments_apart_are_not_compared() -> None:
    assert told(counts(nanjing=500), *QUIET[:2]) == []
    apart = LIMITS.model_copy(update={"apart_from": ("complaint",)})
    assert told(counts(nanjing=500), *QUIET, limits=apart) == []


def test_a_moment_that_was_not_evaluated_before_is_not_compared() -> None:
    assert unusual({("holiday", "nanjing"): 9999}, {"complaint": QUIET}, LIMITS) == []
