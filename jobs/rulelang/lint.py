"""What a person should look at again in rules that are right by form: contradictions, doubles, overlaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from datetime import date
from decimal import Decimal
from itertools import permutations, product

from jobs.expressions.nodes import Call, Literal, Name, Node, names, substitute
from jobs.expressions.nodes import Parameter as Named
from jobs.kernel.errors import Issue, Location
from jobs.rulelang.conditions import Condition, Leaf, leaves, pasts_of
from jobs.rulelang.logic import TooManyCasesError, both, is_possible, negated
from jobs.rulelang.ruleset import Rule, RuleSet
from jobs.rulelang.verdict import parameter_of


def lint(rules: RuleSet, paths: Mapping[str, str]) -> list[Issue]:
    """Looks for what can hardly be meant; rules that are retired are left alone.

    Thresholds are those of the province, and of each city that has its own.

    Args:
        rules: The rules.
        paths: File of each rule.

    Returns:
        Warnings, in order of file.
    """
    found: list[Issue] = []
    kept = [rule for rule in rules.rules if rule.file.status != "retired"]
    retired = {rule.id for rule in rules.rules} - {rule.id for rule in kept}
    for rule in kept:
        place = Location(paths[rule.id])
        found += [Issue("LINT_RETIRED", message, place) for message in _retired(rule, retired)]
        try:
            # One by one: what was found before a case is too branched stays.
            for code, message in _alone(rule):
                found.append(Issue(code, message, place))
        except TooManyCasesError:
            continue
    items = {rule.id: set(names(both(rule.audience, _tree(rule.condition)))) for rule in kept}
    for one, other in permutations(kept, 2):
        # Who asks nothing of an item says nothing about it.
        if not items[other.id] <= items[one.id]:
            continue
        try:
            issue = _together(one, other)
        except TooManyCasesError:
            continue
        if issue is not None:
            found.append(Issue(*issue, Location(paths[one.id])))
    return sorted(found, key=lambda issue: str(issue.location))


def _retired(rule: Rule, retired: Set[str]) -> Iterator[str]:
    """What a rule still has to do with rules that are retired."""
    for name in sorted(retired & {leaf.moment for leaf in leaves(rule.condition) if leaf.moment}):
        yield f"asks '{name}', which is retired: what that rule asks holds here all the same"
    for name in sorted(retired & {past.moment for past in pasts_of(rule.condition)}):
        yield f"asks what '{name}' was, which is retired: it has no more runs, so nothing is known of it"
    for key, named in (("inhibits", rule.file.inhibits), ("ignores_exempt", rule.file.ignores_exempt)):
        for name in sorted(retired & set(named)):
            yield f"{key}: '{name}' is retired, so nothing comes of it"


def _alone(rule: Rule) -> Iterator[tuple[str, str]]:
    for place in _places(rule):
        where = "".join(
            f" in {key}" if item == "city" else f" where {item} is {key}"
            for item, key in place.items()
            if key
        )
        audience = _with_values(rule.audience, rule, place)
        condition = _with_values(_tree(rule.condition), rule, place)
        if not is_possible(both(audience, condition)):
            yield "LINT_NEVER_TRUE", f"nobody can meet the rule{where}: what it asks contradicts itself"
            if not where:
                return
            continue
        if not is_possible(both(audience, negated(condition))):
            yield "LINT_ALWAYS_TRUE", f"everybody in the audience of whom it is known meets the rule{where}"
        for name, branch in _branches(rule.condition):
            if not is_possible(both(audience, _with_values(branch, rule, place))):
                yield "LINT_DEAD_CONDITION", f"'{name}' can never be met here{where}: the rest contradicts it"
    if (steps := rule.file.steps) is not None:
        for step in steps.at:
            reached = Call("ge", (Name(steps.of), Literal(Decimal(step))))
            if not is_possible(both(_whole(rule, {}), reached)):
                yield "LINT_UNREACHABLE_STEP", f"step {step} lies beyond what the rule asks"


def _together(one: Rule, other: Rule) -> tuple[str, str] | None:
    """What two rules have to do with each other, told once, at the narrower one."""
    if one.file.cycle is not other.file.cycle or one.is_exempt or other.is_exempt:
        return None
    if not _meet_in_time(one, other) or not _within(one, other):
        return None
    if _within(other, one):
        if one.id < other.id:
            return "LINT_DUPLICATE", f"'{other.id}' is met by the same customers"
        return None
    muted = other.id in one.file.inhibits or one.id in other.file.inhibits
    if muted or one.is_reminder != other.is_reminder:
        return None
    return "LINT_OVERLAP", f"whoever meets it meets '{other.id}' as well, and neither inhibits the other"


def _meet_in_time(one: Rule, other: Rule) -> bool:
    first = max(rule.file.valid_from or date.min for rule in (one, other))
    last = min(rule.file.valid_to or date.max for rule in (one, other))
    return first <= last


def _within(one: Rule, other: Rule) -> bool:
    """Whether all who meet one meet the other, wherever thresholds differ."""
    places = _places(one, other)
    return not any(is_possible(both(_whole(one, place), negated(_whole(other, place)))) for place in places)


def _places(*rules: Rule) -> list[dict[str, str]]:
    """What the items say on which thresholds depend: nothing of note first, then each that has its own."""
    keys: defaultdict[str, set[str]] = defaultdict(lambda: {""})
    for parameter in (one for rule in rules for one in rule.file.parameters.values()):
        if parameter.varies_by is not None:
            keys[parameter.varies_by] |= set(parameter.values_by)
    return [dict(zip(keys, chosen, strict=True)) for chosen in product(*map(sorted, keys.values()))]


def _whole(rule: Rule, place: Mapping[str, str]) -> Node:
    return both(_with_values(rule.audience, rule, place), _with_values(_tree(rule.condition), rule, place))


def _with_values(node: Node, rule: Rule, place: Mapping[str, str]) -> Node:
    """A condition with the values that its parameters have where items say this."""

    def value(found: Node) -> Node | None:
        if isinstance(found, Named):
            return Literal(parameter_of(rule, found.name, place))
        return None

    return substitute(node, value)


def _tree(condition: Condition) -> Node:
    if isinstance(condition, Leaf):
        return condition.tree
    members = tuple(_tree(member) for member in condition.members)
    if condition.kind == "any":
        return Call("or", members) if len(members) > 1 else members[0]
    return negated(both(*members)) if condition.kind == "not" else both(*members)


def _branches(condition: Condition) -> Iterator[tuple[str, Node]]:
    """Each branch of an any, with the whole condition as it is when only that branch counts."""
    if isinstance(condition, Leaf) or condition.kind == "not":
        return
    for place, member in enumerate(condition.members):
        if condition.kind == "any":
            yield member.name, _tree(member)
        for name, below in _branches(member):
            if condition.kind == "any":
                yield name, below
                continue
            others = [_tree(one) for at, one in enumerate(condition.members) if at != place]
            yield name, both(*others, below)
