"""From candidates to alerts: a chain of stages, each leaving its reason on the rows it stops.

Every stage takes and gives the candidates of one dispatch date; a row with a status has been stopped and
passes the later stages unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.config.dispatch import DispatchSettings
from jobs.domain.moments import hash_of
from jobs.domain.priority import factors_sql, priority_sql
from jobs.expressions.sql import literal, quote, to_sql
from jobs.rulelang.compile import named
from jobs.rulelang.load import Rule, RuleSet

SUPPRESSED, OVERFLOW, DISPATCHED = "suppressed", "overflow", "dispatched"
RANK_BUCKETS = 1000
STATUS = ("status", "status_reason", "suppressed_by")
DECIDING = (
    "alert_id", "moment_id", "subscription_id", "customer_id", "manager_id", "city", "value_tier",
    "risk_probability", "severity", "channel", "valid_until", "dispatch_date", *STATUS,
)  # fmt: skip


@dataclass(frozen=True)
class DispatchPlan:
    """What the chain needs besides rows.

    Attributes:
        dispatch_date: The date.
        rules: All rules.
        settings: conf/dispatch.yaml.
    """

    dispatch_date: date
    rules: RuleSet
    settings: DispatchSettings

    @property
    def served(self) -> list[Rule]:
        """Rules that lead to contact."""
        return [rule for rule in self.rules.rules if not rule.is_exempt]

    def by_rule(self, values: Mapping[str, str]) -> str:
        """SQL that depends on moment_id."""
        branches = " ".join(f"WHEN {literal(rule)} THEN {sql}" for rule, sql in sorted(values.items()))
        return f"CASE moment_id {branches} END" if branches else "NULL"


def candidates(moments: DataFrame, carried: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Everything that may be dispatched on the date: what fired now and what waited before.

    Args:
        moments: Rows of the table moments that are due on the date, exempt and shadow ones included.
        carried: Alerts of earlier dates that still wait; see waiting.
        plan: The plan.
    """
    fresh = moments.where("category <> 'exempt' AND NOT shadow")
    last_days = {rule.id: _last_day(rule) for rule in plan.served}
    until = F.expr(f"coalesce(serve_on, {plan.by_rule(last_days)})").alias("valid_until")
    fresh = fresh.select("*", until, F.lit(None).cast("date").alias("carried_from"))
    fresh = fresh.withColumnRenamed("cycle", "dispatch_cycle").drop("as_of", "shadow", "run_id")
    # What waits and fires again in the same occurrence is one alert, the one that waits.
    fresh = fresh.join(carried.select("alert_id"), "alert_id", "left_anti")
    rows = fresh.unionByName(carried.select(*fresh.columns))
    texts = {
        "severity": {rule.id: literal(rule.file.severity) for rule in plan.served},
        "plan_id": {rule.id: literal(rule.file.plan) for rule in plan.served},
        "channel": {rule.id: literal(plan.rules.plans[rule.file.plan or ""].channel) for rule in plan.served},
    }
    return rows.select(
        "*",
        *(F.expr(plan.by_rule(values)).alias(name) for name, values in texts.items()),
        F.lit(None).cast("string").alias("status"),
        F.lit(None).cast("string").alias("status_reason"),
        F.lit(None).cast("string").alias("suppressed_by"),
    )


def _last_day(rule: Rule) -> str:
    """SQL of the last day on which a moment that fires now is worth serving: steps are those of one month."""
    day = f"date_add(dispatch_date, {rule.file.urgency_days})"
    return f"least({day}, last_day(as_of))" if rule.file.fire == "each_step" else day


def waiting(alerts: DataFrame, state: DataFrame, present: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Alerts of the date before that wait for this one.

    Overflow and exempted alerts wait until they are no longer valid, or the subscription has left; those of
    rules that are pending only while true also need to be inside still, and what a rule says under
    pending_while has to hold (or not to be known).

    Args:
        alerts: Alerts of the newest earlier dispatch date.
        state: moment_id and subscription_id of who is inside now.
        present: as_of, subscription_id, items and scores of who is in the network now.
        plan: The plan.
    """
    day = literal(plan.dispatch_date)
    temporary = "status = 'overflow' OR (status = 'suppressed' AND status_reason = 'exempt')"
    still = alerts.where(f"({temporary}) AND valid_until >= {day}")
    known = [rule.id for rule in plan.served if rule.file.status == "active"]
    still = still.where(F.col("moment_id").isin(known))
    needs_truth = [rule.id for rule in plan.served if rule.file.pending_while_true]
    inside = state.select("moment_id", "subscription_id").distinct().withColumn("inside", F.lit(True))
    item = named({"as_of": "as_of", "dispatch_date": day})
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


def stop_over(rows: DataFrame) -> DataFrame:
    """Stops candidates whose time is over: a step of last month's package found on the first of the next."""
    return _suppress(rows.withColumn("by", F.lit(None).cast("string")), "valid_until < dispatch_date", "over")


def stop_exempt(rows: DataFrame, exempt: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates of subscriptions that an exempt moment keeps from being contacted.

    Args:
        rows: Candidates.
        exempt: subscription_id and moment_id of exempt moments that are true now.
        plan: The plan.
    """
    pairs = [(rule.id, other) for rule in plan.served for other in rule.file.ignores_exempt]
    ignored = " OR ".join(f"(moment_id = {literal(a)} AND exempt_id = {literal(b)})" for a, b in pairs)
    by = exempt.select("subscription_id", F.col("moment_id").alias("exempt_id"))
    hits = rows.select("alert_id", "subscription_id", "moment_id").join(by, "subscription_id")
    hits = hits.where(f"NOT ({ignored or 'FALSE'})").groupBy("alert_id").agg(F.min("exempt_id").alias("by"))
    return _stop(rows, hits, "exempt")


def stop_cooling(rows: DataFrame, dispatched: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates whose moment was dispatched for the same subscription not long ago.

    Args:
        rows: Candidates.
        dispatched: alert_id, moment_id, subscription_id, dispatch_date of alerts dispatched before.
        plan: The plan.
    """
    days = {rule.id: str(rule.file.cooldown_days) for rule in plan.served if rule.file.cooldown_days}
    earlier = dispatched.select(
        "moment_id", "subscription_id", F.col("dispatch_date").alias("was"), F.col("alert_id").alias("by")
    )
    hits = rows.select("alert_id", "moment_id", "subscription_id").join(
        earlier, ["moment_id", "subscription_id"]
    )
    recent = f"alert_id = by OR datediff({literal(plan.dispatch_date)}, was) < {plan.by_rule(days)}"
    hits = hits.where(recent).groupBy("alert_id").agg(F.max_by("by", F.struct("was", "by")).alias("by"))
    return _stop(rows, hits, "cooldown")


def stop_inhibited(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops weaker moments of a subscription that a stronger one, itself not stopped, mutes."""
    pairs = [(rule.id, weaker) for rule in plan.served for weaker in rule.file.inhibits]
    if not pairs:
        return rows
    mutes = " OR ".join(f"(by = {literal(a)} AND moment_id = {literal(b)})" for a, b in pairs)
    live = rows.where("status IS NULL").select("subscription_id", F.col("moment_id").alias("by"))
    hits = rows.select("alert_id", "subscription_id", "moment_id").join(live, "subscription_id").where(mutes)
    return _stop(rows, hits.groupBy("alert_id").agg(F.min("by").alias("by")), "inhibited")


def _stop(rows: DataFrame, hits: DataFrame, reason: str) -> DataFrame:
    """Marks the rows named in hits (alert_id, by), unless an earlier stage has stopped them."""
    return _suppress(rows.join(hits, "alert_id", "left"), "by IS NOT NULL", reason)


def _suppress(rows: DataFrame, condition: str, reason: str) -> DataFrame:
    """Marks the rows that a condition stops, unless an earlier stage has; by, dropped, is the culprit."""
    stopped = f"status IS NULL AND {condition}"
    return rows.withColumns(
        {
            "status_reason": F.expr(f"CASE WHEN {stopped} THEN {literal(reason)} ELSE status_reason END"),
            "suppressed_by": F.expr(f"CASE WHEN {stopped} THEN by ELSE suppressed_by END"),
            "status": F.expr(f"CASE WHEN {stopped} THEN {literal(SUPPRESSED)} ELSE status END"),
        }
    ).drop("by")


def with_priority(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Adds priority_factors and their product."""
    factored = rows.withColumn("priority_factors", F.expr(factors_sql(plan.settings.priority)))
    return factored.withColumn("priority", F.expr(priority_sql()))


def with_visits(rows: DataFrame, managers: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Groups a customer's live moments that need a manager into one visit, the strongest leading.

    Adds visit_id, visit_lead, resource (whose day the visit takes) and capacity (visits that day).

    Args:
        rows: Candidates with priority.
        managers: manager_id and daily_visits.
        plan: The plan.
    """
    by_manager = [name for name, channel in plan.settings.channels.items() if channel.uses_manager]
    needs = f"(status IS NULL AND channel IN ({', '.join(map(literal, by_manager)) or 'NULL'}))"
    whom = F.coalesce("customer_id", "subscription_id").alias("_whom")
    visiting = rows.withColumn("_needs", F.expr(needs)).withColumn("_whom", whom)
    visiting = visiting.withColumn("_date", F.lit(plan.dispatch_date.isoformat()))
    leading = Window.partitionBy("_whom", "_needs").orderBy(F.desc("priority"), "alert_id")
    # A customer may hold numbers under several managers: the lead moment decides.
    lead_values = {
        name: F.first(name).over(leading) for name in ("manager_id", "city", "priority", "alert_id")
    }
    visits = visiting.select(
        "*",
        F.when(F.col("_needs"), hash_of("_whom", "_date")).alias("visit_id"),
        F.when(F.col("_needs"), F.row_number().over(leading) == 1).alias("visit_lead"),
        *(value.alias(f"_lead_{name}") for name, value in lead_values.items()),
    )
    known = managers.select(F.col("manager_id").alias("_lead_manager_id"), "daily_visits")
    joined = visits.join(known, "_lead_manager_id", "left")
    teams = plan.settings.teams
    cities = " ".join(
        f"WHEN {literal(city)} THEN {count}" for city, count in sorted(teams.daily_visits_by_city.items())
    )
    team = f"CASE _lead_city {cities} ELSE {teams.daily_visits_default} END"
    if not cities:
        team = str(teams.daily_visits_default)
    return joined.select(
        "*",
        F.expr(
            "CASE WHEN NOT _needs THEN NULL "
            "WHEN daily_visits IS NOT NULL THEN concat('manager:', _lead_manager_id) "
            "ELSE concat('team:', coalesce(_lead_city, 'unknown')) END"
        ).alias("resource"),
        F.expr(f"CASE WHEN _needs THEN coalesce(daily_visits, {team}) END").alias("capacity"),
    ).drop("daily_visits", "_whom", "_date", "_needs")


def with_ranks(rows: DataFrame) -> DataFrame:
    """Adds rank_province and rank_manager of each visit, in one total order: priority, then alert_id.

    The province's rank needs no window over all rows: visits are cut into buckets of priority, ranked
    inside, and the sizes of the buckets above are added.
    """
    leads = rows.where("visit_lead").select(
        "visit_id",
        "resource",
        "priority",
        "alert_id",
        F.expr(f"cast(floor(priority * {RANK_BUCKETS}) AS INT)").alias("_bucket"),
    )
    order = [F.desc("priority"), F.col("alert_id")]
    inside = F.row_number().over(Window.partitionBy("_bucket").orderBy(*order))
    by_resource = F.row_number().over(Window.partitionBy("resource").orderBy(*order))
    sizes = leads.groupBy("_bucket").agg(F.count("*").alias("size"))
    above = sizes.alias("low").join(sizes.alias("high"), F.expr("high._bucket > low._bucket"), "left")
    offsets = above.groupBy("low._bucket").agg(F.coalesce(F.sum("high.size"), F.lit(0)).alias("offset"))
    ranked = leads.join(F.broadcast(offsets), "_bucket").select(
        "visit_id",
        (F.col("offset") + inside).alias("rank_province"),
        by_resource.cast("bigint").alias("rank_manager"),
    )
    return rows.join(ranked, "visit_id", "left")


def with_capacity(rows: DataFrame) -> DataFrame:
    """Gives every live row its status: visits beyond their resource's capacity wait, naming it.

    A visit takes one place of one resource, so filling in the global order is the rank inside the
    resource; moments that need no manager are dispatched as they are.
    """
    full = "resource IS NOT NULL AND rank_manager > capacity"
    return rows.withColumns(
        {
            "suppressed_by": F.expr(
                f"CASE WHEN status IS NULL AND {full} THEN resource ELSE suppressed_by END"
            ),
            "status_reason": F.expr(
                f"CASE WHEN status IS NULL AND {full} THEN 'capacity' ELSE status_reason END"
            ),
            "status": F.expr(
                f"CASE WHEN status IS NOT NULL THEN status WHEN {full} THEN {literal(OVERFLOW)} "
                f"ELSE {literal(DISPATCHED)} END"
            ),
        }
    )


def with_decisions(rows: DataFrame, decided: DataFrame) -> DataFrame:
    """Puts what the chain decided on the deciding columns back on the whole rows."""
    added = [name for name in decided.columns if name not in DECIDING]
    return rows.drop(*STATUS).join(decided.select("alert_id", *STATUS, *added), "alert_id")


def alert_rows(
    rows: DataFrame, plan: DispatchPlan, schema_version: int, generated_at: str, run_id: str
) -> DataFrame:
    """Rows of the table alerts."""
    titles = {
        f"title_{language}": {rule.id: literal(getattr(rule.file.title, language)) for rule in plan.served}
        for language in ("zh", "en")
    }
    windows = " ".join(
        f"WHEN {literal(name)} THEN array(struct("
        f"{literal(c.contact_from)} AS from_time, {literal(c.contact_to)} AS to_time))"
        for name, c in plan.settings.channels.items()
    )
    return rows.select(
        "*",
        F.lit(1).alias("revision"),
        F.lit(schema_version).alias("schema_version"),
        *(F.expr(plan.by_rule(values)).alias(name) for name, values in titles.items()),
        F.lit(generated_at).cast("timestamp").alias("generated_at"),
        F.col("dispatch_date").alias("not_before"),
        F.expr(f"CASE channel {windows} END").alias("allowed_contact_windows"),
        F.lit(None).cast("string").alias("previous_alert_id"),
        F.lit(None).cast("string").alias("rule_version"),
        F.lit(run_id).alias("run_id"),
    )
