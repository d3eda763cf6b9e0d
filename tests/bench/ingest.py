"""Ingest of usage rows beside Spark's own typed CSV reader writing the same file to Delta.

The plain job writes the columns of the clean table. What ingest does more: the hash of the file, a line number
and all reasons for each row, quarantine, raw rows beside clean ones, duplicates, and tiles.
"""

from __future__ import annotations

import random
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import functions as F

from jobs.stages.context import Configuration, RunContext, open_run
from jobs.stages.ingest import ingest
from tests.bench.beside import Pair, run_beside

DAYS = 30
SOURCE = """
source: bench
zh: 基准
en: Benchmark
extracts:
  - {contract: subscriptions, files: 'subscriptions_{period}.csv', fields: same}
  - {contract: data_usage, files: 'data_usage_{period}.csv', fields: same}
"""


def write_extracts(folder: Path, rows: int, seed: int = 1) -> Path:
    """A month of usage, one bad row in ten thousand and one duplicate in a thousand."""
    folder.mkdir(parents=True)
    subscriptions = "subscription_id,customer_id,updated_on,status\nS1,C1,2026-04-01,active\n"
    (folder / "subscriptions_202604.csv").write_text(subscriptions, encoding="utf-8")
    draw = random.Random(seed)
    days = [(date(2026, 4, 1) + timedelta(days=n)).isoformat() for n in range(DAYS)]
    path = folder / "data_usage_202604.csv"
    last = ""
    with path.open("w", encoding="utf-8") as file:
        file.write("subscription_id,used_on,mb,roaming_mb\n")
        for number in range(rows):
            if number % 1_000 != 999:
                last = f"S{number // DAYS:08},{days[number % DAYS]},{draw.randrange(2_000)},0\n"
            file.write(last if number % 10_000 != 5_000 else f"S{number // DAYS:08},yesterday,-1,0\n")
    return path


def plain(context: RunContext, path: Path, table: Path) -> None:
    """What a job without any of our promises does."""
    schema = "subscription_id STRING, used_on DATE, mb BIGINT, roaming_mb BIGINT"
    rows = context.spark.read.schema(schema).option("header", True).csv(str(path))
    known = rows.where("used_on IS NOT NULL").select(
        "*",
        F.col("used_on").alias("row_date"),
        F.date_add("used_on", 1).alias("available_at"),
        F.lit("of one file").alias("delivery_id"),
        F.col("used_on").alias("row_day"),
    )
    days = known.repartition("row_day").sortWithinPartitions("row_day", "subscription_id")
    days.write.format("delta").partitionBy("row_day").mode("overwrite").save(str(table))


def prepare(configuration: Configuration, folder: Path, rows: int) -> Pair:
    """The files, and what is timed on them."""
    path = write_extracts(folder / "extracts", rows)
    warehouse, beside = folder / "warehouse", folder / "plain"
    context: list[RunContext] = []

    def fresh() -> None:
        for one in (warehouse, beside):
            shutil.rmtree(one, ignore_errors=True)
        context[:] = [open_run(configuration, str(warehouse), str(path.parent))]

    return Pair(fresh, lambda: plain(context[0], path, beside), lambda: ingest(context[0]))


if __name__ == "__main__":
    sys.exit(not run_beside(__doc__, SOURCE, 10_000_000, 3, prepare))
