"""The lunar calendar, held against days that the government of China has announced as holidays."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from jobs.expressions.evaluate import evaluate
from jobs.expressions.lunar import days_of, months
from jobs.expressions.parse import parse

# Spring Festival, Dragon Boat Festival and Mid-Autumn Festival, after the State Council's notices.
FESTIVALS = {
    "01-01": ["2015-02-19", "2018-02-16", "2020-01-25", "2023-01-22", "2024-02-10", "2025-01-29", "2026-02-17"],
    "05-05": ["2015-06-20", "2018-06-18", "2020-06-25", "2023-06-22", "2024-06-10", "2025-05-31", "2026-06-19"],
    "08-15": ["2015-09-27", "2018-09-24", "2020-10-01", "2023-09-29", "2024-09-17", "2025-10-06", "2026-09-25"],
}  # fmt: skip


@pytest.mark.parametrize(("month_day", "days"), FESTIVALS.items())
def test_festivals_fall_on_the_days_that_were_announced(month_day: str, days: list[str]) -> None:
    years = {day[:4] for day in days}
    assert [day.isoformat() for day in days_of(month_day) if str(day.year) in years] == days


def test_months_follow_each_other() -> None:
    """Of 29 or 30 days, with room for a leap month in between and nothing else."""
    all_months = sorted((day, length) for known in months().values() for day, length in known)
    gaps = [(after - before).days - length for (before, length), (after, _) in pairwise(all_months)]
    assert set(gaps) == {0, 29, 30}
    assert len(gaps) == 61 * 12 - 1 and sum(gap > 0 for gap in gaps) == 22


def test_the_thirtieth_is_kept_on_the_last_day_of_a_short_month() -> None:
    ends = {begins + timedelta(days=length - 1) for begins, length in months()[4]}
    assert set(days_of("04-30")) == ends


@pytest.mark.parametrize(
    ("month_day", "as_of", "days"),
    [
        ("04-18", "2026-05-31", 3),
        ("04-15", "2026-05-31", 0),
        # Of the day before: a lunar year without a leap month has 354 days.
        ("04-14", "2026-05-31", 353),
        ("12-30", "2026-01-10", 37),
        ("01-31", "2026-05-31", None),
        ("13-01", "2026-05-31", None),
        ("01-01", "2061-05-31", None),
    ],
)
def test_days_until_a_lunar_day(month_day: str, as_of: str, days: int | None) -> None:
    values = {"a": month_day, "as_of": date.fromisoformat(as_of)}
    assert evaluate(parse("days_until_lunar_month_day(a)"), lambda name: values[name.name]) == days
