"""Dispatches a date: the candidates of all cycles due on it, ranked together, written in one commit."""

from __future__ import annotations

import math
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.domain import chain, visits
from jobs.domain import dispatch as domain
from jobs.domain.known import Known
from jobs.domain.moments import ENDED
from jobs.domain.reissue import WITHDRAWN, as_kept, places_taken, reissued
from jobs.domain.tasks import contacts
from jobs.domain.view import latest_state
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import CycleError, HeldError, Issue
from jobs.stages.context import RunContext
from jobs.stages.hold import held_issues, held_moments
from jobs.stages.issue import Issued, issued_before
from jobs.stages.moments import in_cycles
from jobs.stages.tasks import reports_known, write_tasks
from jobs.stages.view import scored_view_of
from jobs.storage.frames import frame_of
from jobs.storage.layout import Partition, fit
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import SMALL_ROWS, settled

# Whole alerts are wide: so many fit a task's memory, and make a file of some ten megabytes.
ROWS_PER_TASK = 125_000


def dispatch(context: RunContext, dispatch_date: date, reissue: bool = False) -> dict[str, int]:
    """Writes the alerts of a date.

    Args:
        context: The run.
        dispatch_date: The date.
        reissue: It may have been given out already; see jobs.stages.issue.

    Returns:
        Number of alerts by status.

    Raises:
        CycleError: When nothing is due on the date, or a due cycle's moments have not been identified.
        HeldError: When moments are held; everything has been written then, those with the status held.
    """
    started = context.clock()
    warehouse, configuration = context.warehouse, context.configuration
    due = configuration.calendar.due(dispatch_date)
    if not due:
        raise CycleError(Issue("CYCLE_BAD_DATE", f"no cycle is due on {dispatch_date}"))
    _check_identified(context, dispatch_date)
    plan = domain.DispatchPlan(
        dispatch_date, configuration.rules, configuration.dispatch, context.keys.control, due[0].as_of
    )
    moments = warehouse.read(context.table("moments")).where(in_cycles((c.kind, c.as_of) for c in due))
    earlier = warehouse.read_or_empty(context.table("alerts")).where(
        f"dispatch_date < {literal(dispatch_date)}"
    )
    carried = settled(_waiting(context, earlier, dispatch_date, plan))
    rows = domain.candidates(moments, carried, plan, few_carried=carried.count() <= SMALL_ROWS)
    before = issued_before(context, dispatch_date) if reissue else None
    if before is not None:
        rows = settled(rows.join(before.kept.select("alert_id"), "alert_id", "left_anti"))
    held = held_moments(context, moments, due)
    known = _known(context, due[0], moments, earlier, before)
    # The chain decides on few columns; each of its later stages looks at them several times.
    visited = settled(
        chain.stopped(rows.select(*domain.DECIDING), known, plan, {one.moment: str(one) for one in held})
    )
    tasks = max(1, math.ceil(visited.count() / ROWS_PER_TASK))
    decided = chain.served(visited, None if before is None else places_taken(before.kept))
    table = context.table("alerts")
    stamp = {
        "revision": F.lit(1 if before is None else before.revision + 1),
        "generated_at": F.lit(context.clock().isoformat()).cast("timestamp"),
        "run_id": F.lit(context.run_id),
    }
    alerts = domain.alert_rows(domain.with_decisions(rows, decided, tasks), plan, table.version, stamp)
    if before is not None:
        alerts = reissued(fit(alerts, table), before.kept, before.others, stamp)
    partition: Partition = {
        "dispatch_cycle": [str(kind) for kind in CycleKind],
        "dispatch_date": [dispatch_date],
    }
    written = warehouse.replace(alerts, table, partition, arranged=before is None)
    write_tasks(context, dispatch_date)
    counts = _by_status(context, dispatch_date)
    context.progress(f"dispatch of {dispatch_date}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()))
    result = "complete" if written.changed else "unchanged"
    suppressed = written.rows - counts.get(domain.DISPATCHED, 0)
    for stage in ("dispatch", "date"):
        # The row of the stage 'date' is written last: it makes the date visible to readers.
        context.log(
            LedgerRow(
                stage=stage,
                result=result,
                started_at=started,
                finished_at=context.clock(),
                source=context.source.name,
                dispatch_date=dispatch_date,
                rows_out=written.rows,
                rows_rejected=suppressed,
                fingerprint=configuration.dispatch.fingerprint,
            )
        )
    if held:
        raise HeldError(held_issues(held, dispatch_date))
    return counts


def _check_identified(context: RunContext, dispatch_date: date) -> None:
    evaluated = context.warehouse.read_or_empty(context.table("rule_evaluations"))
    done = {(row[0], row[1]) for row in evaluated.select("cycle", "as_of").distinct().collect()}
    missing = [
        c
        for c in context.configuration.calendar.due(dispatch_date)
        if (str(c.kind), c.as_of) not in done and context.configuration.rules.of_cycle(c.kind, c.as_of)
    ]
    if missing:
        issues = [
            Issue("TABLE_MISSING", f"the {c.kind} moments of {c.as_of} have not been identified yet")
            for c in missing
        ]
        raise CycleError(issues)


def _waiting(
    context: RunContext, earlier: DataFrame, dispatch_date: date, plan: domain.DispatchPlan
) -> DataFrame:
    """Alerts of the newest date before this one that still wait."""
    last = earlier.agg(F.max("dispatch_date")).collect()[0][0]
    alerts = earlier.where("FALSE" if last is None else f"dispatch_date = {literal(last)}")
    state = context.warehouse.read_or_empty(context.table("moment_state"))
    until = {c.kind: c.as_of for c in context.configuration.calendar.due(dispatch_date)}
    newest = state.where(f"as_of < {literal(dispatch_date)}").groupBy("cycle").agg(F.max("as_of")).collect()
    for cycle, as_of in newest:
        until.setdefault(CycleKind(cycle), as_of)
    present = scored_view_of(context, context.configuration.calendar.due(dispatch_date)[0])
    inside = state.where(f"truth <> '{ENDED}'").where(in_cycles(until.items()))
    return domain.waiting(alerts, inside, present, plan)


def _known(
    context: RunContext, daily: Cycle, moments: DataFrame, earlier: DataFrame, before: Issued | None
) -> Known:
    """What the candidates of a date are weighed against."""
    # What is reported of the day itself decides nothing on it: made again, it comes out the same.
    told = reports_known(context, daily)
    # Who was phoned before a withdrawal arrived was phoned.
    phoned = earlier.where(f"status = '{WITHDRAWN}'").join(contacts(told), "alert_id", "left_semi")
    served = earlier.where(domain.SERVED).unionByName(phoned.select(earlier.columns))
    if before is not None:
        served = served.unionByName(as_kept(before.kept))
    return Known(
        exempt=moments.where("category = 'exempt' AND NOT shadow").select("subscription_id", "moment_id"),
        consents=_state_of(
            context, daily, "consents", "customer_id STRING, channel STRING, purpose STRING, status STRING"
        ),
        quiet_hours=_state_of(
            context, daily, "quiet_hours", "customer_id STRING, quiet_from STRING, quiet_to STRING"
        ),
        served=served,
        reports=told,
        managers=_managers(context, daily),
    )


def _managers(context: RunContext, daily: Cycle) -> DataFrame:
    """Who serves the customers of each manager on the date; see visits.serving."""
    managers = _state_of(context, daily, "managers", "manager_id STRING, daily_visits BIGINT")
    absences = _state_of(
        context,
        daily,
        "manager_leave",
        "manager_id STRING, from_date DATE, to_date DATE, status STRING, daily_visits BIGINT, "
        "stand_in_manager_id STRING",
    )
    return visits.serving(managers, absences, daily.dispatch_date)


def _state_of(context: RunContext, daily: Cycle, name: str, columns: str) -> DataFrame:
    """The newest rows of a state contract that a date's daily cycle knows; none where it is not delivered.

    Args:
        context: The run.
        daily: The cycle.
        name: The contract.
        columns: Its columns that are wanted, with their types.
    """
    contract = context.source.contracts.get(name)
    if contract is None:
        return frame_of(context.spark, [], columns)
    rows = context.warehouse.read(contract.clean_table())
    wanted = [column.split()[0] for column in columns.split(", ")]
    latest = latest_state(rows, contract, daily, [one for one in wanted if one not in contract.key])
    return latest.select(*(one if one in contract.key else f"_state.{one}" for one in wanted))


def _by_status(context: RunContext, dispatch_date: date) -> dict[str, int]:
    alerts = context.warehouse.read(context.table("alerts")).where(
        f"dispatch_date = {literal(dispatch_date)}"
    )
    return {row[0]: row[1] for row in alerts.groupBy("status").count().orderBy("status").collect()}
