"""Reads delivered files into records: physical line, original text and text columns.

Spark's CSV reader gives no line numbers and hides bad bytes, so files are read here. Bytes are decoded before
fields are split, since in GBK the second byte of a character may be a delimiter. A line feed is never part of
a character in the encodings we read, so files are cut at line feeds, into pieces that tasks share.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import IO, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.kernel.errors import Issue, Location, SourceError, did_you_mean
from jobs.storage.parquet_records import check_pages, group_columns, open_parquet, row_groups, text_columns
from jobs.storage.paths import file_system
from jobs.storage.splitter import Layout, Splitter, column_name, json_names

CHUNK = 4 << 20
PIECE = 32 << 20
# So much is held in memory of a line, whatever the file; records are far shorter.
LONGEST_LINE = 16 << 20
TASK = 16 << 20
PACKED = (".gz", ".zip")
# What Python says of archives that are cut short, damaged, or packed or locked in a way it does not know.
DAMAGED = (
    EOFError, LookupError, OSError, RuntimeError, ValueError, lzma.LZMAError, struct.error,
    zipfile.BadZipFile, zlib.error, pa.ArrowException,
)  # fmt: skip
BOM_GB18030 = "\ufeff".encode("gb18030")


@dataclass(frozen=True)
class Piece:
    """A part of a file that starts with a record.

    Attributes:
        start: First byte; of a Parquet file, which row group.
        line: Its physical line; of a Parquet file, the number of its first row.
        size: Bytes.
    """

    start: int
    line: int
    size: int


@dataclass(frozen=True)
class FileFacts:
    """What one look at a file tells.

    Attributes:
        sha256: Of its bytes, unpacked.
        header: Names of its columns: its first record, or what is known without it.
        records: Records, the header not counted.
        pieces: Parts that can be read apart, the first without the header.
        names: Names of the columns that it brings: the header, but of JSON Lines those in its first objects.
        stored: Its bytes as it lay there, packed or not, when it was looked at.
    """

    sha256: str
    header: tuple[str, ...]
    records: int
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    names: tuple[str, ...] = ()
    stored: int = 0


@dataclass(frozen=True)
class RecordFile:
    """A file to read: its number in the result, its path, and where its pieces are."""

    number: int
    path: str
    pieces: tuple[Piece, ...]


def open_stream(path: str, start: int = 0, member: str = "") -> IO[bytes]:
    """Opens a local path or a URI of any file system that Arrow knows; gzip and zip by their endings.

    Args:
        path: The file.
        start: Where to start, in unpacked bytes.
        member: Pattern of the name of the one file that is meant in a zip archive of several.

    Raises:
        SourceError: When it cannot be opened, or is an archive with none or several such files.
    """
    try:
        system, inside = file_system(path)
        stream = system.open_input_file(inside)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or "cannot be opened"
        raise SourceError(Issue("FILE_MISSING", reason, Location(path))) from None
    unpacked = cast("IO[bytes]", stream)
    if path.lower().endswith(".gz"):
        unpacked = cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    elif path.lower().endswith(".zip"):
        unpacked = _member(unpacked, path, member)
    unpacked.seek(start)
    return unpacked


def _member(stream: IO[bytes], path: str, pattern: str) -> IO[bytes]:
    """The one file in a zip archive that is meant.

    Raises:
        SourceError: When there are none or several, or it cannot be read.
    """
    try:
        archive = zipfile.ZipFile(stream)
        files = {_name(one): one for one in archive.infolist() if not one.is_dir()}
        meant = [one for name, one in files.items() if fnmatchcase(name, pattern or "*")]
        if len(meant) == 1:
            return archive.open(meant[0])
        if pattern:
            told = f"holds {len(meant)} files like '{pattern}'; expected one"
            message = told + did_you_mean(pattern, [name for name, one in files.items() if one not in meant])
        else:
            message = f"holds {len(meant)} files; expected one" + (
                ", or 'member' to say which" if meant else ""
            )
    except DAMAGED as error:
        message = f"cannot be unpacked: {error or type(error).__name__}"
    raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path)))


def _name(member: zipfile.ZipInfo) -> str:
    """The name of a file in an archive; Chinese Windows writes it in GBK and does not say so."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return member.filename


def look_at(path: str, layout: Layout) -> FileFacts:
    """Hashes a file, reads its header, counts its records and finds where it can be cut.

    Raises:
        SourceError: When it is missing, has no header where it should have one, cannot be decoded, or has
            a line longer than any record.
    """
    if layout.format == "parquet":
        return _look_at_parquet(path)
    digest = hashlib.sha256()
    newlines, size, line_start = 0, 0, 0
    # The end of the last line that holds something, and its number: blank lines behind it are no records.
    end_of_text, last_line = 0, 0
    first = b""
    cuts: list[tuple[int, int]] = []
    with open_stream(path, member=layout.member) as stream:
        # A little first, as those who read its pieces begin: some damage to an archive shows only then.
        size_of_chunk = 1
        while chunk := _read(stream, path, size_of_chunk):
            size_of_chunk = CHUNK
            digest.update(chunk)
            if b"\n" not in first:
                first += chunk
            if told := chunk.rstrip(b"\r\n"):
                end_of_text, last_line = size + len(told), newlines + told.count(b"\n") + 1
            newlines += chunk.count(b"\n")
            end = chunk.rfind(b"\n")
            if end >= 0 and size + end - (cuts[-1][0] if cuts else 0) >= PIECE:
                cuts.append((size + end + 1, newlines + 1))
            line_start = size + end + 1 if end >= 0 else line_start
            size += len(chunk)
            if size - line_start > LONGEST_LINE:
                message = f"has no end within {LONGEST_LINE >> 20} MiB; are lines ended by line feeds?"
                raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path, newlines + 1, 1)))
    header, body = _start(first, path, layout)
    line = 1 if layout.columns is not None else 2
    if layout.multiline or path.lower().endswith(PACKED):
        cuts = []
    starts = [(body, line), *(cut for cut in cuts if body < cut[0] < end_of_text), (end_of_text, 0)]
    pieces = tuple(
        Piece(start, line, end - start) for (start, line), (end, _) in pairwise(starts) if end > start
    )
    if layout.multiline:
        whole = RecordFile(0, path, pieces)
        records = sum(batch.num_rows for batch in read_pieces(whole, pieces, layout, len(header), ()))
    else:
        records = last_line - (line - 1) if end_of_text > body else 0
    names = json_names(first, layout.encoding) if layout.format == "jsonl" else header
    return FileFacts(digest.hexdigest(), header, records, pieces, names)


def first_bytes(path: str, size: int) -> bytes:
    """The first bytes of a file, unpacked.

    Raises:
        SourceError: When it cannot be opened or unpacked.
    """
    found = b""
    with open_stream(path) as stream:
        while len(found) < size and (chunk := _read(stream, path, CHUNK)):
            found += chunk
    return found[:size]


def _start(first: bytes, path: str, layout: Layout) -> tuple[tuple[str, ...], int]:
    """The names of a file's columns, and the byte at which its first record starts."""
    if layout.columns is not None:
        return layout.columns, len(first) - len(without_mark(first))
    if not first:
        raise SourceError(Issue("FILE_BAD_HEADER", "is empty; expected a header", Location(path, 1, 1)))
    head, found, _ = first.partition(b"\n")
    return _header(head, path, layout), len(head) + len(found)


def without_mark(data: bytes) -> bytes:
    """The bytes without the mark of UTF-8 or GB18030 that some programs begin a file with."""
    for mark in (codecs.BOM_UTF8, BOM_GB18030):
        data = data.removeprefix(mark)
    return data


def _look_at_parquet(path: str) -> FileFacts:
    digest = hashlib.sha256()
    with open_stream(path) as stream:
        while chunk := _read(stream, path, CHUNK):
            digest.update(chunk)
    file = open_parquet(path)
    check_pages(file, path)
    pieces, line = [], 1
    for index, rows, size in row_groups(file):
        pieces.append(Piece(index, line, size))
        line += rows
    header = text_columns(file)
    return FileFacts(digest.hexdigest(), header, line - 1, tuple(pieces), header)


def _read(stream: IO[bytes], path: str, size: int) -> bytes:
    """The next bytes of a file.

    Raises:
        SourceError: When a compressed file is cut short or none.
    """
    try:
        return stream.read(size)
    except DAMAGED as error:
        what = "unpacked" if path.lower().endswith(PACKED) else "read"
        message = f"cannot be {what}: {error or type(error).__name__}"
        raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path))) from None


def _header(line: bytes, path: str, layout: Layout) -> tuple[str, ...]:
    try:
        text = without_mark(line).rstrip(b"\r").decode(layout.encoding)
    except UnicodeDecodeError as error:
        message = f"byte 0x{line[error.start]:02x} is not {layout.encoding}"
        raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path, 1, error.start + 1))) from None
    try:
        return tuple(next(csv.reader([text], delimiter=layout.delimiter, quotechar=layout.quote), ()))
    except csv.Error as error:
        message = f"the header cannot be split ({error}); are lines ended by line feeds?"
        raise SourceError(Issue("FILE_BAD_HEADER", message, Location(path, 1, 1))) from None


def read_records(
    spark: SparkSession, files: Sequence[RecordFile], layout: Layout, width: int, columns: Sequence[int]
) -> DataFrame:
    """All records of files that share layout and columns, without their headers.

    Args:
        spark: The session.
        files: The files; their pieces are shared out to tasks of similar size.
        layout: Of all of them.
        width: Columns of their header; records with another number of fields are malformed.
        columns: Which columns are wanted, counted from zero, rising.

    Returns:
        file (its number), line (physical, where the record starts), fault (null, undecodable or malformed),
        raw (the record's text; bytes that cannot be decoded as escapes), and c0, c1 ... of the columns.
    """
    tasks = _tasks(files)
    schema = ", ".join(
        ["file INT, line BIGINT, fault STRING, raw STRING", *(f"{column_name(i)} STRING" for i in columns)]
    )

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                for file, piece in tasks[number]:
                    yield from read_pieces(file, (piece,), layout, width, columns)

    return spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(read, schema)


def _tasks(files: Sequence[RecordFile]) -> list[list[tuple[RecordFile, Piece]]]:
    """Pieces in runs of TASK bytes or one piece: the cost of a task is not spent on a small file alone."""
    tasks: list[list[tuple[RecordFile, Piece]]] = [[]]
    size = 0
    for file in files:
        for piece in file.pieces:
            if tasks[-1] and size + piece.size > TASK:
                tasks.append([])
                size = 0
            tasks[-1].append((RecordFile(file.number, file.path, ()), piece))
            size += piece.size
    return tasks


def read_pieces(
    file: RecordFile, pieces: Sequence[Piece], layout: Layout, width: int, columns: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """The records of some pieces of a file, in batches."""
    for piece in pieces:
        splitter = Splitter(file.number, layout, width, columns)
        if layout.format == "parquet":
            line = piece.line
            for raws, texts in group_columns(file.path, piece.start):
                yield splitter.batch(line, raws, texts)
                line += len(raws)
            continue
        yield from splitter.batches(_blocks(file.path, piece, layout.member), piece.line)


def _blocks(path: str, piece: Piece, member: str) -> Iterator[bytes]:
    """The bytes of a piece, cut after line feeds; the last one need not end with one."""
    left, rest = piece.size, b""
    with open_stream(path, piece.start, member) as stream:
        while left and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            if cut:
                yield data[:cut]
            rest = data[cut:]
    if rest:
        yield rest
