"""The profile of a delivery: how often fields are empty, what codes they have, what numbers sum up to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, localcontext

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.fields import Field
from jobs.expressions.sql import literal, quote

# The largest number whose square is a BIGINT.
_ROOT = 3_037_000_499
_KINDS = ("nulls", "sum", "squares", "code", "unknown")

Profile = Mapping[str, Decimal]
"""Counts and sums by name: nulls:, unknown:, sum: and squares:<field>, code:<field>=<value>."""


def profile_columns(
    contract: ExtractContract, filled: Collection[str], referred: Collection[str], accepted: str
) -> list[Column]:
    """Aggregates that give a delivery's profile in the pass that counts its rows.

    Args:
        contract: The contract.
        filled: Fields that the mapping fills.
        referred: Fields whose rows tell by unknown__<field> whether they name a row of another contract.
        accepted: SQL of the condition that a row is accepted.
    """
    found = [
        F.expr(f"count_if({accepted} AND {quote('unknown__' + name)})").alias(f"unknown:{name}")
        for name in referred
    ]
    for name, field in contract.fields.items():
        if name not in filled:
            continue
        # What of a person is not kept stands beside, for the restricted table.
        column = quote(name if field.kept else f"clear__{name}")
        if not field.required and field.default is None:
            found.append(F.expr(f"count_if({accepted} AND {column} IS NULL)").alias(f"nulls:{name}"))
        if field.type in ("integer", "decimal"):
            total, squares = _sums(column, field, accepted)
            found.append(F.expr(f"cast({total} AS DECIMAL(38,8))").alias(f"sum:{name}"))
            found.append(F.expr(f"cast({squares} AS DECIMAL(38,8))").alias(f"squares:{name}"))
        found += [
            F.expr(f"count_if({accepted} AND {column} = {literal(code)})").alias(f"code:{name}={code}")
            for code in field.values or ()
        ]
    return found


def _sums(column: str, field: Field, accepted: str) -> tuple[str, str]:
    """SQL of the sum of a field and of its squares, exact, so that the order of rows does not matter.

    Spark takes ten times as long to add decimals as whole numbers. Squares that fit a BIGINT are summed up in
    two halves, each of which has room for as many rows as there may be.
    """
    bounded = field.min is not None and field.max is not None and max(-field.min, field.max) <= _ROOT
    if field.type == "integer" and bounded:
        square = f"CASE WHEN {accepted} THEN {column} * {column} END"
        high, low = f"try_sum(shiftright({square}, 32))", f"try_sum({square} & {2**32 - 1}L)"
        squares = f"cast({high} AS DECIMAL(20,0)) * {2**32}BD + cast({low} AS DECIMAL(20,0))"
        return f"try_sum(CASE WHEN {accepted} THEN {column} END)", squares
    number = f"CASE WHEN {accepted} THEN try_cast({column} AS DECIMAL(18,4)) END"
    return f"try_sum({number})", f"try_sum({number} * {number})"


def field_of(name: str) -> str:
    """The field that an entry of a profile is of.

    Example:
        >>> field_of("code:status=active"), field_of("sum:mb")
        ('status', 'mb')
    """
    return name.partition(":")[2].partition("=")[0]


def profile_of(groups: Iterable[Mapping[str, object]]) -> dict[str, Decimal]:
    """The profile among the values of rows aggregated in groups; sums of nothing are left out."""
    found: dict[str, Decimal] = {}
    # Exact, so that the order of the groups does not matter.
    with localcontext(prec=60):
        for group in groups:
            for name, value in group.items():
                if name.partition(":")[0] in _KINDS and value is not None:
                    found[name] = found.get(name, Decimal(0)) + Decimal(str(value))
    return found
