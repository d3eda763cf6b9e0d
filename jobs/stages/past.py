"""What rules ask of earlier runs of moments, answered from the tables of those and joined onto the view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.supply import ItemStatus
from jobs.expressions.sql import literal, quote
from jobs.kernel.cycle import Cycle
from jobs.rulelang.conditions import pasts_of
from jobs.rulelang.past import Past
from jobs.rulelang.ruleset import Rule
from jobs.stages.context import RunContext

RULE_RUNS = ("cycle", "as_of", "moment_id", "result")


@dataclass(frozen=True)
class PastRuns:
    """The runs that the rules of a cycle ask of.

    Attributes:
        cycle: The cycle that asks.
        known: By question, the runs in which the moment was evaluated, of those asked.
        lacking: By question, the runs of which nothing is known.
        not_supplied: Questions on moments that the source could not decide in the last of these runs.
    """

    cycle: Cycle
    known: Mapping[Past, tuple[date, ...]]
    lacking: Mapping[Past, tuple[date, ...]]
    not_supplied: frozenset[Past]

    @property
    def statuses(self) -> dict[str, ItemStatus]:
        """Status of the answers, by column."""
        return {
            past.name: ItemStatus.not_supplied if past in self.not_supplied else ItemStatus.supplied
            for past in self.known
        }


def past_runs(context: RunContext, cycle: Cycle, rules: Sequence[Rule]) -> PastRuns:
    """Looks up which of the runs that rules ask of there have been.

    A run that should have been and was not leaves its answers unknown, and is told.
    """
    asked = {past: past.runs(cycle, context.configuration.calendar) for past in _pasts(rules)}
    results: dict[tuple[str, str, date], str] = {}
    if asked:
        moments = sorted({past.moment for past in asked})
        evaluations = context.warehouse.read_or_empty(context.table("rule_evaluations"))
        days = sorted({day for runs in asked.values() for day in runs})
        mine = evaluations.where(F.col("moment_id").isin(moments) & F.col("as_of").isin(days))
        for row in mine.select(*RULE_RUNS).collect():
            results[row["moment_id"], row["cycle"], row["as_of"]] = row["result"]

    def result(past: Past, day: date) -> str | None:
        return results.get((past.moment, str(past.kind), day))

    known = {
        past: tuple(day for day in runs if result(past, day) == "evaluated") for past, runs in asked.items()
    }
    lacking = {past: tuple(day for day in runs if result(past, day) is None) for past, runs in asked.items()}
    for past, days_lacking in lacking.items():
        if days_lacking:
            told = ", ".join(map(str, days_lacking))
            context.progress(
                f"  {past.moment} has no {past.kind} run of {told}: whether {past.text} is not known"
            )
    last = {past: result(past, runs[0]) for past, runs in asked.items() if runs}
    not_supplied = frozenset(past for past, one in last.items() if one == "not_supplied")
    return PastRuns(cycle, known, lacking, not_supplied)


def with_past(context: RunContext, view: DataFrame, runs: PastRuns) -> DataFrame:
    """A view with a column for the answer to each question; unknown where it may be either."""
    if not runs.known:
        return view
    states = context.warehouse.read_or_empty(context.table("moment_state"))
    moments = context.warehouse.read_or_empty(context.table("moments"))
    wanted = states.where(_any(_of_runs(past, days) for past, days in runs.known.items()))
    fired = moments.where(_any(_fired(past, runs.cycle) for past in runs.known))
    # One row for each run of each moment that says something of a subscription.
    names = ("subscription_id", "cycle", "as_of", "moment_id")
    truths = wanted.select(*names, "truth", F.lit(None).cast("date").alias("dispatch_date"))
    told = truths.unionByName(fired.select(*names, F.lit("fired").alias("truth"), "dispatch_date"))
    counts = [
        F.expr(f"count_if({condition})").alias(name)
        for past, days in runs.known.items()
        for name, condition in _counted(past, days, runs.cycle).items()
    ]
    found = told.groupBy("subscription_id").agg(*counts)
    joined = view.join(found, "subscription_id", "left")
    answers = [F.expr(_answer(past, len(days))).alias(past.name) for past, days in runs.known.items()]
    return joined.select(*view.columns, *answers)


def _pasts(rules: Sequence[Rule]) -> list[Past]:
    return sorted({past for rule in rules for past in pasts_of(rule.condition)}, key=lambda past: past.name)


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(f"({one})" for one in conditions if one != "FALSE") or "FALSE"


def _of_runs(past: Past, days: Sequence[date]) -> str:
    """SQL of the states of a moment in some runs."""
    if not days:
        return "FALSE"
    told = ", ".join(map(literal, days))
    return f"moment_id = {literal(past.moment)} AND cycle = {literal(str(past.kind))} AND as_of IN ({told})"


def _fired(past: Past, cycle: Cycle) -> str:
    """SQL of the moments that fired on the days that are asked."""
    if past.fired_in_days is None:
        return "FALSE"
    first, last = map(literal, past.days(cycle))
    mine = f"moment_id = {literal(past.moment)} AND cycle = {literal(str(past.kind))}"
    return f"{mine} AND as_of BETWEEN {first} AND {last} AND dispatch_date <= {literal(cycle.cutoff)}"


def _counted(past: Past, days: Sequence[date], cycle: Cycle) -> dict[str, str]:
    """SQL of what is counted for a question, by the name of the count."""
    if past.fired_in_days is not None:
        return {f"fired__{past.name}": f"truth = 'fired' AND {_fired(past, cycle)}"}
    mine = _of_runs(past, days)
    return {f"{truth}__{past.name}": f"truth = '{truth}' AND {mine}" for truth in ("true", "unknown")}


def _answer(past: Past, runs: int) -> str:
    """SQL of the answer from the counts: what Past.answer gives."""
    if past.fired_in_days is not None:
        return f"coalesce({quote(f'fired__{past.name}')}, 0) > 0"
    true, unknown = (f"coalesce({quote(f'{truth}__{past.name}')}, 0)" for truth in ("true", "unknown"))
    possible = f"{true} + {unknown} + {past.of_last - runs}"
    return f"CASE WHEN {true} >= {past.times} THEN TRUE WHEN {possible} < {past.times} THEN FALSE END"
