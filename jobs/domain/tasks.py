"""What has become of alerts: the states of their tasks, and what is still open of each customer."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.domain.dispatch import DISPATCHED, OVERFLOW, WHOM
from jobs.expressions.sql import literal, quote

UNPROCESSED, PROCESSED, NEW_ALERT = "unprocessed", "processed", "processed_new_alert"
STATES = ("rejected", UNPROCESSED, "processing", PROCESSED, NEW_ALERT)
CLOSED = ("rejected", PROCESSED, NEW_ALERT)
LOOK_BACK_DAYS = 60
_REACHED_ON = "CASE WHEN contact_result = 'connected' THEN to_date(contacted_at) END"


def task_rows(alerts: DataFrame, feedback: DataFrame, day: date) -> DataFrame:
    """Rows of the table tasks.

    Of two reports at one time the one of the further state holds. A task that was processed becomes
    processed_new_alert when the same moment of the subscription is dispatched on a later date than that.

    Args:
        alerts: Alerts dispatched up to the day.
        feedback: Reports known on the day: the fields of the contract feedback, with event_date.
        day: The date of dispatch.
    """
    since = f"dispatch_date > date_sub({literal(day)}, {LOOK_BACK_DAYS})"
    served = alerts.where(f"status = {literal(DISPATCHED)} AND {since}").select(
        "alert_id",
        "moment_id",
        "customer_id",
        "subscription_id",
        "manager_id",
        "served_by",
        F.col("channel").alias("_channel"),
        F.col("dispatch_date").alias("dispatched_on"),
    )
    again = Window.partitionBy("moment_id", "subscription_id").orderBy("dispatched_on", "alert_id")
    told = served.withColumns(
        {
            "_next_id": F.lead("alert_id").over(again),
            "_next_on": F.lead("dispatched_on").over(again),
        }
    ).join(reports_by_alert(feedback), "alert_id", "left")
    fired_again = f"_state = {literal(PROCESSED)} AND _next_on > _state_on"
    done = f"_reached_on >= appointment_on AND {literal(day)} >= appointment_on"
    return told.select(
        F.lit(day).alias("dispatch_date"),
        "alert_id",
        "dispatched_on",
        "moment_id",
        "customer_id",
        "subscription_id",
        "manager_id",
        "served_by",
        F.expr("coalesce(_passed_to, _channel)").alias("channel"),
        F.expr(
            f"CASE WHEN {fired_again} THEN {literal(NEW_ALERT)} "
            f"ELSE coalesce(_state, {literal(UNPROCESSED)}) END"
        ).alias("state"),
        F.expr("_state IS NOT NULL").alias("imported"),
        "state_since",
        F.expr("coalesce(contacts, 0L)").alias("contacts"),
        F.expr("coalesce(connected, 0L)").alias("connected"),
        "last_contacted_at",
        "outcome",
        "reason",
        "appointment_on",
        F.expr(
            f"CASE WHEN {done} THEN 'done' WHEN appointment_on <= {literal(day)} THEN 'due' "
            "WHEN appointment_on IS NOT NULL THEN 'not_due' END"
        ).alias("appointment"),
        F.expr(f"coalesce(_new_id, CASE WHEN {fired_again} THEN _next_id END)").alias("new_alert_id"),
    )


def reports_by_alert(feedback: DataFrame) -> DataFrame:
    """What the reports of each alert come to, one row an alert.

    Args:
        feedback: Reports: the fields of the contract feedback, with event_date.
    """
    ranks = " ".join(f"WHEN {literal(state)} THEN {rank}" for rank, state in enumerate(STATES))
    order = f"struct(reported_at, CASE state {ranks} END)"

    def last(field: str) -> Column:
        """The field of the newest report that fills it."""
        return F.expr(f"max_by({quote(field)}, CASE WHEN {quote(field)} IS NOT NULL THEN {order} END)")

    return feedback.groupBy("alert_id").agg(
        last("state").alias("_state"),
        F.max("reported_at").alias("state_since"),
        F.expr(f"max_by(event_date, {order})").alias("_state_on"),
        F.count("contacted_at").alias("contacts"),
        F.expr("count_if(contacted_at IS NOT NULL AND contact_result = 'connected')").alias("connected"),
        F.max("contacted_at").alias("last_contacted_at"),
        F.expr(f"max({_REACHED_ON})").alias("_reached_on"),
        F.expr(f"min({_REACHED_ON})").alias("_first_reached_on"),
        last("outcome").alias("outcome"),
        last("reason").alias("reason"),
        last("appointment_on").alias("appointment_on"),
        last("passed_to").alias("_passed_to"),
        last("new_alert_id").alias("_new_id"),
        last("suggestion_result").alias("suggestion_result"),
        last("score").alias("score"),
    )


def contacts(reports: DataFrame) -> DataFrame:
    """alert_id of what managers have contacted the customer about, or are done with.

    Args:
        reports: Reports: the fields of the contract feedback.
    """
    done = "contacted_at IS NOT NULL OR state = 'processed'"
    return reports.where(done).select("alert_id").distinct()


def current_moments(alerts: DataFrame, tasks: DataFrame, day: date) -> DataFrame:
    """Rows of the table current_moments.

    Open is what is dispatched or waits for capacity on the day, and what was dispatched earlier, is still
    worth serving and has not been processed.

    Args:
        alerts: Alerts up to the day.
        tasks: The result of task_rows for the day.
        day: The date of dispatch.
    """
    today = f"dispatch_date = {literal(day)} AND status IN ('{DISPATCHED}', '{OVERFLOW}')"
    before = f"dispatch_date < {literal(day)} AND status = '{DISPATCHED}' AND valid_until >= {literal(day)}"
    closed = tasks.where(F.col("state").isin(*CLOSED)).select("alert_id")
    opened = alerts.where(f"({today}) OR ({before})").join(closed, "alert_id", "left_anti")
    facts = (
        "alert_id, subscription_id, moment_id, title_zh, title_en, description_zh, description_en, plan_id, "
        "status, dispatch_date AS dispatched_on, valid_until, priority"
    )
    told = f"collect_list(struct(-priority AS _order, alert_id AS _id, struct({facts}) AS told))"
    grouped = opened.groupBy(F.expr(WHOM)).agg(
        F.max("customer_id").alias("customer_id"), F.expr(f"array_sort({told})").alias("_moments")
    )
    return grouped.select(
        F.lit(day).alias("dispatch_date"),
        "customer_id",
        F.expr("_moments[0].told.subscription_id").alias("subscription_id"),
        F.expr("transform(_moments, one -> one.told)").alias("moments"),
    )
