"""A date that is given out again: what stays, what is withdrawn."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.domain.dispatch import DISPATCHED
from jobs.expressions.sql import literal

WITHDRAWN = "withdrawn"


def as_kept(kept: DataFrame) -> DataFrame:
    """Alerts whose customers were contacted: dispatched, whatever a later revision had made of them."""
    nothing = F.lit(None).cast("string")
    return kept.withColumns({"status": F.lit(DISPATCHED), "status_reason": nothing, "suppressed_by": nothing})


def places_taken(kept: DataFrame) -> DataFrame:
    """Resource and taken: places of the day that visits already made take."""
    visits = kept.where("served_by IS NOT NULL").groupBy(F.col("served_by").alias("resource"))
    return visits.agg(F.countDistinct("visit_id").alias("taken"))


def reissued(alerts: DataFrame, kept: DataFrame, others: DataFrame, stamp: Mapping[str, Column]) -> DataFrame:
    """The alerts of a date that was given out before.

    Args:
        alerts: What the date comes to now, without those kept.
        kept: Alerts given out whose customers were contacted; they stay as they are.
        others: The other alerts given out; those that are not dispatched any more are withdrawn.
        stamp: Columns of the revision and of the run, for what is withdrawn without being a candidate.
    """
    given = others.select("alert_id", F.lit(True).alias("_given"))
    withdrawn = "_given AND status <> 'dispatched'"
    changed = (
        alerts.join(given, "alert_id", "left")
        .withColumns(
            {
                "status_reason": F.expr(
                    f"CASE WHEN {withdrawn} THEN coalesce(status_reason, status) ELSE status_reason END"
                ),
                "status": F.expr(f"CASE WHEN {withdrawn} THEN {literal(WITHDRAWN)} ELSE status END"),
            }
        )
        .drop("_given")
    )
    gone = others.join(alerts.select("alert_id"), "alert_id", "left_anti").withColumns(
        {
            **stamp,
            "status": F.lit(WITHDRAWN),
            "status_reason": F.lit("gone"),
            "suppressed_by": F.lit(None).cast("string"),
        }
    )
    names = others.columns
    return changed.select(*names).unionByName(gone.select(*names)).unionByName(as_kept(kept).select(*names))
