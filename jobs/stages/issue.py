"""Issued dates: what an export has given out is not changed behind people's backs.

An export for a role that acts on alerts issues them. From then on the date is dispatched again only when
somebody says so, and then nothing is lost: alerts whose customers were contacted stay as they are, those that
are no longer dispatched are withdrawn, and all others go out with the next revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.domain.tasks import contacts
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import CycleError, Issue, StorageError
from jobs.stages.context import Configuration, RunContext
from jobs.stages.tasks import reports_known
from jobs.storage.appender import append_rows
from jobs.storage.reader import rows_of

TABLE = "issued_alerts"
_EVER = date(9999, 12, 31)


@dataclass(frozen=True)
class Issued:
    """What was given out of a date.

    Attributes:
        revision: The newest one that was.
        kept: Alerts that were given out and whose visit or message was made, as records.
        others: The other alerts that were given out, as records.
    """

    revision: int
    kept: DataFrame
    others: DataFrame


def record_issue(
    configuration: Configuration, warehouse: str, day: date, records: Iterable[Mapping[str, Any]]
) -> None:
    """Keeps which alerts were given out, once a revision.

    Args:
        configuration: Schemas of the tables.
        warehouse: Folder or URI of the tables.
        day: The date of dispatch.
        records: The exported alerts.
    """
    told = list(records)
    if not told:
        return
    revision = max(one["revision"] for one in told)
    if revision in {row["revision"] for row in _issued(configuration, warehouse, day)}:
        return
    now = datetime.now(UTC)
    rows = [
        {"dispatch_date": day, "revision": revision, "alert_id": one["alert_id"], "issued_at": now}
        for one in sorted(told, key=lambda one: str(one["alert_id"]))
    ]
    append_rows(warehouse, configuration.tables[TABLE], rows)


def _issued(configuration: Configuration, warehouse: str, day: date | None = None) -> list[dict[str, Any]]:
    where = [] if day is None else [("dispatch_date", "=", day)]
    with suppress(StorageError):
        return rows_of(warehouse, configuration.tables[TABLE], where)
    return []


def check_not_issued(configuration: Configuration, warehouse: str, days: Sequence[date]) -> None:
    """Keeps dates from being dispatched again that were given out.

    Raises:
        CycleError: With every such date.
    """
    given: dict[date, datetime] = {}
    for row in _issued(configuration, warehouse):
        given[row["dispatch_date"]] = max(given.get(row["dispatch_date"], row["issued_at"]), row["issued_at"])
    issues = [
        Issue(
            "CYCLE_ISSUED",
            f"the alerts of {day} were exported on {given[day]:%Y-%m-%d %H:%M} UTC; "
            "--reissue dispatches the date again, with a new revision",
        )
        for day in days
        if day in given
    ]
    if issues:
        raise CycleError(issues)


def issued_before(context: RunContext, day: date) -> Issued | None:
    """What was given out of a date, as records; None when nothing was."""
    rows = _issued(context.configuration, context.warehouse.path, day)
    if not rows:
        return None
    revision = max(row["revision"] for row in rows)
    # Of all revisions: who was phoned before a withdrawal arrived was phoned.
    ids = sorted({row["alert_id"] for row in rows})
    alerts = context.warehouse.read(context.table("alerts")).where(f"dispatch_date = {literal(day)}")
    given = alerts.where(F.col("alert_id").isin(ids)).withColumn("_made", F.coalesce("visit_id", "alert_id"))
    # Whatever is known by now: who was phoned this morning is not told by yesterday's reports. A visit is
    # made for all its moments, whichever of them is reported.
    contacted = contacts(reports_known(context, Cycle(CycleKind.daily, _EVER, _EVER)))
    made = given.join(contacted, "alert_id", "left_semi").select("_made").distinct()
    return Issued(
        revision,
        given.join(made, "_made", "left_semi").drop("_made"),
        given.join(made, "_made", "left_anti").drop("_made"),
    )
