"""Ends a run whose sources are late, where their mapping says so, before anything of the cycle is written."""

from __future__ import annotations

from jobs.config.sources import Source
from jobs.contracts.supply import Supply
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue, LateError, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.snapshot import supply_at


def check_fresh(context: RunContext, cycle: Cycle) -> None:
    """Looks at what the cycle may know of each contract under when_stale.

    Raises:
        LateError: When a contract that is to be waited for is stale.
        SourceError: When one that stops the run is.
        CycleError: When even the subscriptions are, so that nobody knows who is a customer.
    """
    supply = supply_at(context, cycle)
    stops, waits = (late_issues(context.source, supply, action) for action in ("stop", "wait"))
    if stops:
        raise SourceError([*stops, *waits])
    if waits:
        raise LateError(waits)
    # Before the first delivery is another mistake; the view tells it.
    until = supply.delivered["subscriptions"].data_until
    if until is not None and supply.is_stale("subscriptions"):
        message = f"the newest subscriptions are of {until}; is {cycle.as_of} after the last delivery?"
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
