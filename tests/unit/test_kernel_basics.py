"""Codes, ids and cycles."""

import re
from datetime import date
from pathlib import Path

import pytest

import jobs
from jobs.kernel.cycle import (
    Cycle,
    CycleCalendar,
    CycleKind,
    add_months,
    last_complete_month,
    month_end,
    month_start,
    parse_date,
)
from jobs.kernel.errors import (
    CODES,
    ConfigError,
    CycleError,
    HeldError,
    Issue,
    KeyMomentsError,
    Location,
    LockedError,
    SourceError,
    StorageError,
    did_you_mean,
)
from jobs.kernel.ids import fingerprint, hash_of

EVERY = dict.fromkeys(CycleKind, 1)


def test_the_catalogue_of_codes_is_sorted_and_explained() -> None:
    assert list(CODES) == sorted(CODES)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code) for code in CODES)
    assert all(text.endswith(".") and text[0].isupper() for text in CODES.values())


def test_every_code_is_used_and_every_used_code_is_in_the_catalogue() -> None:
    catalogue = Path(jobs.__path__[0]) / "kernel" / "errors.py"
    sources = [path for path in Path(jobs.__path__[0]).rglob("*.py") if path != catalogue]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert [code for code in CODES if f'"{code}"' not in text] == []
    families = "|".join(sorted({code.split("_")[0] for code in CODES if "_" in code}))
    used = set(re.findall(rf'"((?:{families})_[A-Z_]+)"', text))
    assert used - set(CODES) - {"TABLE_NAME"} == set()


def test_a_code_outside_the_catalogue_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="NO_SUCH_CODE"):
        Issue("NO_SUCH_CODE", "x")


def test_errors_carry_their_issues_in_order_of_place() -> None:
    error = ConfigError(
        [
            Issue("YAML_SYNTAX", "c", Location("b.yaml", 2, 1)),
            Issue("RULE_BAD_PARAMETER", "b", Location("a.yaml", 10, 1)),
            Issue("YAML_MISSING_KEY", "a", Location("a.yaml", 9, 30)),
            Issue("CYCLE_BAD_DATE", "no place"),
        ]
    )
    assert str(error).splitlines() == [
        "CYCLE_BAD_DATE no place",
        "a.yaml:9:30 YAML_MISSING_KEY a",
        "a.yaml:10:1 RULE_BAD_PARAMETER b",
        "b.yaml:2:1 YAML_SYNTAX c",
    ]
    assert error.codes == ["CYCLE_BAD_DATE", "YAML_MISSING_KEY", "RULE_BAD_PARAMETER", "YAML_SYNTAX"]


def test_exit_codes() -> None:
    codes = {kind: kind.exit_code for kind in KeyMomentsError.__subclasses__()}
    assert codes == {
        ConfigError: 2,
        SourceError: 2,
        CycleError: 2,
        StorageError: 2,
        HeldError: 3,
        LockedError: 4,
    }


def test_did_you_mean() -> None:
    assert did_you_mean("encodng", ["encoding", "format"]) == " (did you mean 'encoding'?)"
    assert did_you_mean("xyz", ["encoding", "format"]) == ""


def test_ids_depend_on_where_a_part_ends() -> None:
    every = [("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ("1:a", "bc")]
    assert len({hash_of(*parts) for parts in every}) == len(every)


def test_ids_never_change() -> None:
    assert hash_of("bills", "202605") == hash_of(*["bills", "202605"])
    assert hash_of() == "e3b0c44298fc1c149afbf4c8996fb924"
    assert hash_of("手机") != hash_of("手 机")


def test_fingerprints_ignore_the_order_of_keys_only() -> None:
    assert fingerprint({"a": [1, 2], "b": None}) == fingerprint({"b": None, "a": [1, 2]})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
    assert fingerprint({"a": date(2026, 5, 1)}) == fingerprint({"a": "2026-05-01"})
    assert re.fullmatch("[0-9a-f]{16}", fingerprint({}))


@pytest.mark.parametrize(
    ("day", "end"),
    [("2026-01-31", 31), ("2026-02-01", 28), ("2028-02-10", 29), ("2100-02-10", 28), ("2026-04-30", 30)],
)
def test_month_ends(day: str, end: int) -> None:
    assert month_end(date.fromisoformat(day)).day == end
    assert month_start(date.fromisoformat(day)).day == 1


def test_months_are_added_across_years() -> None:
    assert add_months(date(2026, 1, 1), -1) == date(2025, 12, 1)
    assert add_months(date(2026, 12, 1), 1) == date(2027, 1, 1)
    assert add_months(date(2026, 5, 1), -29) == date(2023, 12, 1)
    assert add_months(date(2026, 5, 1), 0) == date(2026, 5, 1)


def test_the_last_complete_month() -> None:
    assert last_complete_month(date(2026, 12, 31)) == date(2026, 12, 1)
    assert last_complete_month(date(2026, 1, 1)) == date(2025, 12, 1)
    assert last_complete_month(date(2028, 2, 28)) == date(2028, 1, 1)
    assert last_complete_month(date(2028, 2, 29)) == date(2028, 2, 1)


@pytest.mark.parametrize(
    ("day", "kinds"),
    [
        ("2026-05-20", ["daily"]),
        ("2026-05-25", ["daily", "weekly"]),  # a Monday: the week ended on Sunday
        ("2026-05-24", ["daily"]),  # the Sunday itself
        ("2026-05-01", ["daily", "monthly"]),
        ("2026-06-01", ["daily", "weekly", "monthly"]),
        ("2027-01-01", ["daily", "monthly"]),
        ("2028-03-01", ["daily", "monthly"]),
        ("2028-02-29", ["daily"]),
    ],
)
def test_what_is_due(day: str, kinds: list[str]) -> None:
    due = CycleCalendar(EVERY).due(date.fromisoformat(day))
    assert [str(cycle.kind) for cycle in due] == kinds
    assert all(cycle.dispatch_date == date.fromisoformat(day) for cycle in due)


def test_grace_days_move_the_dispatch_and_not_the_cycle() -> None:
    calendar = CycleCalendar({CycleKind.daily: 1, CycleKind.weekly: 2, CycleKind.monthly: 5})
    assert calendar.due(date(2027, 1, 5)) == [
        Cycle(CycleKind.daily, date(2027, 1, 4), date(2027, 1, 5)),
        Cycle(CycleKind.weekly, date(2027, 1, 3), date(2027, 1, 5)),
        Cycle(CycleKind.monthly, date(2026, 12, 31), date(2027, 1, 5)),
    ]


def test_a_week_may_end_on_another_day() -> None:
    calendar = CycleCalendar(EVERY, week_ends_on=5)
    assert calendar.ends(CycleKind.weekly, date(2026, 5, 22))
    assert not calendar.ends(CycleKind.weekly, date(2026, 5, 24))


def test_every_cycle_of_a_snapshot_is_due_on_its_date_alone() -> None:
    calendar = CycleCalendar(EVERY, snapshot=date(2022, 4, 20))
    assert [cycle.as_of for cycle in calendar.due(date(2022, 4, 21))] == [date(2022, 4, 20)] * 3
    assert calendar.due(date(2022, 4, 20)) == []
    assert calendar.due(date(2022, 5, 1)) == []


def test_dates_are_read() -> None:
    assert parse_date("2028-02-29") == date(2028, 2, 29)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29",
        "2026-13-01",
        "2026-5-1",
        "yesterday",
        "",
        " 2026-05-31",
        "20260531",
        "2026-W22-7",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(CycleError) as caught:
        parse_date(text)
    assert str(caught.value) == f"CYCLE_BAD_DATE '{text}' is not a calendar date of the form YYYY-MM-DD"
