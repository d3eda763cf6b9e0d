"""Ingest of small files: exactly once, corrections, refusals that leave tables as they were."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import KeyMomentsError, SourceError
from jobs.kernel.project import Project
from jobs.stages import ingest as ingest_stage
from jobs.stages.context import configure, open_run
from jobs.stages.ingest import ingest
from jobs.stages.judge import Batch
from jobs.stages.moments import identify_moments
from jobs.stages.scores import write_scores
from jobs.stages.trial import try_file
from tests.spark.little import HEADER, SOURCE, SUBSCRIPTIONS, Little

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]


@pytest.fixture
def little(tmp_path: Path) -> Little:
    return Little(tmp_path)


def test_a_file_is_loaded_once_and_a_correction_replaces_it(little: Little) -> None:
    little.put("data_usage_20260530_1.csv", HEADER + "S1,2026-05-30,10\nS1,2026-05-29,7\n")
    little.run()
    assert little.usage() == [("S1", "2026-05-29", 7), ("S1", "2026-05-30", 10)]
    before = little.versions()
    little.run()
    assert little.added == []
    assert little.versions() == before
    # The correction has no row for the 29th: that day must be emptied, too.
    little.put("data_usage_20260530_2.csv", HEADER + "S1,2026-05-30,11\n")
    little.run()
    assert little.usage() == [("S1", "2026-05-30", 11)]
    after = little.versions()
    # In one commit a table.
    tables = ("raw_data_usage", "clean_data_usage", "tiles_data_usage")
    assert [after[name] - before[name] for name in tables] == [1, 1, 1]
    # The ledger tells which days are other ones now, the emptied one as well.
    [told] = little.added
    assert (told["units"], told["reopened"]) == (
        [date(2026, 5, 30)],
        [date(2026, 5, 29), date(2026, 5, 30)],
    )
    # An older delivery that comes late never replaces a newer one.
    little.put("data_usage_20260530_0.csv", HEADER + "S1,2026-05-30,99\n")
    little.run()
    assert [row["status"] for row in little.added] == ["superseded"]
    told = "not loaded: data_usage_20260530_0.csv, as a newer delivery of its period is there: of a higher"
    assert any(one.startswith(told) for one in little.said)
    assert little.usage() == [("S1", "2026-05-30", 11)]


MAPPED = SOURCE.replace(
    "data_usage_{period}_{sequence}.csv\n    fields: same",
    "data_usage_{period}_{sequence}.csv\n    fields: {subscription_id: who, used_on: day, mb: mb, roaming_mb: abroad}",
)


@pytest.mark.parametrize("reaction", [None, "warn", "ignore", "stop"])
def test_a_column_that_is_gone_leaves_its_field_empty_where_the_mapping_says_so(
    tmp_path: Path, reaction: str | None
) -> None:
    setting = f", on_drift: {{missing: {reaction}}}" if reaction else ""
    little = Little(tmp_path, MAPPED.replace("header: true", f"header: true{setting}"))
    little.put("data_usage_20260530_1.csv", "who,day,mb,abroad\nS1,2026-05-30,10,3\n")
    little.run()
    path = little.put("data_usage_20260531_1.csv", "who,day,mb,note\nS1,2026-05-31,20,x\n")
    if reaction in (None, "stop"):
        before = little.versions()
        with pytest.raises(SourceError) as caught:
            little.run()
        assert str(caught.value) == f"{path}:1:1 FILE_BAD_HEADER column 'abroad' is missing"
        assert little.versions() == before
        return
    little.run()
    told = [line.strip() for line in little.said if "columns" in line]
    lines = [
        "data_usage_20260531_1.csv new columns: note",
        "data_usage_20260531_1.csv missing columns: abroad",
    ]
    assert told == (lines if reaction == "warn" else lines[:1])
    assert little.added[0]["drift"] == ["new:note", "missing:abroad"]
    rows = little.table("clean_data_usage").sort("used_on").select("mb", "roaming_mb").rows()
    assert rows == [(10, 3), (20, None)]


def test_each_kind_of_change_stops_where_the_mapping_says_so(tmp_path: Path) -> None:
    """And is told where it says nothing; the last file has all of them."""
    lenient = MAPPED.replace("header: true", "header: true, max_bad_share: 1")
    little = Little(tmp_path, lenient)
    little.put("data_usage_20260530_1.csv", "who,day,mb,abroad\nS1,2026-05-30,10,3\n")
    little.run()
    changed = "day,who,mb,abroad,note\n" + "2026-05-31,S1,much,1,x\n" * 3
    path = little.put("data_usage_20260531_1.csv", changed)
    before = little.versions()
    for kind, columns in (("new", "note"), ("retyped", "mb"), ("moved", "day, who")):
        strict = lenient.replace("header: true", f"header: true, on_drift: {{{kind}: stop}}")
        (tmp_path / "little.yaml").write_text(strict, encoding="utf-8")
        with pytest.raises(SourceError) as caught:
            little.run()
        assert str(caught.value).startswith(f"{path} ") and f"{kind} columns: {columns}" in str(caught.value)
        assert little.versions() == before
    (tmp_path / "little.yaml").write_text(lenient, encoding="utf-8")
    little.run()
    assert little.added[0]["drift"] == ["new:note", "retyped:mb", "moved:day", "moved:who"]


def test_a_column_that_the_contract_does_not_know_is_told_even_of_a_first_file(little: Little) -> None:
    little.put("data_usage_20260530_1.csv", "subscription_id,used_on,mb,branch\nS1,2026-05-30,10,x\n")
    little.run()
    assert [line.strip() for line in little.said if "columns" in line] == [
        "data_usage_20260530_1.csv new columns: branch"
    ]
    assert little.usage() == [("S1", "2026-05-30", 10)]


def test_of_two_deliveries_with_one_key_the_later_wins_and_the_loser_comes_back(little: Little) -> None:
    little.put("data_usage_20260530_1.csv", HEADER + "S1,2026-05-30,10\n")
    little.put("data_usage_20260531_1.csv", HEADER + "S1,2026-05-30,20\nS1,2026-05-31,5\n")
    little.run()
    assert little.usage() == [("S1", "2026-05-30", 20), ("S1", "2026-05-31", 5)]
    assert {
        row["file"]: row["rows_duplicate"] for row in little.added if row["contract"] == "data_usage"
    } == {
        "data_usage_20260530_1.csv": 1,
        "data_usage_20260531_1.csv": 0,
    }
    little.put("data_usage_20260531_2.csv", HEADER + "S1,2026-05-31,6\n")
    little.run()
    assert little.usage() == [("S1", "2026-05-30", 10), ("S1", "2026-05-31", 6)]
    # The ledger follows: the loser has a clean row now.
    active = little.table("deliveries").filter(
        (pl.col("contract") == "data_usage") & (pl.col("status") == "active")
    )
    told = ["file", "rows_read", "rows_loaded", "rows_quarantined", "rows_duplicate"]
    assert sorted(active.select(told).rows()) == [
        ("data_usage_20260530_1.csv", 1, 1, 0, 0), ("data_usage_20260531_2.csv", 1, 1, 0, 0),
    ]  # fmt: skip


PARTS = SOURCE.replace("data_usage_{period}_{sequence}.csv", "data_usage_{period}_{part}.csv")


PAYMENTS = """
  - contract: payments
    files: payments_{period}.csv
    gaps: empty
    fields: same
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", [("20260520", "20260525"), ("20260525", "20260520")])
def test_of_rows_alike_the_last_delivered_holds_whatever_its_date(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """Whichever file is found first; inside a file the one further down."""
    files = {
        "20260520": "P1,S1,2026-05-20,100\nP2,S1,2026-05-20,100\nP2,S1,2026-05-10,7\n",
        "20260525": "P1,S1,2026-05-11,55\n",
    }
    little = Little(tmp_path, SOURCE + PAYMENTS)
    little.put("data_usage_20260530_1.csv", HEADER + "S1,2026-05-30,10\n")
    for period in order:
        little.put(f"payments_{period}.csv", "payment_id,subscription_id,paid_on,amount\n" + files[period])
        little.run()
    kept = little.table("clean_payments").sort("payment_id").select("payment_id", "paid_on", "amount")
    assert [(one, str(day), int(amount)) for one, day, amount in kept.rows()] == [
        ("P1", "2026-05-11", 55), ("P2", "2026-05-10", 7),
    ]  # fmt: skip
    told = little.table("deliveries").filter(pl.col("contract") == "payments").sort("period")
    assert told.select("rows_read", "rows_loaded", "rows_duplicate").rows() == [(3, 1, 2), (1, 1, 0)]


@pytest.mark.slow
def test_a_file_that_grows_while_it_is_judged_is_left_alone(
    little: Little, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last row is half there, which would refuse the run; the others are loaded, and it when it is whole."""
    growing = little.put("data_usage_20260530_1.csv", HEADER + "S1,2026-05-30,10\nS2,2026-05")
    little.put("data_usage_20260531_1.csv", HEADER + "S1,2026-05-31,7\n")
    judge = ingest_stage.judge_deliveries
    written = iter(["-30,20\n"])

    def slowly(*arguments: Any) -> Iterator[Batch]:
        yield from judge(*arguments)
        with growing.open("a", encoding="utf-8") as file:
            file.write(next(written, ""))

    monkeypatch.setattr(ingest_stage, "judge_deliveries", slowly)
    little.run()
    assert little.usage() == [("S1", "2026-05-31", 7)]
    assert f"left alone: {growing} FILE_INCOMPLETE is still being written: its size changes" in little.said
    little.run()
    assert [row["file"] for row in little.added] == [growing.name]
    assert little.usage() == [("S1", "2026-05-30", 10), ("S1", "2026-05-31", 7), ("S2", "2026-05-30", 20)]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
@pytest.mark.parametrize("then", ["gone", "cut"])
def test_a_file_that_goes_or_shrinks_before_it_is_judged_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, then: str
) -> None:
    little = Little(tmp_path, SOURCE.replace("_{sequence}.csv", f"_{{sequence}}.{ending}"))
    pack = gzip.compress if ending == "csv.gz" else bytes
    rows = "".join(f"S{n},2026-05-30,{n * 7919 % 1000}\n" for n in range(200))
    shrinking = little.put(f"data_usage_20260530_1.{ending}", pack((HEADER + rows).encode()))
    little.put(f"data_usage_20260531_1.{ending}", pack((HEADER + "S1,2026-05-31,7\n").encode()))
    judge = ingest_stage.judge_deliveries

    def late(*arguments: Any) -> Iterator[Batch]:
        if shrinking.exists() and then == "gone":
            shrinking.unlink()
        elif then == "cut":
            shrinking.write_bytes(shrinking.read_bytes()[:500])
        return judge(*arguments)

    monkeypatch.setattr(ingest_stage, "judge_deliveries", late)
    little.run()
    assert little.usage() == [("S1", "2026-05-31", 7)]
    told = [line for line in little.said if line.startswith("left alone")]
    says = "has gone while it was read" if then == "gone" else "its size changes"
    assert len(told) == 1 and says in told[0]


DATED = SOURCE.replace("data_usage_{period}_{sequence}.csv", "data_usage_{period}_sent_{delivered}.csv")


@pytest.mark.slow
def test_of_rows_alike_the_one_with_the_later_date_of_delivery_holds(tmp_path: Path) -> None:
    """Whatever the periods: the file of the earlier period came later."""
    little = Little(tmp_path, DATED)
    little.put("data_usage_20260530_sent_20260603.csv", HEADER + "S1,2026-05-29,1\n")
    little.put("data_usage_20260531_sent_20260601.csv", HEADER + "S1,2026-05-29,2\nS2,2026-05-29,3\n")
    little.run()
    assert little.usage() == [("S1", "2026-05-29", 1), ("S2", "2026-05-29", 3)]


def later_delivery(number: int, days: list[int]) -> str:
    """A day's file of some days: its rows carry its number as their amount."""
    names = (f"S{number % 2}", "S9")
    return HEADER + "".join(f"{name},2026-05-{day:02},{number}\n" for day in days for name in names)


@pytest.mark.slow
@settings(max_examples=2, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
@given(draw=st.randoms(use_true_random=False))
def test_tables_do_not_depend_on_the_order_in_which_files_come(
    tmp_path_factory: pytest.TempPathFactory, draw: random.Random
) -> None:
    """Files that share days come all at once or in groups in any order; the last delivered of a day holds."""
    spans = [sorted(draw.sample(range(20, 25), draw.randint(1, 3))) for _ in range(5)]
    files = {f"data_usage_202605{26 + n}_1.csv": later_delivery(n, days) for n, days in enumerate(spans)}
    # One is corrected; its correction leaves days of its own out.
    files["data_usage_20260530_2.csv"] = later_delivery(4, spans[4][1:])
    expected = {}
    for number, days in enumerate([*spans[:4], spans[4][1:]]):
        for day in days:
            expected |= {(name, f"2026-05-{day:02}"): number for name in (f"S{number % 2}", "S9")}
    told = []
    for cuts in ([6], draw.sample([[1, 3, 6], [2, 4, 6], [1, 2, 6]], 1)[0]):
        order = draw.sample(sorted(files), len(files))
        little = Little(tmp_path_factory.mktemp("order"))
        for first, last in pairwise([0, *cuts]):
            for name in order[first:last]:
                little.put(name, files[name])
            little.run()
        assert {(name, day): mb for name, day, mb in little.usage()} == expected
        tables = ("raw_data_usage", "clean_data_usage", "tiles_data_usage")
        rows = {name: little.table(name).drop("run_id", strict=False) for name in tables}
        counts = ["file", "rows_read", "rows_loaded", "rows_duplicate", "units", "covers_from", "covers_to"]
        rows["deliveries"] = little.table("deliveries").filter(pl.col("status") == "active").select(counts)
        told.append({name: sorted(map(str, found.rows())) for name, found in rows.items()})
    assert told[0] == told[1]


def test_crossed_periods_and_parts_keep_their_rows_everywhere(tmp_path: Path) -> None:
    """Of 2 periods x 2 parts one is loaded first and two that share its row or column come after."""
    little = Little(tmp_path)
    (tmp_path / "little.yaml").write_text(PARTS, encoding="utf-8")
    bad = "S9,2026-05-30,-1\n"
    usage = {"S1,2026-05-30,10\n", "S2,2026-05-30,20\n", "S3,2026-05-31,30\n"}
    for name, row in zip(("20260530_north", "20260530_south", "20260531_north"), sorted(usage), strict=True):
        filler = "".join(f"F{i},{row.split(',')[1]},0\n" for i in range(99))
        little.put(f"data_usage_{name}.csv", HEADER + row + filler + bad)
        if name.endswith("30_north"):
            little.run()
    little.run()
    assert len(little.added) == 2
    found = [row for row in little.usage() if not row[0].startswith("F")]
    assert found == [("S1", "2026-05-30", 10), ("S2", "2026-05-30", 20), ("S3", "2026-05-31", 30)]
    quarantine = pl.read_delta(str(tmp_path / "warehouse" / "quarantine"))
    assert sorted(quarantine["file"]) == [
        "data_usage_20260530_north.csv",
        "data_usage_20260530_south.csv",
        "data_usage_20260531_north.csv",
    ]


def test_a_content_that_comes_back_after_a_wrong_correction_counts_again(little: Little) -> None:
    first, wrong = HEADER + "S1,2026-05-30,10\n", HEADER + "S1,2026-05-30,99\n"
    for content, minutes in ((first, 10), (wrong, 99), (first, 10)):
        little.put("data_usage_20260530_1.csv", content)
        little.run()
        assert little.usage() == [("S1", "2026-05-30", minutes)]
    deliveries = pl.read_delta(str(little.folder / "warehouse" / "deliveries"))
    statuses = deliveries.filter(pl.col("contract") == "data_usage").select("status", "sha256").rows()
    assert sorted(status for status, _ in statuses) == ["active", "superseded"]
    little.run()
    assert little.added == []


def test_a_stage_before_its_time_is_refused_and_writes_nothing(loaded: Little) -> None:
    context = loaded.run()
    before = loaded.versions()
    cycle = context.configuration.calendar.cycle(CycleKind.daily, date(2026, 5, 30))
    for stage in (identify_moments, write_scores):
        with pytest.raises(KeyMomentsError) as caught:
            stage(context, cycle)
        assert caught.value.codes == ["TABLE_MISSING"]
        assert "has not been built" in str(caught.value)
    assert loaded.versions() == before


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Little:
    """A warehouse with one good delivery, which refused ones must leave as it is."""
    little = Little(tmp_path_factory.mktemp("little"))
    little.put("data_usage_20260530_1.csv", HEADER + "S1,2026-05-30,10\n")
    little.run()
    return little


@pytest.mark.parametrize(
    ("content", "code", "place", "says"),
    [
        (
            HEADER + "S1,2026-05-30,1\nS1,2026-13-41,2\n",
            "FILE_BAD_ROW",
            ":3:2",
            "used_on is not a valid date",
        ),
        (HEADER + "S1,2026-05-30,-1\n", "FILE_BAD_ROW", ":2:3", "mb is not between"),
        (HEADER + "S1,2026-05-30,many\n", "FILE_BAD_ROW", ":2:3", "mb is not a valid integer"),
        (HEADER + "S1,2026-05-30\n", "FILE_BAD_ROW", ":2:1", "does not have the 3 fields"),
        (HEADER + ",2026-05-30,1\n", "FILE_BAD_ROW", ":2:1", "subscription_id is required"),
        (HEADER.encode() + b"S\xff1,2026-05-30,1\n", "FILE_UNDECODABLE", ":2:1", "not utf-8"),
        ("subscription_id,used_on,mbb\nS1,2026-05-30,1\n", "FILE_BAD_HEADER", ":1:3", "did you mean 'mb'"),
    ],
)
def test_a_refused_delivery_names_its_places_and_leaves_tables_as_they_were(
    loaded: Little, content: str | bytes, code: str, place: str, says: str
) -> None:
    before, usage = loaded.versions(), loaded.usage()
    path = loaded.put("data_usage_20260531_1.csv", content)
    # A good delivery beside the bad one waits with it.
    other = loaded.put("subscriptions_20260531.csv", SUBSCRIPTIONS.replace("active", "suspended"))
    try:
        with pytest.raises(KeyMomentsError) as caught:
            loaded.run()
    finally:
        path.unlink()
        other.unlink()
    assert caught.value.exit_code == 2
    lines = [str(issue) for issue in caught.value.issues if issue.code == code]
    assert any(line.startswith(f"{path}{place} ") and says in line for line in lines), lines
    assert loaded.versions() == before
    assert loaded.usage() == usage


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "{folder} FILE_MISSING no file named usage.csv for the contract usage_monthly"),
        (HEADER.encode() + b"\xff" * 9 + b",2026-05-30,1\n", "{folder}/usage.csv:2:1 FILE_UNDECODABLE"),
    ],
)
def test_one_file_for_two_extracts_is_told_of_once(
    loaded: Little, tmp_path: Path, content: bytes | None, expected: str
) -> None:
    """Missing or not to be decoded: exit code 2, one line a problem, and tables as they were."""
    twice = "".join(
        f"  - {{contract: {contract}, files: usage.csv, period: '202606', fields: {fields}}}\n"
        for contract, fields in (
            ("data_usage", "{subscription_id: subscription_id, used_on: date(used_on), mb: number(mb)}"),
            (
                "usage_monthly",
                "{subscription_id: subscription_id, month: date(used_on), data_mb: number(mb)}",
            ),
        )
    )
    head, _, _ = SOURCE.partition("  - contract: data_usage")
    (tmp_path / "twice.yaml").write_text(head + twice, "utf-8")
    if content is not None:
        (loaded.extracts / "usage.csv").write_bytes(content)
    before = loaded.versions()
    configuration = configure(Project(ROOT), "local", str(tmp_path / "twice.yaml"))
    try:
        with pytest.raises(KeyMomentsError) as caught:
            ingest(open_run(configuration, str(loaded.folder / "warehouse"), str(loaded.extracts)))
    finally:
        (loaded.extracts / "usage.csv").unlink(missing_ok=True)
    lines = [str(issue) for issue in caught.value.issues]
    assert caught.value.exit_code == 2 and len(set(lines)) == len(lines)
    told = [line for line in lines if line.startswith(expected.format(folder=loaded.extracts))]
    assert len(told) == 1, lines
    assert loaded.versions() == before


def test_nothing_is_lost_once_a_refused_file_is_mended(loaded: Little) -> None:
    path = loaded.put("data_usage_20260531_1.csv", HEADER + "S1,2026-05-31,x\n")
    with pytest.raises(KeyMomentsError):
        loaded.run()
    path.write_text(HEADER + "S1,2026-05-31,3\n", encoding="utf-8")
    loaded.run()
    assert loaded.usage() == [("S1", "2026-05-30", 10), ("S1", "2026-05-31", 3)]


def test_terminals_without_a_model_are_told_apart_by_their_type_code(tmp_path: Path) -> None:
    """What has neither is one terminal a day."""
    mapping = """
  - contract: terminals
    files: terminals_{period}.csv
    fields: {subscription_id: id, first_seen_on: date(day), imei: "nullif(imei, '')"}
"""
    little = Little(tmp_path, SOURCE + mapping)
    seen = ["35209900000001,2026-05-03", "86409900000001,2026-05-03", "86409900000002,2026-05-03"]
    seen += [",2026-05-03", ",2026-05-03"]
    little.put("data_usage_202605_1.csv", HEADER)
    little.put("terminals_202605.csv", "id,imei,day\n" + "".join(f"S1,{one}\n" for one in seen))
    little.run()
    assert sorted(little.table("clean_terminals")["tac"].to_list(), key=str) == ["35209900", "86409900", None]
    [row] = [one for one in little.added if one["contract"] == "terminals"]
    assert (row["rows_loaded"], row["rows_duplicate"]) == (3, 2)
    assert "  terminals: 3 rows written, 2 duplicates left out" in little.said


def test_a_file_is_tried_without_being_loaded(little: Little) -> None:
    """The rows as they would load, every problem with its place, and nothing written."""
    configuration = configure(Project(ROOT), "local", str(little.folder / "little.yaml"))
    context = open_run(configuration, str(little.folder / "warehouse"), str(little.extracts))
    good = "".join(f"S1,2026-05-{day:02},{day}\n" for day in range(1, 26))
    path = little.put(
        "data_usage_20260531_1.csv", HEADER + "S1,2026-05-31,x\nS1,,-4\n" + good + "S1,2026-05-09,99\n"
    )
    [trial] = try_file(context, path)
    assert (trial.contract, trial.counts.records, trial.counts.rejected) == ("data_usage", 28, 2)
    assert (trial.counts.accepted, trial.duplicates) == (26, 1)
    assert [line for line, _ in trial.rows] == list(range(4, 24))
    assert trial.rows[0][1] == {"subscription_id": "S1", "used_on": date(2026, 5, 1), "mb": 1}
    assert trial.reasons == {"missing:used_on": 1, "range:mb": 1, "type:mb": 1}
    assert [str(issue).removeprefix(f"{path}:") for issue in trial.problems] == [
        "2:3 FILE_BAD_ROW mb is not a valid integer",
        "3:2 FILE_BAD_ROW used_on is required",
        "3:3 FILE_BAD_ROW mb is not between 0 and 10000000",
    ]
    assert [issue.code for issue in trial.refused] == ["FILE_REFUSED"]
    people = try_file(context, little.extracts / "subscriptions_202605.csv")
    assert people[0].refused == [] and people[0].rows[0][1]["number"] != "13400000001"
    with pytest.raises(KeyMomentsError) as caught:
        try_file(context, little.put("usage.csv", HEADER))
    assert caught.value.codes == ["FILE_BAD_NAME"]
    assert little.versions() == {}
