"""Where the pipeline stands, from ledgers written by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result
from deltalake import write_deltalake
from typer.testing import CliRunner

from jobs.cli import app

SOURCE = "conf/sources/synthetic.yaml"
LAST = date(2026, 6, 1)
LEDGER = pa.schema(
    [("run_id", pa.string()), ("stage", pa.string()), ("cycle", pa.string()), ("as_of", pa.date32()),
     ("dispatch_date", pa.date32()), ("result", pa.string()), ("started_at", pa.timestamp("us", tz="UTC")),
     ("finished_at", pa.timestamp("us", tz="UTC")), ("message", pa.string())]
)  # fmt: skip
DELIVERIES = pa.schema(
    [("source", pa.string()), ("contract", pa.string()), ("period", pa.string()), ("status", pa.string()),
     ("file", pa.string()), ("part", pa.string()),
     ("covers_from", pa.date32()), ("covers_to", pa.date32()), ("delivered_on", pa.date32())]
)  # fmt: skip


def stage(run: str, name: str, minute: int, result: str = "complete", **where: Any) -> dict[str, Any]:
    """A row of the ledger that took half a minute and ended so many minutes after midnight of 2 June."""
    end = datetime(2026, 6, 2, tzinfo=UTC) + timedelta(minutes=minute)
    row = {"run_id": run, "stage": name, "result": result, "started_at": end - timedelta(seconds=30)}
    return {**dict.fromkeys(LEDGER.names), **row, "finished_at": end, **where}


def delivered(contract: str, until: date) -> dict[str, Any]:
    """A month's delivery that speaks up to a day."""
    return {
        "source": "synthetic", "contract": contract, "period": f"{until:%Y%m}", "status": "active",
        "file": f"{contract}_{until:%Y%m}.csv", "part": "all",
        "covers_from": until.replace(day=1), "covers_to": until, "delivered_on": None,
    }  # fmt: skip


class Tables:
    """A warehouse of ledgers alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = [
            stage("r1", "date", 1, dispatch_date=date(2026, 5, 30)),
            stage("r2", "ingest", 2),
            stage("r2", "dispatch", 3, dispatch_date=LAST),
            stage("r2", "date", 3, dispatch_date=LAST),
        ]
        self.deliveries = [
            delivered(contract, date(2026, 5, 31))
            for contract in CONTRACTS
        ]  # fmt: skip

    def write(self) -> str:
        """The tables; returns their folder."""
        alerts = [
            {"dispatch_date": LAST, "status": status} for status in ("dispatched", "control", "dispatched")
        ]
        alerts.append({"dispatch_date": date(2026, 5, 30), "status": "held"})
        for name, rows in (
            ("run_ledger", pa.Table.from_pylist(self.ledger, LEDGER)),
            ("deliveries", pa.Table.from_pylist(self.deliveries, DELIVERIES)),
            ("alerts", pa.Table.from_pylist(alerts)),
        ):
            write_deltalake(self.folder / name, rows, mode="overwrite")
        return str(self.folder)


CONTRACTS = (
    "accounts", "balances", "bills", "churn_labels", "complaints", "consents", "customers", "data_usage",
    "do_not_disturb", "household_products", "manager_assignments", "manager_leave", "managers", "message_usage",
    "network_quality", "number_segments", "payments", "quiet_hours",
    "roaming_signalling", "service_contacts", "service_orders", "service_subscriptions", "subscriptions", "surveys",
    "tariff_plans", "terminals", "usage_monthly", "voice_usage",
)  # fmt: skip


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "warehouse")


def run(tables: Tables, *arguments: str) -> Result:
    where = ("--source", SOURCE, "--warehouse", tables.write())
    return CliRunner().invoke(app, ["status", *where, *arguments])


def told(tables: Tables, on: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(run(tables, "--on", on, "--json").stdout)
    return status


def test_all_is_well_when_nothing_is_late_or_missed(tables: Tables) -> None:
    tables.ledger[0]["dispatch_date"] = date(2026, 5, 31)
    done = run(tables, "--on", "2026-06-01")
    assert done.exit_code == 0 and "all is well" in done.stdout
    status = told(tables, "2026-06-01")
    assert [(one["kind"], one["as_of"], one["dispatch_date"]) for one in status["cycles"]] == [
        (kind, "2026-05-31", "2026-06-01") for kind in ("daily", "weekly", "monthly")
    ]
    assert status["alerts"] == {"control": 1, "dispatched": 2}
    assert (status["missed"], status["broken"], status["is_well"]) == ([], [], True)
    assert status["seconds"] == {"dispatch": 30.0, "ingest": 30.0}


def test_dates_that_were_due_and_are_not_complete_are_missed(tables: Tables) -> None:
    status = told(tables, "2026-06-03")
    # The day itself may still be at work.
    assert status["missed"] == ["2026-05-31", "2026-06-02"]
    assert [one["dispatch_date"] for one in status["cycles"]] == ["2026-06-01"] * 3
    done = run(tables, "--on", "2026-06-03")
    assert done.exit_code == 5 and "missed dates" in done.stdout
    # The day before the first complete date was not this pipeline's.
    assert told(tables, "2026-05-30")["missed"] == []


def test_a_date_made_before_an_earlier_one_was_changed_is_stale(tables: Tables) -> None:
    tables.ledger[0]["dispatch_date"] = date(2026, 5, 31)
    assert told(tables, "2026-06-01")["stale"] == []
    # Made again, and it came out the same.
    tables.ledger.append(stage("r4", "date", 5, "unchanged", dispatch_date=date(2026, 5, 31)))
    assert told(tables, "2026-06-01")["stale"] == []
    tables.ledger.append(stage("r5", "date", 6, dispatch_date=date(2026, 5, 31)))
    done = run(tables, "--on", "2026-06-01")
    assert done.exit_code == 5 and "2026-06-01" in done.stdout.partition("stale dates")[2]
    assert told(tables, "2026-06-01")["stale"] == ["2026-06-01"]
    # Looked at since, whether or not it came out otherwise.
    tables.ledger.append(stage("r6", "date", 7, "unchanged", dispatch_date=LAST))
    assert told(tables, "2026-06-01")["stale"] == []


def test_a_source_is_late_past_what_its_contract_allows(tables: Tables) -> None:
    tables.deliveries = [one for one in tables.deliveries if one["contract"] not in ("balances", "surveys")]
    tables.deliveries.append(delivered("balances", date(2026, 5, 20)))
    sources = {one["contract"]: one for one in told(tables, "2026-06-01")["sources"]}
    assert set(sources) == set(CONTRACTS)
    assert {name for name, one in sources.items() if one["late"]} == {"balances", "surveys"}
    assert (sources["balances"]["until"], sources["balances"]["days_old"]) == ("2026-05-20", 11)
    assert (sources["surveys"]["until"], sources["surveys"]["days_old"]) == (None, None)
    assert sources["bills"]["days_old"] == 0
    assert (sources["bills"]["zh"], sources["bills"]["en"]) == ("月账单", "Monthly bills")


def test_what_failed_or_was_begun_is_told_until_it_is_complete(tables: Tables) -> None:
    view = {"cycle": "daily", "as_of": date(2026, 6, 1)}
    tables.ledger += [
        stage("r3", "build_view", 9, "started", **view),
        stage("r3", "run", 10, "failed", dispatch_date=date(2026, 6, 2), message="no space left"),
        # What another command does has nothing to do with it.
        stage("r4", "erase", 12),
    ]
    assert told(tables, "2026-06-01")["broken"] == [
        "build_view daily 2026-06-01 started",
        "date 2026-06-02 failed no space left",
    ]
    tables.ledger += [
        stage("r5", "build_view", 13, **view),
        stage("r5", "date", 14, dispatch_date=date(2026, 6, 2)),
    ]
    assert told(tables, "2026-06-01")["broken"] == []


def test_a_pipeline_that_never_completed_a_date_is_not_well(tables: Tables) -> None:
    tables.ledger = [stage("r1", "ingest", 1)]
    assert run(tables, "--on", "2026-06-01").exit_code == 5
    status = told(tables, "2026-06-01")
    assert (status["is_well"], status["missed"], status["alerts"]) == (False, [], {})


def test_seconds_are_those_of_the_last_date_alone(tables: Tables) -> None:
    tables.ledger += [stage("r2", "dispatch", 2, dispatch_date=date(2026, 5, 31))]
    assert told(tables, "2026-06-01")["seconds"] == {"dispatch": 30.0, "ingest": 30.0}


def test_metrics_are_the_same_for_prometheus(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "new" / "keymoments.prom"
    run(tables, "--on", "2026-06-03", "--metrics", str(path))
    lines = path.read_text().splitlines()
    assert 'keymoments_last_cycle_days{cycle="daily"} 2' in lines
    assert "keymoments_missed_dates 2" in lines
    assert "keymoments_stale_dates 0" in lines
    assert 'keymoments_alerts{status="dispatched"} 2' in lines
    assert 'keymoments_source_late{contract="bills"} 0' in lines
    assert 'keymoments_stage_seconds{stage="ingest"} 30.0' in lines
    names = [line.split(" ")[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == 8
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_empty_warehouse_is_told_in_a_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["status", "--source", SOURCE, "--warehouse", str(tmp_path)])
    assert done.exit_code == 2
    assert "TABLE_MISSING table 'run_ledger' has not been written" in done.stderr


def test_a_wrong_day_is_told_in_a_line(tables: Tables) -> None:
    done = run(tables, "--on", "2026-02-30")
    assert done.exit_code == 2 and "CYCLE_BAD_DATE" in done.stderr
