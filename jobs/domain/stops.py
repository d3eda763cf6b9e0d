"""The stages that stop candidates, each leaving its reason and the culprit on the rows it stops."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.config.dispatch import Channel
from jobs.domain.dispatch import HELD, SUPPRESSED, WHOM, DispatchPlan
from jobs.domain.tasks import contacts
from jobs.expressions.sql import literal
from jobs.rulelang.ruleset import Rule


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


def refusals(consents: DataFrame) -> DataFrame:
    """customer_id and refused: what the customer does not want, as 'channel:purpose'.

    Who has not been asked has not refused, nor has who granted it for a time that is over.

    Args:
        consents: customer_id, channel, purpose and status as known.
    """
    refused = consents.where("status IN ('denied', 'withdrawn')")
    told = F.sort_array(F.collect_set(F.concat_ws(":", "channel", "purpose")))
    return refused.groupBy("customer_id").agg(told.alias("refused"))


def choose_channel(
    rows: DataFrame, refused: DataFrame, quiet_hours: DataFrame, plan: DispatchPlan
) -> DataFrame:
    """Takes a channel of a candidate's plan, and its hours; stops the candidate where none is left.

    It is the first that the customer has not refused, that has a time of day at which the customer does not
    mind, and that costs no more than the customer's value tier is worth; where all cost more, the first that
    has not been refused and has a time. Service that is owed is given all the same: by the first that has
    not been refused, at its usual hours if no time is left, and without any by the plan's first channel.

    Adds allowed_contact_windows.

    Args:
        rows: Candidates.
        refused: The result of refusals.
        quiet_hours: customer_id, quiet_from and quiet_to as known, times of day as HH:MM.
        plan: The plan.
    """

    def listed(rule: Rule) -> str:
        names = plan.rules.plans[rule.file.plan or ""].channels
        return f"array({', '.join(_option(name, plan.settings.channels[name]) for name in names)})"

    purpose = plan.by_rule({rule.id: literal(plan.purpose_of(rule)) for rule in plan.served})
    options = plan.by_rule({rule.id: listed(rule) for rule in plan.served})
    owed = plan.among(rule for rule in plan.served if rule.file.service_owed)
    limits = " ".join(f"WHEN {literal(k)} THEN {v!r}D" for k, v in plan.settings.spend_at_most.items())
    limit = f"CASE value_tier {limits} END" if limits else "cast(NULL AS DOUBLE)"
    unwanted = "array(concat(one.channel, ':', _purpose), concat('any:', _purpose))"
    joined = rows.join(refused, "customer_id", "left").join(quiet_hours, "customer_id", "left")
    steps = {
        "_purpose": purpose,
        "_options": options,
        "_wanted": f"filter(_options, one -> NOT coalesce(arrays_overlap(refused, {unwanted}), FALSE))",
        "_timely": "filter(_wanted, one -> size(one.windows) > 0)",
        "_worth": f"filter(_timely, one -> coalesce(one.cost <= {limit}, TRUE))",
        "_chosen": "coalesce(get(_worth, 0), get(_timely, 0), get(_wanted, 0), _options[0])",
        "channel": "_chosen.channel",
        "allowed_contact_windows": "if(size(_chosen.windows) > 0, _chosen.windows, _chosen.usual)",
    }
    for name, sql in steps.items():
        joined = joined.withColumn(name, F.expr(sql))
    chosen = joined.withColumn("by", F.expr("concat('consent: ', _purpose)"))
    chosen = _suppress(chosen, f"size(_wanted) = 0 AND NOT {owed}", "consent")
    chosen = chosen.withColumn("by", F.expr("concat('hours: ', quiet_from, '-', quiet_to)"))
    chosen = _suppress(chosen, f"size(_timely) = 0 AND NOT {owed}", "hours")
    return chosen.select(*rows.columns, "allowed_contact_windows")


def _option(name: str, channel: Channel) -> str:
    """SQL of a channel: what it costs, its usual hours, and what do-not-disturb hours leave of them."""
    first, last = literal(channel.contact_from), literal(channel.contact_to)

    def between(start: str, end: str) -> str:
        return f"struct({start} AS from_time, {end} AS to_time)"

    before, after = f"least({last}, quiet_from)", f"greatest({first}, quiet_to)"
    # Hours that end on the next day leave what lies between their end and their start.
    left = (
        f"CASE WHEN quiet_from IS NULL OR quiet_to IS NULL THEN array({between(first, last)}) "
        f"WHEN quiet_from < quiet_to THEN array({between(first, before)}, {between(after, last)}) "
        f"ELSE array({between(after, before)}) END"
    )
    windows, usual = f"filter({left}, one -> one.from_time < one.to_time)", f"array({between(first, last)})"
    told = {"channel": literal(name), "cost": f"{channel.cost!r}D", "windows": windows, "usual": usual}
    return f"struct({', '.join(f'{sql} AS {name}' for name, sql in told.items())})"


def stop_quiet(rows: DataFrame, reports: DataFrame, served: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates of customers who lately told a manager that they do not want, or need, the contact.

    Args:
        rows: Candidates.
        reports: alert_id, event_date, contact_result and outcome of what managers reported, as known.
        served: alert_id, customer_id and subscription_id of alerts served before.
        plan: The plan.
    """
    days, whom = plan.settings.quiet_after, F.expr(WHOM).alias("_whom")
    refused = f"if(contact_result = 'refused', {days.refused}, 0)"
    told = f"greatest({refused}, if(outcome = 'no_need', {days.no_need}, 0))"
    lately = reports.where(f"datediff({literal(plan.dispatch_date)}, event_date) < {told}")
    by = F.expr("max_by(alert_id, struct(event_date, alert_id))").alias("by")
    quiet = lately.join(served.select("alert_id", whom), "alert_id").groupBy("_whom").agg(by)
    anyway = plan.among(rule for rule in plan.served if rule.file.service_owed or rule.is_reminder)
    hits = rows.where(f"NOT {anyway}").select("alert_id", whom).join(quiet, "_whom").select("alert_id", "by")
    return _stop(rows, hits, "feedback")


def that_arrived(served: DataFrame, reports: DataFrame) -> DataFrame:
    """Alerts served before, without those refused at import of which nobody has been contacted.

    Args:
        served: alert_id and other columns of alerts served before.
        reports: alert_id, reported_at, state and contacted_at of what was reported, as known; the newest
            state holds.
    """
    newest = F.expr("max_by(state, struct(reported_at, state <> 'rejected'))").alias("state")
    refused = reports.groupBy("alert_id").agg(newest).where("state = 'rejected'")
    return served.join(refused.join(contacts(reports), "alert_id", "left_anti"), "alert_id", "left_anti")


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
