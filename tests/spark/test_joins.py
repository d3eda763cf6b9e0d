"""Records split over two files: each first record with its second beside it, and none lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from jobs.kernel.errors import SourceError
from jobs.stages.trial import try_file
from tests.spark.little import SOURCE, Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

SPLIT = """
  - contract: data_usage
    files: sessions_{period}_{sequence}.csv
    join: {files: 'volumes_{period}_{sequence}.csv', on: {session: id, day: on_day}}
    null_marks: ['-1']
    max_bad_share: 1.0
    fields: {subscription_id: subscriber, used_on: day, mb: joined.megabytes}
"""
SOURCE_OF_TWO = SOURCE.partition("  - contract: data_usage")[0] + SPLIT.lstrip("\n")
FIRST, SECOND = "session,day,subscriber\n", "megabytes,on_day,id\n"
DAY = "2026-05-02"


class Expected(NamedTuple):
    """What naive reading finds."""

    loaded: list[tuple[str, str, int]]
    refused: list[tuple[str, int, tuple[str, ...]]]


def naive(first: list[str], second: list[str]) -> Expected:
    """The rows of both files and the reasons of those that are refused, line by line."""

    def split(text: str) -> list[str | None]:
        return [None if one in ("", "-1") else one for one in text.split(",")]

    told: list[tuple[str, int, tuple[str, ...]]] = []
    beside: dict[tuple[str, str], tuple[int, str | None]] = {}
    lines: list[tuple[int, tuple[str, str] | None]] = []
    for line, text in enumerate(second, start=2):
        values = split(text)
        if len(values) != 3:
            told.append(("volumes", line, ("malformed",)))
            continue
        megabytes, day, session = values
        key = (session, day) if session is not None and day is not None else None
        lines.append((line, key))
        if key is not None:
            beside[key] = (line, megabytes)
    keys = set()
    rows: dict[tuple[str, str], int] = {}
    for line, text in enumerate(first, start=2):
        values = split(text)
        if len(values) != 3:
            told.append(("sessions", line, ("malformed",)))
            continue
        session, day, subscriber = values
        key = (session, day)
        keys.add(key)
        megabytes = beside.get(key, (0, None))[1]
        missing = [("subscription_id", subscriber), ("used_on", day), ("mb", megabytes)]
        reasons = tuple(f"missing:{name}" for name, value in missing if value is None)
        if reasons:
            told.append(("sessions", line, reasons))
        else:
            rows[subscriber, day] = int(megabytes)
    for line, key in lines:
        reasons = () if key in keys and key is not None else ("unmatched",)
        if key is not None and beside[key][0] != line:
            reasons += ("repeated",)
        if reasons:
            told.append(("volumes", line, reasons))
    return Expected(sorted((*key, mb) for key, mb in rows.items()), sorted(told))


def drawn(seed: int) -> tuple[list[str], list[str]]:
    """Lines of both files, with keys on one side only, repeated, or missing, and lines cut short."""
    draw = random.Random(seed)
    first, second = [], []
    for number in range(120):
        day = f"2026-05-{draw.randint(1, 28):02d}"
        session = draw.choice([f"s{number}"] * 18 + ["-1", ""])
        if draw.random() < 0.9:
            who = draw.choice([f"S{number}"] * 12 + [""])
            first.append(f"{session},{day},{who}")
        for _ in range(draw.choice([0, 1, 1, 1, 1, 1, 2, 3])):
            second.append(f"{draw.choice([draw.randint(0, 900)] * 9 + [''])},{day},{session}")
    first.append("cut,short")
    second.append(f"7,{DAY}")
    draw.shuffle(first)
    draw.shuffle(second)
    return first, second


def refused(little: Little) -> list[tuple[str, int, tuple[str, ...]]]:
    rows = little.table("quarantine").select("file", "line", "reasons").rows()
    return sorted((name.partition("_")[0], line, tuple(reasons)) for name, line, reasons in rows)


def test_random_records_are_joined_as_a_naive_reading_joins_them(tmp_path: Path) -> None:
    first, second = drawn(1)
    little = Little(tmp_path, SOURCE_OF_TWO)
    little.put("sessions_202605_1.csv", FIRST + "\n".join(first) + "\n")
    little.put("volumes_202605_1.csv", SECOND + "\n".join(second) + "\n")
    little.run()
    expected = naive(first, second)
    kinds = Counter(reason for _, _, reasons in expected.refused for reason in reasons)
    assert len(kinds) == 5 and len(expected.loaded) > 50, kinds
    assert little.usage() == expected.loaded
    assert refused(little) == expected.refused
    mine = {row["file"].partition("_")[0]: row for row in little.added}
    for name, lines in (("sessions", first), ("volumes", second)):
        row = mine[name]
        assert row["rows_in_file"] == len(lines)
        bad = sum(file == name for file, _, _ in expected.refused)
        assert (row["rows_quarantined"], row["rows_read"] - row["rows_loaded"] - row["rows_duplicate"]) == (
            bad,
            bad,
        )
        assert row["rows_in_file"] - row["rows_not_applicable"] == row["rows_read"]
    assert mine["volumes"]["rows_read"] == mine["volumes"]["rows_quarantined"]
    assert mine["sessions"]["rows_loaded"] == len(expected.loaded)


def test_both_files_are_one_delivery(tmp_path: Path) -> None:
    """Each waits for the other; a correction of either replaces both; the same again is nothing new."""
    little = Little(tmp_path, SOURCE_OF_TWO)
    little.put("sessions_202605_1.csv", FIRST + f"s1,{DAY},S1\n")
    little.run()
    waits = [line for line in little.said if line.startswith("left alone: ")]
    assert len(waits) == 1 and waits[0].endswith(
        "sessions_202605_1.csv FILE_INCOMPLETE waits for the file volumes_202605_1.csv beside it"
    )
    little.put("volumes_202604_1.csv", SECOND + f"9,{DAY},s9\n")
    little.put("volumes_202605_1.csv", SECOND + f"5,{DAY},s1\n6,{DAY},s2\n")
    little.run()
    waits = [line for line in little.said if line.startswith("left alone: ")]
    assert len(waits) == 1 and waits[0].endswith(
        "volumes_202604_1.csv FILE_INCOMPLETE waits for the file sessions_{period}_{sequence}.csv beside it"
    )
    assert little.usage() == [("S1", DAY, 5)]
    assert refused(little) == [("volumes", 3, ("unmatched",))]
    little.run()
    assert little.added == []
    little.put("volumes_202605_1.csv", SECOND + f"6,{DAY},s2\n7,{DAY},s1\n")
    little.run()
    assert {row["file"] for row in little.added} == {"sessions_202605_1.csv", "volumes_202605_1.csv"}
    assert little.usage() == [("S1", DAY, 7)] and refused(little) == [("volumes", 2, ("unmatched",))]
    # A new delivery of both, of which the second brings back what had no first.
    little.put("sessions_202605_2.csv", FIRST + f"s1,{DAY},S1\ns2,{DAY},S2\n")
    little.put("volumes_202605_2.csv", SECOND + f"6,{DAY},s2\n7,{DAY},s1\n")
    little.run()
    assert little.usage() == [("S1", DAY, 7), ("S2", DAY, 6)] and refused(little) == []
    status = {(row["file"], row["status"]) for row in little.table("deliveries").to_dicts()}
    assert ("volumes_202605_1.csv", "superseded") in status and ("volumes_202605_2.csv", "active") in status


def test_the_second_file_may_lose_a_column_too(tmp_path: Path) -> None:
    """What it gave is empty from then on."""
    source = SOURCE_OF_TWO.replace("mb: joined.megabytes", "mb: joined.megabytes, roaming_mb: joined.abroad")
    little = Little(tmp_path, source.replace("max_bad_share", "on_drift: {missing: warn}\n    max_bad_share"))
    little.put("sessions_202604_1.csv", FIRST + "s1,2026-04-02,S1\n")
    little.put("volumes_202604_1.csv", "megabytes,on_day,id,abroad\n5,2026-04-02,s1,2\n")
    little.put("sessions_202605_1.csv", FIRST + f"s1,{DAY},S1\ns2,{DAY},S2\n")
    little.put("volumes_202605_1.csv", SECOND + f"6,{DAY},s1\n10000001,{DAY},s2\n")
    context = little.run()
    assert [line.strip() for line in little.said if "columns" in line] == [
        "volumes_202605_1.csv missing columns: abroad"
    ]
    rows = little.table("clean_data_usage").sort("used_on").select("mb", "roaming_mb").rows()
    assert rows == [(5, 2), (6, None)]
    assert refused(little) == [("sessions", 3, ("range:mb",))]
    # A file that would be loaded is not refused when it is tried.
    path = little.put("sessions_202606_1.csv", FIRST + "s1,2026-06-02,S1\n")
    little.put("volumes_202606_1.csv", "on_day,id,megabytes,more\n2026-06-02,s1,6,\n")
    first, second = try_file(context, path)
    late = "sessions_202606_1.csv ends 28 days before its period; expected at most 0"
    assert (first.counts.accepted, first.refused, first.notes) == (1, [], [late])
    told = [f"volumes_202606_1.csv {what}" for what in ("new columns: more", "missing columns: abroad")]
    assert (second.refused, second.notes) == ([], told)


def test_the_second_file_is_held_to_the_mapping_too(tmp_path: Path) -> None:
    little = Little(tmp_path, SOURCE_OF_TWO.replace("max_bad_share: 1.0", "max_bad_share: 0.4"))
    little.put("sessions_202605_1.csv", FIRST + f"s1,{DAY},S1\n")
    path = little.put("volumes_202605_1.csv", "megabyte,on_day,id\n")
    with pytest.raises(SourceError) as caught:
        little.run()
    assert (
        str(caught.value)
        == f"{path}:1:1 FILE_BAD_HEADER column 'megabytes' is missing (did you mean 'megabyte'?)"
    )
    little.put("volumes_202605_1.csv", SECOND + f"5,{DAY},s1\n6,{DAY},s2\n7,{DAY},s1\n8,{DAY},s3\n")
    with pytest.raises(SourceError) as caught:
        little.run()
    assert str(caught.value).splitlines() == [
        f"{path} FILE_REFUSED 3 of 4 rows are bad, more than the 40.0% allowed; nothing was loaded",
        f"{path}:2:1 FILE_BAD_ROW a record further down has the same id, on_day",
        f"{path}:3:1 FILE_BAD_ROW the file sessions_{{period}}_{{sequence}}.csv has no record with its id, on_day",
        f"{path}:5:1 FILE_BAD_ROW the file sessions_{{period}}_{{sequence}}.csv has no record with its id, on_day",
    ]


def test_what_is_wrong_of_a_joined_value_is_told_of_its_file(tmp_path: Path) -> None:
    little = Little(tmp_path, SOURCE_OF_TWO.replace("max_bad_share: 1.0", "max_bad_share: 0.1"))
    path = little.put("sessions_202605_1.csv", FIRST + f"s1,{DAY},S1\n")
    little.put("volumes_202605_1.csv", SECOND + f"many,{DAY},s1\n")
    with pytest.raises(SourceError) as caught:
        little.run()
    told = f"{path}:2:1 FILE_BAD_ROW mb is not a valid integer (joined.megabytes, from volumes_202605_1.csv)"
    assert told in str(caught.value).splitlines()


def test_a_file_that_is_joined_no_longer_leaves_nothing_behind(tmp_path: Path) -> None:
    little = Little(tmp_path, SOURCE_OF_TWO)
    little.put("sessions_202605_1.csv", FIRST + f"s1,{DAY},S1\n")
    little.put("volumes_202605_1.csv", SECOND + f"many,{DAY},s1\n6,{DAY},s2\n")
    little.run()
    # Of a refused row both records are kept.
    originals = dict(little.table("quarantine").select("file", "original").rows())
    assert originals == {
        "sessions_202605_1.csv": f"s1,{DAY},S1\nmany,{DAY},s1",
        "volumes_202605_1.csv": f"6,{DAY},s2",
    }
    mapping = little.folder / "little.yaml"
    text = mapping.read_text(encoding="utf-8")
    alone = [line for line in text.splitlines() if "join:" not in line]
    mapping.write_text("\n".join(alone).replace("joined.megabytes", "megabytes"), encoding="utf-8")
    little.put("sessions_202605_2.csv", f"session,day,subscriber,megabytes\ns1,{DAY},S1,5\n")
    (little.extracts / "sessions_202605_1.csv").unlink()
    little.run()
    assert little.usage() == [("S1", DAY, 5)] and refused(little) == []
    active = little.table("deliveries").filter(pl.col("status") == "active")
    assert sorted(active["file"]) == ["sessions_202605_2.csv", "subscriptions_202605.csv"]


@pytest.mark.parametrize("form", ["fixed", "jsonl"])
def test_files_without_a_header_are_joined_too(tmp_path: Path, form: str) -> None:
    fixed = ", columns: [megabytes, on_day, id], widths: [3, 10, 2]"
    source = SOURCE_OF_TWO.replace(
        "id, day: on_day}", "id, day: on_day}" + (fixed if form == "fixed" else "")
    )
    ours = (
        "columns: [session, day, subscriber]\n    widths: [2, 10, 2]\n    header: false\n    "
        if form == "fixed"
        else ""
    )
    little = Little(tmp_path, source.replace("    null_marks", f"    format: {form}\n    {ours}null_marks"))
    first, second = f"s1{DAY}S1\n", f" 12{DAY}s1\n"
    if form == "jsonl":
        first = f'{{"session": "s1", "day": "{DAY}", "subscriber": "S1"}}\n'
        second = f'{{"id": "s1", "megabytes": 12, "on_day": "{DAY}"}}\n'
    path = little.put("sessions_202605_1.csv", first)
    little.put("volumes_202605_1.csv", second)
    context = little.run()
    assert little.usage() == [("S1", DAY, 12)]
    trials = try_file(context, path)
    assert [(trial.counts.records, len(trial.rows)) for trial in trials] == [(1, 1), (1, 0)]
