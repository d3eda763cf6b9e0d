"""The record reader: whatever the bytes, every physical line is accounted for, and no record hides another."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.kernel.errors import SourceError
from jobs.storage import records, splitter
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
        try:
            text = raw.decode(layout.encoding).rstrip("\r")
        except UnicodeDecodeError:
            text = raw.decode(layout.encoding, errors="backslashreplace").rstrip("\r")
            found.append((number, "undecodable", text, none))
            continue
        try:
            fields = next(csv.reader([text], delimiter=layout.delimiter, strict=True), [])
        except csv.Error:
            fields = []
        good = len(fields) == width and text != ""
        found.append((number, None, text, tuple(fields)) if good else (number, "malformed", text, none))
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
    b"\xff",
    b"\xe5",
    b"\xef\xbb\xbf",
]
TEXTS = ["南", "京", "丨", "誠", "é"]


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
        assert rows_of(path, layout) == naive(body, layout, width)


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
