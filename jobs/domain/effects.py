"""Who was served and who was left alone as control, what became of them, and what service did on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config.dispatch import Channel
from jobs.config.effects import EffectSettings, MeasuredOutcome
from jobs.domain.dispatch import CONTROL, DISPATCHED, WHOM
from jobs.domain.tasks import reports_by_alert
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, to_sql

GROUPS = {
    "all": "'all'",
    "moment": "moment_id",
    "plan": "plan_id",
    "channel": "channel",
    "city": "coalesce(city, '')",
}
"""Ways to break effects down, and what tells an alert's group."""
# Exact, so that sums do not depend on the order of rows.
_NUMBER = "DECIMAL(18,6)"


def cohort(alerts: DataFrame, first: date, last: date, always_served: Iterable[str]) -> DataFrame:
    """Alerts that were served, or would have been but for the control group.

    Args:
        alerts: Alerts.
        first: First date of dispatch.
        last: Last date of dispatch.
        always_served: Moments that reach the control group too, and so tell nothing.

    Returns:
        alert_id, whom, subscription_id, dispatch_date, served, and the columns that tell groups.
    """
    dates = f"dispatch_date BETWEEN {literal(first)} AND {literal(last)}"
    among = alerts.where(f"{dates} AND status IN ('{DISPATCHED}', '{CONTROL}') AND category <> 'reminder'")
    return among.where(~F.col("moment_id").isin(list(always_served))).select(
        "alert_id",
        F.expr(WHOM).alias("whom"),
        "subscription_id",
        "dispatch_date",
        F.expr(f"status = '{DISPATCHED}'").alias("served"),
        "moment_id",
        "plan_id",
        "channel",
        "city",
    )


def measured(among: DataFrame, rows: DataFrame, outcome: MeasuredOutcome) -> DataFrame:
    """The outcome after each alert of a cohort, as alert_id and y; without those of which nothing is told.

    Args:
        among: The cohort.
        rows: Clean rows of the outcome's contract, as known now.
        outcome: What is looked at.
    """
    it = among.select("alert_id", "dispatch_date", F.col("subscription_id").alias("_of"))

    def within(told: DataFrame, from_days: int, to_days: int) -> DataFrame:
        first = f"row_date > date_add(dispatch_date, {from_days})"
        last = f"row_date <= date_add(dispatch_date, {to_days})"
        return it.join(told, F.expr(f"_of = subscription_id AND {first} AND {last}"))

    if outcome.event is not None:
        told = rows.where(to_sql(parse(outcome.event.where))).select("subscription_id", "row_date")
        hits = within(told, 0, outcome.days).select("alert_id", F.lit(1).alias("hit")).distinct()
        happened = F.expr(f"cast(coalesce(hit, 0) AS {_NUMBER})").alias("y")
        return it.join(hits, "alert_id", "left").select("alert_id", happened)
    value = outcome.value
    assert value is not None
    chosen = rows if value.where is None else rows.where(to_sql(parse(value.where)))
    number = F.expr(f"cast({to_sql(parse(value.of))} AS {_NUMBER})").alias("_value")
    told = chosen.select("subscription_id", "row_date", number)
    after = within(told, 0, outcome.days).groupBy("alert_id").agg(_mean("_after"))
    if not value.change:
        return after.where("_after IS NOT NULL").select("alert_id", F.col("_after").alias("y"))
    before = within(told, -outcome.days, 0).groupBy("alert_id").agg(_mean("_before"))
    change = F.expr(f"cast(_after - _before AS {_NUMBER})").alias("y")
    return after.join(before, "alert_id").select("alert_id", change).where("y IS NOT NULL")


def _mean(name: str) -> Column:
    return F.expr(f"cast(avg(_value) AS {_NUMBER})").alias(name)


def _groups() -> Column:
    """A row for each group that an alert is in, as the struct group of by and name."""
    groups = ", ".join(f"struct({literal(by)} AS by, {sql} AS name)" for by, sql in GROUPS.items())
    return F.expr(f"explode(array({groups}))").alias("group")


def sums(among: DataFrame, outcomes: Mapping[str, DataFrame]) -> DataFrame:
    """Sizes and sums of the groups that are compared.

    A customer counts once in a group, with the first alert: later ones are no independent cases.

    Args:
        among: The cohort.
        outcomes: By outcome, the result of measured.

    Returns:
        by, name, outcome, served, count, total, squares.
    """
    frames = [rows.select("*", F.lit(name).alias("outcome")) for name, rows in outcomes.items()]
    told = frames[0]
    for one in frames[1:]:
        told = told.unionByName(one)
    facts = ("outcome", "whom", "served", "y", "dispatch_date", "alert_id")
    rows = among.join(told, "alert_id").select(_groups(), *facts)
    firsts = rows.groupBy("group", "outcome", "whom").agg(
        F.expr("min_by(struct(served, y), struct(dispatch_date, alert_id))").alias("first")
    )
    return firsts.groupBy("group.by", "group.name", "outcome", "first.served").agg(
        F.count("*").alias("count"),
        F.expr("sum(first.y)").alias("total"),
        F.expr("sum(first.y * first.y)").alias("squares"),
    )


def service_sums(
    alerts: DataFrame,
    feedback: DataFrame,
    settings: EffectSettings,
    channels: Mapping[str, Channel],
    until: date,
) -> DataFrame:
    """What managers did with alerts, counted by group.

    Args:
        alerts: Alerts that were dispatched.
        feedback: Reports, as known.
        settings: conf/effects.yaml.
        channels: What a contact costs.
        until: Date up to which reports are known.

    Returns:
        by, name, alerts, imported, contacts, connected, reached (alerts whose customer was reached), useless,
        missed (alerts whose time has passed without the customer being reached), suggested, accepted, scores,
        score_sum, cost (yuan), timing (sum of the factor over the alerts reached).
    """
    value = settings.service_value
    useless = " OR ".join(
        f"{field} IN ({', '.join(map(literal, codes))})"
        for field, codes in (("outcome", value.useless.outcomes), ("reason", value.useless.reasons))
        if codes
    )
    costs = " ".join(f"WHEN {literal(name)} THEN {one.cost!r}BD" for name, one in channels.items())
    cost = f"(CASE channel {costs} ELSE 0 END)"
    timing = value.timing
    wait = "datediff(_first_reached_on, dispatch_date)"
    width = timing.zero_after_days - timing.full_within_days
    factor = f"least(1, greatest(0, ({timing.zero_after_days} - {wait}) / {width}))"
    told = alerts.join(reports_by_alert(feedback), "alert_id", "left").select(
        _groups(),
        F.expr("_state IS NOT NULL").alias("imported"),
        F.expr("coalesce(contacts, 0)").alias("contacts"),
        F.expr("coalesce(connected, 0)").alias("connected"),
        F.expr("_first_reached_on IS NOT NULL").alias("reached"),
        F.expr(f"coalesce(_first_reached_on IS NOT NULL AND ({useless or 'FALSE'}), FALSE)").alias("useless"),
        F.expr(f"valid_until < {literal(until)} AND _first_reached_on IS NULL").alias("missed"),
        F.expr("suggestion_result IS NOT NULL").alias("suggested"),
        F.expr("coalesce(suggestion_result = 'accepted', FALSE)").alias("accepted"),
        "score",
        F.expr(f"cast(coalesce(contacts, 0) * {cost} AS DECIMAL(18,4))").alias("cost"),
        F.expr(f"CASE WHEN _first_reached_on IS NOT NULL THEN cast({factor} AS DECIMAL(18,6)) END").alias(
            "timing"
        ),
    )
    flags = ("imported", "reached", "useless", "missed", "suggested", "accepted")
    return told.groupBy("group.by", "group.name").agg(
        F.count("*").alias("alerts"),
        *(F.sum(name).alias(name) for name in ("contacts", "connected")),
        *(F.expr(f"count_if({name})").alias(name) for name in flags),
        F.count("score").alias("scores"),
        F.sum("score").alias("score_sum"),
        F.sum("cost").alias("cost"),
        F.sum("timing").alias("timing"),
    )
