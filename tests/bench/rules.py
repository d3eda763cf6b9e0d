"""All rules over a million customers beside DuckDB, which evaluates the same predicates over the same files.

Then 300 rules beside 30, and how long a thousand rule files take to load and check.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.kernel.project import Project
from jobs.rulelang.load import load_rules
from jobs.stages.context import Configuration, configure, open_run
from tests.bench.beside import ROOT, Pair, run_beside
from tests.manyrules import counts_by_duckdb, counts_by_spark, many_rules, pass_of, random_view

SOURCE = """
source: bench
zh: 基准
en: Benchmark
extracts:
  - {contract: subscriptions, files: 'subscriptions_{period}.csv', fields: same}
"""
THREADS = 2


def beside_duckdb(configuration: Configuration, folder: Path, rows: int) -> Pair:
    """All rules, by both; they have to agree."""
    context = open_run(configuration, str(folder / "warehouse"))
    known = [rule for rule in configuration.rules.rules if rule.file.status == "active"]
    one = pass_of(configuration, many_rules(known, 35))
    path = str(folder / "view")
    random_view(context.spark, configuration, one.rules, rows).write.parquet(path)
    view, files = context.spark.read.parquet(path), f"{path}/*.parquet"
    assert counts_by_spark(view, one) == counts_by_duckdb(files, one)
    return Pair(
        lambda: None, lambda: counts_by_duckdb(files, one, THREADS), lambda: counts_by_spark(view, one)
    )


def ten_times_the_rules(configuration: Configuration, folder: Path, rows: int) -> Pair:
    """30 rules, and 300."""
    context = open_run(configuration, str(folder / "warehouse"))
    known = [rule for rule in configuration.rules.rules if rule.file.status == "active"]
    few, many = (pass_of(configuration, many_rules(known, count)) for count in (30, 300))
    path = str(folder / "view")
    random_view(context.spark, configuration, many.rules, rows).write.parquet(path)
    view = context.spark.read.parquet(path)
    return Pair(lambda: None, lambda: counts_by_spark(view, few), lambda: counts_by_spark(view, many))


def seconds_to_load(folder: Path, count: int = 1_000) -> float:
    """How long so many rule files take to load and check."""
    for name in ("conf", "schemas", "rules"):
        shutil.copytree(ROOT / name, folder / name)
    files = [
        path
        for path in sorted((folder / "rules/moments").glob("*.yaml"))
        if "inhibits" not in path.read_text("utf-8")
    ]
    there = len(list((folder / "rules").glob("[mr]*s/*.yaml")))
    for number in range(count - there):
        path = files[number % len(files)]
        text = re.sub(r"(?m)^id: .*", f"id: {path.stem}_{number}", path.read_text("utf-8"))
        (folder / "rules/moments" / f"{path.stem}_{number}.yaml").write_text(text, "utf-8")
    configuration = configure(Project(ROOT))
    view, festivals = configuration.view, configuration.rules.holidays
    began = time.perf_counter()
    rules = load_rules(Project(folder), view.types, {}, view.labels, festivals)
    assert len(rules.rules) == count
    return time.perf_counter() - began


if __name__ == "__main__":
    fast = run_beside(__doc__, SOURCE, 1_000_000, 2, beside_duckdb)
    flat = run_beside("300 rules beside 30 of them.", SOURCE, 1_000_000, 3, ten_times_the_rules)
    with TemporaryDirectory() as scratch:
        seconds = seconds_to_load(Path(scratch))
    print(f"1,000 rule files: loaded and checked in {seconds:.1f} s, at most 3.0")
    sys.exit(not (fast and flat and seconds <= 3))
