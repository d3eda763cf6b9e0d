"""Builds the customer view of a cycle."""

from __future__ import annotations

from jobs.domain.tiles import tile_table
from jobs.domain.view import ViewPlan, build_view
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue
from jobs.stages.context import RunContext
from jobs.stages.snapshot import supply_at
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import Written


def write_view(context: RunContext, cycle: Cycle) -> Written:
    """Builds and writes one partition (as_of, cutoff) of the customer view.

    Raises:
        CycleError: When no subscriptions are known at the cutoff.
    """
    started = context.clock()
    configuration, warehouse = context.configuration, context.warehouse
    supply = supply_at(context, cycle)
    if supply.delivered["subscriptions"].data_from is None:
        message = f"no subscriptions are known by {cycle.cutoff}; is the date before the first delivery?"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))
    contracts = context.source.contracts
    plan = ViewPlan(configuration.view, contracts, supply, cycle, configuration.amounts)
    rows = build_view(
        plan,
        clean=lambda name: warehouse.read(contracts[name].clean_table()),
        tiles=lambda name: warehouse.read(tile_table(contracts[name], configuration.view)),
    )
    partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    written = warehouse.replace(rows, context.view_table, partition)
    context.built_views.add((cycle.as_of, cycle.cutoff))
    context.progress(f"view of {cycle.as_of}: {written.rows:,} subscriptions")
    context.log(
        LedgerRow(
            stage="build_view",
            result="complete" if written.changed else "unchanged",
            started_at=started,
            finished_at=context.clock(),
            source=context.source.name,
            cycle=str(cycle.kind),
            as_of=cycle.as_of,
            dispatch_date=cycle.dispatch_date,
            rows_out=written.rows,
            fingerprint=configuration.view.fingerprint,
        )
    )
    return written
