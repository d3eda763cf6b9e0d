"""Tasks of alerts and what is open of customers, against a plain-Python reading of random reports."""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.contracts.columns import Table
from jobs.kernel.project import Project
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.tasks import write_tasks
from jobs.storage.frames import struct_type

pytestmark = pytest.mark.spark

DAY = date(2026, 6, 3)
STATES = ["rejected", "unprocessed", "processing", "processed", "processed_new_alert"]
DEFAULTS: dict[str, Any] = {
    "STRING": "x", "DATE": DAY, "BOOLEAN": False, "BIGINT": 0, "INT": 0, "TIMESTAMP": datetime(2026, 6, 1),
}  # fmt: skip
Rows = list[dict[str, Any]]


def put(context: RunContext, table: Table, rows: Rows) -> None:
    data = [
        tuple(one.get(c.name, DEFAULTS[c.type] if c.required else None) for c in table.columns)
        for one in rows
    ]
    frame = context.spark.createDataFrame(data, struct_type(table))
    context.warehouse.replace_changed(frame, table, {})


@pytest.fixture(scope="module")
def made(project: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows, Rows]:
    """Random alerts and reports, and the tables that are made of them."""
    folder = tmp_path_factory.mktemp("tasks")
    mapping = folder / "source.yaml"
    text = (project.root / "conf/sources/synthetic.yaml").read_text(encoding="utf-8")
    extract = "\n  - contract: feedback\n    files: feedback_{period}.csv\n    fields: same\n"
    mapping.write_text(text.rstrip() + extract, encoding="utf-8")
    context = open_run(configure(project, "local", str(mapping)), str(folder / "warehouse"))
    chance = random.Random(7)
    alerts, reports = [], []
    for number in range(300):
        subscription = chance.randrange(60)
        day = DAY - timedelta(days=chance.choice([0, 0, 1, 2, 5, 20, 59, 60, 61]))
        alerts.append(
            {
                "alert_id": f"{number:032x}",
                "dispatch_date": day,
                "dispatch_cycle": "daily",
                "moment_id": chance.choice(["complaint", "low_balance"]),
                "subscription_id": f"S{subscription}",
                "customer_id": f"C{subscription // 2}" if subscription < 40 else None,
                "channel": "call",
                "status": chance.choice(["dispatched"] * 4 + ["overflow", "suppressed", "control"]),
                "valid_until": day + timedelta(days=chance.choice([1, 3, 30])),
                "priority": Decimal(chance.randrange(5)),
            }
        )
        for _ in range(chance.choice([0, 0, 1, 2, 4])):
            at = datetime.combine(day, datetime.min.time()) + timedelta(
                hours=chance.choice([9, 9, 30, 60, 390])
            )
            contacted = at if chance.random() < 0.6 else None
            reports.append(
                {
                    "alert_id": f"{number:032x}",
                    "subscription_id": f"S{subscription}",
                    "reported_at": at,
                    "event_date": at.date(),
                    "row_date": at.date(),
                    "available_at": at.date() + timedelta(days=1),
                    "state": chance.choice(STATES),
                    "contacted_at": contacted,
                    "contact_result": chance.choice(["connected", "no_answer"]) if contacted else None,
                    "outcome": chance.choice([None, "solved", "follow_up"]),
                    "appointment_on": chance.choice(
                        [None, at.date() + timedelta(days=chance.randrange(-1, 9))]
                    ),
                    "passed_to": chance.choice([None, None, "app"]),
                }
            )
    # One report a time and state, as the contract's key has it.
    reports = list({(r["alert_id"], r["reported_at"], r["state"]): r for r in reports}.values())
    put(context, context.table("alerts"), alerts)
    put(context, context.source.contracts["feedback"].clean_table(), reports)
    write_tasks(context, DAY)
    return folder / "warehouse", alerts, reports


def expected_task(alert: dict[str, Any], alerts: Rows, reports: Rows) -> dict[str, Any]:
    """The task of one alert, read plainly."""
    mine = [r for r in reports if r["alert_id"] == alert["alert_id"] and r["available_at"] <= DAY]
    mine.sort(key=lambda r: (r["reported_at"], STATES.index(r["state"])))

    def last(field: str) -> Any:
        return next((r[field] for r in reversed(mine) if r[field] is not None), None)

    state, since = (mine[-1]["state"], mine[-1]["event_date"]) if mine else ("unprocessed", None)
    later = sorted(
        (a["dispatch_date"], a["alert_id"])
        for a in alerts
        if a["status"] == "dispatched" and a["dispatch_date"] <= DAY
        and (a["moment_id"], a["subscription_id"]) == (alert["moment_id"], alert["subscription_id"])
        and (a["dispatch_date"], a["alert_id"]) > (alert["dispatch_date"], alert["alert_id"])
    )  # fmt: skip
    new = None
    if state == "processed" and later and later[0][0] > since:
        state, new = "processed_new_alert", later[0][1]
    reached = [r["contacted_at"].date() for r in mine if r["contact_result"] == "connected"]
    appointment = last("appointment_on")
    told = None
    if appointment is not None:
        told = (
            "not_due"
            if appointment > DAY
            else "done"
            if max(reached, default=date.min) >= appointment
            else "due"
        )
    return {
        "state": state,
        "imported": bool(mine),
        "contacts": sum(r["contacted_at"] is not None for r in mine),
        "connected": len(reached),
        "outcome": last("outcome"),
        "channel": last("passed_to") or "call",
        "appointment_on": appointment,
        "appointment": told,
        "new_alert_id": new,
    }


def test_tasks_are_what_the_reports_say(made: tuple[Path, Rows, Rows]) -> None:
    warehouse, alerts, reports = made
    found = {row["alert_id"]: row for row in pl.read_delta(str(warehouse / "tasks")).to_dicts()}
    recent = [a for a in alerts if a["status"] == "dispatched" and (DAY - a["dispatch_date"]).days < 60]
    assert set(found) == {a["alert_id"] for a in recent} and len(recent) > 100
    seen = set()
    for alert in recent:
        row = found[alert["alert_id"]]
        expected = expected_task(alert, recent, reports)
        assert {name: row[name] for name in expected} == expected, alert
        seen |= {expected["state"], expected["appointment"]}
        seen |= {"by itself"} if expected["new_alert_id"] else set()
    assert seen == {*STATES, None, "due", "not_due", "done", "by itself"}


def test_open_is_what_is_worth_serving_and_not_processed(made: tuple[Path, Rows, Rows]) -> None:
    warehouse, alerts, _ = made
    states = dict(pl.read_delta(str(warehouse / "tasks")).select("alert_id", "state").rows())
    expected: dict[str, list[tuple[Decimal, str]]] = {}
    for alert in alerts:
        today = alert["dispatch_date"] == DAY and alert["status"] in ("dispatched", "overflow")
        before = alert["dispatch_date"] < DAY <= alert["valid_until"] and alert["status"] == "dispatched"
        closed = states.get(alert["alert_id"]) in ("rejected", "processed", "processed_new_alert")
        if (today or before) and not closed:
            whom = alert["customer_id"] or alert["subscription_id"]
            expected.setdefault(whom, []).append((-alert["priority"], alert["alert_id"]))
    rows = pl.read_delta(str(warehouse / "current_moments")).to_dicts()
    found = {row["customer_id"] or row["subscription_id"]: row for row in rows}
    assert len(found) == len(rows)
    assert {whom: [one["alert_id"] for one in row["moments"]] for whom, row in found.items()} == {
        whom: [alert_id for _, alert_id in sorted(moments)] for whom, moments in expected.items()
    }
    assert all(row["subscription_id"] == row["moments"][0]["subscription_id"] for row in rows)
    assert max(len(moments) for moments in expected.values()) > 2


def test_what_was_dispatched_was_imported_rejected_or_is_pending(made: tuple[Path, Rows, Rows]) -> None:
    warehouse, _, _ = made
    told = CliRunner().invoke(app, ["tasks", "--warehouse", str(warehouse), "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.output)
    rows = pl.read_delta(str(warehouse / "tasks")).to_dicts()
    assert found["dispatched"] == len(rows) == found["imported"] + found["rejected"] + found["pending"]
    assert found["pending"] == sum(not row["imported"] for row in rows) > 0
    assert found["rejected"] == sum(row["state"] == "rejected" for row in rows) > 0
    counted = sum(sum(states.values()) for states in found["states"].values())
    assert counted == len(rows) and set(found["states"]) == {"complaint", "low_balance"}
    table = CliRunner().invoke(app, ["tasks", "--warehouse", str(warehouse)])
    assert f"dispatched {len(rows)} = " in table.output and "2026-06-03" in table.output
