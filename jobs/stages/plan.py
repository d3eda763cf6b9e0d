"""The plan of a dispatch date, as data: which stages on which cycles; explained or run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import attrgetter

from jobs.kernel.cycle import Cycle, CycleCalendar
from jobs.kernel.errors import CycleError, HeldError, Issue
from jobs.stages.context import RunContext
from jobs.stages.dispatch import dispatch
from jobs.stages.freshness import check_fresh
from jobs.stages.ingest import ingest
from jobs.stages.moments import identify_moments
from jobs.stages.scores import write_scores
from jobs.stages.view import write_view
from jobs.storage.ledger import FAILED_DATE, LedgerRow


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        stage: ingest, build_view, score_risk, identify_moments or dispatch.
        cycle: The cycle it works on, where it works on one.
        dispatch_date: The date the plan is for.
    """

    stage: str
    dispatch_date: date
    cycle: Cycle | None = None

    def __str__(self) -> str:
        if self.cycle is None:
            return f"{self.stage} {self.dispatch_date}"
        return f"{self.stage} {self.cycle.kind} as_of={self.cycle.as_of} cutoff={self.cycle.cutoff}"


def plan_date(calendar: CycleCalendar, dispatch_date: date) -> list[Step]:
    """The steps of a dispatch date, in order; views shared by cycles are built once.

    Raises:
        CycleError: When no cycle is due on the date.
    """
    due = calendar.due(dispatch_date)
    if not due:
        snapshot = f"; this source has one snapshot, of {calendar.snapshot}" if calendar.snapshot else ""
        raise CycleError(Issue("CYCLE_BAD_DATE", f"no cycle is due on {dispatch_date}{snapshot}"))
    steps = [Step("ingest", dispatch_date)]
    seen: set[tuple[date, date]] = set()
    for cycle in due:
        if (cycle.as_of, cycle.cutoff) not in seen:
            seen.add((cycle.as_of, cycle.cutoff))
            steps += [Step("build_view", dispatch_date, cycle), Step("score_risk", dispatch_date, cycle)]
    steps += [Step("identify_moments", dispatch_date, cycle) for cycle in due]
    return [*steps, Step("dispatch", dispatch_date)]


def run_step(context: RunContext, step: Step) -> None:
    """Does one step."""
    cycle = step.cycle
    if step.stage == "ingest":
        ingest(context)
    elif step.stage == "dispatch":
        dispatch(context, step.dispatch_date)
    elif cycle is not None:
        work: dict[str, Callable[[RunContext, Cycle], object]] = {
            "build_view": _build_fresh_view,
            "score_risk": write_scores,
            "identify_moments": identify_moments,
        }
        work[step.stage](context, cycle)


def _build_fresh_view(context: RunContext, cycle: Cycle) -> None:
    check_fresh(context, cycle)
    write_view(context, cycle)


def _run_together(context: RunContext, steps: list[Step]) -> None:
    """Does steps of one stage; cycles know nothing of each other's moments, so those go side by side."""
    together = len(steps) if steps[0].stage == "identify_moments" else 1
    with ThreadPoolExecutor(together) as pool:
        for _ in pool.map(lambda step: run_step(context, step), steps):
            pass


def run_date(context: RunContext, dispatch_date: date) -> None:
    """Does everything that is due on a date."""
    started = context.clock()
    try:
        plan = plan_date(context.configuration.calendar, dispatch_date)
        for _, steps in groupby(plan, attrgetter("stage")):
            _run_together(context, list(steps))
    except HeldError:
        raise
    except Exception as error:
        message = str(error).partition("\n")[0][:500] or type(error).__name__
        context.log(
            LedgerRow(
                stage=FAILED_DATE,
                result="failed",
                started_at=started,
                finished_at=context.clock(),
                source=context.source.name,
                dispatch_date=dispatch_date,
                message=message,
            )
        )
        raise
    finally:
        # The rows of stages that were done are kept also when a later one fails.
        context.flush_log()
