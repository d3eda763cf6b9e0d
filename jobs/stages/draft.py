"""Looks at an unknown file: how it is encoded and cut into columns, and its first values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from jobs.config.draft import Sample
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.storage.parquet_records import check_pages, group_columns, open_parquet, text_columns
from jobs.storage.records import first_bytes, without_mark

HEAD = 256 << 10
ENCODINGS = ("utf-8", "gb18030")
DELIMITERS = (",", "\t", ";", "|")
VALUES = 200


def sample_of(path: str) -> Sample:
    """The first rows of a file: Parquet and JSON Lines by the ending of the name, else text with a header.

    Raises:
        SourceError: When it is missing, empty, or in no encoding that is known here.
    """
    name = PurePosixPath(path).name
    if name.lower().endswith(".parquet"):
        return Sample(name, _parquet_columns(path), "parquet")
    data = first_bytes(path, HEAD)
    cut = data.rfind(b"\n") + 1
    data = without_mark(data[:cut] if cut and len(data) == HEAD else data)
    if not data.strip():
        raise SourceError(Issue("FILE_BAD_HEADER", "is empty; expected a header", Location(path, 1, 1)))
    encoding, text = _decoded(data, path)
    # Not splitlines: JSON may hold characters that Python takes for line ends.
    lines = [line.rstrip("\r") for line in text.lstrip("\r\n").split("\n")]
    if {".jsonl", ".ndjson"} & set(PurePosixPath(name.lower()).suffixes):
        return Sample(name, _object_columns(lines[:VALUES], path), "jsonl", encoding)
    delimiter = max(DELIMITERS, key=lines[0].count)
    # A quote that does not close makes one field of the rest.
    csv.field_size_limit(max(HEAD, csv.field_size_limit()))
    whole = io.StringIO("\n".join(lines), newline="")
    try:
        rows = list(islice(csv.reader(whole, delimiter=delimiter), VALUES + 1))
    except csv.Error as error:
        message = f"cannot be split into columns ({error}); are lines ended by line feeds?"
        raise SourceError(Issue("FILE_BAD_HEADER", message, Location(path))) from None
    twice = sorted({name for name in rows[0] if rows[0].count(name) > 1})
    if twice:
        message = f"columns stand there twice: {', '.join(twice)}"
        raise SourceError(Issue("FILE_BAD_HEADER", message, Location(path, 1, 1)))
    header, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    columns = {name: [row[index] for row in body] for index, name in enumerate(header)}
    return Sample(name, columns, "csv", encoding, delimiter)


def _parquet_columns(path: str) -> dict[str, list[str]]:
    file = open_parquet(path)
    check_pages(file, path)
    names = text_columns(file)
    if not file.num_row_groups:
        return {name: [] for name in names}
    _, texts = next(group_columns(path, 0), (0, []))
    if not texts:
        return {name: [] for name in names}
    return {
        name: [value or "" for value in text.slice(0, VALUES).to_pylist()]
        for name, text in zip(names, texts, strict=True)
    }


def _object_columns(lines: list[str], path: str) -> dict[str, list[str]]:
    """Values by name, or by path where they lie in an object of an object."""
    columns: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            found = json.loads(line, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise SourceError(Issue("FILE_BAD_HEADER", "is no JSON object", Location(path, number, 1)))
        for name, value in _leaves(found, ""):
            columns.setdefault(name, []).append(value)
    return columns


def _leaves(found: dict[str, object], before: str) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        elif value is not None:
            yield before + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _decoded(data: bytes, path: str) -> tuple[str, str]:
    for encoding in ENCODINGS:
        try:
            return encoding, data.decode(encoding)
        except UnicodeDecodeError:
            continue
    message = f"is in none of the encodings {', '.join(ENCODINGS)}"
    raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path)))
