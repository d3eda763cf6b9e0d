"""Expressions evaluated in plain Python and by Spark: the same values, for every function, on random rows."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.expressions.evaluate import evaluate
from jobs.expressions.functions import FUNCTIONS
from jobs.expressions.nodes import Call, walk
from jobs.expressions.parse import parse
from jobs.expressions.sql import to_sql

pytestmark = [pytest.mark.spark, pytest.mark.slow]

SCHEMA = "i BIGINT, j BIGINT, d DECIMAL(18,2), e DECIMAL(18,2), s STRING, t STRING, as_of DATE, eve DATE, b BOOLEAN, md STRING"
EXPRESSIONS = [
    "i + j", "i - d", "i * j", "d * e", "i / j", "d / e", "100 * (d - e) / e", "-i", "-d", "abs(d)", "abs(i)",
    "round(d)", "round(d, 1)", "round(i)", "round(d / e, 3)", "greatest(i, j)", "least(d, e)", "greatest(i, d)",
    "i = j", "i <> j", "d < e", "d <= i", "i > 1.5", "d >= -1", "s = t", "as_of < eve", "i in (1, 2, 3)",
    "i in (1, j)", "s in ('a', 'B')", "i is null", "not b", "b and i > 1", "b or i > 1", "b and (i > 1 or d > e)",
    "i between 1 and 5", "case when i > 3 then 'big' when b then 'yes' else s end", "if(i > j, d, e)",
    "coalesce(i, j, 7)", "nullif(i, j)", "nullif(s, 'a')", "concat(s, '-', t)", "lower(s)", "upper(t)", "trim(s)",
    "replace(s, 'a', 'xy')", "text(i)", "text(d)", "text(as_of)", "substring(s, 2, 2)", "substring(s, -2, 1)",
    "substring(s, 0, 2)", "number(t)", "parse_number(t, ',', '.')", "date(t)", "parse_date(t, 'yyyyMMdd')",
    "parse_date(t, 'yyyy-MM-dd')", "days_between(as_of, eve)", "add_days(as_of, i)", "add_days(as_of, d)", "year(as_of)",
    "month(eve)", "day(eve)", "weekday(eve)", "weekday(as_of)", "days_until_month_day(md)", "days_until_lunar_month_day(md)", "text(add_seconds(as_of, i))",
]  # fmt: skip


def drawn(draw: random.Random) -> tuple[Any, ...]:
    def day() -> date:
        return date(2024, 1, 1) + timedelta(days=draw.randrange(900))

    texts = ["a", "B", " ab ", "banana", "", "12", "1.5", "-3", "1.234,56", "1.23,4", "x1", "20240229", "20230229",
             "2024-02-29", "2024-2-9", "1e2", "٣", "2024"]  # fmt: skip
    row = (
        draw.randrange(-9, 10), draw.choice([0, draw.randrange(-9, 10), 2**62]),
        Decimal(draw.randrange(-100_000, 100_000)).scaleb(-2), Decimal(draw.choice([0, 1, 333, -250, 99_999])).scaleb(-2),
        draw.choice(texts), draw.choice(texts), day(), day(), draw.random() < 0.5,
        draw.choice(["02-29", "02-28", "12-31", "13-01", "12-30", f"{day():%m-%d}"]),
    )  # fmt: skip
    return tuple(None if draw.random() < 0.15 else value for value in row)


def test_every_function_has_an_expression_here() -> None:
    called = {node.function for text in EXPRESSIONS for node in walk(parse(text)) if isinstance(node, Call)}
    assert called == set(FUNCTIONS)


def test_python_and_spark_agree(spark: SparkSession) -> None:
    draw = random.Random(3)
    rows = [drawn(draw) for _ in range(300)]
    frame = spark.createDataFrame([(n, *row) for n, row in enumerate(rows)], f"n INT, {SCHEMA}")
    columns = [F.expr(to_sql(parse(text))).alias(f"x{at}") for at, text in enumerate(EXPRESSIONS)]
    found = {row["n"]: row for row in frame.select("n", *columns).collect()}
    names = [part.split()[0] for part in SCHEMA.split(", ")]
    known: dict[str, int] = dict.fromkeys(EXPRESSIONS, 0)
    for number, values in enumerate(rows):
        row = dict(zip(names, values, strict=True))
        for at, text in enumerate(EXPRESSIONS):
            ours = evaluate(parse(text), lambda name: row[name.name])  # noqa: B023
            assert ours == found[number][f"x{at}"], (text, row)
            known[text] += ours is not None
    # An expression that is always unknown would agree too.
    assert min(known.values()) > 5, known
