"""What the rules say of a person on a date, condition by condition, and what became of it; without Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

from jobs.contracts.tables import view_table
from jobs.expressions.nodes import names, parameters
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import Issue, StorageError
from jobs.rulelang.conditions import Leaf, leaves, pasts_of
from jobs.rulelang.load import LANGUAGES
from jobs.rulelang.past import Past
from jobs.rulelang.ruleset import Rule
from jobs.rulelang.verdict import OUTCOMES, override_of, parameter_of, text_of, verdict_of, word_of
from jobs.stages.context import Configuration
from jobs.storage.reader import partitions_of, rows_of


@dataclass(frozen=True)
class ConditionFact:
    """One condition: its name, its truth, its text, and the values of what it names."""

    name: str
    truth: str
    text: str
    values: str


@dataclass(frozen=True)
class Life:
    """What the last run of a rule left of a subscription; see the table moment_state.

    Attributes:
        as_of: The run.
        evaluated: Whether the source supplied what the rule needs.
        first_run: Whether the rule had not run before.
        phase: entered, re-entered, continuing or ended; None where it has not been inside of late.
        truth: true or unknown while inside, false once ended; None likewise.
        entered_on: Since when it is inside, or was.
        ended_on: When it was last found ended.
        step: Highest step reached in the month.
    """

    as_of: date
    evaluated: bool
    first_run: bool
    phase: str | None = None
    truth: str | None = None
    entered_on: date | None = None
    ended_on: date | None = None
    step: int | None = None


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
        life: What its last run left; None where it has not run.
        sent: Why that run's date of dispatch has an alert, or has none.
    """

    rule: str
    cycle: str
    outcome: str
    audience: str
    conditions: list[ConditionFact]
    text: dict[str, str]
    life: Life | None
    sent: str


@dataclass(frozen=True)
class Explanation:
    """What all rules say of a subscription, and the alerts that were written for it until then."""

    subscription_id: str
    as_of: date
    cutoff: date
    dispatch_date: date
    rules: list[RuleFact]
    alerts: list[dict[str, Any]]


def explain(
    configuration: Configuration,
    warehouse: str,
    person: str,
    rule_id: str | None = None,
    dispatch_date: date | None = None,
) -> list[Explanation]:
    """Looks at the rules for a subscription, or for all those of a customer.

    Args:
        configuration: The run's, with the source's parameters.
        warehouse: Folder or URI of the tables.
        person: Id of a subscription or a customer.
        rule_id: Only this rule; all by default.
        dispatch_date: As things were known on this date; the newest by default.

    Raises:
        ConfigError: When there is no such rule.
        StorageError: When the view of the date has not been written, or knows no such person.
    """
    configuration.rules.check_known([] if rule_id is None else [rule_id])
    rules = [rule for rule in configuration.rules.rules if rule_id in (None, rule.id)]
    table = view_table(configuration.view)
    cycle = _cycle(partitions_of(warehouse, table, ("as_of", "cutoff")), dispatch_date)
    here = [("as_of", "=", cycle.as_of), ("cutoff", "=", cycle.cutoff)]
    for column in ("subscription_id", "customer_id"):
        if found := rows_of(warehouse, table, [*here, (column, "=", person)]):
            break
    else:
        message = f"the view of {cycle.as_of} knows no subscription and no customer '{person}'"
        raise StorageError(Issue("CUSTOMER_UNKNOWN", message))
    rows = sorted(found, key=lambda row: str(row["subscription_id"]))
    return [_explained(configuration, warehouse, rules, cycle, row) for row in rows]


def _cycle(written: Sequence[tuple[str, ...]], dispatch_date: date | None) -> Cycle:
    """The cycle whose view is looked at.

    Raises:
        StorageError: When none is known on the date.
    """
    views = [tuple(map(date.fromisoformat, one)) for one in written]
    chosen = [one for one in views if dispatch_date in (None, one[1])]
    if not chosen:
        near = sorted({cutoff for _, cutoff in views}, key=lambda day: abs(day - (dispatch_date or day)))
        told = ", ".join(str(day) for day in sorted(near[:3]))
        message = f"no view is known on {dispatch_date}; the nearest are of {told}"
        raise StorageError(Issue("TABLE_MISSING", message))
    as_of, cutoff = max(chosen)
    return Cycle(CycleKind.daily, as_of, cutoff)


def _explained(
    configuration: Configuration, warehouse: str, rules: Sequence[Rule], cycle: Cycle, row: dict[str, Any]
) -> Explanation:
    subscription_id = row["subscription_id"]
    here = [("as_of", "=", cycle.as_of), ("cutoff", "=", cycle.cutoff)]
    mine = [("subscription_id", "=", subscription_id)]
    for name in dict.fromkeys(score.table for score in configuration.view.scores.values()):
        scores = [score for score, one in configuration.view.scores.items() if one.table == name]
        for told in rows_of(warehouse, configuration.tables[name], [*here, *mine], scores):
            row |= told
    row |= configuration.rules.reserved(cycle.as_of, cycle.dispatch_date)
    history = _History(configuration, warehouse, subscription_id, cycle)
    facts = []
    for rule in rules:
        life = history.life(rule)
        facts.append(_fact(rule, row | history.asked(rule), life, history.sent(rule, life)))
    return Explanation(subscription_id, cycle.as_of, cycle.cutoff, cycle.dispatch_date, facts, history.alerts)


def _fact(rule: Rule, row: Mapping[str, Any], life: Life | None, sent: str) -> RuleFact:
    verdict = verdict_of(rule, row)
    conditions = [
        ConditionFact(leaf.name, word_of(verdict.conditions[leaf.name]), leaf.text, _values(leaf, rule, row))
        for leaf in leaves(rule.condition)
    ]
    text = {name: text_of(rule.templates[name], row, name) for name in LANGUAGES} if verdict.truth else {}
    return RuleFact(
        rule.id,
        str(rule.file.cycle),
        OUTCOMES[verdict.truth],
        word_of(verdict.audience),
        conditions,
        text,
        life,
        sent,
    )


def _values(leaf: Leaf, rule: Rule, known: Mapping[str, Any]) -> str:
    """The values of a condition's items and parameters."""
    told = {name.name: known.get(name.name) for name in names(leaf.tree)}
    for name in parameters(leaf.tree):
        value, override = parameter_of(rule, name, known), override_of(rule, name, known)
        told[f":{name}"] = str(value) if override is None else f"{value} ({override})"
    return ", ".join(f"{name} = {'unknown' if value is None else value}" for name, value in told.items())


class _History:
    """What runs until a date have left of a subscription."""

    def __init__(
        self, configuration: Configuration, warehouse: str, subscription_id: str, cycle: Cycle
    ) -> None:
        self.configuration = configuration
        self.warehouse = warehouse
        self.cycle = cycle
        self._mine = [("subscription_id", "=", subscription_id)]
        columns = ("dispatch_date", "moment_id", "status", "status_reason")
        found = self._rows("alerts", [*self._mine, ("dispatch_date", "<=", cycle.dispatch_date)], *columns)
        self.alerts = sorted(found, key=lambda row: (row["dispatch_date"], row["moment_id"]))

    def asked(self, rule: Rule) -> dict[str, bool | None]:
        """The answers to what a rule asks of the past, by the names of their columns."""
        cycle = replace(self.cycle, kind=rule.file.cycle)
        return {past.name: self._answer(past, cycle) for past in pasts_of(rule.condition)}

    def life(self, rule: Rule) -> Life | None:
        """What the last run of a rule that was known by then left."""
        run = self._last_runs.get((str(rule.file.cycle), rule.id))
        if run is None:
            return None
        state = self._states.get((run["cycle"], run["as_of"], rule.id), {})
        return Life(run["as_of"], run["result"] == "evaluated", run["first_run"], **state)

    @cached_property
    def _last_runs(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By cycle and rule, the last run that was known by then; all are read at once."""
        columns = ("cycle", "as_of", "moment_id", "result", "first_run")
        runs = self._rows("rule_evaluations", [("as_of", "<=", self.cycle.as_of)], *columns)
        known = (row for row in runs if self._dispatched(row["cycle"], row["as_of"]) <= self.cycle.cutoff)
        return {(row["cycle"], row["moment_id"]): row for row in sorted(known, key=lambda row: row["as_of"])}

    @cached_property
    def _states(self) -> dict[tuple[str, date, str], dict[str, Any]]:
        """By cycle, run and rule, the state that these runs left."""
        days = sorted({run["as_of"] for run in self._last_runs.values()})
        names = ("phase", "truth", "entered_on", "ended_on", "step")
        key = ("cycle", "as_of", "moment_id")
        rows = self._rows("moment_state", [*self._mine, ("as_of", "in", days)], *key, *names)
        return {
            (row["cycle"], row["as_of"], row["moment_id"]): {name: row[name] for name in names}
            for row in rows
        }

    def sent(self, rule: Rule, life: Life | None) -> str:
        """Why the date of dispatch of a rule's last run has an alert of it, or has none."""
        file = rule.file
        if life is None:
            return "the rule has not run"
        if not life.evaluated:
            return "the source does not supply what the rule needs"
        day = self._dispatched(file.cycle, life.as_of)
        for alert in self.alerts:
            if (alert["dispatch_date"], alert["moment_id"]) == (day, rule.id):
                return ", ".join(one for one in (alert["status"], alert["status_reason"]) if one)
        if life.truth is None or life.phase == "ended":
            return "it was not met"
        if life.truth == "unknown":
            return "it was unknown, which ends nothing and fires nothing"
        if rule.is_exempt:
            return "it exempts from others and sends nothing itself"
        if file.status == "shadow":
            return "it is on trial (shadow) and sends nothing"
        if life.first_run and file.on_first_run == "baseline":
            return "the rule's first run only notes who is inside"
        if file.fire == "each_step":
            return f"no step has been reached since that of {life.step}"
        if life.phase == "continuing" and file.fire == "on_entry":
            return f"it fired when it was entered, on {life.entered_on}"
        return "nothing has been dispatched on its date"

    def _dispatched(self, kind: str, as_of: date) -> date:
        return self.configuration.calendar.cycle(CycleKind(kind), as_of).dispatch_date

    def _answer(self, past: Past, cycle: Cycle) -> bool | None:
        mine = [("cycle", "=", str(past.kind)), ("moment_id", "=", past.moment)]
        its = [*mine, *self._mine]
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
