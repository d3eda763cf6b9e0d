"""What the rules say of one subscription in the newest view, condition by condition, read without Spark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from jobs.contracts.tables import view_table
from jobs.expressions.nodes import names, parameters
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import Issue, StorageError
from jobs.rulelang.conditions import Leaf, leaves, pasts_of
from jobs.rulelang.load import LANGUAGES
from jobs.rulelang.past import Past
from jobs.rulelang.ruleset import Rule
from jobs.rulelang.verdict import OUTCOMES, override_of, parameter_of, text_of, verdict_of, word_of
from jobs.stages.context import Configuration
from jobs.storage.reader import newest_partition, rows_of


@dataclass(frozen=True)
class ConditionFact:
    """One condition: its name, its truth, its text, and the values of what it names."""

    name: str
    truth: str
    text: str
    values: str


@dataclass(frozen=True)
class RuleFact:
    """What one rule says.

    Attributes:
        rule: The rule.
        cycle: Its cycle.
        outcome: fires, silent or unknown: its condition now, whatever was true before.
        audience: Whether the subscription is in its audience.
        conditions: Its conditions.
        text: The text by language, where it is true.
    """

    rule: str
    cycle: str
    outcome: str
    audience: str
    conditions: list[ConditionFact]
    text: dict[str, str]


@dataclass(frozen=True)
class Explanation:
    """What all rules say of a subscription, and the alerts that were written for it."""

    subscription_id: str
    as_of: date
    cutoff: date
    dispatch_date: date
    rules: list[RuleFact]
    alerts: list[dict[str, Any]]


def explain(
    configuration: Configuration, warehouse: str, subscription_id: str, rule_id: str | None = None
) -> Explanation:
    """Looks at the rules for one subscription.

    Args:
        configuration: The run's, with the source's parameters.
        warehouse: Folder or URI of the tables.
        subscription_id: The subscription.
        rule_id: Only this rule; all by default.

    Raises:
        ConfigError: When there is no such rule.
        StorageError: When the view has not been written, or does not have the subscription.
    """
    configuration.rules.check_known([] if rule_id is None else [rule_id])
    rules = [rule for rule in configuration.rules.rules if rule_id in (None, rule.id)]
    table = view_table(configuration.view)
    newest = newest_partition(warehouse, table, ("as_of", "cutoff"))
    as_of, cutoff = (date.fromisoformat(newest[name]) for name in ("as_of", "cutoff"))
    here = [("as_of", "=", as_of), ("cutoff", "=", cutoff), ("subscription_id", "=", subscription_id)]
    found = rows_of(warehouse, table, here)
    if not found:
        message = f"the view of {as_of} has no subscription '{subscription_id}'"
        whose = [*here[:2], ("customer_id", "=", subscription_id)]
        held = [row["subscription_id"] for row in rows_of(warehouse, table, whose, ["subscription_id"])]
        if held:
            message += f"; the customer of this id has {', '.join(sorted(held))}"
        raise StorageError(Issue("CUSTOMER_UNKNOWN", message))
    row = found[0]
    for name in dict.fromkeys(score.table for score in configuration.view.scores.values()):
        scores = [score for score, one in configuration.view.scores.items() if one.table == name]
        for told in rows_of(warehouse, configuration.tables[name], here, scores):
            row |= told
    served = as_of + timedelta(days=1)
    alerts = _alerts(configuration, warehouse, subscription_id)
    row |= configuration.rules.reserved(as_of, served)
    past = _Past(configuration, warehouse, subscription_id)
    facts = [_fact(rule, row | past.asked(rule, Cycle(rule.file.cycle, as_of, cutoff))) for rule in rules]
    return Explanation(subscription_id, as_of, cutoff, served, facts, alerts)


def _fact(rule: Rule, row: Mapping[str, Any]) -> RuleFact:
    verdict = verdict_of(rule, row)
    conditions = [
        ConditionFact(leaf.name, word_of(verdict.conditions[leaf.name]), leaf.text, _values(leaf, rule, row))
        for leaf in leaves(rule.condition)
    ]
    text = {name: text_of(rule.templates[name], row, name) for name in LANGUAGES} if verdict.truth else {}
    return RuleFact(
        rule.id, str(rule.file.cycle), OUTCOMES[verdict.truth], word_of(verdict.audience), conditions, text
    )


def _values(leaf: Leaf, rule: Rule, known: Mapping[str, Any]) -> str:
    """The values of a condition's items and parameters."""
    told = {name.name: known.get(name.name) for name in names(leaf.tree)}
    for name in parameters(leaf.tree):
        value, override = parameter_of(rule, name, known), override_of(rule, name, known)
        told[f":{name}"] = str(value) if override is None else f"{value} ({override})"
    return ", ".join(f"{name} = {'unknown' if value is None else value}" for name, value in told.items())


class _Past:
    """What earlier runs of moments say of a subscription."""

    def __init__(self, configuration: Configuration, warehouse: str, subscription_id: str) -> None:
        self.configuration = configuration
        self.warehouse = warehouse
        self.subscription_id = subscription_id

    def asked(self, rule: Rule, cycle: Cycle) -> dict[str, bool | None]:
        """The answers to what a rule asks, by the names of their columns."""
        return {past.name: self._answer(past, cycle) for past in pasts_of(rule.condition)}

    def _answer(self, past: Past, cycle: Cycle) -> bool | None:
        mine = [("cycle", "=", str(past.kind)), ("moment_id", "=", past.moment)]
        its = [*mine, ("subscription_id", "=", self.subscription_id)]
        if past.fired_in_days is not None:
            first, last = past.days(cycle)
            when = [("as_of", ">=", first), ("as_of", "<=", last), ("dispatch_date", "<=", cycle.cutoff)]
            return bool(self._rows("moments", [*its, *when], "as_of"))
        runs = past.runs(cycle, self.configuration.calendar)
        known = {
            row["as_of"]
            for row in self._rows("rule_evaluations", [*mine, ("result", "=", "evaluated")], "as_of")
        }
        known &= set(runs)
        truths = [
            row["truth"] for row in self._rows("moment_state", its, "as_of", "truth") if row["as_of"] in known
        ]
        return past.answer(truths.count("true"), truths.count("unknown"), len(known))

    def _rows(self, table: str, where: list[tuple[str, str, Any]], *columns: str) -> list[dict[str, Any]]:
        try:
            return rows_of(self.warehouse, self.configuration.tables[table], where, columns)
        except StorageError:
            return []


def _alerts(configuration: Configuration, warehouse: str, subscription_id: str) -> list[dict[str, Any]]:
    """The alerts of a subscription, oldest first; none where no date has been dispatched."""
    columns = ("dispatch_date", "moment_id", "status", "status_reason")
    where = [("subscription_id", "=", subscription_id)]
    try:
        found = rows_of(warehouse, configuration.tables["alerts"], where, columns)
    except StorageError:
        return []
    return sorted(found, key=lambda row: (row["dispatch_date"], row["moment_id"]))
