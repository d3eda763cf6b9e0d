"""Waiting alerts, each stage that stops some, and ranks, on a few candidates written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.domain.dispatch import WHOM, DispatchPlan, candidates, waiting
from jobs.domain.known import served_before
from jobs.domain.stops import stop_cooling, stop_exempt, stop_inhibited, stop_over
from jobs.domain.visits import with_capacity, with_ranks, with_visits
from jobs.expressions.parse import parse
from jobs.stages.context import Configuration

pytestmark = pytest.mark.spark

DAY = date(2026, 6, 1)
BEFORE = date(2026, 5, 31)


@pytest.fixture(scope="module")
def plan(configuration: Configuration) -> DispatchPlan:
    return DispatchPlan(DAY, configuration.rules, configuration.dispatch, b"a key of the tests", BEFORE)


def test_alerts_wait_while_valid_and_while_true_where_the_rule_says_so(
    spark: SparkSession, plan: DispatchPlan
) -> None:
    rows = [
        ("overflowed", "complaint", "S1", "overflow", "capacity", DAY),
        ("exempted", "complaint", "S2", "suppressed", "exempt", DAY),
        ("no longer valid", "complaint", "S3", "overflow", "capacity", BEFORE),
        ("muted", "complaint", "S4", "suppressed", "inhibited", DAY),
        ("done", "complaint", "S5", "dispatched", None, DAY),
        ("still in arrears", "arrears_before_suspension", "S6", "overflow", "capacity", DAY),
        ("has paid", "arrears_before_suspension", "S7", "overflow", "capacity", DAY),
        ("of a retired rule", "no_such_rule", "S8", "overflow", "capacity", DAY),
        ("has left", "complaint", "S9", "overflow", "capacity", DAY),
        ("closed since", "complaint", "S10", "overflow", "capacity", DAY),
        ("not mended", "service_unusable", "S2", "overflow", "capacity", DAY),
        ("mended since", "service_unusable", "S10", "overflow", "capacity", DAY),
    ]
    schema = "alert_id STRING, moment_id STRING, subscription_id STRING, status STRING, status_reason STRING, valid_until DATE"
    alerts = spark.createDataFrame(rows, schema).select(
        "*", F.lit(BEFORE).alias("dispatch_date"), F.lit(None).cast("date").alias("carried_from")
    )
    state = spark.createDataFrame(
        [("arrears_before_suspension", "S6")], "moment_id STRING, subscription_id STRING"
    )
    here = [(f"S{number}", 1, 1) for number in range(1, 9)] + [("S10", 0, 0)]
    # What is not known of a complaint keeps nobody from waiting.
    here[1] = ("S2", None, 1)
    present = spark.createDataFrame(here, "subscription_id STRING, complaints_open INT, faults_open INT")
    found = waiting(alerts, state, present, plan).collect()
    assert {row["alert_id"] for row in found} == {
        "overflowed",
        "exempted",
        "still in arrears",
        "not mended",
    }
    # Nobody is phoned for a rule that has been taken out of use since.
    for status in ("retired", "shadow", "draft"):
        left = waiting(alerts, state, present, _with_status(plan, "complaint", status)).collect()
        assert {row["alert_id"] for row in left} == {"still in arrears", "not mended"}, status
    assert {(row["carried_from"], row["dispatch_date"]) for row in found} == {(BEFORE, DAY)}


def test_alerts_wait_by_any_item_score_or_date_that_rules_may_name(
    spark: SparkSession, plan: DispatchPlan
) -> None:
    rows = [(f"of {who}", "complaint", who, "overflow", "capacity", DAY) for who in ("S1", "S2", "S3")]
    schema = "alert_id STRING, moment_id STRING, subscription_id STRING, status STRING, status_reason STRING, valid_until DATE"
    alerts = spark.createDataFrame(rows, schema).select(
        "*", F.lit(BEFORE).alias("dispatch_date"), F.lit(None).cast("date").alias("carried_from")
    )
    state = spark.createDataFrame([], "moment_id STRING, subscription_id STRING")
    here = [("S1", BEFORE, 7.0), ("S2", BEFORE, 2.0), ("S3", BEFORE, None)]
    present = spark.createDataFrame(here, "subscription_id STRING, as_of DATE, risk_score DOUBLE")
    for text, left in (
        ("risk_score >= 5", {"of S1", "of S3"}),
        ("dispatch_date = add_days(as_of, 1)", {"of S1", "of S2", "of S3"}),
        ("dispatch_date = as_of", set()),
    ):
        rules = tuple(
            replace(rule, pending=parse(text) if rule.id == "complaint" else None)
            for rule in plan.rules.rules
        )
        changed = replace(plan, rules=replace(plan.rules, rules=rules))
        assert {row["alert_id"] for row in waiting(alerts, state, present, changed).collect()} == left, text


def _with_status(plan: DispatchPlan, rule_id: str, status: str) -> DispatchPlan:
    """The plan with a rule of another status."""
    rules = tuple(
        replace(rule, file=rule.file.model_copy(update={"status": status})) if rule.id == rule_id else rule
        for rule in plan.rules.rules
    )
    return replace(plan, rules=replace(plan.rules, rules=rules))


def _candidates(spark: SparkSession, *rows: tuple[str, str, str]) -> DataFrame:
    """alert_id, moment_id and subscription_id, not stopped by anything yet."""
    frame = spark.createDataFrame(list(rows), "alert_id STRING, moment_id STRING, subscription_id STRING")
    empty = F.lit(None).cast("string")
    return frame.select(
        "*", empty.alias("status"), empty.alias("status_reason"), empty.alias("suppressed_by")
    )


def _stopped(rows: DataFrame) -> dict[str, tuple[str, str | None]]:
    """Reason and culprit of the rows that were stopped."""
    found = rows.collect()
    assert len({row["alert_id"] for row in found}) == len(found)
    return {
        row["alert_id"]: (row["status_reason"], row["suppressed_by"])
        for row in found
        if row["status"] == "suppressed"
    }


def test_a_reminder_of_a_month_is_sent_within_it(spark: SparkSession, plan: DispatchPlan) -> None:
    """A step found in the middle of a month is sent the next day; one found at its end is over."""
    schema = (
        "alert_id STRING, moment_id STRING, subscription_id STRING, category STRING, shadow BOOLEAN, cycle STRING, "
        "as_of DATE, dispatch_date DATE, serve_on DATE, run_id STRING"
    )
    rows = [
        ("in the month", "data_package_use", "S1", "reminder", False, "daily", date(2026, 5, 20), date(2026, 5, 21), None, "r"),
        ("on its last day", "data_package_use", "S2", "reminder", False, "daily", date(2026, 5, 30), BEFORE, None, "r"),
        ("in the next", "data_package_use", "S3", "reminder", False, "daily", BEFORE, DAY, None, "r"),
        ("a complaint", "complaint", "S4", "anomaly", False, "daily", BEFORE, DAY, None, "r"),
        ("a birthday", "birthday", "S5", "special", False, "daily", BEFORE, DAY, date(2026, 6, 3), "r"),
        ("only watched", "complaint", "S6", "anomaly", True, "daily", BEFORE, DAY, None, "r"),
        ("exempt", "suspended", "S7", "exempt", False, "daily", BEFORE, DAY, None, "r"),
    ]  # fmt: skip
    moments = spark.createDataFrame(rows, schema)
    none = candidates(moments.where("FALSE"), moments.limit(0).select(
        "*", F.lit(None).cast("date").alias("valid_until"), F.lit(None).cast("date").alias("carried_from"),
        F.col("cycle").alias("dispatch_cycle"),
    ), plan)  # fmt: skip
    assert none.count() == 0
    carried = none.drop("severity", "plan_id", "channel", "status", "status_reason", "suppressed_by")
    found = stop_over(candidates(moments, carried, plan)).collect()
    assert {row["alert_id"]: (row["valid_until"], row["status_reason"]) for row in found} == {
        "in the month": (date(2026, 5, 22), None),
        "on its last day": (BEFORE, None),
        "in the next": (BEFORE, "over"),
        "a complaint": (date(2026, 6, 2), None),
        "a birthday": (date(2026, 6, 3), None),
    }


def test_what_fires_anew_takes_the_place_of_what_waits(spark: SparkSession, plan: DispatchPlan) -> None:
    """One statement of a moment a subscription: that of now. The same occurrence stays the alert that waits."""
    head = "alert_id STRING, moment_id STRING, subscription_id STRING, category STRING, shadow BOOLEAN"
    schema = f"{head}, cycle STRING, as_of DATE, dispatch_date DATE, serve_on DATE, run_id STRING"
    now = ("daily", BEFORE, DAY, None, "r")
    fired = [("new", "complaint", "S1"), ("same", "complaint", "S2"), ("other", "low_balance", "S3")]
    moments = spark.createDataFrame([(*one, "anomaly", False, *now) for one in fired], schema)
    waits = [("old", "complaint", "S1"), ("same", "complaint", "S2"), ("kept", "complaint", "S3")]
    carried = spark.createDataFrame([(*one, "anomaly", False, *now) for one in waits], schema)
    carried = carried.withColumnRenamed("cycle", "dispatch_cycle").drop("as_of", "shadow", "run_id")
    day = F.lit(DAY)
    carried = carried.select("*", day.alias("valid_until"), F.lit(BEFORE).alias("carried_from"))
    found = {row["alert_id"]: row for row in candidates(moments, carried, plan).collect()}
    assert set(found) == {"new", "same", "other", "old", "kept"}
    told = ("status", "status_reason", "suppressed_by")
    assert [found["old"][name] for name in told] == ["suppressed", "superseded", "new"]
    for name in ("new", "same", "other", "kept"):
        assert found[name]["status"] is None, name
    assert found["same"]["carried_from"] == BEFORE


def test_what_is_over_on_the_day_is_stopped(spark: SparkSession, plan: DispatchPlan) -> None:
    rows = _candidates(spark, ("last day", "birthday", "S1"), ("gone by", "birthday", "S2"))
    rows = rows.withColumn("dispatch_date", F.lit(plan.dispatch_date))
    until = F.expr("date_sub(dispatch_date, CASE alert_id WHEN 'gone by' THEN 1 ELSE 0 END)")
    assert _stopped(stop_over(rows.withColumn("valid_until", until))) == {"gone by": ("over", None)}


def test_exempt_moments_stop_all_but_the_rules_that_say_otherwise(
    spark: SparkSession, plan: DispatchPlan
) -> None:
    rows = _candidates(
        spark,
        ("quiet", "bill_surge", "S1"),
        ("twice", "bill_surge", "S2"),
        ("complained", "complaint", "S3"),
        ("complained but quiet", "complaint", "S1"),
        ("free", "bill_surge", "S9"),
    )
    exempt = spark.createDataFrame(
        [("S1", ["do_not_disturb"]), ("S2", ["suspended", "do_not_disturb"]), ("S3", ["suspended"])],
        "subscription_id STRING, exempt ARRAY<STRING>",
    )
    assert _stopped(stop_exempt(rows.join(exempt, "subscription_id", "left"), plan)) == {
        "quiet": ("exempt", "do_not_disturb"),
        "twice": ("exempt", "do_not_disturb"),
        "complained but quiet": ("exempt", "do_not_disturb"),
    }


def test_a_dispatched_moment_cools_down_for_the_days_of_its_rule(
    spark: SparkSession, plan: DispatchPlan, configuration: Configuration
) -> None:
    days = configuration.rules.by_id("bill_surge").file.cooldown_days
    assert days > 1
    rows = _candidates(
        spark,
        ("too soon", "bill_surge", "S1"),
        ("long ago", "bill_surge", "S2"),
        ("another rule", "monthly_spend_drop", "S1"),
        ("another number", "bill_surge", "S4"),
        ("the same again", "bill_surge", "S5"),
    )
    earlier = [
        ("old1", "bill_surge", "S1", DAY - timedelta(days=days - 1)),
        ("older", "bill_surge", "S1", DAY - timedelta(days=days + 30)),
        ("old2", "bill_surge", "S2", DAY - timedelta(days=days)),
        ("the same again", "bill_surge", "S5", DAY - timedelta(days=days + 1)),
    ]
    dispatched = spark.createDataFrame(
        earlier, "alert_id STRING, moment_id STRING, subscription_id STRING, dispatch_date DATE"
    )
    cooling = rows.join(served_before(dispatched), "subscription_id", "left")
    assert _stopped(stop_cooling(cooling, plan)) == {
        "too soon": ("cooldown", "old1"),
        "the same again": ("cooldown", "the same again"),
    }


def test_a_stronger_moment_mutes_weaker_ones_unless_it_is_stopped_itself(
    spark: SparkSession, plan: DispatchPlan
) -> None:
    rows = _candidates(
        spark,
        ("strong", "spend_and_call_drop", "S1"),
        ("weak", "monthly_spend_drop", "S1"),
        ("unrelated", "complaint", "S1"),
        ("weak alone", "monthly_spend_drop", "S2"),
        ("stopped", "spend_and_call_drop", "S3"),
        ("weak beside it", "monthly_spend_drop", "S3"),
    )
    rows = rows.withColumn("status", F.expr("CASE WHEN alert_id = 'stopped' THEN 'suppressed' END"))
    rows = rows.withColumn("status_reason", F.expr("CASE WHEN alert_id = 'stopped' THEN 'exempt' END"))
    rows = rows.withColumn("whom", F.col("subscription_id"))
    assert _stopped(stop_inhibited(rows, plan)) == {
        "weak": ("inhibited", "spend_and_call_drop"),
        "stopped": ("exempt", None),
    }


def visits(spark: SparkSession, plan: DispatchPlan) -> DataFrame:
    """Candidates: two moments of one customer, three customers of one manager, one of a city's team, one text."""
    rows = [
        ("a1", "C1", "S1", "M1", "南京", "call", "0.50", None),
        ("a2", "C1", "S2", "M1", "南京", "call", "0.90", None),
        ("b1", "C2", "S3", "M1", "南京", "call", "0.70", None),
        ("c1", "C3", "S4", "M1", "南京", "call", "0.70", None),
        ("d1", "C4", "S5", None, "镇江", "call", "0.10", None),
        ("e1", "C1", "S1", "M1", "南京", "sms", "0.99", None),
        ("f1", "C5", "S6", "M1", "南京", "call", "0.95", "suppressed"),
    ]
    schema = (
        "alert_id STRING, customer_id STRING, subscription_id STRING, manager_id STRING, city STRING, "
        "channel STRING, priority STRING, status STRING"
    )
    frame = spark.createDataFrame(rows, schema).withColumn(
        "priority", F.col("priority").cast("decimal(18,6)")
    )
    empty = F.lit(None).cast("string")
    # Owed service, that the control group gets too.
    candidates = frame.select(
        "*",
        F.lit("complaint").alias("moment_id"),
        F.expr(WHOM).alias("whom"),
        empty.alias("status_reason"),
        empty.alias("suppressed_by"),
    )
    managers = spark.createDataFrame(
        [("M1", "M1", 2)], "manager_id STRING, server STRING, daily_visits BIGINT"
    )
    return with_capacity(with_ranks(with_visits(candidates, managers, plan)))


@pytest.mark.parametrize("partitions", [1, 5])
def test_a_manager_visits_the_strongest_first_and_one_visit_serves_a_customer(
    spark: SparkSession, plan: DispatchPlan, partitions: int
) -> None:
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
    try:
        found = {row["alert_id"]: row for row in visits(spark, plan).collect()}
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    status = {name: (row["status"], row["suppressed_by"]) for name, row in found.items()}
    assert status == {
        "a1": ("dispatched", None),
        "a2": ("dispatched", None),
        "b1": ("dispatched", None),
        # As strong as b1; the order ends in the alert's id.
        "c1": ("overflow", "manager:M1"),
        "d1": ("dispatched", None),
        "e1": ("dispatched", None),
        "f1": ("suppressed", None),
    }
    assert found["a1"]["visit_id"] == found["a2"]["visit_id"]
    assert (found["a1"]["visit_lead"], found["a2"]["visit_lead"]) == (False, True)
    assert found["e1"]["visit_id"] is None
    ranks = {name: row["rank_province"] for name, row in found.items() if row["visit_lead"]}
    assert ranks == {"a2": 1, "b1": 2, "c1": 3, "d1": 4}
    assert found["d1"]["resource"] == "team:镇江"


def test_ranking_needs_no_window_over_all_rows(spark: SparkSession, plan: DispatchPlan) -> None:
    def partitions(frame: DataFrame) -> list[int]:
        """By how many columns each window of a plan is partitioned."""
        node, found = frame._jdf.queryExecution().optimizedPlan(), []
        nodes = [node]
        while nodes:
            node = nodes.pop()
            if node.nodeName() == "Window":
                found.append(node.partitionSpec().size())
            nodes += [node.children().apply(place) for place in range(node.children().size())]
        return found

    assert len(found := partitions(visits(spark, plan))) >= 3 and min(found) >= 1
    over_all = visits(spark, plan).select(F.row_number().over(Window.orderBy("alert_id")))
    assert 0 in partitions(over_all)
