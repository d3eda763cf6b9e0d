"""Held moments: found in the tables, stopped on the way, and let pass by somebody for a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyspark.sql import functions as F

from jobs.contracts.columns import Table
from jobs.domain.dispatch import DispatchPlan
from jobs.domain.stops import stop_held
from jobs.kernel.project import Project
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.hold import held_issues, held_moments, release_moment
from jobs.storage.frames import struct_type

pytestmark = [pytest.mark.spark, pytest.mark.slow]

AS_OF, DAY = date(2026, 6, 2), date(2026, 6, 3)
DEFAULTS: dict[str, Any] = {"STRING": "x", "DATE": AS_OF, "BOOLEAN": False, "BIGINT": 0, "INT": 0}
Put = Callable[[Table, list[dict[str, Any]]], None]


def row(table: Table, **values: Any) -> tuple[Any, ...]:
    """A row of a table of which a test tells a few columns."""
    return tuple(values.get(one.name, DEFAULTS[one.type] if one.required else None) for one in table.columns)


@pytest.fixture
def context(project: Project, tmp_path: Path) -> RunContext:
    """Complaints of four days: sixty each in one city, and five hundred on the last."""
    found = open_run(configure(project, "local", "conf/sources/synthetic.yaml"), str(tmp_path / "warehouse"))
    evaluations, moments = found.table("rule_evaluations"), found.table("moments")
    days = [AS_OF - timedelta(days=back) for back in range(4, -1, -1)]
    judged = [
        row(
            evaluations,
            cycle="daily",
            as_of=day,
            moment_id=moment,
            result="evaluated",
            first_run=day == days[0],
        )
        for day in days
        for moment in ("complaint", "low_balance")
    ]
    fired = [
        row(moments, cycle="daily", as_of=day, dispatch_date=day + timedelta(days=1), alert_id=f"{day} {n}",
            moment_id="complaint", city="南京", category="anomaly")
        for day in days
        for n in range(500 if day in (days[0], AS_OF) else 60)
    ]  # fmt: skip
    for table, rows in ((evaluations, judged), (moments, fired)):
        frame = found.spark.createDataFrame(rows, struct_type(table))
        found.warehouse.replace(frame, table, {"cycle": ["daily"], "as_of": days})
    return found


def test_what_is_unusual_is_held_until_somebody_lets_it_pass(context: RunContext, tmp_path: Path) -> None:
    due = context.configuration.calendar.due(DAY)
    moments = context.warehouse.read(context.table("moments")).where(F.col("as_of") == F.lit(AS_OF))
    held = held_moments(context, moments, due)
    # The first run, which is never usual, is not looked at; without it the median is sixty.
    assert [(one.moment, str(one)) for one in held] == [("complaint", "500, usually 60")]
    [issue] = held_issues(held, DAY)
    assert str(issue).startswith("ALERTS_HELD complaint of 2026-06-03: 500, usually 60; look at it, then let")
    with pytest.raises(Exception, match="'low_balance' is not held on 2026-06-03; held are complaint"):
        release_moment(context, "low_balance", DAY, "Li", "looked")
    release_moment(context, "complaint", DAY, "李", "一次断网，确有其事")
    assert held_moments(context, moments, due) == []
    kept = pl.read_delta(str(tmp_path / "warehouse" / "releases"))
    assert kept.select("dispatch_date", "moment_id", "released_by", "reason").rows() == [
        (DAY, "complaint", "李", "一次断网，确有其事")
    ]
    with pytest.raises(Exception, match="nothing is held"):
        release_moment(context, "complaint", DAY, "李", "again")


def test_what_fired_now_is_held_and_what_has_waited_is_not(context: RunContext) -> None:
    configuration = context.configuration
    plan = DispatchPlan(DAY, configuration.rules, configuration.dispatch, b"key", AS_OF)
    rows = [("new", "complaint", None), ("waited", "complaint", AS_OF), ("other", "low_balance", None)]
    frame = context.spark.createDataFrame(rows, "alert_id STRING, moment_id STRING, carried_from DATE")
    empty = F.lit(None).cast("string")
    frame = frame.select(
        "*", empty.alias("status"), empty.alias("status_reason"), empty.alias("suppressed_by")
    )
    found = {
        one["alert_id"]: one for one in stop_held(frame, {"complaint": "500, usually 60"}, plan).collect()
    }
    assert {name: one["status"] for name, one in found.items()} == {
        "new": "held",
        "waited": None,
        "other": None,
    }
    assert (found["new"]["status_reason"], found["new"]["suppressed_by"]) == ("volume", "500, usually 60")
