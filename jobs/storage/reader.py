"""Reads a table of the warehouse without Spark, for people who look while a run may be at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyarrow import fs

from jobs.contracts.columns import Table
from jobs.kernel.errors import Issue, StorageError
from jobs.storage.paths import file_system


def rows_of(
    warehouse: str, table: Table, where: Sequence[tuple[str, str, Any]] = (), columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Rows of a table's newest version.

    Args:
        warehouse: Folder or URI of the tables.
        table: Which of them.
        where: Conditions (column, operator, value) that all rows fulfil.
        columns: The columns wanted; all by default. Those that an older table lacks are null.

    Raises:
        StorageError: When the table has not been written.
    """
    wanted = list(columns or table.names)
    return [dict.fromkeys(wanted) | row for row in table_of(warehouse, table, where, wanted).to_pylist()]


def table_of(
    warehouse: str, table: Table, where: Sequence[tuple[str, str, Any]], columns: Sequence[str]
) -> pa.Table:
    """Columns of a table's newest version, less those that an older table lacks; see rows_of."""
    found, location = _open(warehouse, table)
    have = {field.name for field in found.schema().fields}
    # Arrow reads the files itself: through the reader's own file system, threads outlive the program.
    system, inside = file_system(location)
    files = fs.SubTreeFileSystem(inside, system)
    wanted = [name for name in columns if name in have]
    return found.to_pyarrow_table(columns=wanted, filters=list(where) or None, filesystem=files)


def partitions_of(warehouse: str, table: Table, names: Sequence[str]) -> list[tuple[str, ...]]:
    """All values of partition columns that there are, rising.

    Raises:
        StorageError: When the table has not been written, or is empty.
    """
    found, _ = _open(warehouse, table)
    values = {tuple(partition[name] for name in names) for partition in found.partitions()}
    if not values:
        message = f"table '{table.name}' in {warehouse} is empty"
        raise StorageError(Issue("TABLE_MISSING", message))
    return sorted(values)


def newest_partition(warehouse: str, table: Table, names: Sequence[str]) -> dict[str, str]:
    """The greatest values of partition columns, the first of them deciding.

    Raises:
        StorageError: When the table has not been written, or is empty.
    """
    return dict(zip(names, partitions_of(warehouse, table, names)[-1], strict=True))


def _open(warehouse: str, table: Table) -> tuple[DeltaTable, str]:
    location = f"{warehouse.rstrip('/')}/{table.name}"
    try:
        return DeltaTable(location), location
    except TableNotFoundError:
        message = f"table '{table.name}' has not been written in {warehouse}"
        raise StorageError(Issue("TABLE_MISSING", message)) from None
