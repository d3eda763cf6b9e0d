"""Dispatch of a million candidates beside a plain window-rank of the same rows written to Delta.

The plain job writes all columns of an alert. What dispatch does more: exempt moments, channels, cooldown,
inhibition, caps, visits, the control group, ranks of province and manager, capacity, and the table of tasks.
"""

from __future__ import annotations

import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import Window
from pyspark.sql import functions as F

from jobs.expressions.sql import literal
from jobs.stages.context import Configuration, RunContext, open_run
from jobs.stages.dispatch import dispatch
from tests.bench.beside import Pair, run_beside

DAY = date(2026, 6, 3)
EARLIER = 20
SOURCE = """
source: bench
zh: 基准
en: Benchmark
extracts:
  - {contract: subscriptions, files: 'subscriptions_{period}.csv', fields: same}
  - {contract: managers, files: 'managers_{period}.csv', fields: same}
  - {contract: consents, files: 'consents_{period}.csv', fields: same}
  - {contract: quiet_hours, files: 'quiet_hours_{period}.csv', fields: same}
"""


def lay(context: RunContext, rows: int) -> None:
    """Writes the tables that dispatch reads: so many candidates, a fifth as many served before, managers."""
    spark, warehouse = context.spark, context.warehouse
    configuration = context.configuration
    cycle = configuration.calendar.due(DAY)[0]
    rules = [rule for rule in configuration.rules.rules if not rule.is_exempt and rule.file.cycle == "daily"]
    names = f"array({', '.join(literal(rule.id) for rule in rules)})"
    kinds = f"array({', '.join(literal(rule.file.category) for rule in rules)})"
    cities = "array('南京', '苏州', '无锡', '常州', '镇江', '扬州', '泰州', '南通', '盐城', '淮安', '连云港', '徐州', '宿迁')"
    known = {
        "cycle": f"'{cycle.kind}'",
        "as_of": literal(cycle.as_of),
        "dispatch_date": literal(DAY),
        "alert_id": "md5(concat('alert', id))",
        "moment_id": f"element_at({names}, 1 + cast(pmod(xxhash64(id, 1), {len(rules)}) AS INT))",
        "category": f"element_at({kinds}, 1 + cast(pmod(xxhash64(id, 1), {len(rules)}) AS INT))",
        "shadow": "FALSE",
        "occurrence": f"'{cycle.as_of}'",
        "subscription_id": "concat('S', id)",
        "customer_id": f"concat('C', pmod(xxhash64(id, 2), {max(rows * 2 // 3, 1)}))",
        "number": "sha2(cast(id AS STRING), 256)",
        "city": f"element_at({cities}, 1 + cast(pmod(xxhash64(id, 3), 13) AS INT))",
        "brand": "'全球通'",
        "value_tier": "element_at(array('high', 'mid', 'low'), 1 + cast(pmod(xxhash64(id, 4), 3) AS INT))",
        "manager_id": "CASE WHEN pmod(xxhash64(id, 5), 3) > 0 THEN concat('M', pmod(xxhash64(id, 6), 1250)) END",
        "attributes": "map('balance', '9.50')",
        "parameters": "array(struct('new' AS name, '3' AS value, '1' AS threshold, 'count' AS unit))",
        "conditions_met": "array('new')",
        "description_zh": "concat('客户近30日投诉', id % 7, '件，最近一件涉及网络。')",
        "description_en": "concat('Complaints in 30 days: ', id % 7, ', last about the network.')",
        "risk_score": "cast(pmod(xxhash64(id, 7), 10000) / 1000 AS DECIMAL(18,4))",
        "risk_probability": "cast(pmod(xxhash64(id, 7), 10000) / 40000 AS DECIMAL(18,6))",
        "risk_band": "'high'",
        "risk_reasons_zh": "array('品牌离网率2.4%', '资费档离网率2.0%')",
        "risk_reasons_en": "array('Churn rate of the brand 2.4 %', 'Churn rate of the tariff band 2.0 %')",
        "rule_fingerprint": "'f'",
        "run_id": "'bench'",
    }

    def frame(count: int, table: str, values: dict[str, str]) -> None:
        into = (
            context.table(table)
            if table in configuration.tables
            else context.source.contracts[table].clean_table()
        )
        columns = [
            F.expr(f"cast({values.get(one.name, 'NULL')} AS {one.type})").alias(one.name)
            for one in into.columns
        ]
        warehouse.replace_changed(spark.range(count).select(*columns), into, {})

    frame(rows, "moments", known)
    frame(len(rules), "rule_evaluations", {
        "cycle": known["cycle"], "as_of": known["as_of"], "moment_id": f"{names}[id]", "result": "'evaluated'",
        "first_run": "FALSE", "rule_fingerprint": "'f'",
    })  # fmt: skip
    was = f"date_sub({literal(DAY)}, 1 + cast(pmod(xxhash64(id, 8), {EARLIER}) AS INT))"
    frame(rows // 5, "alerts", known | {
        "alert_id": "md5(concat('old', id))", "dispatch_cycle": known["cycle"], "dispatch_date": was, "revision": "1",
        "schema_version": "1", "title_zh": "'t'", "title_en": "'t'", "generated_at": "current_timestamp()",
        "status": "'dispatched'", "channel": "'call'", "valid_until": was,
    })  # fmt: skip
    since = literal(cycle.as_of - timedelta(days=30))
    state = {
        "row_date": since,
        "row_day": f"trunc({since}, 'year')",
        "available_at": since,
        "line": "id",
        "delivery_id": "'d'",
        "updated_on": since,
    }
    frame(1250, "managers", state | {"manager_id": "concat('M', id)", "city": "'南京'", "daily_visits": "8"})
    frame(rows // 20, "consents", state | {
        "customer_id": "concat('C', id)", "channel": "'call'", "purpose": "'service'", "status": "'denied'",
    })  # fmt: skip
    frame(rows // 20, "quiet_hours", state | {
        "customer_id": "concat('C', id * 2)", "quiet_from": "'12:00'", "quiet_to": "'14:00'",
    })  # fmt: skip
    view = context.view_table
    columns = [
        F.expr(f"cast({value} AS {one.type})").alias(one.name)
        for one in view.columns
        for value in [
            {
                "subscription_id": "concat('S', id)",
                "as_of": literal(cycle.as_of),
                "cutoff": literal(cycle.cutoff),
            }.get(one.name, "NULL")
        ]
    ]
    warehouse.replace_changed(spark.range(10).select(*columns), view, {})


def plain(context: RunContext, table: Path) -> None:
    """What a job without any of our promises does: the first eight of each manager."""
    rows = context.warehouse.read(context.table("moments")).where("NOT shadow")
    order = Window.partitionBy("manager_id").orderBy(F.desc("risk_probability"), "alert_id")
    ranked = rows.withColumn("rank_manager", F.row_number().over(order)).withColumns(
        {
            "status": F.expr("if(rank_manager <= 8, 'dispatched', 'overflow')"),
            "dispatch_cycle": F.col("cycle"),
            "title_zh": F.lit("关键时刻"),
            "title_en": F.lit("Key moment"),
            "revision": F.lit(1),
            "schema_version": F.lit(1),
            "severity": F.lit("high"),
            "channel": F.lit("call"),
            "plan_id": F.lit("p_service"),
            "valid_until": F.date_add("dispatch_date", 2),
            "not_before": F.col("dispatch_date"),
            "priority": F.col("risk_probability"),
            "visit_id": F.expr("md5(customer_id)"),
            "served_by": F.expr("concat('manager:', manager_id)"),
        }
    )
    into = context.table("alerts")
    told = ranked.select(
        *(
            F.col(one.name) if one.name in ranked.columns else F.lit(None).cast(one.type).alias(one.name)
            for one in into.columns
        )
    )
    told.write.format("delta").partitionBy(*into.partition_by).mode("overwrite").save(str(table))


def prepare(configuration: Configuration, folder: Path, rows: int) -> Pair:
    """The tables, and what is timed on them."""
    first, warehouse, beside = folder / "laid", folder / "warehouse", folder / "plain"
    lay(open_run(configuration, str(first)), rows)
    context: list[RunContext] = []
    counts: dict[str, int] = {}

    def fresh() -> None:
        for one in (warehouse, beside):
            shutil.rmtree(one, ignore_errors=True)
        shutil.copytree(first, warehouse)
        context[:] = [open_run(configuration, str(warehouse))]

    def told() -> str:
        return ", ".join(f"{count:,} {status}" for status, count in counts.items())

    return Pair(
        fresh, lambda: plain(context[0], beside), lambda: counts.update(dispatch(context[0], DAY)), told
    )


if __name__ == "__main__":
    sys.exit(not run_beside(__doc__, SOURCE, 1_000_000, 2, prepare))
