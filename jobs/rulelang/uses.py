"""Who uses an item of the customer view: rules, terms of the risk, causes of the health, models, items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from jobs.config.scores import HealthSettings, RiskSettings
from jobs.contracts.view import CustomerView
from jobs.expressions.nodes import Node, names
from jobs.expressions.parse import parse
from jobs.rulelang.compile import items_named
from jobs.rulelang.ruleset import RuleSet

Uses = dict[str, list[str]]
"""By item, who uses it: 'rule complaint', 'risk tariff', 'health overrun', 'models', 'item spend_per_day'."""


def uses_of(
    view: CustomerView,
    rules: RuleSet,
    risk: RiskSettings,
    health: HealthSettings,
    record: Iterable[str] = (),
    learnt: Iterable[str] = (),
) -> Uses:
    """Who uses each item and score; those that nobody uses are left out.

    Args:
        view: The items.
        rules: The rules, their audiences included.
        risk: The terms of the formula.
        health: The causes.
        record: What every alert record shows.
        learnt: What models may learn from.
    """
    found: dict[str, dict[str, None]] = defaultdict(dict)

    def note(user: str, used: Iterable[str]) -> None:
        for name in used:
            if name in view.types:
                found[name][user] = None

    for rule in rules.rules:
        waits = [] if rule.pending is None else _named(rule.pending)
        note(f"rule {rule.id}", sorted({*items_named(rule, rule.condition), *waits}))
    note("alert record", record)
    for name, term in risk.terms.items():
        note(f"risk {name}", _named(parse(term.group)))
    for name, cause in health.causes.items():
        note(f"health {name}", _named(parse(cause.when)))
    note("models", learnt)
    for name, tree in view.trees.items():
        note(f"item {name}", (one.name for one in names(tree) if one.table is None))
    return {name: list(users) for name, users in found.items()}


def _named(tree: Node) -> list[str]:
    return [name.name for name in names(tree)]
