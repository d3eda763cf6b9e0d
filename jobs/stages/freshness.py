"""Ends a run whose sources are late, where their mapping says so, before anything of the cycle is written."""

from __future__ import annotations

from jobs.config.sources import Source
from jobs.contracts.supply import Supply
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import Issue, LateError, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.coverage import named
from jobs.stages.delivery_ledger import known_deliveries
from jobs.stages.readiness import check_not_lost, check_whole
from jobs.stages.snapshot import supply_at


def check_fresh(context: RunContext, cycle: Cycle) -> None:
    """Looks for gaps in what is delivered, and at what the cycle may know of each contract under when_stale.

    Raises:
        LateError: When a contract that is to be waited for is stale.
        SourceError: When one that stops the run is, or a file is missing between others.
        CycleError: When nothing at all has been delivered for two months, as when the year is mistyped.
    """
    source = context.source
    check_whole(source, source.path, named(known_deliveries(context)), cycle.as_of)
    supply = supply_at(context, cycle)
    stops, waits = (late_issues(source, supply, action) for action in ("stop", "wait"))
    if stops:
        raise SourceError([*stops, *waits])
    if waits:
        raise LateError(waits)
    newest = max((one.data_until for one in supply.delivered.values() if one.data_until), default=None)
    # Before the first delivery is another mistake; the view tells it.
    if newest is not None:
        check_not_lost(cycle.as_of, newest)


def late_issues(source: Source, supply: Supply, action: str) -> list[Issue]:
    """The stale contracts for which the mapping says the action."""
    issues = []
    for name, chosen in source.mapping.when_stale.items():
        if chosen == action and supply.is_stale(name):
            until = supply.delivered[name].data_until
            have = "nothing is known" if until is None else f"the newest data are of {until}"
            allowed = supply.contracts[name].freshness_days
            message = f"{name}: {have} for {supply.as_of}; they may be {allowed} days old ({action})"
            issues.append(Issue("SOURCE_LATE", message, Location(source.path)))
    return issues
