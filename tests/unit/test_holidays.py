"""The calendar of festivals, and what rules see of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from projectcopy import ProjectCopy

from jobs.config.holidays import NO_HOLIDAYS, load_holidays
from jobs.kernel.project import Project
from jobs.rulelang.reserved import reserved_sql, reserved_values


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-06-16", (3, "dragon_boat_festival", date(2026, 6, 19))),
        ("2026-06-19", (0, "dragon_boat_festival", date(2026, 6, 19))),
        ("2026-06-20", (97, "mid_autumn_festival", date(2026, 9, 25))),
        ("2025-12-31", (1, "new_year", date(2026, 1, 1))),
        # Outside the years of the calendar nothing is known, and so in its last year past the last festival.
        ("2021-12-31", (None, None, None)),
        ("2027-10-01", (0, "national_day", date(2027, 10, 1))),
        ("2027-10-02", (None, None, None)),
    ],
)
def test_the_next_festival(project: Project, day: str, expected: tuple[int, str, date]) -> None:
    as_of = date.fromisoformat(day)
    found = reserved_values(load_holidays(project), as_of, as_of)
    assert (found["days_to_holiday"], found["next_holiday"], found["next_holiday_on"]) == expected


def test_unknown_values_have_a_type_in_sql() -> None:
    day = date(2026, 6, 1)
    assert reserved_sql(reserved_values(NO_HOLIDAYS, day, day)) == {
        "as_of": "DATE'2026-06-01'",
        "dispatch_date": "DATE'2026-06-01'",
        "days_to_holiday": "cast(NULL AS INT)",
        "next_holiday": "cast(NULL AS STRING)",
        "next_holiday_on": "cast(NULL AS DATE)",
    }


def test_every_festival_has_every_year(
    project_copy: ProjectCopy, issues_of: Callable[[Callable[[], object]], list[str]]
) -> None:
    project_copy.replace("conf/holidays.yaml", "2026-06-19, ", "")
    [issue] = issues_of(lambda: load_holidays(project_copy.project))
    assert (
        issue.startswith("conf/holidays.yaml:")
        and "'dragon_boat_festival' lacks 2026, which others have" in issue
    )
