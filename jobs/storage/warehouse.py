"""Delta tables of a warehouse: created from their schemas, read, replaced by partition, appended to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product, takewhile
from threading import RLock

from delta.tables import DeltaTable
from deltalake import DeltaTable as DeltaFiles
from pyarrow import fs
from pyspark import StorageLevel
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import MapType

from jobs.contracts.columns import Table
from jobs.expressions.sql import quote
from jobs.kernel.errors import Issue, StorageError
from jobs.storage.frames import frame_of, struct_type
from jobs.storage.layout import Partition, fit, in_order, laid_out, predicate
from jobs.storage.paths import file_system

SMALL_ROWS = 200_000
PARALLEL = 3
RELATION = "keymoments_"
_RETENTION_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
# Spark escapes other characters in the names of partition folders.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        rows: Rows that now stand in the replaced partitions.
        changed: False when they stood there already, so that nothing was committed.
    """

    rows: int
    changed: bool


class Warehouse:
    """All tables of one warehouse, by path, so that any Delta reader finds them."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self.spark = spark
        self.path = path.rstrip("/")
        # A run holds the warehouse's lock, so what it has seen once stays true.
        self._seen: set[str] = set()
        self._fitting: set[str] = set()
        self._kept: dict[str, tuple[int | None, DataFrame]] = {}
        self._locks: defaultdict[str, RLock] = defaultdict(RLock)

    def location(self, table: Table | str) -> str:
        """Folder of a table."""
        return f"{self.path}/{table if isinstance(table, str) else table.name}"

    def exists(self, table: Table | str) -> bool:
        """Whether a table has been created."""
        location = self.location(table)
        if location not in self._seen and self.version(table) is not None:
            self._seen.add(location)
        return location in self._seen

    def version(self, table: Table | str) -> int | None:
        """Newest version of a table, from the names of its commits, or None before it exists."""
        system, inside = file_system(f"{self.location(table)}/_delta_log")
        entries = system.get_file_info(fs.FileSelector(inside, allow_not_found=True))
        return max((int(one.base_name[:20]) for one in entries if one.extension == "json"), default=None)

    def read(self, table: Table | str, version: int | None = None) -> DataFrame:
        """A table's rows.

        Raises:
            StorageError: When it has not been written yet.
        """
        if not self.exists(table):
            name = table if isinstance(table, str) else table.name
            raise StorageError(Issue("TABLE_MISSING", f"table '{name}' has not been written in {self.path}"))
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.location(table))

    def query(
        self,
        sql: Callable[[Callable[[str], str]], str],
        tables: Mapping[str, Table],
        needed: Mapping[str, str],
        keep: Set[str],
    ) -> DataFrame:
        """Rows of a statement over tables.

        Args:
            sql: Gives the statement, from the name of the relation to read for each key of tables.
            tables: The tables it reads.
            needed: Condition on each table's partition that all rows fulfil which the statement takes.
            keep: Keys of small tables that stay in memory until they change: finding a table's files
                costs Delta two jobs a query, which for these is most of the work.
        """
        kept = [tables[name] for name in tables if name in keep]
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(self._keep, kept))
        for name, table in tables.items():
            rows = self._kept[table.name][1] if name in keep else self.read(table).where(needed[name])
            rows.createOrReplaceTempView(f"{RELATION}{name}")
        # The views stay: dropping one would take the rows it names out of memory.
        return self.spark.sql(sql(lambda name: quote(f"{RELATION}{name}")))

    def _keep(self, table: Table) -> None:
        version = self.version(table)
        if table.name in self._kept:
            old_version, old = self._kept[table.name]
            if old_version == version:
                return
            old.unpersist()
        rows = self._files_of(table).persist(StorageLevel.MEMORY_AND_DISK)
        rows.count()
        self._kept[table.name] = (version, rows)

    def _files_of(self, table: Table) -> DataFrame:
        """All rows of a table; a local one's log is read on the driver, without Spark jobs.

        Files are then named to Spark, which takes some characters of a path for patterns: in such a folder,
        as for a table that is not what its schema says, Delta finds the files.
        """
        location = self.location(table)
        if not self.exists(table) or not _PLAIN_PATH.fullmatch(location):
            return self.read(table)
        log = DeltaFiles(location)
        if {field.name for field in log.schema().fields} != set(table.names):
            return self.read(table)
        files = log.file_uris()
        if not files:
            return self.none_of(table)
        reader = self.spark.read.schema(struct_type(table)).option("basePath", self.location(table))
        return reader.parquet(*files)

    def read_or_empty(self, table: Table) -> DataFrame:
        """A table's rows, none before it exists."""
        return self.read(table) if self.exists(table) else self.none_of(table)

    def none_of(self, table: Table) -> DataFrame:
        """No rows, with the columns of a table."""
        return frame_of(self.spark, [], table.ddl)

    def ensure(self, table: Table) -> None:
        """Creates a table from its schema, or adds columns that the schema has gained.

        Raises:
            StorageError: When columns went away or changed their type.
        """
        with self._locks[table.name]:
            if table.name in self._fitting:
                return
            if not self.exists(table):
                self._create(table)
            else:
                self._adapt(table)
            self._fitting.add(table.name)

    def _adapt(self, table: Table) -> None:
        have = {field.name: field.dataType for field in self.read(table).schema}
        want = {field.name: field.dataType for field in struct_type(table)}
        gone = sorted(set(have) - set(want))
        changed = sorted(name for name in set(have) & set(want) if have[name] != want[name])
        if gone or changed:
            parts = [f"no longer in the schema: {', '.join(gone)}"] if gone else []
            parts += [f"of another type: {', '.join(changed)}"] if changed else []
            message = f"table '{table.name}' in {self.path} does not fit its schema; {'; '.join(parts)}"
            raise StorageError(Issue("TABLE_MISMATCH", message))
        added = [column for column in table.columns if column.name not in have]
        if added:
            columns = ", ".join(f"{quote(column.name)} {column.type}" for column in added)
            self.spark.sql(f"ALTER TABLE delta.{quote(self.location(table))} ADD COLUMNS ({columns})")

    def _create(self, table: Table) -> None:
        builder = DeltaTable.createIfNotExists(self.spark).location(self.location(table))
        builder = builder.addColumns(struct_type(table))
        for key, value in _properties(table).items():
            builder = builder.property(key, value)
        if table.partition_by:
            builder = builder.partitionedBy(*table.partition_by)
        builder.execute()

    def replace(self, rows: DataFrame, table: Table, partition: Partition, arranged: bool = False) -> Written:
        """Puts rows in the place of whole partitions, in one commit, or in none when nothing differs.

        Args:
            rows: The new rows, with all columns of the table in any order.
            table: The table; created when missing.
            partition: Values of partition columns that are replaced, whether or not rows has any.
            arranged: The rows already lie as they should be written: few tasks a partition value. Where
                there is nothing to compare them with, they are written as they are made.

        Raises:
            StorageError: When the table does not fit its schema.
        """
        fitted = fit(rows, table)
        held = self.may_hold(table, partition)
        if arranged and not held:
            # Without any row Delta commits nothing.
            self._put(in_order(fitted, table), table, partition)
            count = self.read(table).where(predicate(partition)).count()
            return Written(count, changed=count > 0)
        fitted = settled(fitted)
        if held:
            self.ensure(table)
            count, mark = row_fingerprint(fitted, table)
            if (count, mark) == row_fingerprint(self.read(table).where(predicate(partition)), table):
                return Written(count, changed=False)
        count = fitted.count()
        if count == 0 and self.exists(table) and not held:
            return Written(0, changed=False)
        lying = in_order(fitted, table) if arranged else laid_out(fitted, table, partition, count)
        self._put(lying, table, partition)
        return Written(count, changed=True)

    def replace_changed(
        self, rows: DataFrame, table: Table, partition: Partition, arranged: bool = False
    ) -> None:
        """Like replace for rows that are known to differ, such as a new delivery: no comparison.

        Args:
            rows: The new rows.
            table: The table; created when missing.
            partition: Values of partition columns that are replaced.
            arranged: The rows already lie as they should be written: few tasks a partition value.
        """
        fitted = fit(rows, table)
        lying = in_order(fitted, table) if arranged else laid_out(fitted, table, partition, None)
        self._put(lying, table, partition)

    def _put(self, rows: DataFrame, table: Table, partition: Partition) -> None:
        """Replaces a partition; threads of a run that write to one table do so one after the other."""
        with self._locks[table.name]:
            self._put_alone(rows, table, partition)

    def _put_alone(self, rows: DataFrame, table: Table, partition: Partition) -> None:
        """Replaces a partition; the first write creates the table, in the same commit."""
        if self.exists(table) or any(column.required for column in table.columns):
            holds = self.may_hold(table, partition)
            self.ensure(table)
            if holds:
                self._overwrite(rows, table, predicate(partition))
            else:
                rows.write.format("delta").mode("append").save(self.location(table))
            return
        writer = rows.write.format("delta").partitionBy(*table.partition_by)
        for key, value in _properties(table).items():
            writer = writer.option(key, value)
        writer.save(self.location(table))
        self._fitting.add(table.name)

    def may_hold(self, table: Table, partition: Partition) -> bool:
        """Whether a table can have rows in a partition; False is certain, and saves a search of the log.

        Delta files lie in folders named for their partition: where there is no folder, there is no row.
        """
        if not self.exists(table):
            return False
        given = list(takewhile(partition.__contains__, table.partition_by))
        values = [str(value) for name in given for value in partition[name]]
        if not given or not all(map(_PLAIN.fullmatch, values)):
            return True
        levels = [[f"{name}={value}" for value in partition[name]] for name in given]
        folders = [f"{self.location(table)}/{'/'.join(parts)}" for parts in product(*levels)]
        system, _ = file_system(folders[0])
        found = system.get_file_info([file_system(folder)[1] for folder in folders])
        return any(info.type is not fs.FileType.NotFound for info in found)

    def overwrite(self, rows: DataFrame, table: Table) -> None:
        """Puts rows in the place of a whole small table."""
        self.ensure(table)
        self._overwrite(fit(rows, table).coalesce(1).sortWithinPartitions(*table.sort_by), table, "true")

    def append(self, rows: DataFrame, table: Table) -> None:
        """Adds a few rows, as to a ledger."""
        self.ensure(table)
        fit(rows, table).coalesce(1).write.format("delta").mode("append").save(self.location(table))

    def delete(self, table: Table, keys: DataFrame) -> None:
        """Deletes rows that have the values of a key; the log keeps the statement, but not these values."""
        keys.createOrReplaceTempView(f"{RELATION}deleted")
        same = " AND ".join(f"old.{quote(name)} <=> gone.{quote(name)}" for name in keys.columns)
        self.spark.sql(
            f"MERGE INTO delta.{quote(self.location(table))} AS old USING {RELATION}deleted AS gone "
            f"ON {same} WHEN MATCHED THEN DELETE"
        )

    def forget_history(self, tables: Iterable[Table]) -> None:
        """Deletes all files that the newest versions do not need, so that older ones cannot be read."""
        statements = [f"VACUUM delta.{quote(self.location(table))} RETAIN 0 HOURS" for table in tables]
        self.spark.conf.set(_RETENTION_CHECK, "false")
        try:
            with ThreadPoolExecutor(PARALLEL) as pool:
                list(pool.map(self.spark.sql, statements))
        finally:
            self.spark.conf.unset(_RETENTION_CHECK)

    def _overwrite(self, rows: DataFrame, table: Table, where: str) -> None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", where)
        writer.save(self.location(table))


def _properties(table: Table) -> dict[str, str]:
    """Delta properties: no reader feature that other readers lack."""
    properties = {
        "delta.enableDeletionVectors": "false",
        "keymoments.schemaVersion": str(table.version),
        # Least and greatest values by file would keep ids of persons who were erased.
        "delta.dataSkippingNumIndexedCols": "0",
    }
    if table.change_data_feed:
        properties["delta.enableChangeDataFeed"] = "true"
    return properties


def settled(rows: DataFrame) -> DataFrame:
    """Computes rows once and cuts them off from what they were made of.

    Rows that are only persisted still name their tables: Spark plans them again at every write to one of
    these, and whatever is made of them carries their whole plan. The copy goes when nothing refers to it.
    Executors that may be lost need spark.checkpoint.dir; without it the copy lies on them.
    """
    if rows.sparkSession.sparkContext.getCheckpointDir() is None:
        return rows.localCheckpoint()
    return rows.checkpoint()


def row_fingerprint(rows: DataFrame, table: Table) -> tuple[int, str]:
    """Number of rows and a hash of them that does not depend on their order; run metadata left out."""
    columns = [_hashable(rows, column.name) for column in table.columns if not column.run_metadata]
    row = F.xxhash64(*columns)
    result = rows.agg(
        F.count("*").alias("rows"),
        F.sum(row.cast("decimal(38,0)")).alias("sum"),
        F.bit_xor(row).alias("xor"),
    ).collect()[0]
    return int(result["rows"]), f"{result['sum']}:{result['xor']}"


def _hashable(rows: DataFrame, name: str) -> SparkColumn:
    column = F.col(quote(name))
    if isinstance(rows.schema[name].dataType, MapType):
        column = F.array_sort(F.map_entries(column))
    # xxhash64 skips nulls: without the flag (null, 1) and (1, null) would be alike.
    return F.struct(column.isNull(), column)
