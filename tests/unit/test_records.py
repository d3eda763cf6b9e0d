"""The record reader: whatever the bytes, every physical line is accounted for, and no record hides another."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.kernel.errors import SourceError
from jobs.storage import parquet_records, records, splitter
from jobs.storage.records import RecordFile, look_at, read_pieces
from jobs.storage.splitter import Layout

Row = tuple[int, str | None, str, tuple[str | None, ...]]
COMMA = Layout("utf-8", ",", '"', multiline=False)
SPANNING = Layout("utf-8", ",", '"', multiline=True)


def rows_of(path: Path, layout: Layout, columns: tuple[int, ...] | None = None) -> list[Row]:
    """line, fault, raw and fields of every record, in the order of lines."""
    facts = look_at(str(path), layout)
    width = len(facts.header)
    wanted = tuple(range(width)) if columns is None else columns
    file = RecordFile(7, str(path), facts.pieces)
    found: list[Row] = []
    for batch in read_pieces(file, facts.pieces, layout, width, wanted):
        for row in batch.to_pylist():
            assert row["file"] == 7
            found.append((row["line"], row["fault"], row["raw"], tuple(row[f"c{i}"] for i in wanted)))
    assert len(found) == facts.records
    return sorted(found)


def naive(body: bytes, layout: Layout, width: int) -> list[Row]:
    """The records of a file without quoted line ends, a line at a time."""
    lines = body.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    found: list[Row] = []
    for number, raw in enumerate(lines, start=2):
        none = (None,) * width
        # Before decoding: a decoder takes what follows a broken byte along with it.
        raw = raw.rstrip(b"\r")
        try:
            text = raw.decode(layout.encoding)
        except UnicodeDecodeError:
            text = raw.decode(layout.encoding, errors="backslashreplace")
            found.append((number, "undecodable", text, none))
            continue
        try:
            fields = next(csv.reader([text], delimiter=layout.delimiter, strict=True), [])
        except csv.Error:
            fields = []
        good = len(fields) == width and text != "" and not any(mark in text for mark in "\x00\x1c\x7f")
        told = tuple(field.strip() for field in fields)
        found.append((number, None, text, told) if good else (number, "malformed", text, none))
    return found


# Characters whose second byte in GBK is a delimiter (丨 is a8 7c) or a backslash, and what makes trouble elsewhere.
PIECES = [
    b"a",
    b"1",
    b"-",
    b"|",
    b",",
    b'"',
    b"\\",
    b"\r",
    b"\r\n",
    b"\n",
    b" ",
    b"\x00",
    b"\x1c",
    b"\x7f",
    b"\xff",
    b"\xe5",
    b"\xef\xbb\xbf",
]
TEXTS = ["南", "京", "丨", "誠", "é", "\u3000", "\t"]


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    encoding=st.sampled_from(["utf-8", "gbk", "gb18030"]),
    delimiter=st.sampled_from([",", "|"]),
    width=st.integers(1, 4),
    chunk=st.integers(1, 60),
)
def test_any_bytes_give_the_records_of_a_naive_reader(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    encoding: str,
    delimiter: str,
    width: int,
    chunk: int,
) -> None:
    clean = st.sampled_from([delimiter.join(f"v{i}" for i in range(width)).encode() + b"\n"])
    known = [text.encode(encoding, errors="ignore") for text in TEXTS]
    body = b"".join(data.draw(st.lists(st.one_of(clean, st.sampled_from([*PIECES, *known])), max_size=60)))
    header = delimiter.join(f"h{i}" for i in range(width)).encode() + b"\n"
    path = tmp_path_factory.mktemp("records") / "file.csv"
    path.write_bytes(header + body)
    layout = Layout(encoding, delimiter, '"', multiline=False)
    with pytest.MonkeyPatch.context() as patch:
        # Small chunks and pieces cut the file in every possible place.
        patch.setattr(records, "CHUNK", chunk)
        patch.setattr(records, "PIECE", 2 * chunk)
        # Blank lines at the end are no records.
        assert rows_of(path, layout) == naive(body.rstrip(b"\r\n"), layout, width)


def test_lines_are_physical_and_columns_are_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffid,name,city\r\n1,甲,南京\r\n2,乙\r\n\r\n3,"丙,丁",苏州'.encode())
    assert look_at(str(path), COMMA).header == ("id", "name", "city")
    assert rows_of(path, COMMA, columns=(0, 2)) == [
        (2, None, "1,甲,南京", ("1", "南京")),
        (3, "malformed", "2,乙", (None, None)),
        (4, "malformed", "", (None, None)),
        (5, None, '3,"丙,丁",苏州', ("3", "苏州")),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_byte_order_mark_is_no_part_of_a_name_or_value(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeff用户,月\nS1,五\n".encode(encoding))
    layout = Layout(encoding, ",", '"', multiline=False)
    assert look_at(str(path), layout).header == ("用户", "月")
    assert rows_of(path, layout) == [(2, None, "S1,五", ("S1", "五"))]
    bare = replace(layout, columns=("id", "month"))
    assert [row[3] for row in rows_of(path, bare)] == [("用户", "月"), ("S1", "五")]


def test_records_may_span_lines_where_the_source_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,"first\nsecond, ""third"""\n2,plain\n3,"a\r\nb"\r\n')
    assert rows_of(path, SPANNING) == [
        (2, None, '1,"first\nsecond, ""third"""', ("1", 'first\nsecond, "third"')),
        (4, None, "2,plain", ("2", "plain")),
        (5, None, '3,"a\r\nb"', ("3", "a\r\nb")),
    ]


def test_a_stray_quote_hides_no_other_record(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    good = [f'{i},"line\nbreak {i}"\n' for i in range(10, 30)]
    path.write_bytes(
        ('id,text\n1,"never closed\n2,plain\n' + "".join(good) + '3,"open to the end\n4,last\n').encode()
    )
    found = rows_of(path, SPANNING)
    assert [row[3][0] for row in found if row[1] is None] == ["2", *(str(i) for i in range(10, 30)), "4"]
    assert [(row[0], row[2]) for row in found if row[1] is not None] == [
        (2, '1,"never closed'),
        (44, '3,"open to the end'),
    ]


def test_a_record_has_a_greatest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitter, "MAX_RECORD", 100)
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,"open\n' + b"2,plain text of a line\n" * 50 + b'3,"closed"\n')
    found = rows_of(path, SPANNING)
    assert [row[1] for row in found] == ["malformed"] + [None] * 51


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"), [("a.csv.gz", gzip.compress), ("a.zip", lambda content: zipped(inside=content))]
)
def test_what_is_packed_is_read_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(records, "CHUNK", 16)
    monkeypatch.setattr(records, "PIECE", 16)
    content = b"id,text\n" + b"".join(b"%d,x\n" % i for i in range(100))
    path = tmp_path / name
    path.write_bytes(pack(content))
    assert look_at(str(path), COMMA).sha256 == hashlib.sha256(content).hexdigest()
    assert len(look_at(str(path), COMMA).pieces) == 1
    assert [row[3] for row in rows_of(path, COMMA)] == [(str(i), "x") for i in range(100)]


def test_of_an_archive_of_several_files_one_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(
        zipped(
            **{"cdr_1.csv": b"id,text\n1,x\n", "cdr_2.csv": b"id,text\n2,y\n", "bill.csv": b"id,sum\n3,z\n"}
        )
    )
    for member, row in (("cdr_2*", ("2", "y")), ("bill.csv", ("3", "z"))):
        assert [found[3] for found in rows_of(path, replace(COMMA, member=member))] == [row]
    for member, message in {
        "": "holds 3 files; expected one, or 'member' to say which",
        "cdr_*": "holds 2 files like 'cdr_*'; expected one",
        "bil.csv": "holds 0 files like 'bil.csv'; expected one (did you mean 'bill.csv'?)",
    }.items():
        with pytest.raises(SourceError) as caught:
            look_at(str(path), replace(COMMA, member=member))
        assert [issue.message for issue in caught.value.issues] == [message]


def test_a_long_record_is_malformed_with_and_without_quotes_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitter, "MAX_RECORD", 50)
    long = "1," + "x" * 60 + "\n"
    for beside in ("2,plain\n", '2,"quoted"\n'):
        path = tmp_path / "a.csv"
        path.write_text("id,text\n" + long + beside, encoding="utf-8")
        assert [row[1] for row in rows_of(path, COMMA)] == ["malformed", None]


ROWS = b"id,text\n" + b"".join(b"%d,x\n" % i for i in range(999))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.csv.gz", b"no gzip at all", id="not gzip"),
        pytest.param("a.csv.gz", gzip.compress(ROWS, mtime=0)[:40], id="gzip cut short"),
        pytest.param("a.zip", b"no zip at all", id="not zip"),
        pytest.param("a.zip", zipped(inside=ROWS)[:-9], id="zip cut short"),
        pytest.param("a.zip", zipped(inside=ROWS).replace(b"\0inside", b"\1inside"), id="zip spoilt"),
        pytest.param("a.zip", zipped(one=ROWS, other=ROWS), id="two files"),
        pytest.param("a.zip", zipped(), id="no file"),
    ],
)
def test_what_cannot_be_unpacked_is_an_error_of_the_file(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        look_at(str(path), COMMA)
    assert caught.value.codes == ["FILE_UNDECODABLE"]


def test_names_in_an_archive_may_be_in_gbk(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    packed = zipped(**{"????.csv": b"id,text\n1,x\n", "other.csv": b"id,text\n2,y\n"})
    path.write_bytes(packed.replace(b"????.csv", "话单.csv".encode("gbk")))
    assert [found[3] for found in rows_of(path, replace(COMMA, member="话单*"))] == [("1", "x")]
    with pytest.raises(SourceError) as caught:
        look_at(str(path), replace(COMMA, member="账单.csv"))
    assert "did you mean '话单.csv'?" in caught.value.issues[0].message


def parquet_bytes() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [str(i) for i in range(99)], "text": ["x"] * 99}), file)
    return file.getvalue()


PACKED_FILES = {
    "a.csv.gz": gzip.compress(ROWS, mtime=0),
    "a.zip": zipped(inside=ROWS),
    "a.parquet": parquet_bytes(),
}


@settings(max_examples=600, deadline=None)
@given(name=st.sampled_from(sorted(PACKED_FILES)), data=st.data())
def test_damage_is_an_error_of_the_file_or_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Whichever byte is changed, and wherever the file is cut short."""
    content = bytearray(PACKED_FILES[name])
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    else:
        del content[data.draw(st.integers(1, len(content) - 1)) :]
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    layout = text("parquet") if name.endswith("parquet") else COMMA
    try:
        facts = look_at(str(path), layout)
    except SourceError as error:
        assert set(error.codes) <= {"FILE_UNDECODABLE", "FILE_BAD_HEADER"}
    else:
        assert facts.records == len(rows_of(path, layout))


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "FILE_BAD_HEADER"), (b"a,\xff\n1,2\n", "FILE_UNDECODABLE"), (b"a,b\r1,2\r", "FILE_BAD_HEADER")],
)
def test_a_file_without_a_readable_header_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        look_at(str(path), COMMA)
    assert caught.value.codes == [code]


def test_blank_lines_behind_the_last_record_are_in_no_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "CHUNK", 16)
    monkeypatch.setattr(records, "PIECE", 16)
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n" + b"1,x\n" * 20 + b"\r\n\n" * 40)
    facts = look_at(str(path), COMMA)
    assert facts.records == 20 and sum(piece.size for piece in facts.pieces) == 20 * 4 - 1
    assert [row[3] for row in rows_of(path, COMMA)] == [("1", "x")] * 20


def test_an_archive_that_is_longer_by_its_own_list_is_damaged(tmp_path: Path) -> None:
    """Which a reader that takes all of it at once does not find."""
    packed = bytearray(zipped(inside=b"id,text\n" + b"1,x\n" * 9_999))
    place = packed.index(b"PK\x01\x02") + 20
    packed[place : place + 4] = (9_999).to_bytes(4, "little")
    path = tmp_path / "a.zip"
    path.write_bytes(packed)
    with pytest.raises(SourceError) as caught:
        look_at(str(path), COMMA)
    assert caught.value.codes == ["FILE_UNDECODABLE"]


def test_a_parquet_file_holds_as_many_rows_as_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_bytes())
    monkeypatch.setattr(parquet_records, "row_groups", lambda file: iter([(0, 100, 1)]))
    with pytest.raises(SourceError) as caught:
        look_at(str(path), text("parquet"))
    assert caught.value.issues[0].message == "has 99 rows where it tells 100"


def test_columns_of_parquet_that_nothing_uses_may_be_anything(tmp_path: Path) -> None:
    """Twice of one name, or of a type that has no text."""
    path = tmp_path / "a.parquet"
    columns = {
        "id": pa.array(["1"]),
        "twice": pa.array(["x"]),
        "odd": pa.array([0]).cast(pa.timestamp("us", "Mars/X")),
        "bytes": pa.array([b"\xff"], pa.binary_view()),
        "span": pa.array([1], pa.duration("s")),
        "other": pa.array(["y"]),
    }
    table = pa.table(columns).rename_columns(["id", "x", "odd", "bytes", "span", "x"])
    pq.write_table(table, path)
    facts = look_at(str(path), text("parquet"))
    assert [facts.header.count(name) for name in ("id", "x", "odd", "bytes")] == [1, 2, 0, 0]
    place = facts.header.index("id")
    assert [row[3] for row in rows_of(path, text("parquet"), (place,))] == [("1",)]


@pytest.mark.parametrize("content", [b"a,b", b"a,b\n", b"a,b\r\n", b"a,b\n\n", b"a,b\r\n\r\n\n"])
def test_a_header_alone_is_no_record(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert rows_of(path, COMMA) == [] and look_at(str(path), COMMA).records == 0


def test_the_first_bytes_are_unpacked_or_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" * 1_000)
    (tmp_path / "good.gz").write_bytes(packed)
    assert records.first_bytes(str(tmp_path / "good.gz"), 6) == b"a,b\na,"
    for name, content in (("short.gz", packed[:-9]), ("false.gz", b"a,b\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError) as caught:
            records.first_bytes(str(tmp_path / name), 9_000)
        assert caught.value.codes == ["FILE_UNDECODABLE"]


def text(format: str = "csv", columns: tuple[str, ...] | None = None, **settings: object) -> Layout:
    given = {"encoding": "utf-8", "widths": (), **settings}
    return Layout(str(given["encoding"]), ",", '"', False, format, columns, tuple(given["widths"]))  # type: ignore[arg-type]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_without_header_starts_with_its_first_record(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(mark + '1,甲\n2,"乙,丙"\n3\n'.encode())
    layout = text(columns=("id", "name"))
    assert look_at(str(path), layout).header == ("id", "name")
    assert rows_of(path, layout) == [
        (1, None, "1,甲", ("1", "甲")),
        (2, None, '2,"乙,丙"', ("2", "乙,丙")),
        (3, "malformed", "3", (None, None)),
    ]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_a_file_without_header_may_be_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert rows_of(path, text(columns=("id",))) == []


@pytest.mark.parametrize("name", ["a.CSV.GZ", "a.csv.Zip"])
def test_packed_files_may_be_named_in_capitals(tmp_path: Path, name: str) -> None:
    path, content = tmp_path / name, "id,n\n\u3000S1\u00a0,\t1\n".encode()
    if name.endswith("GZ"):
        path.write_bytes(gzip.compress(content))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", content)
    # Blanks around a value, of any width, are no part of it.
    assert rows_of(path, text()) == [(2, None, "\u3000S1\u00a0,\t1", ("S1", "1"))]


def test_widths_count_bytes_of_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    lines = ["1  南京 7", "22 北京 ", "333苏州 8", "4  a南京7"]
    path.write_bytes("\r\n".join(lines).encode("gbk") + b"\n5  \xff\xff  9\n6  nowhere7\n")
    layout = text("fixed", ("id", "city", "n"), encoding="gbk", widths=(3, 4, 2))
    assert rows_of(path, layout) == [
        (1, None, "1  南京 7", ("1", "南京", "7")),
        (2, "malformed", "22 北京 ", (None, None, None)),
        (3, None, "333苏州 8", ("333", "苏州", "8")),
        # The second width ends inside a character.
        (4, "malformed", "4  a南京7", (None, None, None)),
        (5, "undecodable", "5  \\xff\\xff  9", (None, None, None)),
        (6, "malformed", "6  nowhere7", (None, None, None)),
    ]


def test_values_of_json_are_found_by_name_or_path(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = [
        '{"id": "S1", "total": 1.50, "on": true, "who": {"city": "南京", "tags": [1]}}',
        '{"total": 12345678901234567890.10, "id": null, "a.b": "x"}',
    ]
    bad = ['{"id": 4, "id": 5}', "[1]", "{", "", '{"id": "\\ud800"}', "[" * 5_000]
    path.write_text("\n".join([*good, *bad]) + "\n", encoding="utf-8")
    layout = text("jsonl", ("id", "total", "on", "who.city", "who.tags", "a.b"))
    nothing = (None,) * 6
    assert rows_of(path, layout) == [
        (1, None, good[0], ("S1", "1.50", "true", "南京", '["1"]', None)),
        (2, None, good[1], (None, "12345678901234567890.10", None, None, None, "x")),
        *((number, "malformed", line, nothing) for number, line in enumerate(bad, start=3)),
    ]


def test_names_of_json_are_those_of_its_first_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        '{"id": "S1", "who": {"city": 1}}',
        "[1]",
        "{",
        '{"on": 1, "id": 2, "\\ud800": 1}',
        '{"late": 1}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    layout = text("jsonl", ("id", "total"))
    assert look_at(str(path), layout).names == ("id", "late", "on", "who")
    assert look_at(str(path), layout).header == ("id", "total")
    monkeypatch.setattr(splitter, "JSON_SAMPLE", 4)
    assert look_at(str(path), layout).names == ("id", "on", "who")
    other = tmp_path / "a.csv"
    other.write_text("b,a\n1,2\n", encoding="utf-8")
    assert look_at(str(other), text("csv", None)).names == ("b", "a")


def test_parquet_gives_texts_and_a_record_of_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_records, "ROWS", 2)
    path = tmp_path / "a.parquet"
    moment = datetime(2026, 5, 31, 8, 30)
    table = pa.table(
        {
            "id": ['a "b", c', None, "é", "d"],
            "total": pa.array(
                [Decimal("1.50"), Decimal("-2.25"), None, Decimal("0.00")], pa.decimal128(10, 2)
            ),
            "at": pa.array([moment] * 4, pa.timestamp("us", "UTC")),
            "city": pa.array([{"name": "南京"}] * 4),
            "list": [[1]] * 4,
        }
    )
    pq.write_table(table, path, row_group_size=3)
    facts = look_at(str(path), text("parquet"))
    assert facts.header == ("id", "total", "at", "city.name")
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    at = "2026-05-31 08:30:00.000000Z"
    assert rows_of(path, text("parquet"), columns=(0, 1, 2, 3)) == [
        (1, None, f'"a ""b"", c","1.50","{at}","南京"', ('a "b", c', "1.50", at, "南京")),
        (2, None, f',"-2.25","{at}","南京"', (None, "-2.25", at, "南京")),
        (3, None, f'"é",,"{at}","南京"', ("é", None, at, "南京")),
        (4, None, f'"d","0.00","{at}","南京"', ("d", "0.00", at, "南京")),
    ]
    assert [row[3] for row in rows_of(path, text("parquet"), columns=(1,))] == [
        ("1.50",),
        ("-2.25",),
        (None,),
        ("0.00",),
    ]


def test_what_is_no_parquet_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"id,text\n")
    with pytest.raises(SourceError) as caught:
        look_at(str(path), text("parquet"))
    assert caught.value.codes == ["FILE_UNDECODABLE"]


def test_a_file_whose_lines_do_not_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever holds it: so much of a line is kept in memory and no more."""
    monkeypatch.setattr(records, "CHUNK", 64)
    monkeypatch.setattr(records, "LONGEST_LINE", 1 << 10)
    (tmp_path / "fits.csv").write_bytes(b"id,text\n1," + b"x" * 1000 + b"\n2,y\n")
    assert len(rows_of(tmp_path / "fits.csv", COMMA)) == 2
    for name, content in {"one.csv": b"id," * 999, "last.csv": b"id\n1\n2\n" + b"3" * 9999}.items():
        path = tmp_path / name
        for packed in (path, path.with_name(f"{name}.gz")):
            packed.write_bytes(content if packed == path else gzip.compress(content))
            with pytest.raises(SourceError) as caught:
                look_at(str(packed), COMMA)
            line = content.count(b"\n") + 1
            assert str(caught.value) == (
                f"{packed}:{line}:1 FILE_UNDECODABLE has no end within 0 MiB; are lines ended by line feeds?"
            )


ROWS = 6_000


def long_file(folder: Path, kind: str, times: int) -> tuple[Path, Layout]:
    """A file of so many times ROWS records."""
    path = folder / f"{times}.csv{'.gz' if kind == 'packed' else ''}"
    if kind == "parquet":
        numbers = [str(number) for number in range(ROWS * times)]
        pq.write_table(pa.table({"id": numbers, "text": numbers}), path, row_group_size=ROWS)
        return path, text("parquet")
    said = "a text with no comma" if kind in ("plain", "packed") else '"a text, with one"'
    content = b"id,text\n" + b"".join(f"{number},{said}\n".encode() for number in range(ROWS * times))
    path.write_bytes(gzip.compress(content, 1) if kind == "packed" else content)
    return path, SPANNING if kind == "spanning" else COMMA


@pytest.mark.parametrize("kind", ["plain", "quoted", "spanning", "packed", "parquet"])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of a file three times as long no more is held at a time, of Arrow's memory or of Python's."""
    monkeypatch.setattr(records, "CHUNK", 1 << 15)

    def peak(times: int) -> tuple[int, int]:
        path, layout = long_file(tmp_path, kind, times)
        usual, watched = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
        pa.set_memory_pool(watched)
        tracemalloc.start()
        try:
            facts = look_at(str(path), layout)
            file = RecordFile(0, str(path), facts.pieces)
            found = read_pieces(file, facts.pieces, layout, len(facts.header), (0, 1))
            assert sum(batch.num_rows for batch in found) == facts.records == ROWS * times
            return watched.max_memory(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(usual)

    peak(1)
    (arrow, python), (arrow_long, python_long) = peak(4), peak(12)
    assert arrow_long < 1.3 * arrow and python_long < 1.3 * python


BEIJING = Path(__file__).parents[3] / "shared/data/beijing-mobile-2022"


@pytest.mark.skipif(not BEIJING.is_dir(), reason="the Beijing files are not here")
def test_the_beijing_files_in_gbk_hold_the_same_records(tmp_path: Path) -> None:
    """Whatever the encoding, as many records as DuckDB counts, with the same texts on the same lines."""
    for path in sorted(BEIJING.glob("attachment[12]_*.csv")):
        text = path.read_bytes().decode("utf-8-sig")
        again = tmp_path / path.name
        again.write_bytes(text.encode("gb18030"))
        own = rows_of(path, SPANNING)
        other = rows_of(again, Layout("gb18030", ",", '"', multiline=True))
        assert other == own
        counted = duckdb.execute(
            f"select count(*) from read_csv('{path}', all_varchar = true, quote = '\"', escape = '\"')"
        ).fetchone()
        assert counted == (len(own),) and len(own) > 4_000
        assert {row[1] for row in own} == {None}
