"""However many rules there are, the view is read once and moved no more often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.domain.moments import moment_rows, state_rows, transitions, truths
from jobs.stages.context import Configuration
from tests.manyrules import counts_by_duckdb, counts_by_spark, many_rules, pass_of, random_view

pytestmark = [pytest.mark.spark, pytest.mark.slow]

PRIOR = "moment_id string, subscription_id string, truth string, entered_on date, ended_on date, step int"


def work_of(frame: DataFrame) -> dict[str, int]:
    """Scans and shuffles of a frame's plan."""
    plan = frame._jdf.queryExecution().executedPlan().toString()
    return {name: plan.count(name) for name in ("FileScan", "Exchange", "Sort ", "Generate", "Expand")}


def jobs_of(spark: SparkSession, action: Callable[[], object], name: str) -> int:
    spark.sparkContext.setJobGroup(name, name)
    try:
        action()
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(name))


def test_one_rule_and_three_hundred_take_the_same_jobs_scans_and_shuffles(
    spark: SparkSession, configuration: Configuration, tmp_path: Path
) -> None:
    known = [rule for rule in configuration.rules.rules if rule.file.status == "active"]
    everything = many_rules(known, 300)
    path = str(tmp_path / "view")
    random_view(spark, configuration, everything, 200).write.parquet(path)
    spark.createDataFrame([], PRIOR).write.parquet(str(tmp_path / "prior"))
    found = {}
    for count in (1, 300):
        one = pass_of(configuration, everything[:count])
        inside = transitions(
            truths(spark.read.parquet(path), one), spark.read.parquet(str(tmp_path / "prior")), one
        )
        frames = {"state": state_rows(inside, one), "moments": moment_rows(inside, one, "run")}
        work = {name: work_of(frame) for name, frame in frames.items()}
        jobs = {
            name: jobs_of(spark, frame.write.format("noop").mode("overwrite").save, f"{name}{count}")
            for name, frame in frames.items()
        }
        found[count] = (work, jobs)
        rules = {row[0] for row in frames["moments"].select("moment_id").distinct().collect()}
        assert len(rules) > count / 3
    assert found[1] == found[300]
    work, jobs = found[300]
    # The view and the state of the run before.
    assert work["moments"]["FileScan"] == 2 and all(number >= 1 for number in jobs.values())


def test_truths_are_those_that_duckdb_finds(
    spark: SparkSession, configuration: Configuration, tmp_path: Path
) -> None:
    """The same predicates over the same files, for all rules and copies with other thresholds."""
    known = [rule for rule in configuration.rules.rules if rule.file.status == "active"]
    one = pass_of(configuration, many_rules(known, 60))
    path = str(tmp_path / "view")
    random_view(spark, configuration, one.rules, 3_000).write.parquet(path)
    found = counts_by_spark(spark.read.parquet(path), one)
    assert found == counts_by_duckdb(f"{path}/*.parquet", one)
    assert sum(true > 0 for true, _ in found.values()) > 40
    assert sum(unknown > 0 for _, unknown in found.values()) > 50
