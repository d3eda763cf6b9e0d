"""Clean rows and tiles: of some units, the rows of all their deliveries, one a key."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.view import CustomerView
from jobs.domain.extract_rows import latest_wins, row_day
from jobs.domain.tiles import build_tiles, tiles_of
from jobs.expressions.sql import literal
from jobs.kernel.errors import Issue, SourceError
from jobs.stages.delivery import in_order
from jobs.stages.judge import ACCEPTED, Batch
from jobs.storage.layout import ROWS_PER_FILE
from jobs.storage.warehouse import Warehouse


def write_clean(
    warehouse: Warehouse,
    batch: Batch,
    units: list[date],
    others: list[dict[str, Any]],
    view: CustomerView,
) -> dict[str, int]:
    """Writes some units of a clean table and its tiles.

    Args:
        warehouse: The tables.
        batch: New deliveries that have rows in these units.
        units: What is written anew.
        others: Loaded deliveries that have rows in them.
        view: Gives the measures.

    Returns:
        Clean rows in these units, by delivery.

    Raises:
        SourceError: When rows were lost or doubled on the way; no clean row has been written then.
    """
    contract = batch.contract
    numbers = in_order(batch.deliveries, others, contract.available_after_days)
    accepted = sum(counts.accepted for counts in batch.counts.values())
    rows = _raw_rows(warehouse, batch, units, numbers, {row["delivery_id"] for row in others})
    kept = latest_wins(rows, contract, buckets=1 + accepted // (len(units) * ROWS_PER_FILE))
    # Sorted once, for the clean table and for its tiles.
    kept = kept.sortWithinPartitions("row_day", *contract.clean_table().sort_by)
    kept = kept.persist(StorageLevel.MEMORY_AND_DISK)
    told = kept.groupBy("delivery").agg(F.count("*"), F.sum("alike")).collect()
    _check_sum(contract, rows.count() if others else accepted, sum(row[2] for row in told))
    ids = ", ".join(map(literal, numbers))
    clean = kept.drop("alike").withColumn("delivery_id", F.expr(f"array({ids})[delivery]"))
    warehouse.replace_changed(clean, contract.clean_table(), {"row_day": units}, arranged=True)
    for tiles in tiles_of(contract, view):
        built = build_tiles(kept, contract, view)
        warehouse.replace_changed(built, tiles, {"row_day": units}, arranged=True)
    kept.unpersist()
    counted = {row[0]: row[1] for row in told}
    return {delivery_id: counted.get(number, 0) for delivery_id, number in numbers.items()}


def _check_sum(contract: ExtractContract, accepted: int, found: int) -> None:
    """Holds the rows that became clean ones, duplicates counted, against those accepted.

    Raises:
        SourceError: When some were lost or doubled on the way.
    """
    if found != accepted:
        what = f"{accepted:,} rows were accepted, but {found:,} are clean rows or duplicates"
        raise SourceError(Issue("LEDGER_SUM", f"{contract.contract}: {what}"))


def _raw_rows(
    warehouse: Warehouse, batch: Batch, units: list[date], numbers: dict[str, int], others: set[str]
) -> DataFrame:
    """All rows of some units: the new ones, and those of raw where others have rows there too.

    A row has the number of its delivery instead of its id, which is long to carry along.
    """
    contract = batch.contract
    columns = [column.name for column in contract.kept_columns] + ["row_date", "available_at", "line"]
    frames = []
    if batch.deliveries:
        new = ", ".join(str(numbers[one.delivery_id]) for one in batch.deliveries)
        number = F.expr(f"array({new})[delivery]").alias("delivery")
        frames.append(batch.judged.where(ACCEPTED).select(*columns, number))
    if others:
        known = ", ".join(f"{literal(one)}, {numbers[one]}" for one in sorted(others))
        number = F.expr(f"map({known})[delivery_id]").alias("delivery")
        old = warehouse.read(contract.raw_table()).where(F.col("delivery_id").isin(*others))
        frames.append(old.select(*columns, number))
    rows = reduce(DataFrame.unionByName, frames)
    return rows.withColumn("row_day", row_day(contract)).where(F.col("row_day").isin(units))


def recount(warehouse: Warehouse, contract: ExtractContract, deliveries: Collection[dict[str, Any]]) -> None:
    """Brings the numbers of clean and of duplicate rows of deliveries up to date.

    A row of one may have taken the place of another's, or no longer does.
    """
    units = sorted({unit for row in deliveries for unit in row["units"]})
    ids = [row["delivery_id"] for row in deliveries]
    clean = warehouse.read(contract.clean_table())
    mine = clean.where(F.col("row_day").isin(units) & F.col("delivery_id").isin(ids))
    loaded = {row[0]: row[1] for row in mine.groupBy("delivery_id").count().collect()}
    for row in deliveries:
        row["rows_loaded"] = loaded.get(row["delivery_id"], 0)
        kept = row["rows_read"] - row["rows_quarantined"] - (row["rows_erased"] or 0)
        row["rows_duplicate"] = kept - row["rows_loaded"]
