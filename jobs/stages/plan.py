"""The plan of a dispatch date, as data: which stages on which cycles; explained or run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from operator import attrgetter

from jobs.kernel.cycle import Cycle, CycleCalendar
from jobs.kernel.errors import CycleError, HeldError, Issue
from jobs.stages.context import RunContext
from jobs.stages.dispatch import dispatch
from jobs.stages.freshness import check_fresh
from jobs.stages.ingest import ingest
from jobs.stages.issue import check_not_issued
from jobs.stages.moments import identify_moments
from jobs.stages.scores import write_scores
from jobs.stages.view import write_view
from jobs.storage.ledger import FAILED_DATE, LedgerRow

INGEST, DISPATCH = "ingest", "dispatch"
STAGES = (INGEST, "build_view", "score_risk", "identify_moments", DISPATCH)
_BY_DELIVERY = {
    "raw_*": "period=*/part=*",
    "clean_*": "row_day=*",
    "tiles_*": "row_day=*",
    "quarantine": "contract=*/period=*/part=*",
    "identity": "contract=*/period=*/part=*",
    "deliveries": "",
}
_BY_CYCLE = {
    "build_view": {"customer_view": "view"},
    "score_risk": dict.fromkeys(("risk_rates", "risk_scores", "model_drift", "health_scores"), "view"),
    "identify_moments": dict.fromkeys(("moment_state", "moments", "rule_evaluations"), "kind"),
}


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

    @property
    def replaces(self) -> list[str]:
        """The partitions it puts anew, as folders of the warehouse; * stands for what the inputs decide."""
        if self.cycle is None:
            if self.stage == DISPATCH:
                day = f"dispatch_date={self.dispatch_date}"
                return [f"alerts/dispatch_cycle=*/{day}", f"tasks/{day}", f"current_moments/{day}"]
            return [f"{table}/{place}" for table, place in _BY_DELIVERY.items()]
        at = {
            "kind": f"cycle={self.cycle.kind}/as_of={self.cycle.as_of}",
            "view": f"as_of={self.cycle.as_of}/cutoff={self.cycle.cutoff}",
        }
        return [f"{table}/{at[place]}" for table, place in _BY_CYCLE[self.stage].items()]


def plan_date(calendar: CycleCalendar, dispatch_date: date, since: str = INGEST) -> list[Step]:
    """The steps of a dispatch date from a stage on, in order; views shared by cycles are built once.

    Raises:
        CycleError: When no cycle is due on the date.
    """
    due = calendar.due(dispatch_date)
    if not due:
        snapshot = f"; this source has one snapshot, of {calendar.snapshot}" if calendar.snapshot else ""
        raise CycleError(Issue("CYCLE_BAD_DATE", f"no cycle is due on {dispatch_date}{snapshot}"))
    steps = [Step(INGEST, dispatch_date)]
    seen: set[tuple[date, date]] = set()
    for cycle in due:
        if (cycle.as_of, cycle.cutoff) not in seen:
            seen.add((cycle.as_of, cycle.cutoff))
            steps += [Step("build_view", dispatch_date, cycle), Step("score_risk", dispatch_date, cycle)]
    steps += [Step("identify_moments", dispatch_date, cycle) for cycle in due]
    steps.append(Step(DISPATCH, dispatch_date))
    return [step for step in steps if STAGES.index(step.stage) >= STAGES.index(since)]


def dates_due(calendar: CycleCalendar, first: date, last: date) -> list[date]:
    """The dates from first to last on which a cycle is due.

    Raises:
        CycleError: When there are none.
    """
    days = [first + timedelta(days=days) for days in range((last - first).days + 1)]
    found = [day for day in days if calendar.due(day)]
    if not found:
        message = f"no cycle is due from {first} to {last}"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))
    return found


def run_step(context: RunContext, step: Step, reissue: bool = False) -> None:
    """Does one step; see dispatch for reissue."""
    cycle = step.cycle
    if step.stage == INGEST:
        dates = sorted({step.dispatch_date, *context.dates})
        ingest(context, [cycle for day in dates for cycle in context.configuration.calendar.due(day)])
    elif step.stage == DISPATCH:
        if not reissue:
            # Again, since somebody may have exported the date meanwhile.
            check_not_issued(context.configuration, context.warehouse.path, [step.dispatch_date])
        dispatch(context, step.dispatch_date, reissue)
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


def _run_together(context: RunContext, steps: list[Step], reissue: bool) -> None:
    """Does steps of one stage, those of moments side by side but for cycles that others ask."""
    groups = [[step] for step in steps]
    if steps[0].stage == "identify_moments":
        by_cycle = {step.cycle: step for step in steps if step.cycle is not None}
        ordered = context.configuration.rules.in_order(by_cycle)
        groups = [[by_cycle[cycle] for cycle in group] for group in ordered]
    for group in groups:
        with ThreadPoolExecutor(len(group)) as pool:
            for _ in pool.map(lambda step: run_step(context, step, reissue), group):
                pass


def run_date(context: RunContext, dispatch_date: date, since: str = INGEST, reissue: bool = False) -> None:
    """Does everything that is due on a date.

    Args:
        context: The run.
        dispatch_date: The date.
        since: The stage to start at; what comes before it stands as it is.
        reissue: The date may have been given out already; see jobs.stages.issue.

    Raises:
        CycleError: When it has been and may not have been.
    """
    if not reissue:
        check_not_issued(context.configuration, context.warehouse.path, [dispatch_date])
    started = context.clock()
    try:
        plan = plan_date(context.configuration.calendar, dispatch_date, since)
        for _, steps in groupby(plan, attrgetter("stage")):
            _run_together(context, list(steps), reissue)
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
