"""Ingest of usage rows beside Spark's own typed CSV reader writing the same file to Delta.

Both run in one session, after a small round of each that compiles their code. What ingest does more: the hash
of the file, a line number and all reasons for each row, quarantine, raw rows and clean rows, duplicates, tiles.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import functions as F

from jobs.kernel.project import Project
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.ingest import ingest

ROOT = Path(__file__).parents[2]
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
    days = rows.withColumn("row_day", F.col("used_on")).repartition("row_day")
    days.write.format("delta").partitionBy("row_day").mode("overwrite").save(str(table))


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Prints the times and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    rows = options.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="keymoments-bench-"))
    try:
        (folder / "bench.yaml").write_text(SOURCE, encoding="utf-8")
        configuration = configure(Project(ROOT), "local", str(folder / "bench.yaml"))
        for name, size in (("warm", 20_000), ("measured", rows)):
            path = write_extracts(folder / name, size)
            context = open_run(configuration, str(folder / f"{name}-warehouse"), str(path.parent))
            beside = seconds(lambda: plain(context, path, folder / f"{name}-plain"))  # noqa: B023
            ours = seconds(lambda: ingest(context))  # noqa: B023
        print(
            f"{rows:,} rows: plain CSV to Delta {beside:.1f} s, ingest {ours:.1f} s, ratio {ours / beside:.1f}"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
