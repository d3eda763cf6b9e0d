"""A first file of a rule, from what is wished of it in a line or two; a person goes on from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from jobs.contracts.view import CustomerView, Item, Score
from jobs.expressions.nodes import Call, Literal, Name, Node
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.titles import Title
from jobs.rulelang.model import Category, Severity

_SIGNS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_PARAMETER = "threshold"
# What a draft says itself, whatever its template says.
_ALWAYS = frozenset({"status", "title", "when", "parameters", "plan", "description"})
_WHY = "Taken from the first draft; say here why"


@dataclass(frozen=True)
class Wish:
    """What a rule is to be.

    Attributes:
        when: Comparisons of an item with a value, such as complaints_30d >= 2; all have to hold.
        why: Why the numbers are what they are.
        remarks: Lines of comment at the top of the file.
        inherits: The template that it inherits from.
        inherited: What it leaves to its template.
    """

    id: str
    title: Title
    category: Category
    cycle: CycleKind
    audience: str
    when: tuple[str, ...]
    plan: str
    severity: Severity = "medium"
    urgency_days: int = 5
    why: str = _WHY
    remarks: tuple[str, ...] = ()
    inherits: str | None = None
    inherited: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Comparison:
    """An item compared with a value.

    Attributes:
        key: Name of the condition.
        parameter: Name under which a number is set.
    """

    key: str
    item: str
    sign: str
    value: Decimal | str | bool
    parameter: str | None

    @property
    def text(self) -> str:
        if isinstance(self.value, Decimal):
            return f"{self.item} {self.sign} {'-' if self.value < 0 else ''}:{self.parameter}"
        if isinstance(self.value, bool):
            return f"{self.item} {self.sign} {str(self.value).lower()}"
        quoted = self.value.replace("'", "''")
        return f"{self.item} {self.sign} '{quoted}'"


def draft(wish: Wish, view: CustomerView) -> str:
    """The text of a rule file.

    Numbers become parameters with wide bounds; texts say the items' names and values. Its status is draft, so
    nothing comes of it until somebody sets another.

    Raises:
        ConfigError: When a condition is not a comparison of an item with a value.
    """
    found = list(_comparisons(wish.when, view))
    conditions = [f"    {one.key}: {_quoted(one.text)}" for one in found]
    parameters = [_parameter(one, view, wish.why) for one in found if one.parameter is not None]
    if parameters:
        parameters.insert(0, "parameters:")
    zh, en = [], []
    for item in dict.fromkeys(one.item for one in found):
        place = f"{{{item}{_form(_named(view, item).type)}}}"
        zh.append(_named(view, item).zh + place)
        en.append(f"{_named(view, item).en}: {place}")
    remarks = [f"# {line}" for line in wish.remarks]
    lines = "\n".join
    parent = [] if wish.inherits is None else [f"inherits: {wish.inherits}"]
    text = f"""# yaml-language-server: $schema=../rule.schema.json
{lines([*remarks, f"id: {wish.id}", *parent])}
status: draft                            # shadow tries it on every cycle, active gives alerts
title: {{zh: {_quoted(wish.title.zh)}, en: {_quoted(wish.title.en)}}}
category: {wish.category}
cycle: {wish.cycle}
audience: {wish.audience}
when:
  all:
{lines([*conditions, *parameters])}
fire: on_entry
on_first_run: baseline
cooldown_days: 30
severity: {wish.severity}
urgency_days: {wish.urgency_days}
plan: {wish.plan}
description:
  zh: {_quoted(f"{'，'.join(zh)}。")}
  en: {_quoted(f"{'; '.join(en)}.")}
"""
    left = wish.inherited - _ALWAYS
    kept = [line for line in text.split("\n") if line.partition(":")[0] not in left]
    return lines(kept)


def _comparisons(when: Sequence[str], view: CustomerView) -> Iterator[_Comparison]:
    used: Counter[str] = Counter()

    def numbered(name: str) -> str:
        used[name] += 1
        return name if used[name] == 1 else f"{name}_{used[name]}"

    for text in when:
        item, sign, value = _comparison(text, view)
        parameter = numbered(_PARAMETER) if isinstance(value, Decimal) else None
        yield _Comparison(numbered(item), item, sign, value, parameter)


def _named(view: CustomerView, name: str) -> Item | Score:
    return view.items[name] if name in view.items else view.scores[name]


def _parameter(one: _Comparison, view: CustomerView, why: str) -> str:
    assert isinstance(one.value, Decimal)
    known, sure = _named(view, one.item), abs(one.value)
    unit = f", unit: {known.unit}" if known.unit else ""
    bounds = f"min: {_least(sure)}, max: {_most(sure)}"
    return f"  {one.parameter}: {{default: {sure}{unit}, {bounds}, why: {_quoted(why)}}}"


def _comparison(text: str, view: CustomerView) -> tuple[str, str, Decimal | str | bool]:
    wrong = f"'{text}' is not a comparison of an item with a value, such as 'complaints_30d >= 2'"
    try:
        tree = parse(text)
    except ExpressionProblem as problem:
        raise ConfigError(Issue(problem.code, f"when: {problem}")) from None
    if not isinstance(tree, Call) or tree.function not in _SIGNS or not isinstance(tree.arguments[0], Name):
        raise ConfigError(Issue("EXPR_SYNTAX", f"when: {wrong}"))
    name, value = tree.arguments[0].name, _value(tree.arguments[1])
    if value is None:
        raise ConfigError(Issue("EXPR_SYNTAX", f"when: {wrong}"))
    if name not in view.types:
        message = f"when: '{name}' is not an item of the customer view{did_you_mean(name, view.types)}"
        raise ConfigError(Issue("RULE_UNKNOWN_ITEM", message))
    fitting = "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "a number"
    kind = _named(view, name).type
    if fitting != ("a number" if kind in ("integer", "decimal") else kind):
        raise ConfigError(Issue("EXPR_TYPE", f"when: {name} is {kind}, not {fitting}"))
    return name, _SIGNS[tree.function], value


def _value(node: Node) -> Decimal | str | bool | None:
    if isinstance(node, Literal) and isinstance(node.value, (str, bool)):
        return node.value
    return _number(node)


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
