"""The stages that stop candidates, each leaving its reason and the culprit on the rows it stops."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.domain.dispatch import HELD, SUPPRESSED, WHOM, DispatchPlan
from jobs.expressions.sql import literal


def stop_over(rows: DataFrame) -> DataFrame:
    """Stops candidates whose time is over: a step of last month's package found on the first of the next."""
    return _suppress(rows.withColumn("by", F.lit(None).cast("string")), "valid_until < dispatch_date", "over")


def stop_held(rows: DataFrame, held: Mapping[str, str], plan: DispatchPlan) -> DataFrame:
    """Holds what fired now of moments that are far from usual; what has waited was usual when it fired.

    Args:
        rows: Candidates.
        held: By moment, what is unusual.
        plan: The plan.
    """
    if not held:
        return rows
    by = F.expr(plan.by_rule({moment: literal(text) for moment, text in held.items()}))
    return _suppress(rows.withColumn("by", by), "by IS NOT NULL AND carried_from IS NULL", "volume", HELD)


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


def stop_cooling(rows: DataFrame, served: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates whose moment was served for the same subscription not long ago.

    Args:
        rows: Candidates.
        served: alert_id, moment_id, subscription_id, dispatch_date of alerts served before.
        plan: The plan.
    """
    days = {rule.id: str(rule.file.cooldown_days) for rule in plan.served if rule.file.cooldown_days}
    earlier = served.select(
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


def contacts_made(served: DataFrame, plan: DispatchPlan) -> DataFrame:
    """_whom, channel, and of each cap how many contacts of its days are made already (_used_0 and so on).

    Args:
        served: alert_id, customer_id, subscription_id, category, channel and dispatch_date of alerts served
            before the date; the date of a contact is the one on which it was dispatched.
        plan: The plan.
    """
    caps, whom = plan.settings.caps, F.expr(WHOM).alias("_whom")
    if not caps:
        return served.where("FALSE").select(whom, "channel")
    day = literal(plan.dispatch_date)
    longest = max(cap.days for cap in caps)
    recent = served.where(f"category <> 'reminder' AND dispatch_date > date_sub({day}, {longest})")
    contacts = F.expr(f"CASE WHEN {plan.by_manager} THEN 1 ELSE count(*) END").alias("contacts")
    days = recent.groupBy(whom, "channel", "dispatch_date").agg(contacts)
    used = [
        F.expr(f"sum(if(dispatch_date > date_sub({day}, {cap.days}), contacts, 0))").alias(f"_used_{i}")
        for i, cap in enumerate(caps)
    ]
    return days.groupBy("_whom", "channel").agg(*used)


def stop_capped(
    rows: DataFrame, used: DataFrame, plan: DispatchPlan, by_past_alone: bool = False
) -> DataFrame:
    """Stops candidates of customers who have been contacted as often as the caps of a channel allow.

    What a manager brings on one date is one contact however many moments it serves; of messages, each is
    one. Service that is owed always passes, and counts first; reminders neither count nor are stopped.
    The others pass in order of priority, then alert_id.

    Args:
        rows: Candidates with priority.
        used: The result of contacts_made.
        plan: The plan.
        by_past_alone: Candidates of the date do not count against each other, but for a visit that is owed.
    """
    caps, whom = plan.settings.caps, F.expr(WHOM).alias("_whom")
    if not caps:
        return rows
    live = rows.where("status IS NULL").where(f"NOT {plan.among(r for r in plan.served if r.is_reminder)}")
    owed = F.expr(plan.among(r for r in plan.served if r.file.service_owed))
    here = Window.partitionBy("_whom", "channel")
    order = here.orderBy(F.desc("_owed"), F.desc("priority"), "alert_id")
    placed = live.select("alert_id", whom, "channel", "priority", owed.alias("_owed")).select(
        "*",
        F.row_number().over(order).alias("_place"),
        F.max("_owed").over(here).alias("_comes_anyway"),
    )
    full = " ".join(
        f"WHEN channel = {literal(cap.channel)} AND coalesce(_used_{i}, 0) + _place > {cap.contacts} "
        f"THEN {literal(cap.name)}"
        for i, cap in enumerate(caps)
    )
    one = plan.by_manager
    placed = placed.withColumns(
        {
            "_place": F.expr("1" if by_past_alone else f"if({one}, 1, _place)"),
            "_owed": F.expr(f"_owed OR ({one} AND _comes_anyway)"),
        }
    )
    hits = placed.join(used, ["_whom", "channel"], "left").where("NOT _owed")
    hits = hits.select("alert_id", F.expr(f"CASE {full} END").alias("by")).where("by IS NOT NULL")
    return _stop(rows, hits, "cap")


def _stop(rows: DataFrame, hits: DataFrame, reason: str) -> DataFrame:
    """Marks the rows named in hits (alert_id, by), unless an earlier stage has stopped them."""
    return _suppress(rows.join(hits, "alert_id", "left"), "by IS NOT NULL", reason)


def _suppress(rows: DataFrame, condition: str, reason: str, status: str = SUPPRESSED) -> DataFrame:
    """Marks the rows that a condition stops, unless an earlier stage has; by, dropped, is the culprit."""
    stopped = f"status IS NULL AND {condition}"
    return rows.withColumns(
        {
            "status_reason": F.expr(f"CASE WHEN {stopped} THEN {literal(reason)} ELSE status_reason END"),
            "suppressed_by": F.expr(f"CASE WHEN {stopped} THEN by ELSE suppressed_by END"),
            "status": F.expr(f"CASE WHEN {stopped} THEN {literal(status)} ELSE status END"),
        }
    ).drop("by")
