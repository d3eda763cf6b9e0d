"""Scores a view: churn risk by the model in use or the formula, and health."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.scores import Term
from jobs.contracts.supply import Supply
from jobs.domain.health import Before, health_scores
from jobs.domain.risk import by_model, group_counts, grouped, labelled, risk_scores, scored, usable_terms
from jobs.domain.view import known_at
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle, last_complete_month, month_end
from jobs.kernel.ids import fingerprint
from jobs.modelling.rates import Rate, calibration, group_rates
from jobs.stages.apply_model import apply_model
from jobs.stages.context import RunContext
from jobs.stages.snapshot import supply_at
from jobs.stages.view import view_of, write_view
from jobs.storage.frames import frame_of
from jobs.storage.warehouse import settled

LABELS = "churn_labels"


def write_scores(context: RunContext, cycle: Cycle) -> None:
    """Writes risk_rates, risk_scores and health_scores of a view.

    Raises:
        CycleError: When the view has not been built.
    """
    supply = supply_at(context, cycle)
    # Neither writes anything before there is a view.
    view_of(context, cycle)
    base = base_of(context, cycle)
    if supply_at(context, base).delivered["subscriptions"].data_from is not None:
        write_view(context, base)
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda write: write(context, cycle, supply), (_write_health, _write_risk)):
            pass


def base_of(context: RunContext, cycle: Cycle) -> Cycle:
    """The base of the rates: the last month end whose label days have passed by as_of.

    A month end, so that the days of a month share one base and its view is built once.
    """
    matured = cycle.as_of - timedelta(days=context.configuration.risk.label_days)
    last = month_end(last_complete_month(matured))
    return Cycle(cycle.kind, last, last + (cycle.cutoff - cycle.as_of))


def _write_health(context: RunContext, cycle: Cycle, supply: Supply) -> None:
    started = context.clock()
    settings = context.configuration.health
    then, before = base_of(context, cycle), None
    known = supply_at(context, then)
    if known.delivered["subscriptions"].data_from is not None:
        before = Before(view_of(context, then), known.statuses())
    rows = health_scores(view_of(context, cycle), settings, supply.statuses(), before)
    partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    written = context.warehouse.replace(rows, context.table("health_scores"), partition)
    result = "complete" if written.changed else "unchanged"
    context.log_cycle("score_risk", cycle, started, result, written.rows, settings.fingerprint, "health")


def _write_risk(context: RunContext, cycle: Cycle, supply: Supply) -> None:
    """Writes the risk: of the model in use where it can be trusted, else of the formula."""
    started = context.clock()
    settings, warehouse = context.configuration.risk, context.warehouse
    partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    reason = _why_not(context, cycle, supply)
    formula = None if reason else _by_formula(context, cycle, supply)
    applied = apply_model(context, cycle, supply)
    scores, rates_table = context.table("risk_scores"), context.table("risk_rates")
    rates = warehouse.none_of(rates_table) if formula is None else formula.rates
    changed = warehouse.replace(rates, rates_table, partition).changed
    if applied.scores is not None:
        base = view_of(context, cycle) if formula is None else formula.scores
        rows = by_model(base, applied.scores, settings.bands, cycle, applied.model_id)
        said = f"scored by {applied.model_id}"
    elif formula is not None:
        rows = formula.scores.withColumn("fallback", F.lit(applied.fallback))
        said = f"scored from churn since {formula.base.as_of}"
    else:
        rows = warehouse.none_of(scores)
        said = f"none, {reason}"
    written = warehouse.replace(rows, scores, partition)
    known = formula is not None or applied.scores is not None
    context.progress(f"risk of {cycle.as_of}: {f'{written.rows:,} ' if known else ''}{said}")
    notes = [] if known else [f"no risk: {reason}"]
    notes += [f"terms left out: {', '.join(formula.left_out)}"] if formula and formula.left_out else []
    if applied.fallback:
        context.progress(f"risk of {cycle.as_of}: {applied.fallback}")
        notes.append(applied.fallback)
    result = "complete" if written.changed or changed else "unchanged"
    mark = fingerprint([settings.fingerprint, applied.model_id])
    context.log_cycle("score_risk", cycle, started, result, written.rows, mark, "; ".join(notes) or None)


@dataclass(frozen=True)
class _Formula:
    """What the formula gives: rows of risk_scores and risk_rates, their base, and terms that lack data."""

    scores: DataFrame
    rates: DataFrame
    base: Cycle
    left_out: list[str]


def _by_formula(context: RunContext, cycle: Cycle, supply: Supply) -> _Formula:
    settings, warehouse = context.configuration.risk, context.warehouse
    base = base_of(context, cycle)
    terms = _terms(context, base, supply)
    churn = warehouse.read(context.source.contracts[LABELS].clean_table())
    until = base.as_of + timedelta(days=settings.label_days)
    labelled_days = f"row_date > {literal(base.as_of)} AND row_date <= {literal(until)}"
    leavers = known_at(churn, cycle).where(labelled_days)
    groups = settled(labelled(grouped(view_of(context, base), terms), leavers))
    counts = [tuple(row) for row in group_counts(groups, list(terms)).collect()]
    rates = group_rates(counts, settings.smoothing)
    tallied = (
        scored(groups, terms, rates)
        .groupBy("risk_score")
        .agg(F.count("*"), F.sum("churned").cast("bigint"))
        .collect()
    )
    rates += calibration({row[0]: (row[1], row[2]) for row in tallied}, settings.smoothing)
    version = f"formula@{base.as_of}"
    rows = scored(grouped(view_of(context, cycle), terms), terms, rates)
    final = risk_scores(rows, terms, rates, settings, cycle, version)
    left_out = sorted(set(settings.terms) - set(terms))
    return _Formula(final, _rate_rows(context, cycle, base, rates), base, left_out)


def _terms(context: RunContext, base: Cycle, supply: Supply) -> dict[str, Term]:
    """The terms that count: those whose groups both the base period and today can tell."""
    settings = context.configuration.risk
    then = usable_terms(settings, supply_at(context, base).statuses())
    return {name: term for name, term in usable_terms(settings, supply.statuses()).items() if name in then}


def _why_not(context: RunContext, cycle: Cycle, supply: Supply) -> str | None:
    """Why no risk can be given, if so."""
    labels = supply.delivered.get(LABELS)
    if labels is None:
        return "the source delivers no churn labels"
    base = base_of(context, cycle)
    if labels.data_until is None or labels.data_from is None:
        return "no churn labels are known yet"
    subscriptions = supply_at(context, base).delivered["subscriptions"]
    if subscriptions.data_from is None:
        return f"nothing is known of the base date {base.as_of}"
    days = context.configuration.risk.label_days
    # Who left near the end of the time may be told later, but half of it without labels has none to tell.
    if labels.data_until < base.as_of + timedelta(days=days // 2):
        until = base.as_of + timedelta(days=days)
        return f"churn labels end on {labels.data_until}, and those until {until} are needed"
    if not _terms(context, base, supply):
        return "no term has data both then and now"
    return None


def _rate_rows(context: RunContext, cycle: Cycle, base: Cycle, rates: list[Rate]) -> DataFrame:
    settings = context.configuration.risk
    head = (cycle.as_of, cycle.cutoff, base.as_of, settings.label_days)
    data = [
        (*head, rate.term, rate.group, rate.size, rate.churned, settings.smoothing, rate.rate)
        for rate in rates
    ]
    return frame_of(context.spark, data, context.table("risk_rates").ddl)
