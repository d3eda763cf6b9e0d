"""Ends a run whose sources are late, where their mapping says so, before anything of the cycle is written."""

from __future__ import annotations

from datetime import timedelta

from jobs.config.sources import Source
from jobs.contracts.supply import Supply
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue, LateError, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.snapshot import supply_at

LOST = timedelta(days=62)


def check_fresh(context: RunContext, cycle: Cycle) -> None:
    """Looks at what the cycle may know of each contract under when_stale.

    Raises:
        LateError: When a contract that is to be waited for is stale.
        SourceError: When one that stops the run is.
        CycleError: When nothing at all has been delivered for two months, as when the year is mistyped.
    """
    supply = supply_at(context, cycle)
    stops, waits = (late_issues(context.source, supply, action) for action in ("stop", "wait"))
    if stops:
        raise SourceError([*stops, *waits])
    if waits:
        raise LateError(waits)
    newest = max((one.data_until for one in supply.delivered.values() if one.data_until), default=None)
    # Before the first delivery is another mistake; the view tells it.
    if newest is not None and cycle.as_of - newest > LOST:
        message = f"the newest data are of {newest}; is {cycle.as_of} after the last delivery?"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))


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
