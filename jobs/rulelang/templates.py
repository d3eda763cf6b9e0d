"""Description templates: text with placeholders such as {bill_total_1m:.2f} or {change|abs:.0f}.

A part in square brackets is left out when a value in it is unknown: "[, {days_to_suspension} days left]";
with {open|positive} also when the value is not above zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jobs.expressions.sql import literal, quote

_PLACEHOLDER = re.compile(r"\{(?P<name>\w+)(?:\|(?P<filter>abs|positive))?(?::\.(?P<digits>[0-4])f)?\}")
UNKNOWN = {"zh": "未知", "en": "unknown"}


@dataclass(frozen=True)
class Placeholder:
    """A value in a text.

    Attributes:
        name: An item.
        absolute: Shown without its sign.
        digits: Digits behind the point; None shows the value as it is.
        positive: Counts as unknown unless it is above zero.
        labels: What codes are called, as pairs.
    """

    name: str
    absolute: bool = False
    digits: int | None = None
    positive: bool = False
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether it is shown as only a number can be."""
        return self.digits is not None or self.absolute or self.positive


@dataclass(frozen=True)
class Optional:
    """A part that is left out when a value in it is unknown."""

    parts: tuple[str | Placeholder, ...]


Part = str | Placeholder | Optional
Template = tuple[Part, ...]


def placeholders(template: Template) -> list[Placeholder]:
    """All placeholders, also those in optional parts."""
    found: list[Placeholder] = []
    for part in template:
        inner = part.parts if isinstance(part, Optional) else (part,)
        found += [one for one in inner if isinstance(one, Placeholder)]
    return found


def read_template(text: str) -> Template:
    """Splits a template into texts, placeholders and optional parts.

    Raises:
        ValueError: When a brace or bracket does not belong to one.
    """
    parts: list[Part] = []
    for index, piece in enumerate(re.split(r"[\[\]]", text)):
        inner = _read_flat(piece)
        parts += [Optional(inner)] if index % 2 else inner
    if text.count("[") != text.count("]") or re.search(r"\[[^\]]*\[|\][^\[]*\]", text):
        raise ValueError("square brackets must come in pairs and not inside each other")
    return tuple(part for part in parts if part != Optional(()))


def _read_flat(text: str) -> tuple[str | Placeholder, ...]:
    parts: list[str | Placeholder] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        parts.append(text[position : match.start()])
        digits = match["digits"]
        absolute, positive = match["filter"] == "abs", match["filter"] == "positive"
        parts.append(Placeholder(match["name"], absolute, int(digits) if digits else None, positive))
        position = match.end()
    parts.append(text[position:])
    plain = "".join(part for part in parts if isinstance(part, str))
    if "{" in plain or "}" in plain:
        near = plain[max(plain.find("{"), 0) :][:30]
        raise ValueError(
            f"'{near}' is not a placeholder of the form {{name}}, {{name:.2f}} or {{name|abs:.0f}}"
        )
    return tuple(part for part in parts if part != "")


def labelled(template: Template, labels: Mapping[str, Mapping[str, str]]) -> Template:
    """A template that shows names instead of codes.

    Args:
        template: The template.
        labels: What codes are called, by item.
    """

    def named(part: str | Placeholder) -> str | Placeholder:
        if isinstance(part, str) or part.name not in labels:
            return part
        return replace(part, labels=tuple(labels[part.name].items()))

    return tuple(
        Optional(tuple(map(named, part.parts))) if isinstance(part, Optional) else named(part)
        for part in template
    )


def template_sql(template: Template, language: str) -> str:
    """A template as a SQL text expression over columns of the placeholders' names."""
    pieces = [_part(part, language) for part in template]
    return f"concat({', '.join(pieces)})" if pieces else "''"


def _part(part: Part, language: str) -> str:
    if isinstance(part, str):
        return literal(part)
    if isinstance(part, Placeholder):
        return _value(part, language)
    unknown = " OR ".join(map(_is_unknown, placeholders(part.parts))) or "FALSE"
    return f"CASE WHEN {unknown} THEN '' ELSE {template_sql(part.parts, language)} END"


def _is_unknown(part: Placeholder) -> str:
    unknown = f"{quote(part.name)} IS NULL"
    return f"{unknown} OR {quote(part.name)} <= 0" if part.positive else unknown


def _value(part: Placeholder, language: str) -> str:
    value = quote(part.name)
    if part.absolute:
        value = f"abs({value})"
    if part.digits is not None:
        value = f"try_cast(round({value}, {part.digits}) AS DECIMAL(18,{part.digits}))"
    if part.labels:
        named = " ".join(f"WHEN {literal(code)} THEN {literal(name)}" for code, name in part.labels)
        value = f"CASE {value} {named} ELSE {value} END"
    return f"coalesce(cast({value} AS STRING), {literal(UNKNOWN[language])})"
