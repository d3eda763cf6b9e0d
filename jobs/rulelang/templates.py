"""Description templates: text with placeholders such as {bill_total_1m:.2f} or {change|abs:.0f}."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobs.expressions.sql import literal, quote

_PLACEHOLDER = re.compile(r"\{(?P<name>\w+)(?P<abs>\|abs)?(?::\.(?P<digits>[0-4])f)?\}")
UNKNOWN = {"zh": "未知", "en": "unknown"}


@dataclass(frozen=True)
class Placeholder:
    """A value in a text.

    Attributes:
        name: Item or parameter.
        absolute: Shown without its sign.
        digits: Digits behind the point; None shows the value as it is.
    """

    name: str
    absolute: bool = False
    digits: int | None = None


Template = tuple[str | Placeholder, ...]


def read_template(text: str) -> Template:
    """Splits a template into texts and placeholders.

    Raises:
        ValueError: When a brace is not part of a placeholder.
    """
    parts: list[str | Placeholder] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        parts.append(text[position : match.start()])
        digits = match["digits"]
        parts.append(Placeholder(match["name"], bool(match["abs"]), int(digits) if digits else None))
        position = match.end()
    parts.append(text[position:])
    plain = "".join(part for part in parts if isinstance(part, str))
    if "{" in plain or "}" in plain:
        near = plain[max(plain.find("{"), 0) :][:30]
        raise ValueError(
            f"'{near}' is not a placeholder of the form {{name}}, {{name:.2f}} or {{name|abs:.0f}}"
        )
    return tuple(part for part in parts if part != "")


def template_sql(template: Template, language: str) -> str:
    """A template as a SQL text expression over columns of the placeholders' names."""
    pieces = [literal(part) if isinstance(part, str) else _value(part, language) for part in template]
    return f"concat({', '.join(pieces)})" if pieces else "''"


def _value(part: Placeholder, language: str) -> str:
    value = quote(part.name)
    if part.absolute:
        value = f"abs({value})"
    if part.digits is not None:
        value = f"try_cast(round({value}, {part.digits}) AS DECIMAL(18,{part.digits}))"
    return f"coalesce(cast({value} AS STRING), {literal(UNKNOWN[language])})"
