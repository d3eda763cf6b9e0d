"""Builds the customer view of a cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.supply import Supply
from jobs.domain.moments import RISK_COLUMNS
from jobs.domain.tiles import tile_table
from jobs.domain.view import ViewPlan, rows_needed, sources_used, view_sql
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue
from jobs.kernel.ids import fingerprint
from jobs.stages.context import RunContext
from jobs.stages.delivery_ledger import known_deliveries
from jobs.stages.snapshot import supply_at
from jobs.storage.layout import Partition
from jobs.storage.warehouse import SMALL_ROWS, Written

STAGE = "build_view"


def write_view(context: RunContext, cycle: Cycle) -> Written:
    """Builds and writes one partition (as_of, cutoff) of the customer view.

    A view that stands already, made by the same definitions from the same deliveries, is left as it is.

    Raises:
        CycleError: When no subscriptions are known at the cutoff.
    """
    started = context.clock()
    supply = supply_at(context, cycle)
    if supply.delivered["subscriptions"].data_from is None:
        message = f"no subscriptions are known by {cycle.cutoff}; is the date before the first delivery?"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))
    plan = _plan(context, cycle, supply)
    mark = _mark(context, plan)
    rows = _standing(context, cycle, mark)
    if rows is None:
        _forget(context, cycle, started)
        written = _build(context, plan)
    else:
        written = Written(rows, changed=False)
    context.built_views[cycle.as_of, cycle.cutoff] = (mark, written.rows)
    as_it_was = "" if rows is None else ", as it was"
    context.progress(f"view of {cycle.as_of}: {written.rows:,} subscriptions{as_it_was}")
    result = "complete" if written.changed else "unchanged"
    context.log_cycle(STAGE, cycle, started, result, written.rows, mark)
    return written


def _plan(context: RunContext, cycle: Cycle, supply: Supply) -> ViewPlan:
    configuration = context.configuration
    return ViewPlan(configuration.view, context.source.contracts, supply, cycle, configuration.amounts)


def check_standing(context: RunContext, cycle: Cycle) -> None:
    """Sees to it that a view is what it would be if it were made now.

    Raises:
        CycleError: When it has not been built, or by other definitions or from other deliveries.
    """
    view_of(context, cycle)
    mark = _mark(context, _plan(context, cycle, supply_at(context, cycle)))
    if _standing(context, cycle, mark) is None:
        message = (
            f"the view of {cycle.as_of} as known on {cycle.cutoff} is of other definitions or deliveries "
            "than those of now; make it and its scores again by build-view and score-risk"
        )
        raise CycleError(Issue("TABLE_MISMATCH", message))


def view_of(context: RunContext, cycle: Cycle) -> DataFrame:
    """The view's partition of a cycle.

    Raises:
        CycleError: When it has not been built.
    """
    place: Partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    if not context.warehouse.may_hold(context.view_table, place):
        message = f"the view of {cycle.as_of} as known on {cycle.cutoff} has not been built yet"
        raise CycleError(Issue("TABLE_MISSING", message))
    rows = context.warehouse.read(context.view_table)
    return rows.where(f"as_of = {literal(cycle.as_of)} AND cutoff = {literal(cycle.cutoff)}")


def scored_view_of(context: RunContext, cycle: Cycle) -> DataFrame:
    """The view's partition of a cycle with its scores beside it: everything that rules may name.

    Raises:
        CycleError: When the view has not been built.
    """
    here = f"as_of = {literal(cycle.as_of)} AND cutoff = {literal(cycle.cutoff)}"
    risk = context.warehouse.read_or_empty(context.table("risk_scores")).where(here)
    health = context.warehouse.read_or_empty(context.table("health_scores")).where(here)
    names = [
        name for name, score in context.configuration.view.scores.items() if score.table == "health_scores"
    ]
    view = view_of(context, cycle)
    scored = view.join(risk.select("subscription_id", *RISK_COLUMNS), "subscription_id", "left")
    return scored.join(health.select("subscription_id", *names), "subscription_id", "left")


def _build(context: RunContext, plan: ViewPlan) -> Written:
    warehouse, cycle = context.warehouse, plan.cycle
    tables = {
        name: plan.contracts[name].clean_table()
        if plan.contracts[name].grain == "state"
        else tile_table(plan.contracts[name], plan.view)
        for name in sources_used(plan)
    }
    needed = {name: rows_needed(plan, name) for name in tables}
    keep = small_tables(context, tables)
    rows = warehouse.query(lambda relation: view_sql(plan, relation), tables, needed, keep)
    partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    return warehouse.replace(rows, context.view_table, partition)


def _mark(context: RunContext, plan: ViewPlan) -> str:
    """What a view depends on: the statement that makes it, and the deliveries it may know rows of."""
    ids = []
    for row in known_deliveries(context):
        contract = plan.contracts.get(row["contract"])
        if row["status"] == "active" and row["units"] and contract is not None:
            # A unit starts no later than its rows: late rows of another day count as well.
            first = min(row["units"])
            known = row["delivered_on"] or first + timedelta(days=contract.available_after_days)
            if first <= plan.cycle.as_of and known <= plan.cycle.cutoff:
                # Rows that are released from quarantine come to a delivery later.
                ids.append(f"{row['delivery_id']}:{row['rows_quarantined']}")
    return fingerprint([view_sql(plan, lambda name: name), sorted(ids)])


def _standing(context: RunContext, cycle: Cycle, mark: str) -> int | None:
    """Rows of the view where it stands as it would be made again, else None."""
    place: Partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    if not context.warehouse.may_hold(context.view_table, place):
        return None
    built = context.built_views.get((cycle.as_of, cycle.cutoff))
    if built is None:
        ledger = context.warehouse.read_or_empty(context.table("run_ledger"))
        mine = ledger.where(F.col("stage") == STAGE).where(
            f"as_of = {literal(cycle.as_of)} AND dispatch_date = {literal(cycle.dispatch_date)}"
        )
        last = mine.orderBy(F.desc("finished_at")).select("fingerprint", "rows_out").first()
        built = None if last is None else (last["fingerprint"], last["rows_out"])
    return built[1] if built is not None and built[0] == mark else None


def _forget(context: RunContext, cycle: Cycle, started: datetime) -> None:
    """Notes that a view is about to be made again: a killed run's view must not be taken for the old one."""
    place: Partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    if context.warehouse.may_hold(context.view_table, place):
        context.log_cycle(STAGE, cycle, started, "started")
        context.flush_log()


def small_tables(context: RunContext, contracts: Iterable[str]) -> set[str]:
    """Those contracts of which so few rows are loaded that a run may keep them in memory."""
    rows: Counter[str] = Counter()
    for one in known_deliveries(context):
        if one["status"] == "active":
            rows[one["contract"]] += one["rows_loaded"]
    return {name for name in contracts if rows[name] <= SMALL_ROWS}
