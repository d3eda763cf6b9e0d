"""Looks at an unknown file: how it is encoded and cut into columns, and its first values."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import PurePosixPath

from jobs.config.draft import Sample
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.storage.records import open_stream

HEAD = 256 << 10
ENCODINGS = ("utf-8", "gb18030")
DELIMITERS = (",", "\t", ";", "|")
VALUES = 200


def sample_of(path: str) -> Sample:
    """The first rows of a delimited text file with a header.

    Raises:
        SourceError: When it is missing, empty, or in no encoding that is known here.
    """
    with open_stream(path) as stream:
        data = stream.read(HEAD)
    cut = data.rfind(b"\n") + 1
    data = (data[:cut] if cut and len(data) == HEAD else data).removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise SourceError(Issue("FILE_BAD_HEADER", "is empty; expected a header", Location(path, 1, 1)))
    encoding, text = _decoded(data, path)
    first = text.splitlines()[0]
    delimiter = max(DELIMITERS, key=first.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[: VALUES + 1]
    twice = sorted({name for name in rows[0] if rows[0].count(name) > 1})
    if twice:
        message = f"columns stand there twice: {', '.join(twice)}"
        raise SourceError(Issue("FILE_BAD_HEADER", message, Location(path, 1, 1)))
    header, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    columns = {name: [row[index] for row in body] for index, name in enumerate(header)}
    return Sample(PurePosixPath(path).name, encoding, delimiter, columns)


def _decoded(data: bytes, path: str) -> tuple[str, str]:
    for encoding in ENCODINGS:
        try:
            return encoding, data.decode(encoding)
        except UnicodeDecodeError:
            continue
    message = f"is in none of the encodings {', '.join(ENCODINGS)}"
    raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path)))
