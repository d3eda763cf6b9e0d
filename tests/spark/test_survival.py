"""Ingest survives what is thrown at it: ten thousand spoilt rows, and a kill after any of its steps."""

from __future__ import annotations

import csv
import random
import re
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame

from jobs.contracts.columns import Table
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.errors import SourceError
from jobs.stages import clean, judge
from jobs.storage.layout import Partition
from jobs.storage.warehouse import Warehouse
from tests.spark.little import HEADER, SOURCE, Killed, Little, killed_over_and_over

pytestmark = [pytest.mark.spark, pytest.mark.slow]

# One in twelve of the spoilt rows can be read all the same: 10,000 are bad.
SPOILT, GOOD = 11_100, 3_000
PLENTY = SOURCE.replace("fields: same\n", "fields: same\n    max_bad_share: 1\n")


def spoil(row: bytes, draw: random.Random) -> bytes:
    """A row with something wrong; sometimes it is still, or again, a row that can be read."""
    fields = row.split(b",")
    match draw.randrange(8):
        case 0:
            at = draw.randrange(len(row))
            return (
                row[:at] + bytes([draw.choice([b for b in range(256) if b not in b"\r\n"])]) + row[at + 1 :]
            )
        case 1:
            draw.shuffle(fields)
            return b",".join(fields)
        case 2:
            return row[: draw.randrange(len(row))]
        case 3:
            at = draw.randrange(len(row) + 1)
            return row[:at] + b'"' + row[at:]
        case 4:
            return b",".join([*fields, b"x"])
        case 5:
            return row.replace(b"2026-05-", draw.choice([b"2026-13-", b"20260530", b"2026-05-3", b""]))
        case 6:
            amounts = [
                b"-1",
                b"1e999",
                b"1.5",
                b"ten",
                b"",
                b"99999999999999999999",
                b"1.00000000000000000000001",
            ]
            return b",".join([*fields[:2], draw.choice(amounts)])
        case _:
            return bytes(draw.randrange(1, 10)).replace(b"\0", b"\xe5\x8d")


def judged(line: bytes, order: list[int]) -> tuple[str, str, int] | None:
    """The row that a line of data_usage holds, by a plain reading of its contract; None when it holds none.

    Args:
        line: The line.
        order: Which of name, day and amount stands first, second and third.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error:
        return None
    if len(fields) != 3 or re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        return None
    # Blanks around a value are no part of it.
    name, day, amount = (fields[order.index(column)].strip(" ") for column in range(3))
    if (
        not name
        or not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", day)
        or not re.fullmatch(r" *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})? *", amount)
    ):
        return None
    try:
        used_on, mb = date.fromisoformat(day), Decimal(amount.strip())
    except ValueError:
        return None
    # Usage from more than 92 days before its delivery's period is late.
    if mb != mb.to_integral_value() or used_on < date(2026, 5, 1) - timedelta(days=92):
        return None
    # No use is told of before it is made.
    if used_on > date(2026, 6, 1):
        return None
    return (name, used_on.isoformat(), int(mb)) if 0 <= mb <= 10_000_000 else None


FILES = 3


@settings(max_examples=FILES, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
@given(draw=st.randoms(use_true_random=True), order=st.permutations(range(3)), cut=st.integers(0, 12))
def test_no_good_row_is_lost_among_ten_thousand_spoilt_ones(
    tmp_path_factory: pytest.TempPathFactory, draw: random.Random, order: list[int], cut: int
) -> None:
    """In files whose columns stand in any order and whose last line may be cut short."""
    rows = [
        f"S{number},2026-05-{1 + number % 31:02},{number}".encode()
        for number in range((SPOILT + GOOD) // FILES + 1)
    ]
    # Some have quotes around what need not have any.
    rows = [
        b",".join(b'"%b"' % one for one in row.split(b",")) if draw.random() < 0.2 else row for row in rows
    ]
    bad = 1 + SPOILT // FILES
    lines = [*(spoil(row, draw) for row in rows[:bad]), *rows[bad:]]
    # What is spoilt is spoilt in any order; the whole of a good row moves.
    lines = [
        b",".join(line.split(b",")[at] for at in order) if line.count(b",") == 2 else line for line in lines
    ]
    draw.shuffle(lines)
    lines = [*lines, b",".join([b"last", b"2026-05-31", b"12345"][at] for at in order)]
    lines[-1] = lines[-1][: len(lines[-1]) - cut]
    header = b",".join(HEADER.strip().encode().split(b",")[at] for at in order) + b"\n"
    little = Little(tmp_path_factory.mktemp("spoilt"), PLENTY)
    little.put("data_usage_202605_1.csv", header + b"\n".join(lines))
    little.run()
    [row] = [one for one in little.added if one["contract"] == "data_usage"]
    assert row["rows_read"] == row["rows_in_file"] == len(lines)
    assert row["rows_read"] == row["rows_loaded"] + row["rows_quarantined"] + row["rows_duplicate"]
    expected = {line: found for line in lines if (found := judged(line, order)) is not None}
    quarantined = little.table("quarantine").filter(pl.col("contract") == "data_usage")
    refused = {lines[number - 2] for number in quarantined["line"]}
    assert quarantined.height == row["rows_quarantined"] > 10_000 / FILES
    assert not refused & expected.keys()
    assert {line for line in lines if line not in expected} == refused
    # Of rows alike in name and day the last one in the file holds.
    last = {found[:2]: found[2] for line in lines if (found := expected.get(line)) is not None}
    assert {one[:2]: one[2] for one in little.usage()} == last
    reasons = Counter(reason.partition(":")[0] for one in quarantined["reasons"] for reason in one)
    # A digit turned into another seldom makes a day so early that the row is late.
    assert set(reasons) - {"late", "future"} == {"malformed", "undecodable", "type", "missing", "range"}


@pytest.mark.parametrize("beside", [0, 2])
@pytest.mark.parametrize("fault", ["lost", "doubled"])
def test_rows_that_get_lost_or_double_on_the_way_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, beside: int
) -> None:
    """Also where so many rows of another delivery stand on the same day."""
    whole = clean.latest_wins

    def broken(rows: DataFrame, contract: ExtractContract, *arguments: Any, **settings: Any) -> DataFrame:
        found = whole(rows, contract, *arguments, **settings)
        if contract.contract != "data_usage":
            return found
        return found.where("line > 3") if fault == "lost" else found.unionByName(found)

    little = Little(tmp_path)
    if beside:
        # With as many lines before them as none of these gets lost.
        others = "".join(f"T{n},2026-05-{30 if n > 7 else 29},1\n" for n in range(8 + beside))
        little.put("data_usage_20260531_1.csv", HEADER + others)
        little.run()
    before = little.versions()
    little.put("data_usage_202605_1.csv", HEADER + "".join(f"S{n},2026-05-30,{n}\n" for n in range(9)))
    monkeypatch.setattr(clean, "latest_wins", broken)
    with pytest.raises(SourceError) as caught:
        little.run()
    found = 7 + beside if fault == "lost" else 2 * (9 + beside)
    told = f"{9 + beside} rows were accepted, but {found} are clean rows or duplicates"
    assert str(caught.value) == f"LEDGER_SUM data_usage: {told}"
    after = little.versions()
    assert [after.get(name) for name in ("clean_data_usage", "deliveries")] == [
        before.get(name) for name in ("clean_data_usage", "deliveries")
    ]
    monkeypatch.undo()
    little.run()
    assert len(little.usage()) == 9 + (8 + beside if beside else 0)


def test_a_record_that_is_not_read_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge.read_records

    def losing(*arguments: Any) -> DataFrame:
        return whole(*arguments).where("line <> 3")

    little = Little(tmp_path)
    little.put("data_usage_202605_1.csv", HEADER + "".join(f"S{n},2026-05-30,{n}\n" for n in range(9)))
    monkeypatch.setattr(judge, "read_records", losing)
    with pytest.raises(SourceError) as caught:
        little.run()
    assert str(caught.value).endswith("LEDGER_SUM has 9 records but 8 were read")
    assert "deliveries" not in little.versions()


def test_a_kill_after_any_step_is_made_good_by_running_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = HEADER + "S1,2026-05-30,10\nS1,2026-05-30,11\nS2,2026-05-29,7\n" + "S3,never,1\n" + "".join(
        f"F{number},2026-05-29,0\n" for number in range(99)
    )  # fmt: skip
    (tmp_path / "calm").mkdir()
    (tmp_path / "shot").mkdir()
    calm, shot = Little(tmp_path / "calm"), Little(tmp_path / "shot")
    for one in (calm, shot):
        one.put("data_usage_20260501_1.csv", HEADER + "S1,2026-05-01,5\n")
    # The subscriptions are there before, so that each of the many runs below has one contract to load.
    shot.run()
    for one in (calm, shot):
        one.put("data_usage_20260530_1.csv", content)
    calm.run()

    # Raw, clean, tiles, quarantine, results of quality, deliveries.
    assert killed_over_and_over(monkeypatch, shot.run, range(100)) == 6
    shot.run()
    assert shot.added == []
    for name in calm.versions():
        if name != "run_ledger":
            ours, theirs = (one.table(name).drop("run_id", strict=False) for one in (shot, calm))
            assert plain(ours) == plain(theirs), name
    results = shot.table("quality_results")
    assert results.select("delivery_id", "check", "field").is_unique().all() and results.height > 10


@pytest.mark.parametrize("after", ["raw_data_usage", "tiles_data_usage", "quarantine"])
@pytest.mark.parametrize("then", ["corrected", "withdrawn"])
def test_what_a_killed_correction_left_behind_goes_when_another_file_holds_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, after: str
) -> None:
    """A newer correction that has no row on the days of the killed one, or none, so that the first file holds."""
    (tmp_path / "calm").mkdir()
    (tmp_path / "shot").mkdir()
    calm, shot = Little(tmp_path / "calm", PLENTY), Little(tmp_path / "shot", PLENTY)
    for one in (calm, shot):
        one.put("data_usage_202605_1.csv", HEADER + "S1,2026-05-01,1\nS1,2026-05-02,2\n")
        one.run()
    wrong = shot.put("data_usage_202605_2.csv", HEADER + "S1,2026-05-02,5\nS1,never,7\nS1,2026-05-20,99\n")
    put = Warehouse._put

    def shooting(warehouse: Warehouse, rows: DataFrame, table: Table, partition: Partition) -> None:
        put(warehouse, rows, table, partition)
        if table.name == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "_put", shooting)
        with pytest.raises(Killed):
            shot.run()
    wrong.unlink()
    if then == "corrected":
        for one in (calm, shot):
            one.put("data_usage_202605_3.csv", HEADER + "S1,2026-05-01,3\n")
            one.run()
    else:
        shot.run()
        assert [row["file"] for row in shot.added] == ["data_usage_202605_1.csv"]
    for name in ("raw_data_usage", "clean_data_usage", "tiles_data_usage", "deliveries"):
        ours, theirs = (one.table(name).drop("run_id", strict=False) for one in (shot, calm))
        assert plain(ours) == plain(theirs), name
    # The killed one's refused row is nobody's.
    assert shot.versions().get("quarantine") is None or shot.table("quarantine").is_empty()
    assert not (shot.folder / "warehouse" / "_loading.json").exists()
    shot.run()
    assert shot.added == []


def plain(rows: pl.DataFrame) -> list[str]:
    """Rows in an order of their own, and so the entries of their maps."""

    def value(one: Any) -> Any:
        if isinstance(one, dict):
            return sorted(one.items())
        return list(one) if isinstance(one, pl.Series) else one

    return sorted(str([value(one) for one in row]) for row in rows.rows())
