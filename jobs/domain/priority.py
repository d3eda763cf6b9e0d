"""Priority of an alert: risk x value x severity x urgency, every factor kept."""

from __future__ import annotations

from jobs.config.dispatch import Priority
from jobs.expressions.sql import literal

FACTORS_TYPE = "ARRAY<STRUCT<name: STRING, factor: DECIMAL(18,6), neutral: BOOLEAN>>"


def factors_sql(priority: Priority) -> str:
    """The factors as an array of (name, factor, neutral).

    Needs the columns risk_probability, value_tier, severity, valid_until and dispatch_date. A factor
    whose input is missing takes its neutral value and says so.
    """
    structs = [
        f"struct({literal(name)}, {_rounded(sql)}, {neutral})" for name, sql, neutral in _factors(priority)
    ]
    return f"cast(array({', '.join(structs)}) AS {FACTORS_TYPE})"


def priority_sql(priority: Priority) -> str:
    """The product of the factors as they are stored, so that a reader can check it."""
    product, *others = (_rounded(sql) for _, sql, _ in _factors(priority))
    for factor in others:
        product = f"cast({product} * {factor} AS DECIMAL(18,6))"
    return product


def _factors(priority: Priority) -> list[tuple[str, str, str]]:
    """Name, SQL of the factor with its weight, and SQL that tells whether it is neutral."""
    risk, value = priority.risk, priority.value
    # greatest and least skip nulls, so a missing probability has to be asked for by name.
    scaled = f"greatest(least(risk_probability / {risk.full_at}D, 1.0D), {risk.floor}D)"
    tiers = " ".join(f"WHEN {literal(tier)} THEN {share}D" for tier, share in value.by_tier.items())
    levels = " ".join(
        f"WHEN {literal(level)} THEN {share}D" for level, share in priority.severity.levels.items()
    )
    half = priority.urgency.half_after_days
    waiting = "greatest(datediff(valid_until, dispatch_date), 0)"
    tier_known = f"value_tier IN ({', '.join(literal(tier) for tier in value.by_tier)})"
    risk_sql = f"CASE WHEN risk_probability IS NULL THEN {risk.neutral}D ELSE {scaled} END"
    value_sql = f"coalesce(CASE value_tier {tiers} END, {value.neutral}D)"
    return [
        ("risk", _weighted(risk_sql, risk.weight), "risk_probability IS NULL"),
        ("value", _weighted(value_sql, value.weight), f"NOT coalesce({tier_known}, FALSE)"),
        ("severity", _weighted(f"CASE severity {levels} END", priority.severity.weight), "FALSE"),
        ("urgency", _weighted(f"{half}D / ({half}D + {waiting})", priority.urgency.weight), "FALSE"),
    ]


def _weighted(sql: str, weight: float) -> str:
    return sql if weight == 1 else f"pow({sql}, {weight}D)"


def _rounded(sql: str) -> str:
    return f"cast(round({sql}, 6) AS DECIMAL(18,6))"
