"""Reads a table of the warehouse without Spark, for people who look while a run may be at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    location = f"{warehouse.rstrip('/')}/{table.name}"
    try:
        found = DeltaTable(location)
    except TableNotFoundError:
        message = f"table '{table.name}' has not been written in {warehouse}"
        raise StorageError(Issue("TABLE_MISSING", message)) from None
    wanted = list(columns or table.names)
    have = [name for name in wanted if name in {field.name for field in found.schema().fields}]
    # Arrow reads the files itself: through the reader's own file system, threads outlive the program.
    system, inside = file_system(location)
    files = fs.SubTreeFileSystem(inside, system)
    rows = found.to_pyarrow_table(columns=have, filters=list(where) or None, filesystem=files).to_pylist()
    return [dict.fromkeys(wanted) | row for row in rows]
