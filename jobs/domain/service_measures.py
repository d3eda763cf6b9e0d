"""What a measure of service quality comes to in a month, by area."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config.service_measures import PROVINCE, Counted, ServiceMeasure
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, quote, to_sql

ALL, UNKNOWN = "all", "-"
NUMBER = "DECIMAL(38,4)"


def counted(rows: DataFrame, of: Counted, first: date, last: date, by: Sequence[str]) -> DataFrame:
    """Rows of a month that count: subscription_id, the fields they are told by, and amount.

    Args:
        rows: Rows of the contract, with row_date.
        of: Which of them count, and for how much.
        first: First day of the month.
        last: Last day.
        by: Fields.
    """
    where = "TRUE" if of.where is None else to_sql(parse(of.where))
    month = rows.where(f"row_date BETWEEN {literal(first)} AND {literal(last)}").where(where)
    if of.near is not None:
        near = rows.where(to_sql(parse(of.near.where)))
        near = near.select(F.col(quote(of.near.same)).alias("_same"), F.col("row_date").alias("_on"))
        least, most = of.near.days
        days = f"_on BETWEEN date_add(row_date, {least}) AND date_add(row_date, {most})"
        month = month.join(near, F.expr(f"{quote(of.near.same)} = _same AND {days}"), "left_semi")
    amount = "1" if of.sum is None else to_sql(parse(of.sum))
    return month.select("subscription_id", *by, F.expr(f"cast({amount} AS {NUMBER})").alias("amount"))


def amounts(rows: DataFrame, customers: DataFrame, areas: Sequence[str], by: Sequence[str]) -> DataFrame:
    """Sums by area and place: of the province, of each area, of each value of a field.

    Args:
        rows: subscription_id, fields and amount.
        customers: subscription_id and the areas.
        areas: Items that part customers.
        by: Fields that part rows.

    Returns:
        area, place, amount.
    """
    pairs = [F.struct(F.lit(PROVINCE).alias("area"), F.lit(ALL).alias("place"))]
    pairs += [_pair(name) for name in (*areas, *by)]
    known = rows.join(customers, "subscription_id", "left")
    at = known.select(F.explode(F.array(*pairs)).alias("at"), "amount")
    return at.groupBy("at.area", "at.place").agg(F.sum("amount").cast(NUMBER).alias("amount"))


def _pair(name: str) -> Column:
    place = F.coalesce(F.col(quote(name)).cast("string"), F.lit(UNKNOWN))
    return F.struct(F.lit(name).alias("area"), place.alias("place"))


def measured(name: str, measure: ServiceMeasure, of: DataFrame, per: DataFrame, last: date) -> DataFrame:
    """Rows of the table service_measures but for the changes.

    Args:
        name: The measure.
        measure: Its definition.
        of: What is measured: area, place, amount.
        per: What it is measured against; of a measure that is told per customer its fields share the whole.
        last: Last day of the month.
    """
    base = per.withColumnRenamed("amount", "base")
    if isinstance(measure.per, str) and measure.by:
        whole = base.where(F.col("area") == PROVINCE).select("base")
        places = of.where(F.col("area").isin(list(measure.by))).select("area", "place")
        base = base.unionByName(places.crossJoin(whole))
    both = base.join(of, ["area", "place"], "full")
    amount, against = F.coalesce("amount", F.lit(0)).cast(NUMBER), F.coalesce("base", F.lit(0)).cast(NUMBER)
    value = f"cast(round({measure.times} * amount / nullif(base, 0), 4) AS {NUMBER})"
    target = "NULL" if measure.target is None else str(measure.target)
    on_target = f"value {'<=' if measure.better == 'less' else '>='} target"
    rows = both.select("area", "place", amount.alias("amount"), against.alias("base"))
    told = rows.withColumn("value", F.expr(value)).withColumn("target", F.expr(f"cast({target} AS {NUMBER})"))
    return told.select(
        F.lit(last).alias("month"),
        F.lit(name).alias("measure"),
        "*",
        F.expr(on_target).alias("on_target"),
        F.lit(measure.owner).alias("owner"),
    )
