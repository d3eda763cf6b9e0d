"""Many rules over a wide view of random customers, for tests and benchmarks of the pass over the view."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import duckdb
import sqlglot
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.domain.moments import ATTRIBUTES, CUSTOMER_COLUMNS, RISK_COLUMNS, Pass, truths
from jobs.kernel.cycle import CycleKind
from jobs.rulelang.compile import EvaluableRule, items_needed, predicate_sql
from jobs.rulelang.reserved import RESERVED
from jobs.rulelang.ruleset import Rule
from jobs.stages.context import Configuration

DAY = date(2026, 5, 31)


def many_rules(rules: Sequence[Rule], count: int) -> list[EvaluableRule]:
    """So many rules: those there are, and copies of them whose thresholds differ."""
    found = []
    for number in range(count):
        rule = rules[number % len(rules)]
        turn = number // len(rules)
        parameters = {
            name: one.model_copy(update={"default": one.default + turn})
            for name, one in rule.file.parameters.items()
        }
        name = f"{rule.id}_{turn}" if turn else rule.id
        file = rule.file.model_copy(update={"id": name, "parameters": parameters})
        copy = Rule(
            file, rule.condition, rule.audience, rule.templates, f"{rule.fingerprint}{turn}", rule.again
        )
        found.append(EvaluableRule(number, copy, copy.condition, ()))
    return found


def pass_of(configuration: Configuration, rules: Sequence[EvaluableRule]) -> Pass:
    """A pass of rules over the view of a day, with no run before it."""
    values = configuration.rules.reserved(DAY, date(2026, 6, 1))
    types = {**configuration.view.types, **RESERVED}
    return Pass(configuration.calendar.cycle(CycleKind.daily, DAY), rules, frozenset(), None, types, values)


def random_view(
    spark: SparkSession, configuration: Configuration, rules: Sequence[EvaluableRule], rows: int
) -> DataFrame:
    """Customers with random values of what rules name: one in ten unknown, numbers mostly small."""
    types = configuration.view.types
    needed = {*CUSTOMER_COLUMNS, *RISK_COLUMNS, *ATTRIBUTES, *items_needed(rules)} - RESERVED.keys()
    columns = [
        _random(name, types[name].kind if name in types else "string", place)
        for place, name in enumerate(sorted(needed))
    ]
    return spark.range(rows).select(F.expr("concat('S', id)").alias("subscription_id"), *columns)


_WORDS = {
    "city": ("南京", "苏州", "无锡", "扬州"),
    "subscription_status": ("active", "active", "active", "suspended"),
    "value_tier": ("high", "mid", "low"),
}


def _random(name: str, kind: str, place: int) -> Column:
    draw = f"xxhash64(id, {place})"
    match kind:
        case "integer":
            value = f"cast(pmod({draw}, 100) * pmod({draw} DIV 100, 3) DIV 2 AS BIGINT)"
        case "decimal":
            value = f"cast((pmod({draw}, 40000) - 10000) / 100 AS DECIMAL(18,2))"
        case "date":
            value = f"date_add(DATE '{DAY}', cast(pmod({draw}, 400) - 300 AS INT))"
        case "boolean":
            value = f"pmod({draw}, 8) = 0"
        case _ if name in ("reasons_zh", "reasons_en"):
            value = "array('a', 'b')"
        case _:
            words = ", ".join(f"'{word}'" for word in _WORDS.get(name, ("a", "b", "c")))
            value = f"element_at(array({words}), 1 + cast(pmod({draw}, size(array({words}))) AS INT))"
    return F.expr(f"CASE WHEN pmod({draw} DIV 7, 10) > 0 THEN {value} END").alias(name)


def counts_by_duckdb(files: str, one: Pass, threads: int | None = None) -> dict[int, tuple[int, int]]:
    """For how many customers each rule is true, and unknown: the same predicates evaluated by DuckDB.

    Args:
        files: The view's Parquet files, as a glob.
        one: The pass.
        threads: How many threads it may use; all by default.
    """
    with duckdb.connect() as connection:
        if threads is not None:
            connection.execute(f"SET threads = {threads}")
        for name, sign in (("safe_add", "+"), ("safe_subtract", "-"), ("safe_multiply", "*")):
            connection.execute(f"CREATE MACRO {name}(a, b) AS a {sign} b")
        counted = []
        for rule in one.rules:
            # Its dialects have no suffix for decimals, which numbers in DuckDB are anyway.
            sql = re.sub(r"(?<=\d)BD\b", "", predicate_sql(rule, one.reserved))
            told = sqlglot.transpile(sql, read="spark", write="duckdb")[0]
            counted.append(f"count(*) FILTER (WHERE {told}), count(*) FILTER (WHERE ({told}) IS NULL)")
        found = connection.execute(f"SELECT {', '.join(counted)} FROM read_parquet('{files}')").fetchone()
    assert found is not None
    return {rule.ordinal: (found[2 * at], found[2 * at + 1]) for at, rule in enumerate(one.rules)}


def counts_by_spark(view: DataFrame, one: Pass) -> dict[int, tuple[int, int]]:
    """The same by the pass that alerts come from."""
    found = {rule.ordinal: [0, 0] for rule in one.rules}
    for row in truths(view, one).groupBy("ordinal", "truth").count().collect():
        found[row["ordinal"]][row["truth"] - 1] = row["count"]
    return {ordinal: (true, unknown) for ordinal, (true, unknown) in found.items()}
