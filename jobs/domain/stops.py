"""The stages that stop candidates, each leaving its reason and the culprit on the rows it stops.

What they need to know of a candidate's subscription and customer stands beside it (jobs.domain.known).
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.config.dispatch import Channel
from jobs.domain.dispatch import HELD, SUPPRESSED, DispatchPlan
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


def stop_exempt(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates of subscriptions that an exempt moment keeps from being contacted.

    Args:
        rows: Candidates with what is known of them: exempt.
        plan: The plan.
    """
    pairs = [(rule.id, other) for rule in plan.served for other in rule.file.ignores_exempt]
    ignored = " OR ".join(f"(moment_id = {literal(a)} AND one = {literal(b)})" for a, b in pairs)
    by = F.expr(f"array_min(filter(exempt, one -> NOT ({ignored or 'FALSE'})))")
    return _suppress(rows.withColumn("by", by), "by IS NOT NULL", "exempt")


def choose_channel(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Takes a channel of a candidate's plan, and its hours; stops the candidate where none is left.

    It is the first that the customer has not refused, that has a time of day at which the customer does not
    mind, and that costs no more than the customer's value tier is worth; where all cost more, the first that
    has not been refused and has a time. Service that is owed is given all the same: by the first that has
    not been refused, at its usual hours if no time is left, and without any by the plan's first channel.

    Adds allowed_contact_windows.

    Args:
        rows: Candidates with what is known of them: refused, quiet_from and quiet_to.
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
    chosen = rows
    for name, sql in steps.items():
        chosen = chosen.withColumn(name, F.expr(sql))
    chosen = chosen.withColumn("by", F.expr("concat('consent: ', _purpose)"))
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


def stop_quiet(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates of customers who lately told a manager that they do not want, or need, the contact.

    Args:
        rows: Candidates with what is known of them: quiet_by.
        plan: The plan.
    """
    anyway = plan.among(rule for rule in plan.served if rule.file.service_owed or rule.is_reminder)
    by = F.expr(f"CASE WHEN NOT {anyway} THEN quiet_by END")
    return _suppress(rows.withColumn("by", by), "by IS NOT NULL", "feedback")


def stop_cooling(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops candidates whose moment was served for the same subscription not long ago.

    Args:
        rows: Candidates with what is known of them: served_before.
        plan: The plan.
    """
    days = {rule.id: str(rule.file.cooldown_days) for rule in plan.served if rule.file.cooldown_days}
    recent = f"alert_id = one.by OR datediff({literal(plan.dispatch_date)}, one.was) < _days"
    hits = f"filter(served_before, one -> one.moment_id = moment_id AND ({recent}))"
    last = f"array_max(transform({hits}, one -> struct(one.was, one.by))).by"
    cooling = rows.withColumn("_days", F.expr(plan.by_rule(days)).cast("int")).withColumn("by", F.expr(last))
    return _suppress(cooling, "by IS NOT NULL", "cooldown").drop("_days")


def stop_inhibited(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Stops weaker moments of a customer's subscription that a stronger one, itself not stopped, mutes."""
    pairs = [(rule.id, weaker) for rule in plan.served for weaker in rule.file.inhibits]
    if not pairs:
        return rows
    mutes = " OR ".join(f"(one = {literal(a)} AND moment_id = {literal(b)})" for a, b in pairs)
    strong = plan.among(rule for rule in plan.served if rule.file.inhibits)
    live = F.expr(f"CASE WHEN status IS NULL AND {strong} THEN moment_id END")
    here = Window.partitionBy("whom", "subscription_id")
    muted = rows.withColumn("_live", F.collect_set(live).over(here))
    muted = muted.withColumn("by", F.expr(f"array_min(filter(_live, one -> {mutes}))"))
    return _suppress(muted, "by IS NOT NULL", "inhibited").drop("_live")


def stop_capped(rows: DataFrame, plan: DispatchPlan, by_past_alone: bool = False) -> DataFrame:
    """Stops candidates of customers who have been contacted as often as the caps of a channel allow.

    What a manager brings on one date is one contact however many moments it serves; of messages, each is
    one. Service that is owed always passes, and counts first; reminders neither count nor are stopped.
    The others pass in order of priority, then alert_id.

    Args:
        rows: Candidates with priority and what is known of them: contacts_made.
        plan: The plan.
        by_past_alone: Candidates of the date do not count against each other, but for a visit that is owed.
    """
    caps = plan.settings.caps
    if not caps:
        return rows
    one = plan.by_manager
    reminders = plan.among(rule for rule in plan.served if rule.is_reminder)
    owed = plan.among(rule for rule in plan.served if rule.file.service_owed)
    counted = rows.withColumn("_counts", F.expr(f"status IS NULL AND NOT {reminders}"))
    counted = counted.withColumn("_owed", F.expr(f"_counts AND {owed}"))
    here = Window.partitionBy("whom", "channel")
    order = here.orderBy(F.desc("_counts"), F.desc("_owed"), F.desc("priority"), "alert_id")
    place = F.lit(1) if by_past_alone else F.when(F.expr(one), 1).otherwise(F.row_number().over(order))
    full = " ".join(
        f"WHEN channel = {literal(cap.channel)} AND coalesce(contacts_made[{number}], 0) + _place > "
        f"{cap.contacts} THEN {literal(cap.name)}"
        for number, cap in enumerate(caps)
    )
    placed = counted.withColumns({"_place": place, "_comes_anyway": F.max("_owed").over(here)})
    passes = f"NOT _counts OR _owed OR ({one} AND _comes_anyway)"
    by = F.expr(f"CASE WHEN {passes} THEN NULL {full} END")
    stopped = _suppress(placed.withColumn("by", by), "by IS NOT NULL", "cap")
    return stopped.drop("_counts", "_owed", "_place", "_comes_anyway")


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
