"""What may be dispatched on a date, and the records of what came of it.

Between the two stands a chain of stages: stops, then visits. Every stage takes and gives the candidates of
one dispatch date; a row with a status has been stopped and passes the later stages unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config.dispatch import DispatchSettings
from jobs.domain.priority import factors_sql
from jobs.expressions.sql import literal, quote, to_sql
from jobs.rulelang.compile import named
from jobs.rulelang.reserved import reserved_sql
from jobs.rulelang.ruleset import Rule, RuleSet

SUPPRESSED, OVERFLOW, DISPATCHED = "suppressed", "overflow", "dispatched"
CONTROL, HELD = "control", "held"
# Whom caps, visits and the control group are about.
WHOM = "coalesce(customer_id, subscription_id)"
# What was served, or would have been but for the control group: both cool down and count towards caps, so
# that the two differ in nothing but the service.
SERVED = f"status IN ('{DISPATCHED}', '{CONTROL}')"
STATUS = ("status", "status_reason", "suppressed_by")
DECIDED = ("channel", *STATUS)
DECIDING = (
    "alert_id", "moment_id", "subscription_id", "customer_id", "manager_id", "city", "value_tier",
    "risk_probability", "severity", "valid_until", "carried_from", "dispatch_date", *DECIDED,
)  # fmt: skip


@dataclass(frozen=True)
class DispatchPlan:
    """What the chain needs besides rows.

    Attributes:
        dispatch_date: The date.
        rules: All rules.
        settings: conf/dispatch.yaml.
        control_key: Key by which customers fall into the control group.
        as_of: Last day that the daily cycle of the date looks at.
    """

    dispatch_date: date
    rules: RuleSet
    settings: DispatchSettings
    control_key: bytes = field(repr=False)
    as_of: date

    @property
    def served(self) -> list[Rule]:
        """Rules that lead to contact."""
        return [rule for rule in self.rules.rules if not rule.is_exempt]

    def by_rule(self, values: Mapping[str, str]) -> str:
        """SQL that depends on moment_id."""
        branches = " ".join(f"WHEN {literal(rule)} THEN {sql}" for rule, sql in sorted(values.items()))
        return f"CASE moment_id {branches} END" if branches else "NULL"

    def purpose_of(self, rule: Rule) -> str:
        """What the customer has to let us contact for, as consents name it."""
        return "reminder" if rule.is_reminder else self.rules.plans[rule.file.plan or ""].purpose

    def among(self, rules: Iterable[Rule]) -> str:
        """SQL that is true for the moments of some rules."""
        ids = ", ".join(literal(rule.id) for rule in rules)
        return f"(moment_id IN ({ids}))" if ids else "FALSE"

    @property
    def by_manager(self) -> str:
        """SQL that is true for channels that take a visit of a manager or team."""
        names = [name for name, channel in self.settings.channels.items() if channel.uses_manager]
        return f"(channel IN ({', '.join(map(literal, names))}))" if names else "FALSE"


def candidates(
    moments: DataFrame, carried: DataFrame, plan: DispatchPlan, few_carried: bool = False
) -> DataFrame:
    """Everything that may be dispatched on the date: what fired now and what waited before.

    Args:
        moments: Rows of the table moments that are due on the date, exempt and shadow ones included.
        carried: Alerts of earlier dates that still wait; see waiting.
        plan: The plan.
        few_carried: Those have room in every task, so that what fired need not move to meet them.
    """
    fresh = moments.where("category <> 'exempt' AND NOT shadow")
    last_days = {rule.id: _last_day(rule) for rule in plan.served}
    until = F.expr(f"coalesce(serve_on, {plan.by_rule(last_days)})").alias("valid_until")
    fresh = fresh.select("*", until, F.lit(None).cast("date").alias("carried_from"))
    fresh = fresh.withColumnRenamed("cycle", "dispatch_cycle").drop("as_of", "shadow", "run_id")
    # What waits and fires again in the same occurrence is one alert, the one that waits.
    brought = F.broadcast(carried) if few_carried else carried
    fresh = fresh.join(brought.select("alert_id"), "alert_id", "left_anti")
    # What fires anew says how things are now: what waits of the same moment is told no more.
    moment = ["moment_id", "subscription_id"]
    anew = fresh.join(brought.select(*moment), moment, "left_semi")
    newer = anew.groupBy(*moment).agg(F.max("alert_id").alias("_newer"))
    waits = carried.select(*fresh.columns).join(newer, moment, "left")
    rows = fresh.withColumn("_newer", F.lit(None).cast("string")).unionByName(waits)
    superseded = "_newer IS NOT NULL"
    texts = {
        "severity": {rule.id: literal(rule.file.severity) for rule in plan.served},
        "plan_id": {rule.id: literal(rule.file.plan) for rule in plan.served},
        "channel": {rule.id: literal(plan.rules.plans[rule.file.plan or ""].channel) for rule in plan.served},
    }
    return rows.select(
        "*",
        *(F.expr(plan.by_rule(values)).alias(name) for name, values in texts.items()),
        F.expr(f"CASE WHEN {superseded} THEN {literal(SUPPRESSED)} END").alias("status"),
        F.expr(f"CASE WHEN {superseded} THEN 'superseded' END").alias("status_reason"),
        F.expr(f"CASE WHEN {superseded} THEN _newer END").alias("suppressed_by"),
    ).drop("_newer")


def _last_day(rule: Rule) -> str:
    """SQL of the last day on which a moment that fires now is worth serving: steps are those of one month."""
    day = f"date_add(dispatch_date, {rule.file.urgency_days})"
    return f"least({day}, last_day(as_of))" if rule.file.fire == "each_step" else day


def waiting(alerts: DataFrame, state: DataFrame, present: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Alerts of the date before that wait for this one.

    Alerts that overflowed, were exempt, met a cap or a customer who is left alone for what a manager reported
    wait until they are no longer valid, the subscription has left, or their rule's time is over; those of
    rules that are pending only while true also need to be inside still, and what a rule says under
    pending_while has to hold (or not to be known).

    Args:
        alerts: Alerts of the newest earlier dispatch date.
        state: moment_id and subscription_id of who is inside now.
        present: as_of, subscription_id, items and scores of who is in the network now.
        plan: The plan.
    """
    day = literal(plan.dispatch_date)
    # What a revision withdrew for such a reason waits as it would have without one.
    stopped = "status IN ('suppressed', 'withdrawn') AND status_reason IN ('exempt', 'feedback', 'cap')"
    temporary = f"status = 'overflow' OR status_reason = 'capacity' OR ({stopped})"
    still = alerts.where(f"({temporary}) AND valid_until >= {day}")
    known = [rule.id for rule in plan.served if rule.file.status == "active" and rule.is_in_use(plan.as_of)]
    still = still.where(F.col("moment_id").isin(known))
    needs_truth = [rule.id for rule in plan.served if rule.file.pending_while_true]
    inside = state.select("moment_id", "subscription_id").distinct().withColumn("inside", F.lit(True))
    reserved = reserved_sql(plan.rules.reserved(plan.as_of, plan.dispatch_date))
    item = named({**reserved, "as_of": "as_of"})
    holds = {
        rule.id: f"coalesce({to_sql(rule.pending, item)}, TRUE)"
        for rule in plan.served
        if rule.pending is not None
    }
    here = present.select("subscription_id", *(F.expr(sql).alias(f"_{rule}") for rule, sql in holds.items()))
    still = still.join(here, "subscription_id").where(
        f"coalesce({plan.by_rule({rule: quote('_' + rule) for rule in holds})}, TRUE)"
    )
    still = still.drop(*(f"_{rule}" for rule in holds))
    joined = still.join(inside, ["moment_id", "subscription_id"], "left")
    kept = joined.where(F.col("inside") | ~F.col("moment_id").isin(needs_truth)).drop("inside")
    return (
        kept.drop("carried_from")
        .select("*", F.col("dispatch_date").alias("carried_from"))
        .withColumn("dispatch_date", F.lit(plan.dispatch_date))
    )


def with_decisions(rows: DataFrame, decided: DataFrame, tasks: int) -> DataFrame:
    """Puts what the chain decided on the deciding columns back on the whole rows.

    Args:
        rows: Candidates.
        decided: The same, decided.
        tasks: How many tasks join them, and leave a file each.
    """
    added = [name for name in decided.columns if name not in DECIDING]
    # Hashed, so that whole rows are not sorted for it.
    slim = decided.select("alert_id", *DECIDED, *added).repartition(tasks, "alert_id").hint("shuffle_hash")
    return rows.drop(*DECIDED).repartition(tasks, "alert_id").join(slim, "alert_id")


def alert_rows(
    rows: DataFrame, plan: DispatchPlan, schema_version: int, stamp: Mapping[str, Column]
) -> DataFrame:
    """Rows of the table alerts.

    Args:
        rows: Candidates and what was decided of them.
        plan: The plan.
        schema_version: Of the table.
        stamp: The columns revision, generated_at and run_id.
    """
    titles = {
        f"title_{language}": {rule.id: literal(getattr(rule.file.title, language)) for rule in plan.served}
        for language in ("zh", "en")
    }
    return rows.select(
        "*",
        F.lit(schema_version).alias("schema_version"),
        *(F.expr(plan.by_rule(values)).alias(name) for name, values in titles.items()),
        F.col("dispatch_date").alias("not_before"),
        F.lit(None).cast("string").alias("previous_alert_id"),
        F.lit(None).cast("string").alias("rule_version"),
        F.col("resource").alias("served_by"),
        F.expr(factors_sql(plan.settings.priority)).alias("priority_factors"),
        *(column.alias(name) for name, column in stamp.items()),
    )
