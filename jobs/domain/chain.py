"""The chain of dispatch: which stage comes after which."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame

from jobs.domain import stops, visits
from jobs.domain.dispatch import DispatchPlan
from jobs.domain.known import BESIDE, Known, beside


def stopped(
    rows: DataFrame, known: Known, plan: DispatchPlan, held: Mapping[str, str] | None = None
) -> DataFrame:
    """Candidates with the stops, channels and priorities that their customers' past and present come to.

    Everything here looks at one customer at a time, so that rows need not move between the stages.

    Args:
        rows: Candidates, of which the columns DECIDING are enough.
        known: What they are weighed against.
        plan: The plan.
        held: By moment, what is unusual of it.
    """
    live = stops.stop_over(beside(rows, known, plan))
    live = stops.stop_held(live, held or {}, plan)
    live = stops.stop_exempt(live, plan)
    live = stops.choose_channel(live, plan)
    live = stops.stop_quiet(live, plan)
    live = stops.stop_cooling(live, plan)
    live = visits.with_priority(live, plan)
    # What the past keeps from being served mutes nobody; what is muted takes no place under a cap.
    live = stops.stop_capped(live, plan, by_past_alone=True)
    live = stops.stop_inhibited(live, plan)
    live = stops.stop_capped(live, plan)
    return visits.with_visits(live, known.managers, plan).drop(*BESIDE, "whom")


def served(visited: DataFrame, taken: DataFrame | None = None) -> DataFrame:
    """What is not stopped, in the order of the whole province, up to everybody's capacity.

    Args:
        visited: The result of stopped, at rest: it is looked at several times.
        taken: resource and taken, places of the day that are gone already; none by default.
    """
    return visits.with_capacity(visits.with_ranks(visited), taken)
