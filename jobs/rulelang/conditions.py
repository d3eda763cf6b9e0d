"""Conditions: named comparisons under all, any and not; their supply, and their SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from jobs.expressions.nodes import Name, Node, is_supplied
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.expressions.sql import NameSql, ParameterSql, to_sql
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.located_yaml import Document, validate
from jobs.rulelang.past import Asked, Past

Kind = Literal["all", "any", "not"]
KINDS: tuple[Kind, ...] = ("all", "any", "not")
MOMENT = "moment"
MAX_CONDITIONS = 60


@dataclass(frozen=True)
class Leaf:
    """One named condition; its name becomes evidence in the alert.

    Attributes:
        moment: The other moment that asks it, where a rule names one.
        past: What is asked of earlier runs of a moment, where it is that; the tree is the name of the answer.
    """

    name: str
    tree: Node
    text: str
    moment: str | None = None
    past: Past | None = None


@dataclass(frozen=True)
class Group:
    """Conditions under all, any or not; the name is empty at the top."""

    name: str
    kind: Kind
    members: tuple[Condition, ...]


Condition = Leaf | Group


def leaves(condition: Condition) -> Iterator[Leaf]:
    """All named comparisons, in order of writing."""
    if isinstance(condition, Leaf):
        yield condition
    else:
        for member in condition.members:
            yield from leaves(member)


def pasts_of(condition: Condition) -> set[Past]:
    """What a condition asks of earlier runs of moments."""
    return {leaf.past for leaf in leaves(condition) if leaf.past is not None}


def supplied_part(condition: Condition, known: Callable[[Name], bool]) -> Condition | None:
    """The part of a condition that a source can decide.

    Under any, branches that can never have a value are left out; under all and not they take the whole
    condition with them.

    Returns:
        The condition, smaller where branches fell away, or None when it cannot be decided.
    """
    if isinstance(condition, Leaf):
        return condition if is_supplied(condition.tree, known) else None
    parts = [supplied_part(member, known) for member in condition.members]
    kept = tuple(part for part in parts if part is not None)
    if condition.kind == "any":
        return Group(condition.name, "any", kept) if kept else None
    return Group(condition.name, condition.kind, kept) if len(kept) == len(parts) else None


def condition_sql(condition: Condition, name_sql: NameSql, parameter_sql: ParameterSql) -> str:
    """A condition as SQL with three-valued logic: null is unknown."""
    if isinstance(condition, Leaf):
        return to_sql(condition.tree, name_sql, parameter_sql)
    parts = [condition_sql(member, name_sql, parameter_sql) for member in condition.members]
    if condition.kind == "not":
        return f"(NOT ({' AND '.join(parts)}))"
    return "(" + (" AND " if condition.kind == "all" else " OR ").join(parts) + ")"


Resolve = Callable[[str, Asked], "Condition | None"]


def read_condition(
    data: dict[str, Any], document: Document, moment: Resolve
) -> tuple[Condition | None, list[Issue]]:
    """Reads the when part of a rule, with all its problems.

    Args:
        data: The part.
        document: Where it stands.
        moment: Gives what another moment asks, or what is asked of its past, under the condition's name; None
            when that is not to be had, which it reports itself.
    """
    reader = _Reader(document, moment)
    condition = reader.group("", data, ("when",))
    if condition is not None and not reader.issues:
        found = list(leaves(condition))
        if len(found) > MAX_CONDITIONS:
            message = f"has more than {MAX_CONDITIONS} conditions"
            reader.issues.append(Issue("YAML_BAD_VALUE", message, document.at("when")))
        times = Counter(leaf.name for leaf in found)
        twice = {
            f"the condition '{leaf.name}' is named twice"
            if leaf.moment is None
            else f"the moment '{leaf.moment}' is asked twice; once is enough"
            for leaf in found
            if times[leaf.name] > 1
        }
        for message in sorted(twice):
            reader.issues.append(Issue("YAML_DUPLICATE_KEY", message, document.at("when")))
    return condition, reader.issues


class _Reader:
    def __init__(self, document: Document, moment: Resolve) -> None:
        self.document = document
        self.moment = moment
        self.issues: list[Issue] = []

    def group(self, name: str, data: dict[str, Any], at: tuple[str, ...]) -> Condition | None:
        kind = next((one for one in KINDS if [one] == list(data)), None)
        if kind is None:
            wrong = next((key for key in data if key not in KINDS), None)
            hint = did_you_mean(wrong, KINDS) if wrong else ""
            found = f", not {', '.join(data)}" if data else ""
            message = f"needs exactly one of all, any, not{found}{hint}"
            self.issues.append(Issue("YAML_BAD_VALUE", message, self.document.at(*at)))
            return None
        members = data[kind]
        place = (*at, kind)
        if not isinstance(members, dict) or not members:
            message = f"'{kind}' needs named conditions, such as 'falls: bill_total_1m < 10'"
            self.issues.append(Issue("YAML_BAD_VALUE", message, self.document.at(*place)))
            return None
        read = [self.member(key, value, (*place, key)) for key, value in members.items()]
        return Group(name, kind, tuple(one for one in read if one is not None))

    def member(self, name: str, value: Any, at: tuple[str, ...]) -> Condition | None:
        if isinstance(value, dict):
            if name in KINDS:
                return self.group("", {name: value}, at[:-1])
            if MOMENT in value:
                try:
                    asked = validate(self.document, Asked, at)
                except ConfigError as error:
                    self.issues.extend(error.issues)
                    return None
                found = self.moment(name, asked)
                return found if isinstance(found, Leaf | None) else Group(name, "all", (found,))
            return self.group(name, value, at)
        if not isinstance(value, str):
            message = f"'{name}' needs an expression, not {value!r}"
            self.issues.append(Issue("YAML_BAD_VALUE", message, self.document.at(*at)))
            return None
        try:
            return Leaf(name, parse(value), value)
        except ExpressionProblem as problem:
            self.issues.append(Issue(problem.code, f"{name}: {problem}", self.document.at(*at)))
            return None
