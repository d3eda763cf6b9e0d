"""From the view to moments: the truth of all rules in one pass, then state, then what fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.expressions.nodes import Value
from jobs.expressions.sql import literal, quote
from jobs.expressions.types import Type
from jobs.kernel.cycle import Cycle
from jobs.rulelang.compile import (
    TRUE,
    UNKNOWN,
    EvaluableRule,
    again_sql,
    conditions_met_sql,
    description_sql,
    evidence_sql,
    items_needed,
    step_sql,
    truth_array_sql,
)
from jobs.rulelang.reserved import reserved_sql

# A life that ended is remembered for so long: whoever comes back within it is entered again.
REMEMBERED_DAYS = 92
ENDED = "false"
"""Truth of a life that has ended, in the table moment_state."""

CUSTOMER_COLUMNS = (
    "customer_id", "number", "city", "county", "brand", "tariff_plan", "value_tier", "lifecycle_stage",
    "manager_id",
)  # fmt: skip
RISK_COLUMNS = (
    "risk_score", "risk_probability", "risk_band", "reasons_zh", "reasons_en", "model_version",
)  # fmt: skip
ATTRIBUTES = (
    "gender", "age_years", "star_level", "tenure_days", "plan_monthly_fee", "bill_total_1m", "balance",
    "terminal_model", "services_active", "complaints_30d",
)  # fmt: skip


@dataclass(frozen=True)
class Pass:
    """One pass of a cycle's rules over the view.

    Attributes:
        cycle: as_of, cutoff and dispatch date.
        rules: The rules the source can decide.
        first_runs: Ids of rules that have not run in this cycle before.
        previous: as_of of the cycle's previous run.
        types: Types of everything rules may name.
        values: Values of what rules may name beside items.
    """

    cycle: Cycle
    rules: Sequence[EvaluableRule]
    first_runs: frozenset[str]
    previous: date | None
    types: Mapping[str, Type]
    values: Mapping[str, Value]

    @property
    def reserved(self) -> dict[str, str]:
        """SQL of what rules may name beside items."""
        return reserved_sql(self.values)

    def by_ordinal(self, value: Mapping[int, str]) -> Column:
        """A column that depends on the rule's ordinal."""
        return F.expr(self.by_ordinal_sql(value))

    def by_ordinal_sql(self, value: Mapping[int, str]) -> str:
        """SQL that depends on the rule's ordinal."""
        branches = " ".join(f"WHEN {ordinal} THEN {sql}" for ordinal, sql in value.items())
        return f"CASE `ordinal` {branches} END" if branches else "NULL"


def truths(view: DataFrame, one: Pass) -> DataFrame:
    """subscription_id, ordinal, truth (1 true, 2 unknown), and row: what alerts show, for true ones.

    One scan of the view; rules that are false leave no row.
    """
    shown = sorted({*CUSTOMER_COLUMNS, *RISK_COLUMNS, *ATTRIBUTES, *items_needed(one.rules)})
    columns = [F.expr(one.reserved.get(name) or quote(name)).alias(name) for name in shown]
    codes = F.expr(truth_array_sql(one.rules, one.reserved)).alias("codes")
    found = view.select("subscription_id", F.struct(*columns).alias("row"), codes)
    # Not exploded at once, which Spark interprets; and not without nulls, for which it would work the array
    # out a second time to see whether it is empty.
    code = F.explode_outer("codes").alias("code")
    exploded = found.select("subscription_id", "row", code).where("code IS NOT NULL")
    truth = F.expr("code % 10")
    return exploded.select(
        "subscription_id",
        F.expr("cast(floor(code / 10) AS INT)").alias("ordinal"),
        truth.alias("truth"),
        F.when(truth == TRUE, F.col("row")).alias("row"),
    )


def transitions(found: DataFrame, prior: DataFrame, one: Pass) -> DataFrame:
    """Joins truths with the state of the previous run.

    Args:
        found: The result of truths.
        prior: moment_id, subscription_id, truth, entered_on, ended_on and step of the previous run.
        one: The pass.

    Returns:
        The truths still inside and the lives that have ended, with moment_id, phase, entered_on, ended_on,
        step and fires; ordinal, row and fires are null where nobody is inside.
    """
    ids = one.by_ordinal({rule.ordinal: literal(rule.rule.id) for rule in one.rules}).alias("moment_id")
    stepped = found.select("*", ids, *(F.col(f"row.{quote(name)}") for name in _step_items(one)))
    current = stepped.select("*", F.expr(step_sql(one.rules)).alias("current_step"))
    # Steps count within a month; the previous run of another month says nothing about them.
    same_month = one.previous is not None and one.previous.replace(day=1) == one.cycle.as_of.replace(day=1)
    within = f"truth <> '{ENDED}'"
    evaluated = prior.where(F.col("moment_id").isin([rule.rule.id for rule in one.rules]))
    before = evaluated.select(
        "moment_id",
        "subscription_id",
        F.col("entered_on").alias("began_on"),
        F.col("step").alias("had_step"),
        F.expr(f"CASE WHEN {within} THEN entered_on END").alias("was_entered_on"),
        F.col("ended_on").alias("was_ended_on"),
        F.expr(f"CASE WHEN {within} AND {str(same_month).upper()} THEN step END").alias("was_step"),
    )
    joined = current.join(before, ["moment_id", "subscription_id"], "full_outer")
    today = literal(one.cycle.as_of)
    # Who is entered anew counts as not having been inside.
    anew = f"truth = {TRUE} AND {again_sql(one.rules, one.reserved, 'row')}"
    entered = f"coalesce(truth = {TRUE} AND (was_entered_on IS NULL OR ({anew})), FALSE)"
    inside = f"coalesce(truth = {TRUE} OR (truth = {UNKNOWN} AND was_entered_on IS NOT NULL), FALSE)"
    ended = f"CASE WHEN NOT inside AND was_entered_on IS NOT NULL THEN {today} ELSE was_ended_on END"
    lives = joined.withColumns({"inside": F.expr(inside), "entered": F.expr(entered)})
    lives = lives.withColumn("ended_on", F.expr(ended))
    forgotten = f"ended_on <= date_sub({today}, {REMEMBERED_DAYS})"
    lives = lives.withColumn("ended_on", F.expr(f"CASE WHEN NOT {forgotten} THEN ended_on END"))
    return lives.where("inside OR ended_on IS NOT NULL").select(
        "moment_id",
        "subscription_id",
        F.expr("CASE WHEN inside THEN ordinal END").alias("ordinal"),
        F.expr("CASE WHEN inside THEN truth ELSE 0 END").alias("truth"),
        F.expr("CASE WHEN inside THEN row END").alias("row"),
        F.expr(
            "CASE WHEN NOT inside THEN 'ended' WHEN NOT entered THEN 'continuing' "
            "WHEN was_entered_on IS NOT NULL OR ended_on IS NOT NULL THEN 're-entered' ELSE 'entered' END"
        ).alias("phase"),
        F.expr(f"CASE WHEN entered THEN {today} ELSE began_on END").alias("entered_on"),
        "ended_on",
        F.expr("CASE WHEN inside THEN greatest(current_step, was_step) ELSE had_step END").alias("step"),
        F.expr(f"inside AND ({_fires(one)})").alias("fires"),
    )


def _step_items(one: Pass) -> list[str]:
    return sorted({rule.rule.file.steps.of for rule in one.rules if rule.rule.file.steps is not None})


def _fires(one: Pass) -> str:
    """SQL of when a true rule fires, by its kind; an unknown one never does."""
    branches = {}
    for rule in one.rules:
        file = rule.rule.file
        if file.category == "exempt" or file.fire == "while_true":
            condition = "TRUE"
        elif rule.rule.id in one.first_runs and file.on_first_run == "baseline":
            condition = "FALSE"
        elif file.fire == "each_step":
            condition = "coalesce(current_step > coalesce(was_step, 0), FALSE)"
        else:
            condition = "entered"
        branches[rule.ordinal] = f"(truth = {TRUE} AND {condition})"
    return one.by_ordinal_sql(branches)


def state_rows(inside: DataFrame, one: Pass) -> DataFrame:
    """Rows of the table moment_state."""
    return inside.select(
        F.lit(str(one.cycle.kind)).alias("cycle"),
        F.lit(one.cycle.as_of).alias("as_of"),
        "moment_id",
        "subscription_id",
        F.expr(f"CASE truth WHEN {TRUE} THEN 'true' WHEN {UNKNOWN} THEN 'unknown' ELSE '{ENDED}' END").alias(
            "truth"
        ),
        "phase",
        "entered_on",
        "ended_on",
        "step",
    )


def moment_rows(inside: DataFrame, one: Pass, run_id: str) -> DataFrame:
    """Rows of the table moments, from those inside that fire."""
    fired = inside.where("fires").select(
        "moment_id", "subscription_id", "ordinal", "entered_on", "step", "row.*"
    )
    month = one.cycle.as_of.strftime("%Y-%m")
    occurrences = {}
    for rule in one.rules:
        if rule.rule.file.fire == "each_step":
            occurrences[rule.ordinal] = f"concat('{month}:', step)"
        elif rule.rule.file.fire == "while_true" or rule.rule.is_exempt:
            occurrences[rule.ordinal] = literal(one.cycle.as_of.isoformat())
        else:
            occurrences[rule.ordinal] = "cast(entered_on AS STRING)"
    known = fired.select("*", one.by_ordinal(occurrences).alias("occurrence"))
    texts = {
        "category": {r.ordinal: literal(r.rule.file.category) for r in one.rules},
        "shadow": {r.ordinal: str(r.rule.file.status == "shadow").upper() for r in one.rules},
        "rule_fingerprint": {r.ordinal: literal(r.rule.fingerprint) for r in one.rules},
    }
    serve_on = {
        r.ordinal: f"date_add({literal(one.cycle.as_of)}, cast({quote(r.rule.file.serve_in_days)} AS INT))"
        for r in one.rules
        if r.rule.file.serve_in_days is not None
    }
    attributes = ", ".join(f"{literal(name)}, cast({quote(name)} AS STRING)" for name in ATTRIBUTES)
    return known.select(
        F.lit(str(one.cycle.kind)).alias("cycle"),
        F.lit(one.cycle.as_of).alias("as_of"),
        F.lit(one.cycle.dispatch_date).alias("dispatch_date"),
        hash_of("moment_id", "subscription_id", "occurrence").alias("alert_id"),
        "moment_id",
        *(one.by_ordinal(values).alias(name) for name, values in texts.items()),
        "occurrence",
        one.by_ordinal(serve_on).cast("date").alias("serve_on"),
        "subscription_id",
        *CUSTOMER_COLUMNS,
        F.expr(f"map_filter(map({attributes}), (key, value) -> value IS NOT NULL)").alias("attributes"),
        F.expr(evidence_sql(one.rules, one.types, one.reserved)).alias("parameters"),
        F.expr(conditions_met_sql(one.rules, one.reserved)).alias("conditions_met"),
        F.expr(description_sql(one.rules, "zh")).alias("description_zh"),
        F.expr(description_sql(one.rules, "en")).alias("description_en"),
        "risk_score",
        "risk_probability",
        "risk_band",
        F.col("reasons_zh").alias("risk_reasons_zh"),
        F.col("reasons_en").alias("risk_reasons_en"),
        "model_version",
        F.lit(run_id).alias("run_id"),
    )


def hash_of(*columns: str) -> Column:
    """The SQL twin of jobs.kernel.ids.hash_of: SHA-256 of length-prefixed parts, 32 hex digits."""
    parts = ", ".join(f"length({quote(name)}), ':', {quote(name)}" for name in columns)
    return F.expr(f"substring(sha2(concat({parts}), 256), 1, 32)")
