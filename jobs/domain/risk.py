"""Churn risk. The formula: score = the sum over terms of the customer's group's churn rate, x 100.

A trained model may stand in for the probability that the formula's score is calibrated to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config.scores import Bands, RiskSettings, Term
from jobs.contracts.supply import ItemStatus
from jobs.expressions.nodes import is_supplied
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, quote, to_sql
from jobs.kernel.cycle import Cycle
from jobs.modelling.rates import UNKNOWN_GROUP, Rate

TOP_REASONS = 3
REASON_RATIO = "1.5"
_TERMS = (
    "ARRAY<STRUCT<term: STRING, dimension: STRING, group: STRING, rate: DECIMAL(18,8), group_size: BIGINT>>"
)
DRIVERS = "ARRAY<STRUCT<item: STRING, dimension: STRING, log_odds: DECIMAL(18,6)>>"


def usable_terms(settings: RiskSettings, statuses: Mapping[str, ItemStatus]) -> dict[str, Term]:
    """The terms whose items are supplied."""
    return {
        name: term
        for name, term in settings.terms.items()
        if is_supplied(parse(term.group), lambda one: statuses[one.name] is ItemStatus.supplied)
    }


def grouped(view: DataFrame, terms: Mapping[str, Term]) -> DataFrame:
    """subscription_id, subscription_status and the group of each term.

    Who is in no group is in the group 'unknown'.
    """
    groups = [
        F.coalesce(F.expr(to_sql(parse(term.group))), F.lit(UNKNOWN_GROUP)).alias(name)
        for name, term in terms.items()
    ]
    return view.select("subscription_id", "subscription_status", *groups)


def labelled(groups: DataFrame, churn: DataFrame) -> DataFrame:
    """Those who were active, with churned (0 or 1): left by choice within the label days.

    Forced disconnection is kept apart. Who was suspended then says nothing of who may leave by choice.

    Args:
        groups: subscription_id and groups at the base date.
        churn: subscription_id and kind of those who left within the label days.
    """
    left = churn.where("kind = 'left'").select("subscription_id").distinct().withColumn("churned", F.lit(1))
    forced = churn.where("kind = 'disconnected'").select("subscription_id").distinct()
    active = groups.where("subscription_status = 'active'")
    rows = active.join(forced, "subscription_id", "left_anti").join(left, "subscription_id", "left")
    return rows.fillna(0, ["churned"])


def group_counts(rows: DataFrame, terms: Sequence[str]) -> DataFrame:
    """term, group, size, churned: all terms in one pass."""
    pairs = ", ".join(f"struct({literal(name)} AS term, {quote(name)} AS `group`)" for name in terms)
    exploded = rows.select("churned", F.explode(F.expr(f"array({pairs})")).alias("pair"))
    return exploded.groupBy("pair.term", "pair.group").agg(
        F.count("*").alias("size"), F.sum("churned").cast("bigint").alias("churned")
    )


def scored(groups: DataFrame, terms: Mapping[str, Term], rates: Sequence[Rate]) -> DataFrame:
    """Adds risk_score and the terms it is the sum of.

    A group that was empty in the base period has the average rate of its term.
    """
    structs = []
    for name, term in terms.items():
        mine = [rate for rate in rates if rate.term == name]
        size = sum(rate.size for rate in mine)
        average = sum(rate.rate * rate.size for rate in mine) / size if size else 0
        rate_sql = _lookup(name, {rate.group: f"{rate.rate}BD" for rate in mine}, f"{average:.8f}BD")
        size_sql = _lookup(name, {rate.group: f"{rate.size}L" for rate in mine}, "0L")
        texts = f"{literal(name)} AS term, {literal(term.dimension)} AS dimension, {quote(name)} AS `group`"
        structs.append(f"struct({texts}, {rate_sql} AS rate, {size_sql} AS group_size)")
    terms_sql = f"cast(array({', '.join(structs)}) AS {_TERMS})"
    total = "aggregate(terms, cast(0 AS DECIMAL(18,8)), (sum, one) -> cast(sum + one.rate AS DECIMAL(18,8)))"
    rows = groups.select("*", F.expr(terms_sql).alias("terms"))
    return rows.select("*", F.expr(f"cast(round({total} * 100, 4) AS DECIMAL(18,4))").alias("risk_score"))


def _lookup(column: str, values: Mapping[str, str], default: str) -> str:
    branches = " ".join(f"WHEN {literal(key)} THEN {value}" for key, value in sorted(values.items()))
    return f"CASE {quote(column)} {branches} ELSE {default} END" if branches else default


def risk_scores(
    rows: DataFrame,
    terms: Mapping[str, Term],
    rates: Sequence[Rate],
    settings: RiskSettings,
    cycle: Cycle,
    model_version: str,
) -> DataFrame:
    """Rows of the table risk_scores.

    Args:
        rows: The result of scored.
        terms: The usable terms.
        rates: Rates of groups and the calibration.
        settings: Bands.
        cycle: as_of and cutoff of the rows.
        model_version: What the risk came from.
    """
    steps = sorted((rate for rate in rates if rate.term == "calibration"), key=lambda rate: float(rate.group))
    branches = " ".join(f"WHEN risk_score >= {step.group}BD THEN {step.rate}BD" for step in reversed(steps))
    lowest = f"{steps[0].rate}BD" if steps else "NULL"
    probability = f"CASE {branches} ELSE {lowest} END" if steps else "NULL"
    with_probability = rows.select(
        "*", F.expr(f"cast({probability} AS DECIMAL(18,6))").alias("risk_probability")
    )
    return with_probability.select(
        F.lit(cycle.as_of).alias("as_of"),
        F.lit(cycle.cutoff).alias("cutoff"),
        "subscription_id",
        "risk_score",
        "risk_probability",
        _band(settings.bands),
        "terms",
        _reasons(terms, rates, "zh"),
        _reasons(terms, rates, "en"),
        F.lit(None).cast(DRIVERS).alias("drivers"),
        F.lit(model_version).alias("model_version"),
        F.lit(None).cast("string").alias("fallback"),
    )


def by_model(
    rows: DataFrame, scores: DataFrame, bands: Bands, cycle: Cycle, model_version: str | None
) -> DataFrame:
    """Rows of the table risk_scores with the probability and the reasons of a model.

    Args:
        rows: The result of risk_scores, of which score and terms stay; or the view, where no formula can be.
        scores: subscription_id, risk_probability, drivers, reasons_zh and reasons_en by the model.
        bands: Bands of the probability.
        cycle: as_of and cutoff of the rows.
        model_version: The model.
    """
    of_formula = {"risk_score": "DECIMAL(18,4)", "terms": _TERMS}
    kept = [
        F.col(name) if name in rows.columns else F.lit(None).cast(kind).alias(name)
        for name, kind in of_formula.items()
    ]
    joined = rows.select("subscription_id", *kept).join(scores, "subscription_id")
    return joined.select(
        F.lit(cycle.as_of).alias("as_of"),
        F.lit(cycle.cutoff).alias("cutoff"),
        "subscription_id",
        "risk_score",
        "risk_probability",
        _band(bands),
        "terms",
        "reasons_zh",
        "reasons_en",
        "drivers",
        F.lit(model_version).alias("model_version"),
        F.lit(None).cast("string").alias("fallback"),
    )


def _band(bands: Bands) -> Column:
    return F.expr(
        f"CASE WHEN risk_probability >= {bands.high} THEN 'high' "
        f"WHEN risk_probability >= {bands.mid} THEN 'mid' WHEN risk_probability >= 0 THEN 'low' END"
    ).alias("risk_band")


def _reasons(terms: Mapping[str, Term], rates: Sequence[Rate], language: str) -> Column:
    """The terms in which a customer's group churns clearly more than the average, worst first, in words."""
    averages = []
    for name in terms:
        mine = [rate for rate in rates if rate.term == name]
        size = sum(rate.size for rate in mine)
        average = sum(rate.rate * rate.size for rate in mine) / size if size else 0
        averages.append(f"WHEN {literal(name)} THEN {average:.8f}BD")
    titles = " ".join(
        f"WHEN {literal(name)} THEN {literal(getattr(term, language))}" for name, term in terms.items()
    )
    average_sql = f"CASE one.term {' '.join(averages)} END"
    labels = " ".join(
        f"WHEN one.term = {literal(name)} AND one.group = {literal(group)} "
        f"THEN {literal(getattr(title, language))}"
        for name, term in terms.items()
        for group, title in term.labels.items()
    )
    group = f"CASE {labels} ELSE one.group END" if labels else "one.group"
    percent = "cast(cast(round(one.rate * 100, 1) AS DECIMAL(6,1)) AS STRING)"
    text = (
        f"concat(CASE one.term {titles} END, '（', {group}, '）', {percent}, '%')"
        if language == "zh"
        else f"concat(CASE one.term {titles} END, ' (', {group}, ') ', {percent}, ' %')"
    )
    above = f"filter(terms, one -> one.rate >= {REASON_RATIO}BD * {average_sql} AND one.rate > 0)"
    # Worst first: sorted by the distance from the average, then by term so that the order is total.
    key = f"{average_sql} - one.rate AS below, one.term AS term"
    keyed = f"transform({above}, one -> struct({key}, {text} AS text))"
    top = f"transform(slice(array_sort({keyed}), 1, {TOP_REASONS}), one -> one.text)"
    return F.expr(top).alias(f"reasons_{language}")
