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
    factors = [
        (
            "risk",
            f"CASE WHEN risk_probability IS NULL THEN {risk.neutral}D ELSE {scaled} END",
            "risk_probability IS NULL",
            risk.weight,
        ),
        (
            "value",
            f"coalesce(CASE value_tier {tiers} END, {value.neutral}D)",
            f"NOT coalesce({tier_known}, FALSE)",
            value.weight,
        ),
        ("severity", f"CASE severity {levels} END", "FALSE", priority.severity.weight),
        ("urgency", f"{half}D / ({half}D + {waiting})", "FALSE", priority.urgency.weight),
    ]
    structs = [
        f"struct({literal(name)}, cast(round({_weighted(sql, weight)}, 6) AS DECIMAL(18,6)), {neutral})"
        for name, sql, neutral, weight in factors
    ]
    return f"cast(array({', '.join(structs)}) AS {FACTORS_TYPE})"


def _weighted(sql: str, weight: float) -> str:
    return sql if weight == 1 else f"pow({sql}, {weight}D)"


def priority_sql() -> str:
    """The product of the stored factors, so that a reader can check it."""
    return (
        "aggregate(priority_factors, cast(1 AS DECIMAL(18,6)), "
        "(product, one) -> cast(product * one.factor AS DECIMAL(18,6)))"
    )
