"""How rows lie in the files of a table: with its columns and types, in few files, sorted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import Column, Table
from jobs.expressions.sql import literal, quote
from jobs.storage.frames import data_type

ROWS_PER_FILE = 1_000_000

Partition = Mapping[str, Sequence[str | date]]
"""Values of partition columns."""


def predicate(partition: Partition) -> str:
    """A partition as a SQL predicate.

    Example:
        >>> predicate({"as_of": [date(2026, 5, 31)], "part": ["all", "b"]})
        "`as_of` IN (DATE'2026-05-31') AND `part` IN ('all', 'b')"
    """
    parts = [
        f"{quote(name)} IN ({', '.join(literal(value) for value in values)})"
        for name, values in partition.items()
    ]
    return " AND ".join(parts) or "true"


def fit(rows: DataFrame, table: Table) -> DataFrame:
    """Selects a table's columns in order, each cast to its type.

    What has its type already stays the column that it is: behind a new name of it, Delta does not see that
    rows are sorted, and sorts them by their partitions once more.
    """
    have = {field.name: field.dataType for field in rows.schema}

    def fitted(column: Column) -> SparkColumn:
        found = F.col(quote(column.name))
        fits = have[column.name] == data_type(column.type)
        return found if fits else found.cast(column.type).alias(column.name)

    return rows.select(*map(fitted, table.columns))


def in_order(rows: DataFrame, table: Table) -> DataFrame:
    """Rows sorted inside their tasks, as files hold them."""
    return rows.sortWithinPartitions(*table.partition_by, *table.sort_by) if table.sort_by else rows


def laid_out(rows: DataFrame, table: Table, partition: Partition, count: int | None) -> DataFrame:
    """Few files: one a partition value, more only for very many rows; sorted inside."""
    varying = [name for name in table.partition_by if len(partition.get(name, ("", ""))) != 1]
    if varying:
        rows = rows.repartition(*varying)
    elif count is not None:
        rows = rows.coalesce(max(1, math.ceil(count / ROWS_PER_FILE)))
    return rows.sortWithinPartitions(*varying, *table.sort_by) if varying or table.sort_by else rows
