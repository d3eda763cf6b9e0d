"""What candidates of a date are weighed against: all of it from before the date, put beside each of them."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.domain.dispatch import WHOM, DispatchPlan
from jobs.domain.tasks import contacts
from jobs.expressions.sql import literal

BESIDE = ("exempt", "served_before", "refused", "quiet_from", "quiet_to", "quiet_by", "contacts_made")


@dataclass(frozen=True)
class Known:
    """What is known when a date is dispatched.

    Attributes:
        exempt: subscription_id and moment_id of exempt moments that are true now.
        consents: customer_id, channel, purpose and status.
        quiet_hours: customer_id, quiet_from and quiet_to, times of day as HH:MM.
        served: alert_id, moment_id, subscription_id, customer_id, category, channel and dispatch_date of
            alerts served before.
        reports: alert_id, event_date, reported_at, state, contacted_at, contact_result and outcome of what
            managers reported.
        managers: manager_id, server and daily_visits; see jobs.domain.visits.serving.
    """

    exempt: DataFrame
    consents: DataFrame
    quiet_hours: DataFrame
    served: DataFrame
    reports: DataFrame
    managers: DataFrame


def beside(rows: DataFrame, known: Known, plan: DispatchPlan) -> DataFrame:
    """Adds whom, and what is known of a candidate's subscription and customer (BESIDE); else null.

    Subscriptions first, then customers, so that rows are shuffled once for each.

    Args:
        rows: Candidates.
        known: What is known.
        plan: The plan.
    """
    arrived = that_arrived(known.served, known.reports)
    exempt = known.exempt.groupBy("subscription_id").agg(F.collect_set("moment_id").alias("exempt"))
    for one in (exempt, served_before(arrived)):
        rows = rows.join(one, "subscription_id", "left")
    # Where small tables are joined without a shuffle, each window would ask for one of its own.
    rows = rows.withColumn("whom", F.expr(WHOM)).repartition("whom")
    for one in (
        refusals(known.consents).withColumnRenamed("customer_id", "whom"),
        hours(known.quiet_hours).withColumnRenamed("customer_id", "whom"),
        quiet(known.reports, known.served, plan),
        contacts_made(arrived, plan),
    ):
        rows = rows.join(one, "whom", "left")
    return rows


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


def served_before(arrived: DataFrame) -> DataFrame:
    """subscription_id and served_before: moment, date (was) and alert (by) of each alert served before."""
    one = F.struct("moment_id", F.col("dispatch_date").alias("was"), F.col("alert_id").alias("by"))
    return arrived.groupBy("subscription_id").agg(F.collect_list(one).alias("served_before"))


def refusals(consents: DataFrame) -> DataFrame:
    """customer_id and refused: what the customer does not want, as 'channel:purpose'.

    Who has not been asked has not refused, nor has who granted it for a time that is over.

    Args:
        consents: customer_id, channel, purpose and status as known.
    """
    refused = consents.where("status IN ('denied', 'withdrawn')")
    told = F.collect_set(F.concat_ws(":", "channel", "purpose"))
    return refused.groupBy("customer_id").agg(told.alias("refused"))


def hours(quiet_hours: DataFrame) -> DataFrame:
    """customer_id, quiet_from and quiet_to of whoever has do-not-disturb hours.

    Without a beginning they begin at midnight, without an end they end there; with neither there are none.

    Args:
        quiet_hours: customer_id, quiet_from and quiet_to as known.
    """
    some = quiet_hours.where("quiet_from IS NOT NULL OR quiet_to IS NOT NULL")
    return some.selectExpr(
        "customer_id",
        "coalesce(quiet_from, '00:00') AS quiet_from",
        "coalesce(quiet_to, '24:00') AS quiet_to",
    )


def quiet(reports: DataFrame, served: DataFrame, plan: DispatchPlan) -> DataFrame:
    """The columns whom and quiet_by: of which alert the customer lately said to want, or need, no contact.

    Args:
        reports: alert_id, event_date, contact_result and outcome of what managers reported, as known.
        served: alert_id, customer_id and subscription_id of alerts served before.
        plan: The plan.
    """
    days = plan.settings.quiet_after
    refused = f"if(contact_result = 'refused', {days.refused}, 0)"
    told = f"greatest({refused}, if(outcome = 'no_need', {days.no_need}, 0))"
    lately = reports.where(f"datediff({literal(plan.dispatch_date)}, event_date) < {told}")
    by = F.expr("max_by(alert_id, struct(event_date, alert_id))").alias("quiet_by")
    whose = served.select("alert_id", F.expr(WHOM).alias("whom"))
    return lately.join(whose, "alert_id").groupBy("whom").agg(by)


def contacts_made(arrived: DataFrame, plan: DispatchPlan) -> DataFrame:
    """The columns whom and contacts_made: by cap, how many contacts of its channel and days have been made.

    Args:
        arrived: customer_id, subscription_id, category, channel and dispatch_date of alerts served before
            the date; the date of a contact is the one on which it was dispatched.
        plan: The plan.
    """
    caps = plan.settings.caps
    longest = max((cap.days for cap in caps), default=0)
    ago = f"datediff({literal(plan.dispatch_date)}, dispatch_date)"
    recent = arrived.where(f"category <> 'reminder' AND {ago} < {longest}")
    count = F.expr(f"CASE WHEN {plan.by_manager} THEN 1 ELSE count(*) END").alias("contacts")
    days = recent.groupBy(F.expr(WHOM).alias("whom"), "channel", "dispatch_date").agg(count)
    made = ", ".join(
        f"sum(if(channel = {literal(cap.channel)} AND {ago} < {cap.days}, contacts, 0))" for cap in caps
    )
    return days.groupBy("whom").agg(F.expr(f"array({made})").alias("contacts_made"))
