"""A first mapping of a file to a contract, by the names and the values of its columns.

Only a proposal: what it cannot tell stands there as a comment for a person to fill in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.fields import Field
from jobs.expressions.sql import quote

# Spark's pattern and Python's, for the ways in which operators write dates.
DATE_FORMS = {
    "yyyyMMdd": "%Y%m%d",
    "yyyy/MM/dd": "%Y/%m/%d",
    "yyyy/M/d": "%Y/%m/%d",
    "dd.MM.yyyy": "%d.%m.%Y",
    "dd-MM-yyyy": "%d-%m-%Y",
    "dd/MM/yyyy": "%d/%m/%Y",
    "dd-MM-yy": "%d-%m-%y",
    "dd/MM/yy": "%d/%m/%y",
    "yyyyMM": "%Y%m",
}
# Ways in which numbers are written: a pattern of their values, decimal mark, mark between thousands.
_PLAIN_NUMBER = r"[-+]?\d+(\.\d+)?"
NUMBER_FORMS = (
    (r"[-+]?\d{1,3}(,\d{3})*(\.\d+)?", ".", ","),
    (r"[-+]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?", ",", "."),
)
# The contracts' words, and others by which operators call the same thing.
_ALIASES = {
    "account": {"acct", "acc"},
    "at": {"time", "datetime", "timestamp"},
    "category": {"type"},
    "channel": {"via"},
    "complaint": {"ticket"},
    "counterpart": {"called", "opposite", "other", "peer"},
    "customer": {"client", "cust"},
    "duration": {"dur"},
    "ended": {"end"},
    "id": {"no", "number"},
    "number": {"mobile", "msisdn", "phone"},
    "on": {"date", "day", "dt"},
    "started": {"begin", "start"},
    "subscription": {"sub", "subscriber", "user"},
    "updated": {"changed", "modified", "update"},
    "used": {"usage", "use"},
}
LEAST_LIKENESS = 0.8
_BRACKETS = re.compile(r"[（(].*?[）)]")
_TRUTHS = {"true", "false", "1", "0", "yes", "no", "y", "n", "是", "否"}


@dataclass(frozen=True)
class Sample:
    """What was seen of a file.

    Attributes:
        name: File name.
        columns: First values of each column, by its name.
        format: csv, jsonl or parquet.
        encoding: As it was decoded.
        delimiter: Between its columns.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    format: str = "csv"
    encoding: str = "utf-8"
    delimiter: str = ","


def draft_mapping(sample: Sample, contract: ExtractContract) -> str:
    """YAML of an extract, to be put under 'extracts' of a source mapping.

    Args:
        sample: The file.
        contract: What it is to fill.
    """
    by_name = _choose(sample, contract)
    by_values = _choose_by_values(sample, contract, by_name)
    both = by_name | by_values
    chosen = {name: both[name] for name in contract.fields if name in both}
    expressions = {
        name: _expression(contract.fields[name], column, sample) for name, column in chosen.items()
    }
    unfilled = [name for name in contract.fields if name not in chosen]
    unused = [column for column in sample.columns if column not in chosen.values()]
    lines = [
        f"# Draft: {len(chosen)} of {len(contract.fields)} fields of {contract.contract} found.",
        "# Check every line, then put the extract under 'extracts' of your file in conf/sources.",
        f"- contract: {contract.contract}",
        f"  files: {_quoted(_pattern(sample.name))}",
    ]
    if "{period}" not in _pattern(sample.name):
        lines.append("  # The name holds no date: give the month YYYYMM or the day YYYYMMDD that it is for.")
        lines.append("  period: YYYYMM")
    lines += [f"  format: {sample.format}"] if sample.format != "csv" else []
    lines += [f"  encoding: {sample.encoding}"] if sample.encoding != "utf-8" else []
    lines += [f"  delimiter: {_quoted(sample.delimiter)}"] if sample.delimiter != "," else []
    named_alike = not unused and all(text == f"`{name}`" for name, text in expressions.items())
    if named_alike and not any(contract.fields[name].required for name in unfilled):
        return "\n".join([*lines, "  fields: same", ""])
    lines.append("  fields:")
    for name, column in chosen.items():
        field = contract.fields[name]
        if name in by_values:
            lines.append(f"    # {name} is but a guess, by the values of the column:")
        if codes := _unknown_codes(field, sample.columns[column]):
            lines.append(f"    # {', '.join(codes[:9])} must become one of {', '.join(field.values or ())}:")
        lines.append(f"    {name}: {_quoted(expressions[name])}")
    for name in unfilled:
        field = contract.fields[name]
        need = "required" if field.required else "optional"
        lines.append(f"    # {name}: {need} {field.type}, {field.zh} / {field.en}: no column looks like it")
    if unused:
        told = (" ".join(column.split()) for column in unused)
        lines.append(f"# Columns not used: {', '.join(told)}")
    return "\n".join([*lines, ""])


def _choose(sample: Sample, contract: ExtractContract) -> dict[str, str]:
    """The column of each field: the most alike by name of those whose values fit, each column once."""
    pairs = []
    for place, (name, field) in enumerate(contract.fields.items()):
        for column, values in sample.columns.items():
            names = (name, field.zh, _BRACKETS.sub("", field.zh), field.en)
            likeness = max(_likeness_of_words(column, name), *(_likeness(column, text) for text in names))
            # Other codes than the contract's are worth a proposal only under the very same name.
            least = LEAST_LIKENESS if not _unknown_codes(field, values) else 1.0
            if likeness >= least and _fits(field, values):
                pairs.append((-likeness, place, column, name))
    chosen: dict[str, str] = {}
    for _, _, column, name in sorted(pairs):
        if name not in chosen and column not in chosen.values():
            chosen[name] = column
    return {name: chosen[name] for name in contract.fields if name in chosen}


def _choose_by_values(sample: Sample, contract: ExtractContract, chosen: Mapping[str, str]) -> dict[str, str]:
    """For required dates that no name told, the first column of dates that is left."""
    found: dict[str, str] = {}
    for name, field in contract.fields.items():
        if name in chosen or not field.required or field.type != "date":
            continue
        for column, values in sample.columns.items():
            taken = column in chosen.values() or column in found.values()
            if not taken and any(value.strip() for value in values) and _fits(field, values):
                found[name] = column
                break
    return found


def _likeness_of_words(column: str, name: str) -> float:
    """Whether a column has all words of a field's name, and one more at most."""
    has = re.findall(r"[a-z0-9]+", column.lower().replace("#", " id "))
    wanted = name.split("_")
    if not all({word, *_ALIASES.get(word, ())} & set(has) for word in wanted):
        return 0.0
    more = len(set(has)) - len(set(wanted))
    return 1.0 if more == 0 else LEAST_LIKENESS if more == 1 else 0.0


def _likeness(column: str, name: str) -> float:
    one, other = (re.sub(r"[\W_]+", "", text.lower()) for text in (column, name))
    return SequenceMatcher(None, one, other).ratio() if one and other else 0.0


def _fits(field: Field, values: Sequence[str]) -> bool:
    """Whether all values that are there can be of the field's type."""
    present = [value.strip() for value in values if value.strip()]
    match field.type:
        case "integer" | "decimal":
            return _number_form(present) is not None
        case "date":
            return _date_form(present) is not None
        case "timestamp":
            return all(re.match(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}", value) for value in present)
        case "boolean":
            return all(value.lower() in _TRUTHS for value in present)
        case _:
            return True


def _unknown_codes(field: Field, values: Sequence[str]) -> list[str]:
    """Values outside the field's set."""
    return [] if field.values is None else sorted({value for value in values if value} - set(field.values))


def _date_form(values: Sequence[str]) -> str | None:
    """'' for ISO dates, Spark's pattern for other forms, None when the values are no dates."""
    if all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) and _reads(value, "%Y-%m-%d") for value in values):
        return ""
    return next((form for form, python in DATE_FORMS.items() if _all_read(values, form, python)), None)


def _number_form(values: Sequence[str]) -> tuple[str, str] | tuple[()] | None:
    """() for plain numbers, else their decimal mark and that between thousands; None when they are none."""
    if all(re.fullmatch(_PLAIN_NUMBER, value) for value in values):
        return ()
    for form, decimal, thousands in NUMBER_FORMS:
        if all(re.fullmatch(form, value) for value in values):
            return decimal, thousands
    return None


def _all_read(values: Sequence[str], form: str, python: str) -> bool:
    # Python reads one digit where two are asked for; Spark does not.
    exact = len(form) if form != "yyyy/M/d" else None
    return all((exact is None or len(value) == exact) and _reads(value, python) for value in values)


def _reads(value: str, python: str) -> bool:
    try:
        datetime.strptime(value, python)
    except ValueError:
        return False
    return True


def _expression(field: Field, column: str, sample: Sample) -> str:
    name = quote(column)
    present = [value.strip() for value in sample.columns[column] if value.strip()]
    if field.type == "date" and (form := _date_form(present)):
        return f"parse_date({name}, '{form}')"
    if field.type in ("integer", "decimal") and (marks := _number_form(present)):
        return f"parse_number({name}, '{marks[0]}', '{marks[1]}')"
    return name


def _pattern(name: str) -> str:
    """The file name with its first date as {period}."""
    return re.sub(r"(?<!\d)(20\d{6}|20\d{4})(?!\d)", "{period}", name, count=1)


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar."""
    return json.dumps(text, ensure_ascii=False)
