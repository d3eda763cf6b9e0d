"""Source mappings (conf/sources/*.yaml): how one operator's files fill the contracts."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Self
from typing import Literal as OneOf

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from jobs.config.formats import JOINED, Format, Join, glob_of, plain_name
from jobs.contracts.extracts import BY_PREFIX, SEGMENTS, Derived, ExtractContract
from jobs.expressions.check import type_of
from jobs.expressions.nodes import Call, Literal, Name, Node, names, substitute
from jobs.expressions.parse import parse
from jobs.expressions.sql import quote
from jobs.expressions.types import Type
from jobs.kernel.errors import did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import StrictModel

PLACEHOLDERS = {"period": r"(?P<period>[0-9]{6}|[0-9]{8})", "delivered": r"(?P<delivered>[0-9]{8})",
                "sequence": r"(?P<sequence>[0-9]{1,6})", "part": r"(?P<part>[A-Za-z0-9]+)"}  # fmt: skip


class ExtractMapping(Format):
    """How some files fill one contract.

    Attributes:
        files: File name pattern; {period} (YYYYMM or YYYYMMDD), {delivered}, {sequence}, {part}.
        period: The period, YYYYMM or YYYYMMDD, where the name does not tell it.
        part: Name of this share of the contract's period, where several mappings fill one contract.
        where: Which rows of the file are rows of this contract; all by default.
        row_covers_days: Days one row sums up.
        gaps: What days without a file between two with one mean: that the run stops, that values across
            them are unknown, or that there was nothing to deliver.
        join: A second file whose columns stand beside those of the first.
        approximate: Fields of which the file tells no exact day or time: no day of the year and no hour is
            taken from them.
        own_operator: Operator, as number_segments names it, whose numbers are on the own network.
        fields: 'same' when columns are named like the contract's fields; else one expression a field.
    """

    contract: str
    files: str
    period: str | None = Field(default=None, pattern=r"^[0-9]{6}([0-9]{2})?$")
    part: str = "all"
    where: str | None = None
    row_covers_days: int = Field(default=1, ge=1, le=366)
    gaps: OneOf["stop", "unknown", "empty"] = "stop"
    join: Join | None = None
    approximate: tuple[str, ...] = ()
    own_operator: str | None = None
    fields: Annotated[
        Annotated[OneOf["same"], Tag("same")] | Annotated[dict[str, str], Tag("each")],
        Discriminator(lambda value: "same" if isinstance(value, str) else "each"),
    ]

    @field_validator("period")
    @classmethod
    def _calendar_period(cls, period: str | None) -> str | None:
        if period is not None:
            try:
                datetime.strptime(period, "%Y%m%d" if len(period) == 8 else "%Y%m")
            except ValueError:
                raise ValueError("is not a month YYYYMM or a day YYYYMMDD") from None
        return period

    @model_validator(mode="after")
    def _members_of_archives(self) -> Self:
        for one in (self, self.join):
            if one is not None and one.member and not one.files.lower().endswith(".zip"):
                raise ValueError("'member' belongs to 'files' that end with .zip, and to no others")
        return self

    @model_validator(mode="after")
    def _joins_alike(self) -> Self:
        if self.join is None:
            return self
        if self.fields == "same":
            raise ValueError("with 'join' each field needs its expression")
        for name in ("columns", "widths"):
            first, second = getattr(self, name), getattr(self.join, name)
            if (first is None) != (second is None):
                raise ValueError(f"'join' and its file both have '{name}', or neither has")
        if len(self.join.widths or ()) not in (0, len(self.join.columns or ())):
            raise ValueError("'columns' and 'widths' of 'join' differ in length")
        return self

    @cached_property
    def name_pattern(self) -> re.Pattern[str]:
        """The file name as a regular expression."""
        return re.compile(pattern_of(self.files))

    def derives(self, part: Derived) -> bool:
        """Whether a derived part follows from its field: what is known roughly has no hour or birthday."""
        match part.derive:
            case "month_day_of" | "hour_of":
                return part.from_ not in self.approximate
            case "off_net_of":
                return self.own_operator is not None
            case _:
                return True

    @property
    def glob(self) -> str:
        """The file name as a glob."""
        return glob_of(self.files)

    @field_validator("files")
    @classmethod
    def _in_the_folder(cls, files: str) -> str:
        return plain_name(files)


class SourceMapping(StrictModel):
    """One operator's files.

    Attributes:
        snapshot: Date of a source that delivers once: every cycle is due on it.
        when_stale: What to do when a contract's data are older than its freshness_days: wait or stop end
            the run before a view is written; by default its items are unknown.
        parameters: Amounts of conf/base.yaml that differ at this operator.
        rule_parameters: Rule parameters that differ at this operator.
        team_daily_visits: Visits a day of a city's team, instead of the default in conf/dispatch.yaml.
    """

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    zh: str
    en: str
    snapshot: date | None = None
    when_stale: dict[str, OneOf["wait", "stop", "degrade"]] = {}
    defaults: dict[str, object] = {}
    extracts: tuple[ExtractMapping, ...]
    parameters: dict[str, Decimal] = {}
    rule_parameters: dict[str, dict[str, Decimal]] = {}
    team_daily_visits: int | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class Source:
    """A checked source mapping.

    Attributes:
        path: File it was read from, for messages.
        mapping: What it says.
        contracts: The contracts it fills.
    """

    path: str
    mapping: SourceMapping
    contracts: dict[str, ExtractContract]

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.mapping.source

    @property
    def fingerprint(self) -> str:
        """Changes when the mapping does."""
        return fingerprint(self.mapping.model_dump())

    def fields_of(self, contract: str) -> frozenset[str]:
        """The contract fields any mapping fills, with those derived from them."""
        definition = self.contracts[contract]
        defaults = {name for name, field in definition.fields.items() if field.default is not None}
        found = set(defaults)
        for mapping in self.mapping.extracts:
            if mapping.contract == contract:
                filled = defaults | set(definition.fields if mapping.fields == "same" else mapping.fields)
                found |= filled
                found |= {
                    name
                    for name, part in definition.derived.items()
                    if part.from_ in filled and mapping.derives(part) and self._looks_up(part)
                }
        return frozenset(found)

    def _looks_up(self, part: Derived) -> bool:
        return part.derive not in BY_PREFIX or SEGMENTS in self.contracts

    def mapping_of(self, contract: str, file: str, part: str) -> ExtractMapping | None:
        """The mapping by which a file fills a part of a contract; None when there is none any more."""
        for one in self.mapping.extracts:
            match = one.name_pattern.match(file) if one.contract == contract else None
            if match is not None and (match.groupdict().get("part") or one.part) == part:
                return one
        return None

    def row_covers_days(self, contract: str) -> int:
        """The coarsest rows of a contract."""
        return max(m.row_covers_days for m in self.mapping.extracts if m.contract == contract)


def field_expressions(mapping: ExtractMapping, contract: ExtractContract) -> dict[str, Node]:
    """One parsed expression for every field the mapping fills; numbers are read as its files write them."""
    if mapping.fields == "same":
        parsed: dict[str, Node] = {name: Name(name) for name in contract.fields}
    else:
        parsed = {name: parse(text) for name, text in mapping.fields.items()}
    if mapping.numbers_as_written:
        return parsed
    return {
        name: _with_own_numbers(node, contract.fields[name].type in ("integer", "decimal"), mapping)
        for name, node in parsed.items()
    }


def _with_own_numbers(node: Node, is_number: bool, mapping: ExtractMapping) -> Node:
    marks = (Literal(mapping.decimal), Literal(mapping.thousands))

    def change(found: Node) -> Node | None:
        if isinstance(found, Call) and found.function == "number":
            [text] = found.arguments
            return Call("parse_number", (text, *marks)) if _is_text(text) else None
        return None

    changed = substitute(node, change)
    return Call("parse_number", (changed, *marks)) if is_number and _is_text(changed) else changed


def _is_text(node: Node) -> bool:
    return type_of(node, lambda _: Type("string")).kind == "string"


def columns_used(mapping: ExtractMapping, contract: ExtractContract) -> list[str]:
    """The file columns a mapping needs, in order of use."""
    found = [name.name for name in _names_used(mapping, contract) if name.table is None]
    return list(dict.fromkeys([*found, *(mapping.join.on if mapping.join else ())]))


def optional_columns(mapping: ExtractMapping, contract: ExtractContract) -> set[str]:
    """Columns that a mapping may allow a file to lack: none that decides about a row or a required field.

    Those of a second file stand there as joined.column.
    """
    needed = _names_used(mapping, contract, lambda name: contract.fields[name].required)
    used = _names_used(mapping, contract)
    return {_written(name) for name in used} - {_written(name) for name in needed} - _joined_by(mapping)


def without_columns(mapping: ExtractMapping, contract: ExtractContract, lacking: Set[str]) -> ExtractMapping:
    """A mapping of files that lack columns: the fields that need them are not filled."""
    if not lacking:
        return mapping
    texts = {name: quote(name) for name in contract.fields} if mapping.fields == "same" else mapping.fields
    trees = field_expressions(mapping, contract)
    held = {
        name: text for name, text in texts.items() if lacking.isdisjoint(map(_written, names(trees[name])))
    }
    return mapping.model_copy(update={"fields": held})


def _written(name: Name) -> str:
    return name.name if name.table is None else f"{JOINED}.{name.name}"


def _joined_by(mapping: ExtractMapping) -> set[str]:
    """The columns by which the records of two files find each other."""
    on = mapping.join.on if mapping.join else {}
    return {*on, *(f"{JOINED}.{name}" for name in on.values())}


def joined_columns(mapping: ExtractMapping, contract: ExtractContract) -> list[str]:
    """The columns of its second file that a mapping needs, in order of use."""
    found = [name.name for name in _names_used(mapping, contract) if name.table is not None]
    return list(dict.fromkeys([*found, *(mapping.join.on.values() if mapping.join else ())]))


def _names_used(
    mapping: ExtractMapping, contract: ExtractContract, of: Callable[[str], bool] = lambda _: True
) -> list[Name]:
    """The names in the expressions of some fields, and in where."""
    trees = [tree for name, tree in field_expressions(mapping, contract).items() if of(name)]
    if mapping.where is not None:
        trees.append(parse(mapping.where))
    return [name for tree in trees for name in names(tree)]


def pattern_of(files: str) -> str:
    """A file name with placeholders as a regular expression.

    Raises:
        ValueError: When a placeholder is not known, or stands there twice.
    """
    result = ""
    for piece in re.split(r"(\{\w+\}|\*)", files):
        if piece == "*":
            result += "[^/]*"
        elif piece.startswith("{") and piece.endswith("}"):
            name = piece[1:-1]
            if name not in PLACEHOLDERS:
                known = ", ".join(PLACEHOLDERS)
                raise ValueError(f"{piece} is not one of {known}{did_you_mean(name, PLACEHOLDERS)}")
            if PLACEHOLDERS[name] in result:
                raise ValueError(f"{piece} stands there twice")
            result += PLACEHOLDERS[name]
        else:
            result += re.escape(piece)
    return rf"{result}\Z"
