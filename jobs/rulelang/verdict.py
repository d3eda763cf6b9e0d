"""A rule looked at for one row in plain Python: whether it is true, each condition, and the text.

What Spark makes of the same rule is written by jobs.rulelang.compile; tests hold one against the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from jobs.expressions.evaluate import all_of, any_of, evaluate
from jobs.expressions.nodes import Name
from jobs.rulelang.conditions import Condition, Leaf, leaves
from jobs.rulelang.ruleset import Rule
from jobs.rulelang.templates import UNKNOWN, Optional, Part, Placeholder, Template, placeholders

Truth = bool | None
"""True, False, or None for unknown."""
OUTCOMES: dict[Truth, str] = {True: "fires", False: "silent", None: "unknown"}


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a row.

    Attributes:
        truth: Whether it is in the audience and the condition is true.
        audience: Whether it is in the audience.
        conditions: Truth of each named condition.
    """

    truth: Truth
    audience: Truth
    conditions: Mapping[str, Truth]

    @property
    def met(self) -> list[str]:
        """Names of the conditions that are true."""
        return [name for name, truth in self.conditions.items() if truth is True]


def verdict_of(rule: Rule, row: Mapping[str, Any]) -> Verdict:
    """Looks at a rule for one row.

    Args:
        rule: The rule.
        row: Items, scores and what is reserved, by name; what is not there is unknown.
    """

    def item(name: Name) -> Any:
        return row.get(name.name)

    def parameter(name: str) -> Decimal:
        return parameter_of(rule, name, row)

    truths = {leaf.name: evaluate(leaf.tree, item, parameter) for leaf in leaves(rule.condition)}
    audience = evaluate(rule.audience, item)
    return Verdict(all_of([audience, _truth(rule.condition, truths)]), audience, truths)


def parameter_of(rule: Rule, name: str, row: Mapping[str, Any]) -> Decimal:
    """A parameter's value for a row: that of its city, or of what else it depends on."""
    found = rule.file.parameters[name]
    return found.values_by.get(_key(rule, name, row), found.default)


def override_of(rule: Rule, name: str, row: Mapping[str, Any]) -> str | None:
    """What gave a parameter's value for a row, where it is not the default of the rule's file."""
    key = _key(rule, name, row)
    origins = rule.origins.get(name, {})
    if key in rule.file.parameters[name].values_by:
        return f"{key}, {origins[key]}" if key in origins else key
    return origins.get("")


def _key(rule: Rule, name: str, row: Mapping[str, Any]) -> str:
    item = rule.file.parameters[name].varies_by
    return "" if item is None else str(row.get(item))


def word_of(truth: Truth) -> str:
    """A truth in a word: true, false or unknown."""
    return "unknown" if truth is None else str(truth).lower()


def _truth(condition: Condition, truths: Mapping[str, Truth]) -> Truth:
    if isinstance(condition, Leaf):
        return truths[condition.name]
    members = [_truth(member, truths) for member in condition.members]
    if condition.kind == "any":
        return any_of(members)
    every = all_of(members)
    if condition.kind == "all" or every is None:
        return every
    return not every


def text_of(template: Template, row: Mapping[str, Any], language: str) -> str:
    """A description with the values of a row."""
    return "".join(_part(part, row, language) for part in template)


def _part(part: Part, row: Mapping[str, Any], language: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Optional):
        unknown = any(_is_unknown(one, row) for one in placeholders(part.parts))
        return "" if unknown else text_of(part.parts, row, language)
    return _value(part, row.get(part.name), language)


def _is_unknown(part: Placeholder, row: Mapping[str, Any]) -> bool:
    value = row.get(part.name)
    return value is None or (part.positive and value <= 0)


def _value(part: Placeholder, value: Any, language: str) -> str:
    if value is None:
        return UNKNOWN[language]
    if part.absolute:
        value = abs(value)
    if part.digits is not None:
        value = Decimal(value).quantize(Decimal(1).scaleb(-part.digits), ROUND_HALF_UP)
    named = dict(part.labels)
    return named.get(value, f"{value:f}" if isinstance(value, Decimal) else str(value))
