"""The profile of a delivery: how often fields are empty, what codes they have, what numbers sum up to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.contracts.extracts import ExtractContract
from jobs.expressions.sql import literal, quote

Profile = Mapping[str, Decimal]
"""Counts and sums by name: nulls:<field>, sum:<field>, squares:<field>, code:<field>=<value>."""


def profile_columns(contract: ExtractContract, filled: Collection[str], accepted: str) -> list[Column]:
    """Aggregates that give a delivery's profile in the pass that counts its rows.

    Args:
        contract: The contract.
        filled: Fields that the mapping fills.
        accepted: SQL of the condition that a row is accepted.
    """
    found: list[Column] = []
    for name, field in contract.fields.items():
        if name not in filled or not field.kept:
            continue
        column = quote(name)
        if not field.required and field.default is None:
            found.append(F.expr(f"count_if({accepted} AND {column} IS NULL)").alias(f"nulls:{name}"))
        if field.type in ("integer", "decimal"):
            number = f"CASE WHEN {accepted} THEN try_cast({column} AS DECIMAL(18,4)) END"
            found.append(F.expr(f"cast(try_sum({number}) AS DECIMAL(38,8))").alias(f"sum:{name}"))
            found.append(
                F.expr(f"cast(try_sum({number} * {number}) AS DECIMAL(38,8))").alias(f"squares:{name}")
            )
        found += [
            F.expr(f"count_if({accepted} AND {column} = {literal(code)})").alias(f"code:{name}={code}")
            for code in field.values or ()
        ]
    return found


def profile_of(row: Mapping[str, object]) -> dict[str, Decimal]:
    """The profile among the values of an aggregated row; sums of nothing are left out."""
    return {
        name: Decimal(str(value))
        for name, value in row.items()
        if name.partition(":")[0] in ("nulls", "sum", "squares", "code") and value is not None
    }
