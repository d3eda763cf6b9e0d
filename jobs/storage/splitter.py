"""Splits blocks of bytes into records: physical line, what is wrong with it, original text, text columns.

Blocks of plain delimited lines are split by Arrow's CSV parser; whatever has quotes, bad bytes or a wrong
number of fields goes record by record, and so do lines of fixed width and of JSON. Blanks around a value, of
any width, are no part of it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

MAX_RECORD = 1 << 20
JSON_SAMPLE = 1_000
UNDECODABLE = "undecodable"
MALFORMED = "malformed"
# Spark drops these around numbers, so that a digit turned into one of them would go unseen.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_BYTES = re.compile(_CONTROL.pattern.encode())
_HEAD = [("file", pa.int32()), ("line", pa.int64()), ("fault", pa.string()), ("raw", pa.string())]


@dataclass(frozen=True)
class Layout:
    """How the text of a file is laid out.

    Attributes:
        encoding: utf-8, gbk or gb18030.
        delimiter: One character.
        quote: One character; doubled inside a quoted field it stands for itself.
        multiline: Records may span lines inside quotes.
        format: csv, fixed, jsonl or parquet.
        columns: Names of the columns, where the file does not start with them.
        widths: Of fixed columns, in bytes.
        member: Pattern of the name of the file that is meant in a zip archive of several.
    """

    encoding: str
    delimiter: str
    quote: str
    multiline: bool
    format: str = "csv"
    columns: tuple[str, ...] | None = None
    widths: tuple[int, ...] = ()
    member: str = ""


def column_name(index: int) -> str:
    """Name of the text column of a file's column, counted from zero."""
    return f"c{index}"


_Row = tuple[int, str | None, str, Sequence[str | None] | None]
"""Line, fault, text, fields."""


class Splitter:
    """Splits blocks of one piece into records."""

    def __init__(self, number: int, layout: Layout, width: int, columns: Sequence[int]) -> None:
        self.number = number
        self.layout = layout
        self.width = width
        self.columns = columns
        # A field may be as long as its record; the limit is the whole process's and is never lowered.
        csv.field_size_limit(max(MAX_RECORD, csv.field_size_limit()))
        self.schema = pa.schema([*_HEAD, *((column_name(i), pa.string()) for i in columns)])

    def batches(self, blocks: Iterable[bytes], line: int) -> Iterator[pa.RecordBatch]:
        """Records of consecutive blocks, the first of which starts at a physical line."""
        if self.layout.multiline:
            yield from self._in_batches(self._assembled(_numbered(blocks, line)))
            return
        quote = self.layout.quote.encode()
        for block in blocks:
            by_line = self.layout.format != "csv" or quote in block or _CONTROL_BYTES.search(block)
            plain = None if by_line else self._plain(block, line)
            if plain is None:
                rows = (self._record(number, raw) for number, raw in _numbered([block], line))
                yield from self._in_batches(rows)
            else:
                yield from plain
            line += block.count(b"\n")

    def again(self, records: Iterable[tuple[int, str]]) -> Iterator[pa.RecordBatch]:
        """Records that were split before, each by the line it starts on and its text."""
        rows = (self._record(line, text.encode(self.layout.encoding)) for line, text in records)
        yield from self._in_batches(rows)

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
        # Arrow drops a byte order mark wherever a block starts.
        if text.startswith("\ufeff"):
            return None
        lines = pc.split_pattern(pa.array([text.removesuffix("\n")]), "\n").flatten()
        if pc.max(pc.binary_length(lines)).as_py() > MAX_RECORD:
            return None
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
        texts = [column.combine_chunks() for column in table.columns]
        # Looking at the whole block is cheaper than at each value.
        if not text.isascii() or " " in text or "\t" in text:
            texts = [pc.utf8_trim_whitespace(one) for one in texts]
        found = [self._good(numbers, raws, texts)]
        rows: list[_Row] = [
            (line + index, MALFORMED, lines[index].as_py().removesuffix("\r"), None) for index in invalid
        ]
        return [*found, *self._in_batches(iter(rows))]

    def batch(self, line: int, raws: pa.Array, texts: Sequence[pa.Array]) -> pa.RecordBatch:
        """Records that are split already, the first of which is on a line; of all columns."""
        numbers = pa.array(np.arange(line, line + len(raws), dtype=np.int64))
        return self._good(numbers, raws, [pc.utf8_trim_whitespace(texts[index]) for index in self.columns])

    def _good(self, numbers: pa.Array, raws: pa.Array, texts: Sequence[pa.Array]) -> pa.RecordBatch:
        head = self._head(numbers, pa.nulls(len(raws), pa.string()), raws)
        return pa.RecordBatch.from_arrays([*head, *texts], schema=self.schema)

    def _head(self, numbers: pa.Array, faults: pa.Array, raws: pa.Array) -> list[pa.Array]:
        return [pa.repeat(pa.scalar(self.number, pa.int32()), len(raws)), numbers, faults, raws]

    def _record(self, line: int, raw: bytes) -> _Row:
        """One physical line as a record."""
        # Before decoding: what follows a broken byte decides how much of it is told as broken.
        raw = raw.rstrip(b"\r\n")
        text, fault = self._decoded(raw)
        if fault is not None:
            return line, fault, text, None
        match self.layout.format:
            case "fixed":
                return self._checked(line, text, self._cut(raw))
            case "jsonl":
                return self._checked(line, text, self._values(text))
            case _:
                return self._checked(line, text, self._parsed(iter([text])))

    def _cut(self, raw: bytes) -> list[str | None] | None:
        """The columns of a line of fixed width; None when it has another width or cuts a character."""
        if len(raw) != sum(self.layout.widths):
            return None
        ends = list(accumulate(self.layout.widths))
        try:
            return [
                raw[end - width : end].decode(self.layout.encoding)
                for width, end in zip(self.layout.widths, ends, strict=True)
            ]
        except UnicodeDecodeError:
            return None

    def _values(self, text: str) -> list[str | None] | None:
        """The wanted values of a JSON object; a.b is b of the object a. None when it is no object."""
        try:
            # Numbers stay as they are written.
            found = json.loads(
                text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_object
            )
            if not isinstance(found, dict):
                return None
            values = [_json_text(found, name) for name in self.layout.columns or ()]
            # Half a character, which JSON can escape, is no text.
            "".join(value or "" for value in values).encode()
        except (ValueError, RecursionError):
            return None
        return values

    def _checked(self, line: int, text: str, fields: Sequence[str | None] | None) -> _Row:
        if fields is None or len(fields) != self.width or not text or len(text) > MAX_RECORD:
            return line, MALFORMED, text, None
        if any(_CONTROL.search(fields[index] or "") for index in self.columns):
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
                pc.utf8_trim_whitespace(
                    pa.array([None if row[3] is None else row[3][index] for row in part], pa.string())
                )
                for index in self.columns
            ]
            yield pa.RecordBatch.from_arrays([*head, *texts], schema=self.schema)


def json_names(block: bytes, encoding: str) -> tuple[str, ...]:
    """The names in the first objects of some lines, sorted; the last line may be cut off."""
    found: set[str] = set()
    for raw in block.split(b"\n", JSON_SAMPLE)[:JSON_SAMPLE]:
        try:
            value = json.loads(raw.decode(encoding))
        except (ValueError, RecursionError):
            # The record itself is refused when it is read.
            continue
        if isinstance(value, dict):
            found |= value.keys()
    return tuple(sorted(name for name in found if name.isprintable()))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that stands there twice nobody knows which value is meant.

    Raises:
        ValueError: When one does.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _json_text(value: dict[str, Any], name: str) -> str | None:
    """A value as the text that a delimited file would have; lists and objects stay JSON."""
    found: Any = value.get(name)
    if found is None and "." in name:
        found = value
        for step in name.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    if found is None or isinstance(found, str):
        return found
    return json.dumps(found, ensure_ascii=False)


def _numbered(blocks: Iterable[bytes], line: int) -> Iterator[tuple[int, bytes]]:
    """Physical lines with their numbers, line ends kept."""
    for block in blocks:
        for raw in io.BytesIO(block):
            yield line, raw
            line += 1
