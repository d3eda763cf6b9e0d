"""A branch of a warehouse: what a trial writes lies apart, all else is the warehouse's own and only read."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import DataFrame

from jobs.contracts.columns import Table
from jobs.expressions.sql import quote
from jobs.storage.layout import Partition
from jobs.storage.warehouse import Warehouse


class Branch(Warehouse):
    """The tables of another warehouse, of which some may be written without touching it."""

    def __init__(self, trunk: Warehouse, folder: str, own: Collection[str]) -> None:
        """Branches off.

        Args:
            trunk: The warehouse whose tables are seen.
            folder: Where the branch's own tables lie.
            own: Names of the tables that the branch may write.
        """
        super().__init__(trunk.spark, trunk.path)
        self._trunk, self._folder, self._own = trunk, folder, frozenset(own)

    def location(self, table: Table | str) -> str:
        """Folder of a table."""
        name = table if isinstance(table, str) else table.name
        return f"{self._folder}/{name}" if name in self._own else super().location(name)

    def take_over(self, table: Table, without: str) -> None:
        """Begins an own table with the trunk's rows; no file is copied.

        Args:
            table: One of the own tables.
            without: Condition on partitions that the branch does not take over.
        """
        if not self._trunk.exists(table):
            return
        mine, its = quote(self.location(table)), quote(self._trunk.location(table))
        self.spark.sql(f"CREATE TABLE delta.{mine} SHALLOW CLONE delta.{its}")
        self.spark.sql(f"DELETE FROM delta.{mine} WHERE {without}")

    def ensure(self, table: Table) -> None:
        """Creates or adapts an own table."""
        self._must_own(table)
        super().ensure(table)

    def _put_alone(self, rows: DataFrame, table: Table, partition: Partition) -> None:
        self._must_own(table)
        super()._put_alone(rows, table, partition)

    def _must_own(self, table: Table) -> None:
        if table.name not in self._own:
            raise AssertionError(f"a branch must not write the table {table.name} of {self.path}")
