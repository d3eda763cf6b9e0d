"""Reads delivered files into records: physical line, original text and text columns.

Spark's CSV reader gives no line numbers and hides bad bytes, so files are read here. Bytes are decoded before
fields are split, since in GBK the second byte of a character may be a delimiter. A line feed is never part of
a character in the encodings we read, so files are cut at line feeds, into pieces that tasks share. Blocks of
plain lines are split by Arrow's CSV parser; whatever has quotes, bad bytes or a wrong number of fields goes
record by record, and says what is wrong with it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession

from jobs.kernel.errors import Issue, Location, SourceError

CHUNK = 4 << 20
PIECE = 32 << 20
TASK = 16 << 20
MAX_RECORD = 1 << 20
UNDECODABLE = "undecodable"
MALFORMED = "malformed"
_HEAD = [("file", pa.int32()), ("line", pa.int64()), ("fault", pa.string()), ("raw", pa.string())]


@dataclass(frozen=True)
class Layout:
    """How the text of a file is laid out.

    Attributes:
        encoding: utf-8, gbk or gb18030.
        delimiter: One character.
        quote: One character; doubled inside a quoted field it stands for itself.
        multiline: Records may span lines inside quotes.
    """

    encoding: str
    delimiter: str
    quote: str
    multiline: bool


@dataclass(frozen=True)
class Piece:
    """A part of a file that starts with a record.

    Attributes:
        start: First byte.
        line: Its physical line.
        size: Bytes.
    """

    start: int
    line: int
    size: int


@dataclass(frozen=True)
class FileFacts:
    """What one look at a file tells.

    Attributes:
        sha256: Of its bytes as delivered.
        header: Its first record, decoded and split.
        records: Records after the header.
        pieces: Parts that can be read apart, the first without the header.
    """

    sha256: str
    header: tuple[str, ...]
    records: int
    pieces: tuple[Piece, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class RecordFile:
    """A file to read: its number in the result, its path, and where its pieces are."""

    number: int
    path: str
    pieces: tuple[Piece, ...]


def open_stream(path: str, start: int = 0) -> IO[bytes]:
    """Opens a local path or a URI of any file system that Arrow knows; gzip by its ending.

    Args:
        path: The file.
        start: Where to start, in unpacked bytes.

    Raises:
        SourceError: When it cannot be opened.
    """
    try:
        system, inside = fs.FileSystem.from_uri(path) if "://" in path else (fs.LocalFileSystem(), path)
        stream = system.open_input_file(inside)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or "cannot be opened"
        raise SourceError(Issue("FILE_MISSING", reason, Location(path))) from None
    unpacked = gzip.GzipFile(fileobj=stream) if path.endswith(".gz") else stream
    unpacked.seek(start)
    return cast("IO[bytes]", unpacked)


def look_at(path: str, layout: Layout) -> FileFacts:
    """Hashes a file, reads its header, counts its records and finds where it can be cut.

    Raises:
        SourceError: When it is missing, empty, or its header cannot be decoded.
    """
    digest = hashlib.sha256()
    newlines, size, last = 0, 0, b""
    first = b""
    cuts: list[tuple[int, int]] = []
    with open_stream(path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            if b"\n" not in first:
                first += chunk
            newlines += chunk.count(b"\n")
            end = chunk.rfind(b"\n")
            if end >= 0 and size + end - (cuts[-1][0] if cuts else 0) >= PIECE:
                cuts.append((size + end + 1, newlines + 1))
            size += len(chunk)
            last = chunk[-1:]
    if size == 0:
        raise SourceError(Issue("FILE_BAD_HEADER", "is empty; expected a header", Location(path, 1, 1)))
    head, found, _ = first.partition(b"\n")
    header = _header(head, path, layout)
    body = len(head) + len(found)
    if layout.multiline or path.endswith(".gz"):
        cuts = []
    starts = [(body, 2), *(cut for cut in cuts if body < cut[0] < size), (size, 0)]
    pieces = tuple(
        Piece(start, line, end - start) for (start, line), (end, _) in pairwise(starts) if end > start
    )
    if layout.multiline:
        whole = RecordFile(0, path, pieces)
        records = sum(batch.num_rows for batch in read_pieces(whole, pieces, layout, len(header), ()))
    else:
        records = newlines + (last != b"\n") - 1
    return FileFacts(digest.hexdigest(), header, records, pieces)


def _header(line: bytes, path: str, layout: Layout) -> tuple[str, ...]:
    try:
        text = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r").decode(layout.encoding)
    except UnicodeDecodeError as error:
        message = f"byte 0x{line[error.start]:02x} is not {layout.encoding}"
        raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path, 1, error.start + 1))) from None
    return tuple(next(csv.reader([text], delimiter=layout.delimiter, quotechar=layout.quote), ()))


def column_name(index: int) -> str:
    """Name of the text column of a file's column, counted from zero."""
    return f"c{index}"


def read_records(
    spark: SparkSession, files: Sequence[RecordFile], layout: Layout, width: int, columns: Sequence[int]
) -> DataFrame:
    """All records of files that share layout and header, without their headers.

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
        splitter = _Splitter(file.number, layout, width, columns)
        yield from splitter.batches(_blocks(file.path, piece), piece.line)


def _blocks(path: str, piece: Piece) -> Iterator[bytes]:
    """The bytes of a piece, cut after line feeds; the last one need not end with one."""
    left, rest = piece.size, b""
    with open_stream(path, piece.start) as stream:
        while left and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            if cut:
                yield data[:cut]
            rest = data[cut:]
    if rest:
        yield rest


_Row = tuple[int, str | None, str, list[str] | None]
"""Line, fault, text, fields."""


class _Splitter:
    """Splits blocks of one piece into records."""

    def __init__(self, number: int, layout: Layout, width: int, columns: Sequence[int]) -> None:
        self.number = number
        self.layout = layout
        self.width = width
        self.columns = columns
        self.schema = pa.schema([*_HEAD, *((column_name(i), pa.string()) for i in columns)])

    def batches(self, blocks: Iterable[bytes], line: int) -> Iterator[pa.RecordBatch]:
        """Records of consecutive blocks, the first of which starts at a physical line."""
        if self.layout.multiline:
            yield from self._in_batches(self._assembled(_numbered(blocks, line)))
            return
        quote = self.layout.quote.encode()
        for block in blocks:
            plain = None if quote in block else self._plain(block, line)
            if plain is None:
                rows = (self._record(number, raw) for number, raw in _numbered([block], line))
                yield from self._in_batches(rows)
            else:
                yield from plain
            line += block.count(b"\n")

    def _plain(self, block: bytes, line: int) -> list[pa.RecordBatch] | None:
        """A block without quotes, at once; None when its bytes need a closer look."""
        # Arrow ends lines at a lone carriage return, and takes a blank line for a record.
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            return None
        if b"\n\n" in block or b"\n\r\n" in block or block.startswith((b"\n", b"\r")):
            return None
        try:
            text = block.decode(self.layout.encoding)
        except UnicodeDecodeError:
            return None
        lines = pc.split_pattern(pa.array([text.removesuffix("\n")]), "\n").flatten()
        invalid: list[int] = []

        def skip(row: arrow_csv.InvalidRow) -> str:
            invalid.append(row.number - 1)
            return "skip"

        names = [column_name(index) for index in range(self.width)]
        table = arrow_csv.read_csv(
            pa.BufferReader(block if self.layout.encoding == "utf-8" else text.encode()),
            arrow_csv.ReadOptions(use_threads=False, block_size=2 * len(block) + 64, column_names=names),
            arrow_csv.ParseOptions(
                delimiter=self.layout.delimiter,
                quote_char=False,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=[column_name(index) for index in self.columns],
                strings_can_be_null=False,
            ),
        )
        raws = pc.utf8_rtrim(lines, "\r")
        numbers = pa.array(np.arange(line, line + len(lines), dtype=np.int64))
        good = np.ones(len(lines), dtype=bool)
        good[invalid] = False
        if invalid:
            raws, numbers = raws.filter(pa.array(good)), numbers.filter(pa.array(good))
        head = self._head(numbers, pa.nulls(len(raws), pa.string()), raws)
        texts = [column.combine_chunks() for column in table.columns]
        found = [pa.RecordBatch.from_arrays([*head, *texts], schema=self.schema)]
        rows: list[_Row] = [
            (line + index, MALFORMED, lines[index].as_py().removesuffix("\r"), None) for index in invalid
        ]
        return [*found, *self._in_batches(iter(rows))]

    def _head(self, numbers: pa.Array, faults: pa.Array, raws: pa.Array) -> list[pa.Array]:
        return [pa.repeat(pa.scalar(self.number, pa.int32()), len(raws)), numbers, faults, raws]

    def _record(self, line: int, raw: bytes) -> _Row:
        """One physical line as a record."""
        text, fault = self._decoded(raw)
        text = text.rstrip("\r\n")
        if fault is not None:
            return line, fault, text, None
        return self._checked(line, text, self._parsed(iter([text])))

    def _checked(self, line: int, text: str, fields: list[str] | None) -> _Row:
        if fields is None or len(fields) != self.width or not text:
            return line, MALFORMED, text, None
        return line, None, text, fields

    def _parsed(self, lines: Iterator[str]) -> list[str] | None:
        """The next record of some lines, which takes as many of them as it spans."""
        reader = csv.reader(lines, delimiter=self.layout.delimiter, quotechar=self.layout.quote, strict=True)
        try:
            return next(reader, None)
        except csv.Error:
            return None

    def _decoded(self, raw: bytes) -> tuple[str, str | None]:
        try:
            return raw.decode(self.layout.encoding), None
        except UnicodeDecodeError:
            return raw.decode(self.layout.encoding, errors="backslashreplace"), UNDECODABLE

    def _assembled(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[_Row]:
        """Records that may span lines.

        A record that does not end, or has another number of fields than the header, costs its first line
        only: what follows is read again from the next line, so that a stray quote hides no other record.
        """
        waiting: deque[tuple[int, bytes]] = deque()
        while True:
            taken: list[tuple[int, bytes]] = []

            def take(taken: list[tuple[int, bytes]] = taken) -> Iterator[str]:
                size = 0
                while size <= MAX_RECORD:
                    one = waiting.popleft() if waiting else next(lines, None)
                    if one is None:
                        return
                    taken.append(one)
                    size += len(one[1])
                    yield self._decoded(one[1])[0]

            fields = self._parsed(take())
            if not taken:
                return
            line, first = taken[0]
            text, fault = self._decoded(b"".join(part for _, part in taken))
            row = self._checked(line, text.rstrip("\r\n"), fields)
            if row[1] is not None:
                waiting.extendleft(reversed(taken[1:]))
                yield self._record(line, first)
            elif fault is not None:
                yield line, fault, row[2], None
            else:
                yield row

    def _in_batches(self, rows: Iterator[_Row]) -> Iterator[pa.RecordBatch]:
        while part := list(islice(rows, 10_000)):
            lines, faults, raws, _ = zip(*part, strict=True)
            head = self._head(
                pa.array(lines, pa.int64()), pa.array(faults, pa.string()), pa.array(raws, pa.string())
            )
            texts = [
                pa.array([None if row[3] is None else row[3][index] for row in part], pa.string())
                for index in self.columns
            ]
            yield pa.RecordBatch.from_arrays([*head, *texts], schema=self.schema)


def _numbered(blocks: Iterable[bytes], line: int) -> Iterator[tuple[int, bytes]]:
    """Physical lines with their numbers, line ends kept."""
    for block in blocks:
        for raw in io.BytesIO(block):
            yield line, raw
            line += 1
