"""Original records as people may see them in listings: personal data by its shape only."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jobs.config.sources import ExtractMapping, columns_used
from jobs.contracts.extracts import PERSON_FIELDS, ExtractContract

# Records whose fields cannot be told apart: any part may be personal.
_UNREADABLE = ("malformed", "undecodable")


def shape(text: str) -> str:
    """A text's shape: 9 for each digit, x for each letter.

    Example:
        >>> shape("13812345678, 张三 2026-05-31")
        '99999999999, xx 9999-99-99'
    """
    return "".join("9" if one.isdecimal() else "x" if one.isalnum() else one for one in text)


def masked(
    original: str,
    reasons: Collection[str],
    header: Sequence[str] | None,
    mapping: ExtractMapping,
    contract: ExtractContract,
) -> str:
    """A refused record as its shape, but for the columns that are known not to be personal.

    A column that no field uses may hold anything, so that it is never shown; nor is what looks like a number
    of a person or a name, whatever column it stands in: people write them into free text, or swap columns.

    Args:
        original: The record as it stands in its file.
        reasons: Why it was refused.
        header: Column names of its file, where they are known.
        mapping: How its columns fill fields.
        contract: Which fields are personal.

    Returns:
        The record; wholly as a shape where it cannot be split into the columns of the header.
    """
    # A record of joined files is kept with what stood beside it.
    if header is None or mapping.join is not None:
        return shape(original)
    columns = _clear_columns(mapping, contract)
    texts = _text_columns(mapping, contract)
    strict = any(field.personal is not None for field in contract.fields.values())
    codes = {code for field in contract.fields.values() for code in field.values or ()}
    clear = _Clear(columns, texts, frozenset(codes))
    if mapping.format == "jsonl":
        return _masked_object(original, clear)
    if any(reason in _UNREADABLE for reason in reasons):
        words = all(map(_WORD.match, original.split(mapping.delimiter)))
        harmless = columns.issuperset(header) and not strict and words and not _NUMBER.search(original)
        return original if harmless else shape(original)
    if mapping.format == "fixed":
        return _masked_line(original, header, mapping, clear)
    # The rows of a Parquet file are kept as delimited records.
    delimiter, quote = (mapping.delimiter, mapping.quote) if mapping.format == "csv" else (",", '"')
    return _masked_record(original, header, delimiter, quote, clear)


@dataclass(frozen=True)
class _Clear:
    """What of a record is shown: these columns, but nothing that looks personal.

    Attributes:
        columns: The columns.
        texts: Those of them that hold words of no id, where any number may be somebody's.
        codes: The codes of the contract's fields.
    """

    columns: Collection[str]
    texts: Collection[str]
    codes: frozenset[str]

    def shown(self, name: str, value: str) -> str:
        """A column's value, or its shape."""
        if name not in self.columns or _NUMBER.search(value) or (name in self.texts and _LOCAL.search(value)):
            return shape(value)
        return value if value.strip() in self.codes or _WORD.match(value) else shape(value)


# Eleven digits and more, however they are grouped, and what people write with the code of a country.
_NUMBER = re.compile(r"(?<!\d)\d(?:[-._/ ()]{0,2}\d){10,}(?!\d)|\+\d(?:[ ()-]*\d){7,}")
# A number of a town, with its code or without.
_LOCAL = re.compile(r"(?<![\w.])(0\d{2,3}[ -]?)?[2-9]\d{6,7}(?![\w.])")
# A number, a date, a time, or one word of an id or a code.
_WORD = re.compile(r"\s*[\w:/.,+-]*([ T]\d\d:[\d:.]*)?\s*$", re.ASCII)


def _masked_object(original: str, clear: _Clear) -> str:
    """A JSON object may have any names: only values of those in use are shown."""
    try:
        found = json.loads(original)
    except (ValueError, RecursionError):
        return shape(original)
    if not isinstance(found, dict):
        return shape(original)
    shown = {}
    for name, value in found.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if name not in clear.columns:
            shown[shape(name)] = shape(json.dumps(value, ensure_ascii=False))
        else:
            shown[name] = value if clear.shown(name, text) == text else shape(text)
    return json.dumps(shown, ensure_ascii=False)


def _masked_line(original: str, header: Sequence[str], mapping: ExtractMapping, clear: _Clear) -> str:
    if len(header) != len(mapping.widths or ()):
        # It has been mended since.
        return shape(original)
    line = original.encode(mapping.encoding)
    shown, start = [], 0
    for name, width in zip(header, mapping.widths or (), strict=True):
        value = line[start : start + width].decode(mapping.encoding, errors="replace")
        shown.append(clear.shown(name, value))
        start += width
    return "".join(shown)


def _masked_record(original: str, header: Sequence[str], delimiter: str, quote: str, clear: _Clear) -> str:
    try:
        text = io.StringIO(original, newline="")
        [values] = csv.reader(text, strict=True, delimiter=delimiter, quotechar=quote)
    except (csv.Error, ValueError):
        return shape(original)
    if len(values) != len(header):
        return shape(original)
    shown = io.StringIO()
    writer = csv.writer(shown, lineterminator="", delimiter=delimiter, quotechar=quote)
    writer.writerow([clear.shown(name, value) for name, value in zip(header, values, strict=True)])
    return shown.getvalue()


def _text_columns(mapping: ExtractMapping, contract: ExtractContract) -> set[str]:
    """Columns of words: they fill texts that are neither ids nor in the key, and nothing else."""
    ids = {*contract.key, *contract.references, *PERSON_FIELDS}
    words = {name for name, field in contract.fields.items() if field.type == "string" and name not in ids}
    return _columns_only_of(words, mapping, contract)


def _clear_columns(mapping: ExtractMapping, contract: ExtractContract) -> set[str]:
    """Columns that go into fields without personal data, and into no other."""
    clear = {name for name, field in contract.fields.items() if field.personal is None and not field.masked}
    return _columns_only_of(clear, mapping, contract)


def _columns_only_of(names: set[str], mapping: ExtractMapping, contract: ExtractContract) -> set[str]:
    """Columns that some fields are made of, and no others; what only 'where' looks at may be anything."""
    if mapping.fields == "same":
        return names
    mine = {name: text for name, text in mapping.fields.items() if name in names}
    others = {name: text for name, text in mapping.fields.items() if name not in names}
    used, used_by_others = (
        set(columns_used(mapping.model_copy(update={"fields": one, "where": None, "join": None}), contract))
        for one in (mine, others)
    )
    return used - used_by_others
