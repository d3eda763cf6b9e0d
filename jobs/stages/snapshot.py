"""What a cycle may know: what its source had supplied by the cutoff."""

from __future__ import annotations

from jobs.contracts.supply import Supply
from jobs.kernel.cycle import Cycle
from jobs.stages.context import RunContext
from jobs.stages.coverage import delivered_at
from jobs.stages.delivery_ledger import known_deliveries


def supply_at(context: RunContext, cycle: Cycle) -> Supply:
    """The supply of the run's source at a cycle."""
    source = context.source
    delivered = delivered_at(known_deliveries(context), source, source.contracts, cycle)
    configuration = context.configuration
    once = source.mapping.snapshot is not None
    return Supply(configuration.view, configuration.contracts, delivered, cycle.as_of, once)
