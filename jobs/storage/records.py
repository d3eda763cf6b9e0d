"""Reads delivered files into records: physical line and decoded text, before anything is split.

Spark's CSV reader gives no line numbers and hides bad bytes, so files are read here: one task a file,
in chunks, decoded before splitting. A record that cannot be decoded keeps its bytes as escapes and says so.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession

from jobs.kernel.errors import Issue, Location, SourceError

CHUNK = 4 << 20
MAX_RECORD = 1 << 20
SCHEMA = "delivery_id STRING, line BIGINT, raw STRING, undecodable BOOLEAN"
_ARROW = pa.schema(
    [("delivery_id", pa.string()), ("line", pa.int64()), ("raw", pa.string()), ("undecodable", pa.bool_())]
)


@dataclass(frozen=True)
class RecordFile:
    """A file to read.

    Attributes:
        delivery_id: Put on every record.
        path: Path or URI.
        encoding: Of the text.
        multiline: Records may span lines inside quotes.
        quote: The quote character.
        delimiter: The delimiter, needed to find the end of multiline records.
    """

    delivery_id: str
    path: str
    encoding: str
    multiline: bool
    quote: str
    delimiter: str


@dataclass(frozen=True)
class FileFacts:
    """What one look at a file tells.

    Attributes:
        sha256: Of its bytes as delivered.
        header: Its first record, decoded and split.
        records: Records after the header.
    """

    sha256: str
    header: tuple[str, ...]
    records: int


def open_stream(path: str) -> IO[bytes]:
    """Opens a local path or a URI of any file system that Arrow knows; gzip by its ending.

    Raises:
        SourceError: When it cannot be opened.
    """
    try:
        system, inside = fs.FileSystem.from_uri(path) if "://" in path else (fs.LocalFileSystem(), path)
        stream = system.open_input_stream(inside, compression=None)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or "cannot be opened"
        raise SourceError(Issue("FILE_MISSING", reason, Location(path))) from None
    return gzip.open(stream) if path.endswith(".gz") else stream  # type: ignore[return-value]


def look_at(path: str, encoding: str, delimiter: str, quote: str, multiline: bool) -> FileFacts:
    """Hashes a file, reads its header and counts its records, in one pass over its bytes.

    Raises:
        SourceError: When it is missing, empty, or its header cannot be decoded.
    """
    digest = hashlib.sha256()
    newlines, size, last = 0, 0, b""
    first = b""
    with open_stream(path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            if b"\n" not in first:
                first += chunk
            newlines += chunk.count(b"\n")
            size += len(chunk)
            last = chunk[-1:]
    if size == 0:
        raise SourceError(Issue("FILE_BAD_HEADER", "is empty; expected a header", Location(path, 1, 1)))
    header = _header(first.split(b"\n", 1)[0], path, encoding, delimiter, quote)
    if multiline:
        records = sum(1 for _ in _multiline_records(path, encoding, delimiter, quote)) - 1
    else:
        records = newlines + (last != b"\n") - 1
    return FileFacts(digest.hexdigest(), header, records)


def _header(line: bytes, path: str, encoding: str, delimiter: str, quote: str) -> tuple[str, ...]:
    try:
        text = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r").decode(encoding)
    except UnicodeDecodeError as error:
        message = f"byte 0x{line[error.start]:02x} is not {encoding}"
        raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path, 1, error.start + 1))) from None
    return tuple(next(csv.reader([text], delimiter=delimiter, quotechar=quote)))


def read_records(spark: SparkSession, files: list[RecordFile]) -> DataFrame:
    """All records of some files, without their headers.

    Args:
        spark: The session.
        files: The files; one task each.

    Returns:
        delivery_id, line (physical, where the record starts), raw (decoded text), undecodable.
    """
    tasks = spark.createDataFrame(
        [(f.delivery_id, f.path, f.encoding, f.multiline, f.quote, f.delimiter) for f in files],
        "delivery_id STRING, path STRING, encoding STRING, multiline BOOLEAN, quote STRING, delimiter STRING",
    ).repartition(len(files), "path")
    return tasks.mapInArrow(_read_batches, SCHEMA)


def _read_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for row in batch.to_pylist():
            file = RecordFile(**row)
            yield from _multiline_batches(file) if file.multiline else _line_batches(file)


def _line_batches(file: RecordFile) -> Iterator[pa.RecordBatch]:
    """Splits chunks at line ends; a line end is never part of a character in the encodings we read."""
    line, rest, at_start = 1, b"", True
    with open_stream(file.path) as stream:
        while True:
            chunk = stream.read(CHUNK)
            data = rest + chunk
            if not data:
                return
            cut = data.rfind(b"\n") if chunk else len(data)
            if cut < 0:
                rest = data
                continue
            block, rest = data[:cut], data[cut + 1 :]
            if at_start:
                # The header; a byte-order mark belongs to it.
                _, found, block = block.partition(b"\n")
                at_start, line = False, 2
                if not found:
                    continue
            batch = _batch_of_lines(file, block, line)
            line += batch.num_rows
            yield batch


def _batch_of_lines(file: RecordFile, block: bytes, line: int) -> pa.RecordBatch:
    try:
        text = block.decode(file.encoding)
        lines = pc.split_pattern(pa.array([text]), "\n").flatten()
        bad = pa.array([False] * len(lines))
    except UnicodeDecodeError:
        texts, flags = [], []
        for raw in block.split(b"\n"):
            decoded, undecodable = _decoded(raw, file.encoding)
            texts.append(decoded)
            flags.append(undecodable)
        lines, bad = pa.array(texts, pa.string()), pa.array(flags)
    lines = pc.utf8_rtrim(lines, "\r")
    count = len(lines)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([file.delivery_id] * count, pa.string()),
            pa.array(range(line, line + count), pa.int64()),
            lines,
            bad,
        ],
        schema=_ARROW,
    )


def _decoded(raw: bytes, encoding: str) -> tuple[str, bool]:
    try:
        return raw.decode(encoding), False
    except UnicodeDecodeError:
        return raw.decode(encoding, errors="backslashreplace"), True


def _multiline_batches(file: RecordFile) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[str, int, str, bool]] = []
    records = _multiline_records(file.path, file.encoding, file.delimiter, file.quote)
    for index, (line, text, undecodable) in enumerate(records):
        if index == 0:
            continue
        rows.append((file.delivery_id, line, text, undecodable))
        if len(rows) == 10_000:
            yield _batch_of_rows(rows)
            rows = []
    if rows:
        yield _batch_of_rows(rows)


def _batch_of_rows(rows: list[tuple[str, int, str, bool]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _ARROW, strict=True)],
        schema=_ARROW,
    )


def _multiline_records(
    path: str, encoding: str, delimiter: str, quote: str
) -> Iterator[tuple[int, str, bool]]:
    """Records whose quoted fields may hold line ends: (first line, text, undecodable)."""
    with open_stream(path) as stream:
        start, number, parts, undecodable, inside = 1, 0, [], False, False
        for raw in io.BufferedReader(cast("io.RawIOBase", stream)):
            number += 1
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            text, bad = _decoded(raw, encoding)
            undecodable |= bad
            parts.append(text)
            inside ^= text.count(quote) % 2 == 1
            if inside and sum(map(len, parts)) <= MAX_RECORD:
                continue
            yield start, "".join(parts).rstrip("\r\n"), undecodable
            start, parts, undecodable, inside = number + 1, [], False, False
        if parts:
            yield start, "".join(parts).rstrip("\r\n"), undecodable
