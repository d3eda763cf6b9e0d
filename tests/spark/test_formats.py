"""The same calls in files of every format give the same rows, and what is wrong with them the same reasons."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.kernel.project import Project
from jobs.stages.context import configure, open_run
from jobs.stages.ingest import ingest

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SOURCE = """
source: formats
zh: 各种格式
en: Files of every format
defaults: {max_bad_share: 1}
extracts:
  - {contract: subscriptions, files: 'subscriptions_{period}.csv', fields: same}
  - {contract: voice_usage, part: csv, files: 'calls_{period}.csv', fields: same}
  - {contract: voice_usage, part: bare, files: 'calls_{period}.txt.gz', fields: same, encoding: gbk, header: false,
     columns: [subscription_id, started_at, direction, counterpart, duration_s], delimiter: '|',
     decimal: ',', thousands: '.', time_zone: UTC}
  - {contract: voice_usage, part: fixed, files: 'calls_{period}.dat', fields: same, format: fixed,
     columns: [subscription_id, started_at, direction, counterpart, duration_s], widths: [4, 19, 4, 12, 8],
     null_marks: ['-1'], time_zone: Asia/Tokyo}
  - contract: voice_usage
    part: jsonl
    files: calls_{period}.jsonl
    format: jsonl
    fields:
      subscription_id: '`who.id`'
      started_at: at
      direction: direction
      counterpart: '`to`'
      duration_s: number(`s`)
  - {contract: voice_usage, part: parquet, files: 'calls_{period}.parquet', fields: same, format: parquet}
"""
# Of the last two rows one has a part of a second, and one has no length.
SECONDS = ("61", "1234", "1.5", "")
COLUMNS = ("subscription_id", "started_at", "direction", "counterpart", "duration_s")


def write_files(folder: Path) -> None:
    ids = [f"S{number}" for number in range(4)]
    # In Shanghai it is four in the morning of the next day, in Tokyo five.
    utc, shanghai, tokyo = "2026-05-30 20:00:00", "2026-05-31 04:00:00", "2026-05-31 05:00:00"
    folder.mkdir()
    subscriptions = "subscription_id,customer_id,updated_on,status\nS1,C1,2026-05-01,active\n"
    (folder / "subscriptions_202605.csv").write_text(subscriptions, encoding="utf-8")
    csv = [f"{one},{shanghai},out,13812345678,{s}" for one, s in zip(ids, SECONDS, strict=True)]
    (folder / "calls_20260531.csv").write_text("\n".join([",".join(COLUMNS), *csv]), encoding="utf-8")
    bare = [
        f"{one}|{utc}|out|13812345678|{s}" for one, s in zip(ids, ("61,0", "1.234", "1.5", ""), strict=True)
    ]
    (folder / "calls_20260531.txt.gz").write_bytes(gzip.compress("\n".join(bare).encode("gbk"), mtime=0))
    fixed = [f"{one:4}{tokyo}out 13812345678 {s or '-1':>8}" for one, s in zip(ids, SECONDS, strict=True)]
    (folder / "calls_20260531.dat").write_text("\r\n".join(fixed) + "\r\n", encoding="utf-8")
    objects = [
        {
            "who": {"id": one},
            "at": "2026-05-30T20:00:00Z",
            "direction": "out",
            "to": 13812345678,
            "s": s or None,
        }
        for one, s in zip(ids, SECONDS, strict=True)
    ]
    (folder / "calls_20260531.jsonl").write_text(
        "".join(f"{json.dumps(one)}\n" for one in objects), encoding="utf-8"
    )
    moment = datetime(2026, 5, 30, 20, tzinfo=UTC)
    values = (ids, [moment] * 4, ["out"] * 4, ["13812345678"] * 4, [61.0, 1234.0, 1.5, None])
    pq.write_table(pa.table(dict(zip(COLUMNS, values, strict=True))), folder / "calls_20260531.parquet")


def test_every_format_gives_the_same_rows_and_reasons(tmp_path: Path) -> None:
    write_files(tmp_path / "extracts")
    (tmp_path / "formats.yaml").write_text(SOURCE, encoding="utf-8")
    configuration = configure(Project(ROOT), "local", str(tmp_path / "formats.yaml"))
    context = open_run(configuration, str(tmp_path / "warehouse"), str(tmp_path / "extracts"))
    added = ingest(context)
    parts = ["bare", "csv", "fixed", "jsonl", "parquet"]
    calls = {row["part"]: row for row in added if row["contract"] == "voice_usage"}
    assert sorted(calls) == parts
    raw = pl.read_delta(str(tmp_path / "warehouse" / "raw_voice_usage")).sort("subscription_id")
    bad = pl.read_delta(str(tmp_path / "warehouse" / "quarantine")).sort("file", "line")
    for part in parts:
        assert (calls[part]["rows_read"], calls[part]["rows_quarantined"]) == (4, 2), part
        mine = raw.filter(pl.col("part") == part)
        assert mine.select("subscription_id", "duration_s", "row_date").rows() == [
            ("S0", 61, date(2026, 5, 31)),
            ("S1", 1234, date(2026, 5, 31)),
        ], part
        assert (
            mine["started_at"].dt.convert_time_zone("UTC").dt.strftime("%F %T").to_list()
            == ["2026-05-30 20:00:00"] * 2
        ), part
        assert mine["counterpart"].n_unique() == 1
        reasons = bad.filter(pl.col("part") == part)["reasons"].to_list()
        assert reasons == [["type:duration_s"], ["missing:duration_s"]], part
    assert raw["counterpart"].n_unique() == 1
    header = 1 + 1
    lines = {part: bad.filter(pl.col("part") == part)["line"].to_list() for part in parts}
    assert lines == {part: [header + 2, header + 3] if part == "csv" else [3, 4] for part in parts}
