"""A first file of a rule, from what a person says of it in a line; the person goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from jobs.contracts.view import CustomerView
from jobs.expressions.nodes import Call, Literal, Name, Node
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.titles import Title
from jobs.rulelang.model import Category, Severity

_SIGNS = {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_PARAMETER = "threshold"


@dataclass(frozen=True)
class Wish:
    """What a rule is to be.

    Attributes:
        when: One comparison of an item with a number, such as complaints_30d >= 2.
    """

    id: str
    title: Title
    category: Category
    cycle: CycleKind
    audience: str
    when: str
    plan: str
    severity: Severity = "medium"
    urgency_days: int = 5


def draft(wish: Wish, view: CustomerView) -> str:
    """The text of a rule file.

    The number becomes a parameter with wide bounds; texts say the item's name and value. Its status is
    draft, so nothing comes of it until somebody sets another.

    Raises:
        ConfigError: When the condition is not a comparison of an item with a number.
    """
    item, sign, number = _comparison(wish.when, view)
    known = view.items[item]
    unit = f", unit: {known.unit}" if known.unit else ""
    sure = abs(number)
    negative = "-" if number < 0 else ""
    why = "Taken from the first draft; say here why"
    return f"""# yaml-language-server: $schema=../rule.schema.json
id: {wish.id}
status: draft                            # shadow tries it on every cycle, active gives alerts
title: {{zh: {_quoted(wish.title.zh)}, en: {_quoted(wish.title.en)}}}
category: {wish.category}
cycle: {wish.cycle}
audience: {wish.audience}
when:
  all:
    {item}: {_quoted(f"{item} {sign} {negative}:{_PARAMETER}")}
parameters:
  {_PARAMETER}: {{default: {sure}{unit}, min: {_least(sure)}, max: {_most(sure)}, why: {_quoted(why)}}}
fire: on_entry
on_first_run: baseline
cooldown_days: 30
severity: {wish.severity}
urgency_days: {wish.urgency_days}
plan: {wish.plan}
description:
  zh: {_quoted(f"{known.zh}{{{item}{_form(known.type)}}}。")}
  en: {_quoted(f"{known.en}: {{{item}{_form(known.type)}}}.")}
"""


def _comparison(text: str, view: CustomerView) -> tuple[str, str, Decimal]:
    wrong = f"'{text}' is not a comparison of an item with a number, such as 'complaints_30d >= 2'"
    try:
        tree = parse(text)
    except ExpressionProblem as problem:
        raise ConfigError(Issue(problem.code, f"when: {problem}")) from None
    if not isinstance(tree, Call) or tree.function not in _SIGNS or not isinstance(tree.arguments[0], Name):
        raise ConfigError(Issue("EXPR_SYNTAX", f"when: {wrong}"))
    name, number = tree.arguments[0].name, _number(tree.arguments[1])
    if number is None:
        raise ConfigError(Issue("EXPR_SYNTAX", f"when: {wrong}"))
    if name not in view.items:
        message = f"when: '{name}' is not an item of the customer view{did_you_mean(name, view.items)}"
        raise ConfigError(Issue("RULE_UNKNOWN_ITEM", message))
    if view.items[name].type not in ("integer", "decimal"):
        raise ConfigError(Issue("EXPR_TYPE", f"when: {name} is {view.items[name].type}, not a number"))
    return name, _SIGNS[tree.function], number


def _number(node: Node) -> Decimal | None:
    if isinstance(node, Call) and node.function == "negate":
        below = _number(node.arguments[0])
        return None if below is None else -below
    if (
        isinstance(node, Literal)
        and isinstance(node.value, (int, Decimal))
        and not isinstance(node.value, bool)
    ):
        return Decimal(node.value)
    return None


def _least(number: Decimal) -> Decimal:
    return Decimal(0) if number < 1 else Decimal(1) if number <= 10 else (number / 10).quantize(Decimal(1))


def _most(number: Decimal) -> Decimal:
    return max(Decimal(10), number * 10)


def _form(kind: str) -> str:
    return ":.2f" if kind == "decimal" else ""


def _quoted(text: str) -> str:
    """A text as YAML reads it back, whatever stands in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
