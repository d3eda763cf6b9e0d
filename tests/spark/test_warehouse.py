"""Writing tables: partitions are replaced as a whole, nothing is committed for equal rows, kept tables stay true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from jobs.contracts.columns import Column, Table
from jobs.storage.frames import frame_of
from jobs.storage.warehouse import Warehouse
from tests.spark.little import files_with

pytestmark = pytest.mark.spark

MAY, JUNE = date(2026, 5, 31), date(2026, 6, 1)
TABLE = Table(
    name="visits",
    columns=(
        Column("who", "STRING"),
        Column("day", "DATE"),
        Column("part", "STRING"),
        Column("minutes", "BIGINT"),
        Column("run_id", "STRING", run_metadata=True),
    ),
    partition_by=("day", "part"),
    sort_by=("who",),
)


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Warehouse:
    return Warehouse(spark, str(tmp_path))


def rows(spark: SparkSession, *data: tuple[str, date, str, int], run: str = "r1") -> DataFrame:
    return frame_of(spark, [(*row, run) for row in data], TABLE.ddl)


def version(warehouse: Warehouse) -> int:
    return DeltaTable(warehouse.location(TABLE)).version()


def holds(warehouse: Warehouse, *data: tuple[str, date, str, int]) -> None:
    """Fails, showing the rows side by side, unless the table has just these."""
    found = warehouse.read(TABLE).drop("run_id")
    wanted = rows(warehouse.spark, *data).drop("run_id")
    assert_df_equality(found, wanted, ignore_row_order=True, ignore_nullable=True)
    assert found.count() == len(DeltaTable(warehouse.location(TABLE)).to_pyarrow_table())


def test_partitions_are_replaced_and_equal_rows_commit_nothing(
    spark: SparkSession, warehouse: Warehouse
) -> None:
    may = {"day": [MAY], "part": ["a"]}
    assert warehouse.replace(rows(spark, ("S1", MAY, "a", 1), ("S2", MAY, "a", 2)), TABLE, may).changed
    assert warehouse.replace(rows(spark, ("S9", JUNE, "a", 9)), TABLE, {"day": [JUNE], "part": ["a"]}).changed
    before = version(warehouse)
    again = warehouse.replace(rows(spark, ("S2", MAY, "a", 2), ("S1", MAY, "a", 1), run="r2"), TABLE, may)
    assert (again.rows, again.changed, version(warehouse)) == (2, False, before)
    assert warehouse.replace(rows(spark, ("S1", MAY, "a", 7)), TABLE, may).changed
    holds(warehouse, ("S1", MAY, "a", 7), ("S9", JUNE, "a", 9))
    # An empty result clears its partition, and may come again after that.
    assert warehouse.replace(rows(spark), TABLE, may).changed
    holds(warehouse, ("S9", JUNE, "a", 9))
    july = {"day": [date(2026, 7, 1)], "part": ["a"]}
    assert not warehouse.replace(rows(spark), TABLE, july).changed
    assert warehouse.replace(rows(spark, ("S3", MAY, "a", 3)), TABLE, may).changed
    holds(warehouse, ("S3", MAY, "a", 3), ("S9", JUNE, "a", 9))


def test_arranged_rows_are_written_once_and_none_commit_nothing(
    spark: SparkSession, warehouse: Warehouse
) -> None:
    may = {"day": [MAY], "part": ["a"]}
    two = (("S1", MAY, "a", 1), ("S2", MAY, "a", 2))
    first = warehouse.replace(rows(spark, *two).repartition(2, "minutes"), TABLE, may, arranged=True)
    assert (first.rows, first.changed) == (2, True)
    before = version(warehouse)
    again = warehouse.replace(rows(spark, *two), TABLE, may, arranged=True)
    assert (again.rows, again.changed) == (2, False)
    for _ in range(2):
        july = {"day": [date(2026, 7, 1)], "part": ["a"]}
        nothing = warehouse.replace(rows(spark), TABLE, july, arranged=True)
        assert (nothing.rows, nothing.changed) == (0, False)
    assert version(warehouse) == before
    assert warehouse.replace(rows(spark, ("S1", MAY, "a", 7)), TABLE, may, arranged=True).changed
    holds(warehouse, ("S1", MAY, "a", 7))


@pytest.mark.parametrize("part", ["a", "a b", "x/y=z", "南京", "50%"])
def test_a_partition_of_any_name_is_replaced_not_doubled(
    spark: SparkSession, warehouse: Warehouse, part: str
) -> None:
    place = {"day": [MAY, JUNE], "part": [part]}
    warehouse.replace_changed(rows(spark, ("S0", MAY, "other", 0)), TABLE, {"day": [MAY], "part": ["other"]})
    for minutes in (1, 2):
        new = rows(spark, ("S1", MAY, part, minutes), ("S2", JUNE, part, minutes))
        warehouse.replace_changed(new, TABLE, place)
    holds(warehouse, ("S0", MAY, "other", 0), ("S1", MAY, part, 2), ("S2", JUNE, part, 2))


@pytest.mark.parametrize("folder", ["plain", "省 份", "a#b[c]%20"])
def test_a_kept_table_is_read_again_after_it_changed(
    spark: SparkSession, tmp_path: Path, folder: str
) -> None:
    warehouse = Warehouse(spark, str(tmp_path / folder))

    def minutes() -> int:
        def sql(name: Callable[[str], str]) -> str:
            return f"SELECT sum(minutes) FROM {name('v')}"

        found = warehouse.query(sql, {"v": TABLE}, {"v": "TRUE"}, {"v"})
        return int(found.collect()[0][0])

    warehouse.replace(rows(spark, ("S1", MAY, "a", 1)), TABLE, {"day": [MAY], "part": ["a"]})
    assert minutes() == 1
    assert minutes() == 1
    assert warehouse._kept["visits"][1].storageLevel.useMemory
    warehouse.replace(rows(spark, ("S1", JUNE, "a", 5)), TABLE, {"day": [JUNE], "part": ["a"]})
    assert minutes() == 6


def test_only_the_rows_needed_of_a_large_table_are_read(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = Warehouse(spark, str(tmp_path / "warehouse"))
    warehouse.replace(rows(spark, ("S1", MAY, "a", 1)), TABLE, {"day": [MAY], "part": ["a"]})
    warehouse.replace(rows(spark, ("S1", JUNE, "a", 5)), TABLE, {"day": [JUNE], "part": ["a"]})
    needed = {"v": f"day >= DATE'{JUNE}'"}
    found = warehouse.query(lambda name: f"SELECT minutes FROM {name('v')}", {"v": TABLE}, needed, set())
    assert [row[0] for row in found.collect()] == [5]
    assert len(found.inputFiles()) == 1


def test_rows_of_the_driver_keep_their_values_and_start_no_python(spark: SparkSession) -> None:
    ddl = (
        "name STRING, day DATE, at TIMESTAMP, rate DECIMAL(18,8), size BIGINT, words ARRAY<STRING>, "
        "profile MAP<STRING, DECIMAL(38,8)>, one STRUCT<a: INT, b: BOOLEAN>"
    )
    at = datetime(2026, 5, 31, 20, 30, 1, 5, tzinfo=UTC)
    full = ("张", MAY, at, Decimal("0.5"), 2**40, ["a", None], {"x": Decimal(3)}, {"a": 1, "b": None})
    empty = (None,) * 8
    found = frame_of(spark, [full, empty], ddl)
    assert_df_equality(found, spark.createDataFrame([full, empty], ddl))
    assert found.collect()[0]["at"].timestamp() == at.timestamp()
    none = frame_of(spark, [], ddl)
    assert none.schema == found.schema and none.count() == 0
    for frame in (found, none):
        assert "RDD" not in frame._jdf.queryExecution().optimizedPlan().toString()


def test_what_is_deleted_and_forgotten_is_not_in_the_change_feed_either(
    spark: SparkSession, warehouse: Warehouse
) -> None:
    table = replace(TABLE, name="followed", change_data_feed=True)
    may = {"day": [MAY], "part": ["a"]}
    warehouse.replace(rows(spark, ("SECRET1", MAY, "a", 1), ("S2", MAY, "a", 2)), table, may)
    # Written anew: the feed then holds both what was and what is.
    warehouse.replace(rows(spark, ("SECRET1", MAY, "a", 3), ("S2", MAY, "a", 4)), table, may)
    warehouse.delete(table, frame_of(spark, [("SECRET1",)], "who STRING"))
    folder = Path(warehouse.location(table))
    assert any("_change_data" in name for name in files_with(folder, "SECRET1"))
    warehouse.forget_history([table])
    assert files_with(folder, "SECRET1") == []
    assert [row["who"] for row in warehouse.read(table).collect()] == ["S2"]
