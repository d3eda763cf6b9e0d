"""What rules say in plain Python is what the SQL made of them says in Spark: truth, conditions and texts."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.contracts.columns import ddl_type
from jobs.contracts.view import Item, Score
from jobs.rulelang.cases import load_cases
from jobs.rulelang.compile import (
    TRUE,
    UNKNOWN,
    EvaluableRule,
    conditions_met_sql,
    description_sql,
    truth_array_sql,
)
from jobs.rulelang.reserved import reserved_sql
from jobs.rulelang.verdict import text_of, verdict_of
from jobs.stages.context import Configuration

pytestmark = [pytest.mark.spark, pytest.mark.slow]

# Three days before a festival, and dispatched on a day of digests.
AS_OF, DISPATCH = date(2026, 6, 16), date(2026, 6, 16)
ROWS = 400
TEXTS = {
    "subscription_status": ["active", "active", "suspended", "closed"],
    "value_tier": ["high", "mid", "low"],
    "city": ["南京", "苏州", "无锡"],
    "complaint_category_30d": ["network", "spam", "other"],
}


def drawn(items: dict[str, Item | Score], draw: random.Random) -> dict[str, Any]:
    """A row near the bounds of the rules: whole numbers, thresholds of parameters, and unknowns."""
    row: dict[str, Any] = {}
    for name, item in items.items():
        if draw.random() < 0.1:
            row[name] = None
        elif item.type == "integer":
            row[name] = draw.choice([0, 1, 2, 3, 80])
        elif item.type == "decimal":
            value = draw.choice(
                [Decimal(0), Decimal(draw.randrange(-100, 100)), Decimal(draw.randrange(9999)) / 100]
            )
            row[name] = value.quantize(Decimal(1).scaleb(-item.scale))
        elif item.type == "date":
            row[name] = AS_OF + timedelta(days=draw.randrange(-5, 6))
        elif item.type == "boolean":
            row[name] = draw.random() < 0.5
        else:
            row[name] = draw.choice(TEXTS.get(name, ["x", "y"]))
    return row


def test_python_and_spark_agree_on_cases_and_random_rows(
    spark: SparkSession, configuration: Configuration
) -> None:
    view, rules = configuration.view, configuration.rules
    items: dict[str, Item | Score] = {**view.items, **view.scores}
    draw = random.Random(11)
    rows = [dict(case.row) for case in load_cases(configuration.project, rules, view)]
    rows += [drawn(items, draw) for _ in range(ROWS)]
    schema = ", ".join(f"`{name}` {ddl_type(item.type, item.scale)}" for name, item in items.items())
    data = [(number, *(row.get(name) for name in items)) for number, row in enumerate(rows)]
    frame = spark.createDataFrame(data, f"n INT, {schema}")
    evaluable = [EvaluableRule(at, rule, rule.condition, ()) for at, rule in enumerate(rules.rules)]
    values = rules.reserved(AS_OF, DISPATCH)
    reserved = reserved_sql(values)
    rows = [{**row, **values} for row in rows]
    frame = frame.select("*", *(F.expr(sql).alias(name) for name, sql in reserved.items()))
    judged = frame.withColumn("code", F.explode(F.expr(truth_array_sql(evaluable, reserved))))
    judged = judged.withColumn("ordinal", F.expr("cast(floor(code / 10) AS INT)")).select(
        "n",
        "ordinal",
        F.expr("code % 10").alias("truth"),
        F.expr(conditions_met_sql(evaluable, reserved)).alias("met"),
        *(F.expr(description_sql(evaluable, language)).alias(language) for language in ("zh", "en")),
    )
    found = {(row["n"], row["ordinal"]): row for row in judged.collect()}
    seen: Counter[tuple[str, bool | None]] = Counter()
    for number, row in enumerate(rows):
        for at, rule in enumerate(rules.rules):
            ours, theirs = verdict_of(rule, row), found.get((number, at))
            truth = {None: False, TRUE: True, UNKNOWN: None}[theirs and theirs["truth"]]
            assert ours.truth == truth, (rule.id, row)
            seen[rule.id, truth] += 1
            if theirs is not None:
                assert ours.met == theirs["met"], (rule.id, row)
            if theirs is not None and truth:
                for language in ("zh", "en"):
                    assert text_of(rule.templates[language], row, language) == theirs[language], (
                        rule.id,
                        row,
                    )
    # Every rule was true, false and unknown for some rows.
    assert len(seen) == 3 * len(rules.rules), set(seen)
