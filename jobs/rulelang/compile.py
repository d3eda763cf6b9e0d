"""From rules to SQL text: the truth of every rule in one array, evidence and texts for the few that fired.

The wide pass over the view computes truth only, as an array with a CASE a rule, so that generated code
stays small. What an alert shows is computed after the explode, by a CASE over the rule's ordinal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jobs.contracts.supply import ItemStatus
from jobs.expressions.nodes import Call, Literal, Name, Node, names
from jobs.expressions.sql import literal, plain_name, quote, to_sql
from jobs.expressions.types import Type
from jobs.rulelang.conditions import Condition, Leaf, condition_sql, leaves, supplied_part
from jobs.rulelang.model import Parameter, Steps
from jobs.rulelang.ruleset import Rule
from jobs.rulelang.templates import placeholders, template_sql

TRUE, UNKNOWN = 1, 2
EVIDENCE_TYPE = "ARRAY<STRUCT<name: STRING, value: STRING, threshold: STRING, unit: STRING>>"
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


@dataclass(frozen=True)
class EvaluableRule:
    """A rule with the part of its condition that the source can decide.

    Attributes:
        ordinal: Its number in the pass.
        left_out: Names of conditions that the source does not supply and that are left out.
    """

    ordinal: int
    rule: Rule
    condition: Condition
    left_out: tuple[str, ...]


def evaluable(
    rules: Sequence[Rule], statuses: Mapping[str, ItemStatus]
) -> tuple[list[EvaluableRule], dict[str, tuple[str, ...]]]:
    """Splits rules into those a source can decide and those it cannot.

    Args:
        rules: Rules of one cycle.
        statuses: Status of every item; items not named are taken as supplied.

    Returns:
        The evaluable rules, and for each other rule's id the items it lacks.
    """

    def known(name: Name) -> bool:
        return not statuses.get(name.name, ItemStatus.supplied).is_for_ever

    found: list[EvaluableRule] = []
    lacking: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        condition = supplied_part(rule.condition, known)
        trees = [leaf.tree for leaf in leaves(rule.condition)]
        lacks = sorted(
            {str(name) for tree in [*trees, rule.audience] for name in names(tree) if not known(name)}
        )
        if condition is None or not all(known(name) for name in names(rule.audience)):
            lacking[rule.id] = tuple(lacks)
            continue
        kept = {leaf.name for leaf in leaves(condition)}
        left_out = tuple(leaf.name for leaf in leaves(rule.condition) if leaf.name not in kept)
        found.append(EvaluableRule(len(found), rule, condition, left_out))
    return found, lacking


def truth_array_sql(rules: Sequence[EvaluableRule], reserved: Mapping[str, str]) -> str:
    """An array<int>: 10 x ordinal + 1 for each rule that is true, + 2 for each that is unknown.

    Spark compiles all of it, and looks at each predicate once: a case would do so twice, and what leaves
    nulls out of an array is interpreted.

    Args:
        rules: The rules of a pass.
        reserved: SQL of what rules may name beside items.
    """
    cases = []
    for one in rules:
        sql = predicate_sql(one, reserved)
        true, unknown = 10 * one.ordinal + TRUE, 10 * one.ordinal + UNKNOWN
        cases.append(f"element_at(array(0, {true}, {unknown}), 1 + coalesce(cast({sql} AS INT), 2))")
    return f"array_remove(array({', '.join(cases)}), 0)" if cases else "cast(array() AS ARRAY<INT>)"


def predicate_sql(one: EvaluableRule, reserved: Mapping[str, str]) -> str:
    """Whether a customer is in a rule's audience and meets its condition; null when it is unknown."""
    name_sql = named(reserved)
    audience = to_sql(one.rule.audience, name_sql)
    condition = condition_sql(one.condition, name_sql, parameter_sql(one.rule.file.parameters))
    return f"({audience} AND {condition})"


def named(reserved: Mapping[str, str]) -> Callable[[Name], str]:
    """Writes a name: a column of the view, or one of the dates that rules may name."""
    return lambda name: reserved.get(name.name) or plain_name(name)


def parameter_sql(known: Mapping[str, Parameter]) -> Callable[[str], str]:
    """Writes a parameter: a literal, or a CASE over the item on which it depends."""

    def sql(name: str) -> str:
        parameter = known[name]
        default = literal(parameter.default)
        if parameter.varies_by is None:
            return default
        others = " ".join(
            f"WHEN {literal(key)} THEN {literal(value)}" for key, value in sorted(parameter.values_by.items())
        )
        return f"CASE {quote(parameter.varies_by)} {others} ELSE {default} END"

    return sql


def evidence_sql(
    rules: Sequence[EvaluableRule], types: Mapping[str, Type], reserved: Mapping[str, str]
) -> str:
    """What decided a fired rule: an array of (name, value, threshold, unit), by ordinal."""

    def evidence(one: EvaluableRule) -> str:
        structs = [_leaf_evidence(leaf, one.rule, types, reserved) for leaf in leaves(one.condition)]
        return f"cast(array({', '.join(structs)}) AS {EVIDENCE_TYPE})"

    return _by_ordinal(rules, evidence)


def _leaf_evidence(leaf: Leaf, rule: Rule, types: Mapping[str, Type], reserved: Mapping[str, str]) -> str:
    name_sql, parameter = named(reserved), parameter_sql(rule.file.parameters)
    value, threshold = leaf.tree, None
    if isinstance(leaf.tree, Call) and leaf.tree.function in _COMPARISONS:
        left, right = leaf.tree.arguments
        value, threshold = (left, right) if names(left) else (right, left)
    elif isinstance(leaf.tree, Call) and leaf.tree.function in ("in", "is_null"):
        value = leaf.tree.arguments[0]
    unit = next((types[n.name].unit for n in names(value) if n.name in types and types[n.name].unit), None)
    return (
        f"struct({literal(leaf.name)}, cast({to_sql(value, name_sql, parameter)} AS STRING), "
        f"{_threshold_sql(threshold, name_sql, parameter)}, {literal(unit)})"
    )


def _threshold_sql(
    threshold: Node | None, name_sql: Callable[[Name], str], parameter: Callable[[str], str]
) -> str:
    if threshold is None:
        return "cast(NULL AS STRING)"
    if isinstance(threshold, Literal):
        return literal(str(threshold.value))
    return f"cast({to_sql(threshold, name_sql, parameter)} AS STRING)"


def conditions_met_sql(rules: Sequence[EvaluableRule], reserved: Mapping[str, str]) -> str:
    """Names of the conditions that are true for a fired rule, by ordinal."""

    def met(one: EvaluableRule) -> str:
        parameter = parameter_sql(one.rule.file.parameters)
        cases = [
            f"CASE WHEN {to_sql(leaf.tree, named(reserved), parameter)} THEN {literal(leaf.name)} END"
            for leaf in leaves(one.condition)
        ]
        return f"array_compact(array({', '.join(cases)}))"

    return _by_ordinal(rules, met)


def description_sql(rules: Sequence[EvaluableRule], language: str) -> str:
    """The rendered description, by ordinal."""
    return _by_ordinal(rules, lambda one: template_sql(one.rule.templates[language], language))


def again_sql(rules: Sequence[EvaluableRule], reserved: Mapping[str, str], row: str) -> str:
    """Whether a rule that is true is entered anew, by ordinal; false for rules that say nothing of it.

    Args:
        rules: The rules of a pass.
        reserved: SQL of what rules may name beside items.
        row: The column in which the items stand.
    """

    def item(name: Name) -> str:
        return reserved.get(name.name) or f"{row}.{quote(name.name)}"

    again = {one.ordinal: to_sql(one.rule.again, item) for one in rules if one.rule.again is not None}
    entered = [one for one in rules if one.ordinal in again]
    return f"coalesce({_by_ordinal(entered, lambda one: again[one.ordinal])}, FALSE)"


def step_sql(rules: Sequence[EvaluableRule]) -> str:
    """The highest step reached by rules that fire at each step, by ordinal; null for others."""
    stepped = [one for one in rules if one.rule.file.steps is not None]
    return (
        _by_ordinal(stepped, lambda one: highest_step_sql(one.rule.file.steps))
        if stepped
        else "cast(NULL AS INT)"
    )


def highest_step_sql(steps: Steps | None) -> str:
    """The highest step an item has reached, or null below the first."""
    assert steps is not None
    value = quote(steps.of)
    cases = ""
    last = steps.at[-1]
    if steps.every is not None:
        further = f"{last} + {steps.every} * cast(floor(({value} - {last}) / {steps.every}) AS INT)"
        cases += f" WHEN {value} >= {last} THEN {further}"
    for step in reversed(steps.at):
        cases += f" WHEN {value} >= {step} THEN {step}"
    return f"cast(CASE{cases} END AS INT)"


def _by_ordinal(rules: Sequence[EvaluableRule], sql: Callable[[EvaluableRule], str]) -> str:
    branches = " ".join(f"WHEN {one.ordinal} THEN {sql(one)}" for one in rules)
    return f"CASE `ordinal` {branches} END" if rules else "NULL"


def items_needed(rules: Sequence[EvaluableRule]) -> list[str]:
    """The items that conditions, audiences, steps and texts of these rules use, sorted."""
    return sorted({name for one in rules for name in items_named(one.rule, one.condition)})


def items_named(rule: Rule, condition: Condition) -> set[str]:
    """The items that a rule with a condition uses when it is evaluated."""
    trees = [leaf.tree for leaf in leaves(condition)] + [rule.audience]
    trees += [] if rule.again is None else [rule.again]
    needed = {name.name for tree in trees for name in names(tree)}
    needed |= {part.name for template in rule.templates.values() for part in placeholders(template)}
    needed |= {one.varies_by for one in rule.file.parameters.values() if one.varies_by is not None}
    if rule.file.steps is not None:
        needed.add(rule.file.steps.of)
    if rule.file.serve_in_days is not None:
        needed.add(rule.file.serve_in_days)
    return needed
