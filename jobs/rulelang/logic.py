"""Whether a condition can be true at all, found without data: contradictions among what it compares.

A condition is taken apart into cases, each a set of facts that hold together. A case is impossible when what
it says of one expression cannot be: at most 3 and at least 5, 'a' and 'b', unknown and compared. What two
different expressions have to do with each other is not known here, so "possible" means: nothing speaks
against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from jobs.expressions.evaluate import evaluate
from jobs.expressions.nodes import Call, Literal, Name, Node, names

MOST_CASES = 2_000
_COMPARISONS = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_TURNED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}


class TooManyCasesError(Exception):
    """A condition is too branched to be looked at."""


@dataclass(frozen=True)
class Fact:
    """Something that holds of an expression.

    Attributes:
        subject: The expression.
        relation: eq, ne, lt, le, gt, ge, in, not_in, is_null, is_known, is (true or false).
        value: What it is compared with.
    """

    subject: str
    relation: str
    value: Any = None


Case = frozenset[Fact]


def is_possible(node: Node) -> bool:
    """Whether nothing speaks against a condition being true.

    Args:
        node: The condition, with values instead of parameters.

    Raises:
        TooManyCasesError: When it is too branched.

    Example:
        >>> from jobs.expressions.parse import parse
        >>> never = parse("a >= 5 and (a < 3 or b = 'x' and b in ('y', 'z'))")
        >>> is_possible(never), is_possible(parse("a >= 5 and a < 6"))
        (False, True)
    """
    return any(_holds_together(case) for case in _cases(node, True))


def negated(node: Node) -> Node:
    """The condition that is true where another is false, and unknown where it is unknown."""
    return Call("not", (node,))


def both(*parts: Node) -> Node:
    """The condition that is true where all are."""
    return Call("and", parts) if len(parts) > 1 else parts[0]


def _cases(node: Node, truth: bool) -> list[Case]:
    """The ways in which a condition can have a truth."""
    if isinstance(node, Call):
        if node.function == "not":
            return _cases(node.arguments[0], not truth)
        if node.function in ("and", "or"):
            parts = [_cases(part, truth) for part in node.arguments]
            return _joined(parts) if (node.function == "and") == truth else _either(parts)
        if node.function in _COMPARISONS:
            return [frozenset([_compared(node, truth)])]
        if node.function == "in" and not any(names(one) for one in node.arguments[1:]):
            values = frozenset(_value(one) for one in node.arguments[1:])
            relation = "in" if truth else "not_in"
            return [frozenset([Fact(repr(node.arguments[0]), relation, values)])]
        if node.function == "is_null":
            return [frozenset([Fact(repr(node.arguments[0]), "is_null" if truth else "is_known")])]
    if not names(node):
        return [frozenset()] if _value(node) is truth else []
    return [frozenset([Fact(repr(node), "is", truth)])]


def _compared(node: Call, truth: bool) -> Fact:
    left, right = node.arguments
    relation = node.function if truth else _COMPARISONS[node.function]
    if not names(right):
        return Fact(repr(left), relation, _value(right))
    if not names(left):
        return Fact(repr(right), _TURNED[relation], _value(left))
    # Of two expressions only their order is looked at.
    return Fact(f"{left!r} against {right!r}", relation, 0)


def _value(node: Node) -> Any:
    def no_name(name: Name) -> Any:
        raise KeyError(str(name))

    return node.value if isinstance(node, Literal) else evaluate(node, no_name)


def _joined(parts: Sequence[Sequence[Case]]) -> list[Case]:
    found: list[Case] = [frozenset()]
    for cases in parts:
        if len(found) * len(cases) > MOST_CASES:
            raise TooManyCasesError
        joined = (one | other for one, other in product(found, cases))
        # What cannot be needs no further parts.
        found = [case for case in dict.fromkeys(joined) if _holds_together(case)]
    return found


def _either(parts: Sequence[Sequence[Case]]) -> list[Case]:
    if sum(map(len, parts)) > MOST_CASES:
        raise TooManyCasesError
    return [case for cases in parts for case in cases]


def _holds_together(case: Iterable[Fact]) -> bool:
    by_subject: dict[str, list[Fact]] = defaultdict(list)
    for fact in case:
        by_subject[fact.subject].append(fact)
    return all(map(_fits, by_subject.values()))


def _fits(facts: Sequence[Fact]) -> bool:
    """Whether facts of one expression can hold together."""
    compared = [fact for fact in facts if fact.relation != "is_null"]
    if len(compared) < len(facts):
        return not compared
    # Compared with null nothing is ever true.
    if any(fact.value is None for fact in compared if fact.relation != "is_known"):
        return False
    if len({fact.value for fact in compared if fact.relation == "is"}) > 1:
        return False
    allowed: set[Any] | None = None
    for fact in compared:
        if fact.relation in ("eq", "in"):
            values = {fact.value} if fact.relation == "eq" else set(fact.value)
            allowed = values if allowed is None else allowed & values
    if allowed is not None:
        return any(all(_allows(fact, value) for fact in compared) for value in allowed)
    lowest = [fact for fact in compared if fact.relation in ("gt", "ge")]
    highest = [fact for fact in compared if fact.relation in ("lt", "le")]
    for low, high in product(lowest, highest):
        closed = low.relation == "ge" and high.relation == "le"
        if low.value > high.value or (low.value == high.value and not closed):
            return False
    return True


def _allows(fact: Fact, value: Any) -> bool:
    match fact.relation:
        case "lt":
            return bool(value < fact.value)
        case "le":
            return bool(value <= fact.value)
        case "gt":
            return bool(value > fact.value)
        case "ge":
            return bool(value >= fact.value)
        case "ne":
            return bool(value != fact.value)
        case "not_in":
            return value not in fact.value
        case _:
            return True
