"""Columns of tables, and how their types are written in Spark DDL."""

from __future__ import annotations

from dataclasses import dataclass

_DDL = {
    "string": "STRING",
    "integer": "BIGINT",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "boolean": "BOOLEAN",
}


def ddl_type(kind: str, scale: int = 2) -> str:
    """The Spark type of a contract type.

    Example:
        >>> ddl_type("decimal", 4), ddl_type("integer")
        ('DECIMAL(18,4)', 'BIGINT')
    """
    return f"DECIMAL(18,{scale})" if kind == "decimal" else _DDL[kind]


@dataclass(frozen=True)
class Column:
    """One column of a table we write.

    Attributes:
        name: Its name.
        type: Its Spark DDL type.
        zh: What it means, in Chinese.
        en: What it means, in English.
        required: Whether it may be null.
        run_metadata: Differs between runs that give the same result; left out of fingerprints.
    """

    name: str
    type: str
    zh: str = ""
    en: str = ""
    required: bool = False
    run_metadata: bool = False

    @property
    def ddl(self) -> str:
        """The column as Spark DDL."""
        return f"`{self.name}` {self.type}{' NOT NULL' if self.required else ''}"


@dataclass(frozen=True)
class Table:
    """A Delta table we write.

    Attributes:
        name: Its name, also that of its folder in the warehouse.
        columns: In order.
        partition_by: The unit that a re-run replaces.
        sort_by: How rows lie inside files.
        change_data_feed: Whether readers may follow its changes.
        key: Columns that are unique together.
        restricted: Holds clear personal data.
        version: Of the schema; raised when readers would break.
        released: Readers outside the pipeline rely on it; see contracts.released.
    """

    name: str
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    change_data_feed: bool = False
    key: tuple[str, ...] = ()
    restricted: bool = False
    version: int = 1
    released: bool = False

    @property
    def ddl(self) -> str:
        """All columns as Spark DDL, without nullability, as a reader sees them."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)
