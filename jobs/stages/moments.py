"""Identifies the moments of a cycle: evaluates its rules, moves the state on, writes what fired."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.supply import ItemStatus
from jobs.domain.moments import Pass, moment_rows, state_rows, transitions, truths
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle
from jobs.rulelang.compile import EvaluableRule, evaluable
from jobs.rulelang.reserved import RESERVED
from jobs.stages.context import RunContext
from jobs.stages.past import past_runs, with_past
from jobs.stages.snapshot import supply_at
from jobs.stages.view import scored_view_of
from jobs.storage.frames import frame_of
from jobs.storage.layout import Partition
from jobs.storage.warehouse import settled


@dataclass(frozen=True)
class Identified:
    """What a cycle's rules gave.

    Attributes:
        fired: Moments that fired, by rule.
        not_supplied: Items lacking, by rule that could not be evaluated.
    """

    fired: dict[str, int]
    not_supplied: dict[str, tuple[str, ...]]


def in_cycles(cycles: Iterable[tuple[str, date]]) -> str:
    """SQL that is true for rows of some cycles.

    Args:
        cycles: Kind and as_of of each.
    """
    return " OR ".join(f"(cycle = '{kind}' AND as_of = {literal(day)})" for kind, day in cycles) or "FALSE"


def identify_moments(context: RunContext, cycle: Cycle) -> Identified:
    """Evaluates the rules of a cycle over its view and writes state, moments and evaluations."""
    started = context.clock()
    configuration, warehouse = context.configuration, context.warehouse
    statuses = statuses_at(context, cycle)
    in_use = configuration.rules.of_cycle(cycle.kind, cycle.as_of)
    asked = past_runs(context, cycle, in_use)
    rules, lacking = evaluable(in_use, {**statuses, **asked.statuses})
    evaluations = warehouse.read_or_empty(context.table("rule_evaluations"))
    history = evaluations.where(f"cycle = '{cycle.kind}' AND as_of < {literal(cycle.as_of)}")
    evaluated = F.expr("max(CASE WHEN result = 'evaluated' THEN as_of END)").alias("evaluated")
    runs = history.groupBy("moment_id").agg(F.max("as_of").alias("last"), evaluated).collect()
    previous = max((run["last"] for run in runs), default=None)
    # Whoever was inside is known of the previous run only: after a pause a rule begins anew.
    ran = {run["moment_id"] for run in runs if run["evaluated"] == previous}
    first_runs = frozenset(one.rule.id for one in rules if one.rule.id not in ran)
    values = configuration.rules.reserved(cycle.as_of, cycle.dispatch_date)
    one = Pass(cycle, rules, first_runs, previous, {**configuration.view.types, **RESERVED}, values)
    partition: Partition = {"cycle": [str(cycle.kind)], "as_of": [cycle.as_of]}
    view = with_past(context, scored_view_of(context, cycle), asked)
    # A cycle of which the source can decide no rule has nobody inside.
    found = settled(truths(view, one) if rules else view.where("FALSE"))
    inside = settled(transitions(found, _prior(context, cycle, previous), one)) if rules else found
    tally = _tally(found, inside, rules) if rules else {}
    state_table, moments_table = context.table("moment_state"), context.table("moments")
    state = state_rows(inside, one) if rules else warehouse.none_of(state_table)
    moments = moment_rows(inside, one, context.run_id) if rules else warehouse.none_of(moments_table)
    warehouse.replace(state, state_table, partition)
    written = warehouse.replace(moments, moments_table, partition)
    table = context.table("rule_evaluations")
    warehouse.replace(_evaluation_rows(context, cycle, one, lacking, tally), table, partition)
    context.progress(
        f"{cycle.kind} moments of {cycle.as_of}: {written.rows:,} fired by {len(rules)} rules"
        + (f"; {len(lacking)} rules not supplied by this source" if lacking else "")
    )
    context.log_cycle(
        "identify_moments",
        cycle,
        started,
        "complete" if written.changed else "unchanged",
        written.rows,
        configuration.rules.fingerprint,
        inputs={"previous": previous, "view": warehouse.version(context.view_table)},
    )
    return Identified({rule: counts["fired"] for rule, counts in tally.items()}, dict(lacking))


def statuses_at(context: RunContext, cycle: Cycle) -> dict[str, ItemStatus]:
    """Status of items and scores; scores are not supplied where none were written."""
    statuses = supply_at(context, cycle).statuses()
    here = f"as_of = {literal(cycle.as_of)} AND cutoff = {literal(cycle.cutoff)}"
    scores = context.configuration.view.scores
    for table in {score.table for score in scores.values()}:
        written = context.warehouse.read_or_empty(context.table(table)).where(here).limit(1).count()
        status = ItemStatus.supplied if written else ItemStatus.not_supplied
        statuses |= {name: status for name, score in scores.items() if score.table == table}
    return statuses


def _prior(context: RunContext, cycle: Cycle, previous: date | None) -> DataFrame:
    table = context.table("moment_state")
    if context.warehouse.exists(table):
        # One of an earlier release tells less of a life.
        context.warehouse.ensure(table)
    state = context.warehouse.read_or_empty(table)
    when = "FALSE" if previous is None else f"cycle = '{cycle.kind}' AND as_of = {literal(previous)}"
    return state.where(when)


def _tally(found: DataFrame, inside: DataFrame, rules: list[EvaluableRule]) -> dict[str, dict[str, int]]:
    ids = {one.ordinal: one.rule.id for one in rules}
    tally = {rule: {"true": 0, "unknown": 0, "fired": 0} for rule in ids.values()}
    for row in found.groupBy("ordinal", "truth").count().collect():
        tally[ids[row["ordinal"]]]["true" if row["truth"] == 1 else "unknown"] = row["count"]
    for row in inside.where("fires").groupBy("moment_id").count().collect():
        tally[row["moment_id"]]["fired"] = row["count"]
    return tally


def _evaluation_rows(
    context: RunContext,
    cycle: Cycle,
    one: Pass,
    lacking: dict[str, tuple[str, ...]],
    tally: dict[str, dict[str, int]],
) -> DataFrame:
    head = (str(cycle.kind), cycle.as_of)
    data: list[tuple[Any, ...]] = []
    for rule in one.rules:
        counts = tally[rule.rule.id]
        first = rule.rule.id in one.first_runs
        numbers = (counts["true"], counts["unknown"], counts["fired"])
        data.append(
            (
                *head,
                rule.rule.id,
                "evaluated",
                [],
                list(rule.left_out),
                first,
                *numbers,
                rule.rule.fingerprint,
            )
        )
    for rule_id, items in lacking.items():
        mark = context.configuration.rules.by_id(rule_id).fingerprint
        data.append((*head, rule_id, "not_supplied", list(items), [], False, None, None, None, mark))
    return frame_of(context.spark, data, context.table("rule_evaluations").ddl)
