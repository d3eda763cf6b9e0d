"""Adds a few rows to a table of the warehouse without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

from jobs.contracts.columns import Table
from jobs.kernel.errors import Issue, StorageError

_TYPES = {
    "STRING": pa.string(), "DATE": pa.date32(), "INT": pa.int32(), "BIGINT": pa.int64(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}  # fmt: skip


def append_rows(warehouse: str, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Adds rows in one commit; the first ones make the table.

    Args:
        warehouse: Folder or URI of the tables.
        table: Which of them; it has no partitions.
        rows: Values by column.

    Raises:
        StorageError: When the warehouse cannot be written.
    """
    schema = pa.schema([pa.field(c.name, _TYPES[c.type], nullable=not c.required) for c in table.columns])
    content = pa.Table.from_pylist(list(rows), schema)
    location = f"{warehouse.rstrip('/')}/{table.name}"
    try:
        write_deltalake(location, content, mode="append")
    except (OSError, DeltaError) as error:
        reason = str(error).partition("\n")[0]
        raise StorageError(Issue("TABLE_UNWRITABLE", f"{location} cannot be written: {reason}")) from None
