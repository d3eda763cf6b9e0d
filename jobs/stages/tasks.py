"""Writes what has become of alerts, and what is open of each customer, as known on a date of dispatch."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame

from jobs.domain.tasks import current_moments, task_rows
from jobs.domain.view import known_at
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.stages.context import RunContext
from jobs.storage.frames import frame_of
from jobs.storage.warehouse import settled

FEEDBACK = "feedback"


def write_tasks(context: RunContext, dispatch_date: date) -> None:
    """Writes the tables tasks and current_moments of a date whose alerts are written.

    Alerts stay as they were dispatched: a report changes the task, not the alert.
    """
    warehouse = context.warehouse
    alerts = warehouse.read(context.table("alerts")).where(f"dispatch_date <= {literal(dispatch_date)}")
    now = Cycle(CycleKind.daily, dispatch_date, dispatch_date)
    tasks = settled(task_rows(alerts, reports_known(context, now), dispatch_date))
    moments = current_moments(alerts, tasks, dispatch_date)
    place = {"dispatch_date": [dispatch_date]}
    # Shuffled to be made, and in few tasks.
    for rows, name in ((tasks, "tasks"), (moments, "current_moments")):
        warehouse.replace(rows, context.table(name), place, arranged=True)


def reports_known(context: RunContext, now: Cycle) -> DataFrame:
    """Reports known at a time; none where the management system delivers none."""
    contract = context.source.contracts.get(FEEDBACK)
    known = context.configuration.contracts[FEEDBACK].clean_table()
    if contract is None or not context.warehouse.exists(known):
        return frame_of(context.spark, [], known.ddl)
    return known_at(context.warehouse.read(known), now)
