"""Whether what is delivered can carry a cycle: checked by the names of files, before any is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from jobs.config.sources import Source
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue, SourceError
from jobs.stages.periods import Named, gaps_between, period_end, period_start

LOST = timedelta(days=62)


def check_ready(
    source: Source, place: str, deliveries: Sequence[Named], unread: Iterable[str], cycles: Iterable[Cycle]
) -> None:
    """Holds the dates of cycles against the periods of what is, or will be, delivered.

    Args:
        source: The source.
        place: Where the files are, for messages.
        deliveries: All deliveries that the cycles can build on.
        unread: Names of files that no mapping reads; one of them may be a missing one.
        cycles: The cycles to be computed.

    Raises:
        CycleError: When a cycle ends before the first delivery or long after the last.
        SourceError: When a file is missing between two, and its mapping does not say what that means.
    """
    days = [cycle.as_of for cycle in cycles]
    # A contract that the mapping had once and has no longer is nobody's any more.
    deliveries = [one for one in deliveries if one.contract in source.contracts]
    if not days:
        return
    ends = [end for one in deliveries if (end := period_end(one.period)) is not None]
    if ends:
        check_not_lost(max(days), max(ends))
    # States may have been delivered at once, with dates of years before.
    began = [
        period_start(one.period) for one in deliveries if source.contracts[one.contract].grain != "state"
    ]
    if began and max(days) < min(began):
        message = f"the first deliveries are of {min(began)}; is {max(days)} before them?"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))
    check_whole(source, place, deliveries, max(days), unread)


def check_not_lost(as_of: date, newest: date) -> None:
    """Tells a date long after all data from one that is merely not delivered yet.

    Raises:
        CycleError: When nothing at all has been delivered for two months, as when the year is mistyped.
    """
    if as_of - newest > LOST:
        message = f"the newest data are of {newest}; is {as_of} after the last delivery?"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))


def check_whole(
    source: Source, place: str, deliveries: Iterable[Named], as_of: date, unread: Iterable[str] = ()
) -> None:
    """Looks for files missing between others, up to a date.

    Raises:
        SourceError: With every gap whose mapping does not say that it may be.
    """
    gaps = [gap for gap in gaps_between(source, deliveries) if gap.first <= as_of]
    stops = [gap.issue(place, unread) for gap in gaps if gap.mapping.gaps == "stop"]
    if stops:
        raise SourceError(stops)
