"""Files of every layout with every other record spoilt: each record is loaded or refused, and no good one lost."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.spark.little import Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

RECORDS = 1_500
SOURCE = """
source: spoilt
zh: 损坏文件
en: Spoilt files
defaults: {max_bad_share: 1}
extracts:
  - {contract: subscriptions, files: 'subscriptions_{period}.csv', fields: same}
  - {contract: data_usage, part: gbk, files: 'use_{period}.txt.gz', encoding: gbk, delimiter: '|', quote: "'",
     header: false, columns: [who, city, day, amount], decimal: ',', thousands: '.',
     fields: {subscription_id: 'concat(`city`, `who`)', used_on: "parse_date(`day`, 'yyyyMMdd')", mb: amount}}
  - {contract: data_usage, part: fixed, files: 'use_{period}.dat', format: fixed, encoding: gb18030,
     columns: [city, who, day, amount], widths: [8, 8, 10, 9], null_marks: ['-1'],
     fields: {subscription_id: 'concat(`city`, `who`)', used_on: day, mb: amount}}
  - {contract: data_usage, part: jsonl, files: 'use_{period}.jsonl', format: jsonl,
     fields: {subscription_id: "concat(`user.city`, `user.id`)", used_on: day, mb: amount}}
  - {contract: data_usage, part: parquet, files: 'use_{period}.parquet', format: parquet,
     fields: {subscription_id: "concat(`city`, `who`)", used_on: day, mb: amount}}
"""
Record = tuple[str, str, str, int]
"""City, number in it, day and megabytes."""


def drawn(draw: random.Random) -> list[Record]:
    cities = ["南京", "苏州", "無錫", "镇江"]
    return [
        (draw.choice(cities), f"{number:05}", f"2026-05-{draw.randint(1, 31):02}", draw.randint(0, 99_999))
        for number in range(RECORDS)
    ]


def as_delimited(record: Record) -> bytes:
    city, who, day, amount = record
    return f"{who}|'{city}'|{day.replace('-', '')}|{amount:,}".replace(",", ".").encode("gbk")


def as_fixed(record: Record) -> bytes:
    city, who, day, amount = record
    return city.encode("gb18030").ljust(8) + f"{who:8}{day:10}{amount:>9}".encode()


def as_object(record: Record) -> bytes:
    city, who, day, amount = record
    told = {"user": {"city": city, "id": who}, "day": day, "amount": amount, "note": "a,b|c'"}
    return json.dumps(told, ensure_ascii=False).encode()


def spoil(line: bytes, draw: random.Random) -> bytes:
    """A line with something wrong; now and then it can be read all the same."""
    at = draw.randrange(len(line))
    match draw.randrange(5):
        case 0:
            return (
                line[:at] + bytes([draw.choice([b for b in range(256) if b not in b"\r\n"])]) + line[at + 1 :]
            )
        case 1:
            return line[:at]
        case 2:
            return (
                line[:at] + draw.choice([b"'", b'"', b"|", b"{", b"\\", b"\0", b"\xe5", b"\x81"]) + line[at:]
            )
        case 3:
            return line[::-1]
        case _:
            return line.replace(b"2026", draw.choice([b"2062", b"1999", b"x", b""]))


def table_of(records: list[Record], spoilt: set[int], draw: random.Random) -> pa.Table:
    """All as text, so that any value may stand there; the spoilt rows have one that is none."""
    rows: list[list[str | None]] = [[*record[:3], str(record[3])] for record in records]
    for at in spoilt:
        rows[at][draw.randrange(2, 4)] = draw.choice(
            [None, "", "-5", "ten", "2026-02-30", "1e9", "\0", "9" * 40]
        )
    return pa.table(dict(zip(("city", "who", "day", "amount"), zip(*rows, strict=True), strict=True)))


LAYOUTS: dict[str, Callable[[Record], bytes]] = {"gbk": as_delimited, "fixed": as_fixed, "jsonl": as_object}


def test_every_record_is_loaded_or_refused_in_every_layout(tmp_path: Path) -> None:
    draw = random.Random(7)
    little = Little(tmp_path, SOURCE)
    records, spoilt = drawn(draw), {}
    for part in (*LAYOUTS, "parquet"):
        spoilt[part] = set(draw.sample(range(RECORDS), RECORDS // 2))
    for part, write in LAYOUTS.items():
        lines = [
            spoil(line, draw) if at in spoilt[part] else line for at, line in enumerate(map(write, records))
        ]
        content = b"".join(line + b"\n" for line in lines)
        name = {"gbk": "use_202605.txt.gz", "fixed": "use_202605.dat", "jsonl": "use_202605.jsonl"}[part]
        little.put(name, gzip.compress(content, mtime=0) if name.endswith("gz") else content)
    table = table_of(records, spoilt["parquet"], draw)
    pq.write_table(table, little.extracts / "use_202605.parquet", row_group_size=400)
    little.run()
    rows = {row["part"]: row for row in little.added if row["contract"] == "data_usage"}
    raw, refused = little.table("raw_data_usage"), little.table("quarantine")
    assert set(refused["contract"]) == {"data_usage"}
    for part, row in rows.items():
        assert row["rows_read"] == row["rows_in_file"] == RECORDS, part
        assert row["rows_read"] == row["rows_loaded"] + row["rows_quarantined"] + row["rows_duplicate"], part
        mine, bad = raw.filter(pl.col("part") == part), refused.filter(pl.col("part") == part)
        # Each record is in one of the two tables, once.
        lines = sorted([*mine["line"], *bad["line"]])
        assert lines == list(range(1, RECORDS + 1)), part
        assert {line - 1 for line in bad["line"]} <= spoilt[part], part
        assert RECORDS / 4 < bad.height == row["rows_quarantined"], part
        read = {
            line - 1: (name, day.isoformat(), mb)
            for line, name, day, mb in mine.select("line", "subscription_id", "used_on", "mb").rows()
        }
        for at, (city, who, day, amount) in enumerate(records):
            if at not in spoilt[part]:
                assert read[at] == (f"{city}{who}", day, amount), (part, at)
    reasons = {reason.partition(":")[0] for told in refused["reasons"] for reason in told}
    assert reasons >= {"malformed", "undecodable", "type", "missing", "range"}
