"""Tiles: one aggregate a subscription, row date and availability date, from which any window is merged."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import Column as TableColumn
from jobs.contracts.columns import Table
from jobs.contracts.extracts import TILE_KEY, ExtractContract
from jobs.contracts.view import CustomerView, Measure, measure_type
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, to_sql

_DDL = {
    "integer": "BIGINT",
    "decimal": "DECIMAL(28,8)",
    "string": "STRING",
    "date": "DATE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "null": "STRING",
}


def value_type(measure: Measure, contract: ExtractContract) -> str:
    """DDL type of what a measure gives over a window."""
    return _DDL[measure_type(measure, {contract.contract: contract}).kind]


def tile_columns(name: str, measure: Measure, contract: ExtractContract) -> list[TableColumn]:
    """The columns a measure needs in a tile."""
    kind = value_type(measure, contract)
    match measure.aggregate:
        case "count":
            return [TableColumn(name, "BIGINT")]
        case "mean":
            return [TableColumn(f"{name}__sum", "DECIMAL(28,8)"), TableColumn(f"{name}__count", "BIGINT")]
        case "distinct":
            return [TableColumn(name, "ARRAY<STRING>")]
        case _:
            return [TableColumn(name, kind)]


def tiles_of(contract: ExtractContract, view: CustomerView) -> list[Table]:
    """The tile table of a contract, if any measure is taken from it."""
    return [tile_table(contract, view)] if view.measures_of(contract.contract) else []


def tile_table(contract: ExtractContract, view: CustomerView) -> Table:
    """The tile table of an event or month source."""
    head = (
        TableColumn("subscription_id", "STRING"),
        TableColumn("row_date", "DATE"),
        TableColumn("available_at", "DATE"),
    )
    measures = view.measures_of(contract.contract)
    columns = [column for name, one in measures.items() for column in tile_columns(name, one, contract)]
    return Table(
        name=f"tiles_{contract.contract}",
        columns=(*head, *columns, TableColumn("row_day", "DATE")),
        partition_by=("row_day",),
        sort_by=contract.dated_key if contract.fills_tiles_alone else TILE_KEY,
        key=TILE_KEY,
    )


def build_tiles(clean: DataFrame, contract: ExtractContract, view: CustomerView) -> DataFrame:
    """Aggregates clean rows into tiles; row_day, the partition, comes first, as the rows lie."""
    measures = view.measures_of(contract.contract)
    if contract.fills_tiles_alone:
        # Nothing to aggregate: every row becomes a tile where it lies.
        columns = [column for name, one in measures.items() for column in _of_one_row(name, one, contract)]
        return clean.select("row_day", *TILE_KEY, *columns)
    aggregates = [column for name, one in measures.items() for column in _aggregates(name, one, contract)]
    return clean.groupBy("row_day", *TILE_KEY).agg(*aggregates)


def _value_sql(measure: Measure) -> str:
    """SQL of what a measure takes from a row; null where the row does not count."""
    value = to_sql(parse(measure.of)) if measure.of is not None else literal(1)
    return value if measure.where is None else f"CASE WHEN {to_sql(parse(measure.where))} THEN {value} END"


def _aggregates(name: str, measure: Measure, contract: ExtractContract) -> list[Column]:
    """What the rows of a tile come to."""
    value, kind = _value_sql(measure), value_type(measure, contract)
    match measure.aggregate:
        case "sum":
            return [F.expr(f"cast(sum({value}) AS {kind})").alias(name)]
        case "count":
            return [F.expr(f"count({value})").alias(name)]
        case "mean":
            total = F.expr(f"cast(sum({value}) AS DECIMAL(28,8))").alias(f"{name}__sum")
            return [total, F.expr(f"count({value})").alias(f"{name}__count")]
        case "min" | "max":
            return [F.expr(f"cast({measure.aggregate}({value}) AS {kind})").alias(name)]
        case "distinct":
            return [F.expr(f"sort_array(collect_set(cast({value} AS STRING)))").alias(name)]
        case "last":
            # The order inside a date is that of the contract's key, so it does not depend on the file.
            order = ", ".join(f"`{key}`" for key in contract.row_key)
            struct = f"CASE WHEN ({value}) IS NOT NULL THEN struct({order}, {value} AS value) END"
            return [F.expr(f"cast(max({struct}).value AS {kind})").alias(name)]


def _of_one_row(name: str, measure: Measure, contract: ExtractContract) -> list[Column]:
    """What _aggregates come to in a tile of one row."""
    value, kind = _value_sql(measure), value_type(measure, contract)
    counted = f"cast(if(({value}) IS NULL, 0, 1) AS BIGINT)"
    match measure.aggregate:
        case "count":
            return [F.expr(counted).alias(name)]
        case "mean":
            total = F.expr(f"cast({value} AS DECIMAL(28,8))").alias(f"{name}__sum")
            return [total, F.expr(counted).alias(f"{name}__count")]
        case "distinct":
            return [F.expr(f"array_compact(array(cast({value} AS STRING)))").alias(name)]
        case _:
            return [F.expr(f"cast({value} AS {kind})").alias(name)]


def merge_sql(name: str, measure: Measure, contract: ExtractContract, inside: str) -> str:
    """SQL that merges a measure's tiles over a window.

    Args:
        name: The measure.
        measure: Its definition.
        contract: Its source.
        inside: SQL of the window's condition on row_date.
    """
    kind = value_type(measure, contract)
    match measure.aggregate:
        case "sum" | "count":
            merged = f"cast(sum(CASE WHEN {inside} THEN `{name}` END) AS {kind})"
        case "mean":
            total = f"sum(CASE WHEN {inside} THEN `{name}__sum` END)"
            count = f"sum(CASE WHEN {inside} THEN `{name}__count` END)"
            merged = f"try_divide(cast({total} AS DECIMAL(28,8)), cast({count} AS DECIMAL(20,0)))"
        case "min" | "max":
            merged = f"{measure.aggregate}(CASE WHEN {inside} THEN `{name}` END)"
        case "last":
            pair = f"CASE WHEN {inside} AND `{name}` IS NOT NULL THEN struct(row_date, `{name}` AS value) END"
            merged = f"max({pair}).value"
        case "distinct":
            sets = f"collect_list(CASE WHEN {inside} THEN `{name}` END)"
            merged = f"cast(size(array_distinct(flatten({sets}))) AS BIGINT)"
    return merged
