"""The stages that stop candidates, each leaving its reason and the culprit on the rows it stops.

What they need to know of a candidate's subscription and customer stands beside it (jobs.domain.known).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    purpose = plan.by_rule({rule.id: literal(plan.purpose_of(rule)) for rule in plan.served})
    asked = rows.withColumn("_purpose", F.expr(purpose))
    options = {}
    for number, (name, channel) in enumerate(plan.settings.channels.items()):
        options[name] = option = _Option(name, channel, f"_windows_{number}", f"_wanted_{number}")
        unwanted = f"array(concat({literal(name + ':')}, _purpose), concat('any:', _purpose))"
        refused = f"coalesce(arrays_overlap(refused, {unwanted}), FALSE)"
        asked = asked.withColumns(
            {option.windows: F.expr(option.windows_sql), option.wanted: F.expr(f"NOT {refused}")}
        )
    by_channels: dict[tuple[str, ...], list[Rule]] = defaultdict(list)
    for rule in plan.served:
        by_channels[plan.rules.plans[rule.file.plan or ""].channels].append(rule)

    def by_plan(sql: Callable[[list[_Option]], str]) -> str:
        """SQL that depends on which channels a candidate's plan has."""
        branches = (
            f"WHEN {plan.among(rules)} THEN {sql([options[name] for name in names])}"
            for names, rules in by_channels.items()
        )
        return f"CASE {' '.join(branches)} END"

    spend = plan.settings.spend_at_most
    owed = plan.among(rule for rule in plan.served if rule.file.service_owed)
    chosen = asked.withColumn("channel", F.expr(by_plan(lambda those: _first(those, spend))))
    windows = " ".join(f"WHEN {literal(name)} THEN {one.given}" for name, one in options.items())
    chosen = chosen.withColumn("allowed_contact_windows", F.expr(f"CASE channel {windows} END"))
    wanted = by_plan(lambda those: " OR ".join(one.wanted for one in those))
    timely = by_plan(lambda those: " OR ".join(one.timely for one in those))
    chosen = chosen.withColumn("by", F.expr("concat('consent: ', _purpose)"))
    chosen = _suppress(chosen, f"NOT {owed} AND NOT {wanted}", "consent")
    chosen = chosen.withColumn("by", F.expr("concat('hours: ', quiet_from, '-', quiet_to)"))
    chosen = _suppress(chosen, f"NOT {owed} AND NOT {timely}", "hours")
    return chosen.select(*rows.columns, "allowed_contact_windows")


@dataclass(frozen=True)
class _Option:
    """A channel, and the columns in which stands when and whether it may be used.

    Attributes:
        name: Of the channel.
        channel: The channel.
        windows: Column of its hours without those at which the customer is not to be disturbed.
        wanted: Column that is true unless the customer has refused it.
    """

    name: str
    channel: Channel
    windows: str
    wanted: str

    @property
    def timely(self) -> str:
        """SQL: it is wanted, and some of its hours are left."""
        return f"({self.wanted} AND size({self.windows}) > 0)"

    @property
    def given(self) -> str:
        """SQL of the hours at which it is used, its usual ones if none is left."""
        return f"if(size({self.windows}) > 0, {self.windows}, {self._usual})"

    @property
    def _usual(self) -> str:
        return f"array({_between(literal(self.channel.contact_from), literal(self.channel.contact_to))})"

    @property
    def windows_sql(self) -> str:
        """SQL of the column windows."""
        first, last = literal(self.channel.contact_from), literal(self.channel.contact_to)
        before, after = f"least({last}, quiet_from)", f"greatest({first}, quiet_to)"
        # Hours that end on the next day leave what lies between their end and their start.
        two = f"array({_between(first, before)}, {_between(after, last)})"
        left = f"CASE WHEN quiet_from < quiet_to THEN {two} ELSE array({_between(after, before)}) END"
        some = f"filter({left}, one -> one.from_time < one.to_time)"
        return f"CASE WHEN quiet_from IS NULL THEN {self._usual} ELSE {some} END"

    def worth(self, spend_at_most: Mapping[str, float]) -> str:
        """SQL: it is timely, and costs no more than the customer's value tier is worth."""
        dear = [literal(tier) for tier, limit in spend_at_most.items() if self.channel.cost > limit]
        return (
            f"({self.timely} AND coalesce(value_tier NOT IN ({', '.join(dear)}), TRUE))"
            if dear
            else self.timely
        )


def _first(options: Sequence[_Option], spend_at_most: Mapping[str, float]) -> str:
    """SQL of the name of the first option that will do."""
    tests = [(one.worth(spend_at_most), one) for one in options]
    tests += [(one.timely, one) for one in options] + [(one.wanted, one) for one in options]
    branches = " ".join(f"WHEN {sql} THEN {literal(one.name)}" for sql, one in tests)
    return f"CASE {branches} ELSE {literal(options[0].name)} END"


def _between(start: str, end: str) -> str:
    return f"struct({start} AS from_time, {end} AS to_time)"


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
