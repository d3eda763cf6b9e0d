"""What came of service: against a plain-Python reading of random alerts, outcomes and reports."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy.stats import ttest_ind
from typer.testing import CliRunner

from jobs.cli import app
from jobs.kernel.errors import CycleError
from jobs.kernel.project import Project
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.effects import write_effects
from tests.spark.test_tasks import Rows, put

pytestmark = [pytest.mark.spark, pytest.mark.slow]

FIRST, LAST = date(2026, 4, 1), date(2026, 4, 20)
# Chance of the outcome after service and without it.
CHURN = {"arrears": (0.05, 0.40), "new_handset": (0.2, 0.2), "bill_surge": (0.1, 0.1), "birthday": (0, 0)}
COMPLAINT = {"arrears": (0.1, 0.1), "new_handset": (0.1, 0.1), "bill_surge": (0.9, 0.05), "birthday": (0, 0)}


class World:
    """Random alerts, and what came after them."""

    def __init__(self, context: RunContext) -> None:
        chance = random.Random(11)
        self.alerts: Rows = []
        self.left: Rows = []
        self.complained: Rows = []
        self.bills: Rows = []
        self.reports: Rows = []
        for number in range(1800):
            customer = chance.randrange(6000)
            moment = chance.choice([*CHURN, "complaint"])
            served = customer % 4 > 0
            day = FIRST + timedelta(days=chance.randrange(-1, 21))
            status = "dispatched" if served or moment in ("complaint", "birthday") else "control"
            self.alerts.append(
                {
                    "alert_id": f"{number:032x}",
                    "dispatch_date": day,
                    "dispatch_cycle": "daily",
                    "moment_id": moment,
                    "category": "reminder" if moment == "birthday" else "anomaly",
                    "subscription_id": f"S{customer}",
                    "customer_id": f"C{customer}" if customer % 3 else None,
                    "plan_id": f"p_{moment[0]}",
                    "channel": "sms" if moment == "new_handset" else "call",
                    "city": chance.choice([*["南京"] * 10, *["苏州"] * 9, "泰州", None]),
                    "status": chance.choice([status] * 9 + ["overflow"]),
                    "valid_until": day + timedelta(days=chance.choice([1, 60])),
                }
            )
            self._after(self.alerts[-1], chance, 0 if served else 1)
        tables = {
            "churn_labels": self.left, "complaints": self.complained, "bills": self.bills, "feedback": self.reports,
        }  # fmt: skip
        put(context, context.table("alerts"), self.alerts)
        for name, rows in tables.items():
            put(context, context.source.contracts[name].clean_table(), rows)
        covers = {
            "churn_labels": date(2026, 6, 1),
            "complaints": date(2026, 5, 10),
            "bills": date(2026, 5, 31),
        }
        put(context, context.table("deliveries"), [
            {"delivery_id": name, "source": "synthetic", "contract": name, "status": "active",
             "covers_from": date(2026, 1, 1), "covers_to": until}
            for name, until in covers.items()
        ])  # fmt: skip

    def _after(self, alert: dict[str, Any], chance: random.Random, group: int) -> None:
        day, moment = alert["dispatch_date"], alert["moment_id"]

        def row(on: date, **values: Any) -> dict[str, Any]:
            known = {"row_date": on, "available_at": on + timedelta(days=1)}
            return {"subscription_id": alert["subscription_id"], **known, **values}

        if chance.random() < CHURN.get(moment, (0.1, 0.1))[group]:
            on = day + timedelta(days=chance.choice([0, 1, 15, 30, 31]))
            self.left.append(row(on, kind=chance.choice(["left"] * 5 + ["disconnected"])))
        if chance.random() < COMPLAINT.get(moment, (0.1, 0.1))[group]:
            on = day + timedelta(days=chance.choice([0, 1, 15, 30, 31]))
            self.complained.append(
                row(on, complaint_id=alert["alert_id"], stage=chance.choice(["opened", "closed"]))
            )
        for month, end in ((3, 31), (4, 30), (5, 31)):
            if chance.random() < 0.9:
                total = Decimal(chance.randrange(2000, 12000)) / 100 + (0 if group else 10 * month)
                self.bills.append(row(date(2026, month, end), total=total))
        for _ in range(chance.choice([0, 1, 2, 3]) if alert["status"] == "dispatched" else 0):
            at = datetime.combine(day, datetime.min.time()) + timedelta(
                hours=chance.choice([9, 33, 100, 220])
            )
            contacted = chance.random() < 0.8
            self.reports.append(
                row(
                    at.date(), alert_id=alert["alert_id"], reported_at=at, state="processing", event_date=at.date(),
                    contacted_at=at if contacted else None,
                    contact_result=chance.choice(["connected", "no_answer"]) if contacted else None,
                    outcome=chance.choice([None, "solved", "no_need"]), reason=chance.choice([None, "not_true"]),
                    suggestion_result=chance.choice([None, "accepted", "declined"]), score=chance.choice([None, 3, 9]),
                )
            )  # fmt: skip
        # One report a time and state, as the contract's key has it.
        self.reports = list({(r["alert_id"], r["reported_at"]): r for r in self.reports}.values())


@pytest.fixture(scope="module")
def context(project: Project, tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("effects")
    text = (project.root / "conf/sources/synthetic.yaml").read_text(encoding="utf-8")
    extract = "\n  - contract: feedback\n    files: feedback_{period}.csv\n    fields: same\n"
    (folder / "source.yaml").write_text(text.rstrip() + extract, encoding="utf-8")
    return open_run(configure(project, "local", str(folder / "source.yaml")), str(folder / "warehouse"))


@pytest.fixture(scope="module")
def world(context: RunContext) -> World:
    made = World(context)
    write_effects(context, FIRST, LAST)
    return made


def groups_of(alert: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("all", "all"), ("moment", alert["moment_id"]), ("plan", alert["plan_id"]),
        ("channel", alert["channel"]), ("city", alert["city"] or ""),
    ]  # fmt: skip


def within(rows: Rows, alert: dict[str, Any], first: int, last: int) -> Rows:
    day = alert["dispatch_date"]
    return [
        r for r in rows
        if r["subscription_id"] == alert["subscription_id"]
        and day + timedelta(days=first) < r["row_date"] <= day + timedelta(days=last)
    ]  # fmt: skip


def outcome_after(world: World, name: str, alert: dict[str, Any]) -> float | None:
    match name:
        case "churn":
            return float(any(r["kind"] == "left" for r in within(world.left, alert, 0, 30)))
        case "complaint":
            return float(any(r["stage"] == "opened" for r in within(world.complained, alert, 0, 30)))
        case _:
            after, before = (within(world.bills, alert, *days) for days in ((0, 31), (-31, 0)))
            if not after or not before:
                return None
            # Bills are cents; the table keeps six places.
            return float(
                round(sum(r["total"] for r in after) / len(after), 6)
                - round(sum(r["total"] for r in before) / len(before), 6)
            )


def expected_samples(world: World) -> dict[tuple[str, str, str], dict[bool, list[float]]]:
    """By outcome and group, the values of the served and of the control group: each customer's first alert."""
    # Complaints reach to 10 May: with a week of quiet at the end, alerts up to 17 April are told.
    until = {"churn": LAST, "complaint": date(2026, 4, 17), "spend": LAST}
    found: dict[tuple[str, str, str], dict[str, tuple[Any, bool, float]]] = defaultdict(dict)
    for alert in world.alerts:
        if alert["status"] not in ("dispatched", "control") or alert["moment_id"] in (
            "birthday",
            "complaint",
        ):
            continue
        for name, last in until.items():
            if not FIRST <= alert["dispatch_date"] <= last:
                continue
            y = outcome_after(world, name, alert)
            if y is None:
                continue
            mine = ((alert["dispatch_date"], alert["alert_id"]), alert["status"] == "dispatched", y)
            for group in groups_of(alert):
                whom = alert["customer_id"] or alert["subscription_id"]
                first = found[name, *group].setdefault(whom, mine)
                if mine[0] < first[0]:
                    found[name, *group][whom] = mine
    return {
        key: {flag: [y for _, served, y in told.values() if served == flag] for flag in (True, False)}
        for key, told in found.items()
    }


def test_groups_and_their_means_are_those_of_a_plain_reading(context: RunContext, world: World) -> None:
    expected = expected_samples(world)
    rows = pl.read_delta(context.warehouse.location("effects")).to_dicts()
    found = {(row["outcome"], row["by"], row["name"]): row for row in rows}
    assert set(found) == set(expected) and {"", "南京"} <= {name for _, _, name in found}
    judged = 0
    for key, samples in expected.items():
        row, served, control = found[key], samples[True], samples[False]
        assert (row["served"], row["control"]) == (len(served), len(control)), key
        for name, values in (("served_mean", served), ("control_mean", control)):
            assert math.isclose(float(row[name]), sum(values) / len(values), abs_tol=1e-6), key
        if min(len(served), len(control)) < 30:
            assert row["verdict"] == "too_few" and row["difference"] is None
            continue
        judged += 1
        difference = sum(served) / len(served) - sum(control) / len(control)
        assert math.isclose(float(row["difference"]), difference, abs_tol=2e-6), key
        assert row["lower"] <= row["difference"] <= row["upper"]
        if key[0] == "spend":
            told = ttest_ind(served, control, equal_var=False)
            interval = told.confidence_interval(0.95)
            assert math.isclose(float(row["p_value"]), told.pvalue, abs_tol=1e-6), key
            assert math.isclose(float(row["lower"]), interval.low, abs_tol=1e-4), key
            assert math.isclose(float(row["upper"]), interval.high, abs_tol=1e-4), key
    assert judged > 15
    assert {row["dates"] for row in rows if row["outcome"] == "complaint"} == {17}


def test_what_was_planted_is_found_and_nothing_else(context: RunContext, world: World) -> None:
    rows = pl.read_delta(context.warehouse.location("effects")).filter(pl.col("by") == "moment").to_dicts()
    verdicts = {(row["outcome"], row["name"]): row["verdict"] for row in rows if row["outcome"] != "spend"}
    assert verdicts == {
        ("churn", "arrears"): "helps",
        ("churn", "bill_surge"): "no_difference_seen",
        ("churn", "new_handset"): "no_difference_seen",
        ("complaint", "arrears"): "no_difference_seen",
        ("complaint", "bill_surge"): "harms",
        ("complaint", "new_handset"): "no_difference_seen",
    }


def test_service_is_counted_as_a_plain_reading_counts_it(context: RunContext, world: World) -> None:
    rows = pl.read_delta(context.warehouse.location("service_values")).to_dicts()
    found = {(row["by"], row["name"]): row for row in rows}
    expected: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    by_alert: dict[str, Rows] = defaultdict(list)
    for report in sorted(world.reports, key=lambda one: one["reported_at"]):
        by_alert[report["alert_id"]].append(report)
    for alert in world.alerts:
        if alert["status"] != "dispatched" or not FIRST <= alert["dispatch_date"] <= LAST:
            continue
        mine = by_alert[alert["alert_id"]]

        def last(field: str, mine: Rows = mine) -> Any:
            return next((r[field] for r in reversed(mine) if r[field] is not None), None)

        contacts = [r for r in mine if r["contacted_at"]]
        connected = [r for r in contacts if r["contact_result"] == "connected"]
        wait = (connected[0]["contacted_at"].date() - alert["dispatch_date"]).days if connected else None
        counts = {
            "alerts": 1, "imported": bool(mine), "contacts": len(contacts), "connected": len(connected),
            "reached": bool(connected),
            "useless": bool(connected) and (last("outcome") == "no_need" or last("reason") == "not_true"),
            "missed": not connected and alert["valid_until"] < date(2026, 6, 1),
            "suggested": last("suggestion_result") is not None,
            "accepted": last("suggestion_result") == "accepted",
            "scores": last("score") is not None, "score_sum": last("score") or 0,
            "cost": len(contacts) * (0.05 if alert["channel"] == "sms" else 3.0),
            "timing": 0 if wait is None else min(1, max(0, (7 - wait) / 6)),
        }  # fmt: skip
        for group in groups_of(alert):
            for name, count in counts.items():
                expected[group][name] += count
    assert set(found) == set(expected)
    for group, told in expected.items():
        row = found[group]
        for name in (
            "alerts",
            "imported",
            "contacts",
            "connected",
            "reached",
            "useless",
            "missed",
            "suggested",
            "accepted",
        ):
            assert row[name] == told[name], (group, name)
        factors = {
            "timing": told["timing"] / told["reached"], "efficiency": told["connected"] / told["contacts"],
            "need_match": 1 - told["useless"] / told["reached"],
            "quality": told["score_sum"] / told["scores"] / 10 if told["scores"] else 0.6,
            "cost_factor": 1 - told["cost"] / told["reached"] / 30,
        }  # fmt: skip
        for name, factor in factors.items():
            assert math.isclose(float(row[name]), factor, abs_tol=2e-6), (group, name)
        assert math.isclose(float(row["service_value"]), math.prod(factors.values()), abs_tol=1e-5)
        assert math.isclose(float(row["cost"]), told["cost"], abs_tol=0.006)
    assert found["moment", "birthday"]["alerts"] > 0


def test_the_same_again_commits_nothing_and_no_date_is_told_of(context: RunContext, world: World) -> None:
    before = {name: context.warehouse.version(name) for name in ("effects", "service_values")}
    told = write_effects(context, FIRST, LAST)
    assert {name: context.warehouse.version(name) for name in before} == before
    assert set(told.untold) == {"satisfaction"}
    with pytest.raises(CycleError, match="no date from 2025-01-01 to 2025-01-02 has been dispatched"):
        write_effects(context, date(2025, 1, 1), date(2025, 1, 2))


def test_the_command_names_what_does_harm(context: RunContext, world: World) -> None:
    source = str(Path(context.warehouse.path).with_name("source.yaml"))
    arguments = ["effects", "--source", source, "--warehouse", context.warehouse.path]
    arguments += ["--from", str(FIRST), "--to", str(LAST)]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.exit_code == 0
    assert "harms / 有害时刻: bill_surge (complaint)" in told.stdout.splitlines()
    assert (
        "满意度 satisfaction: cannot be told, surveys end on" in told.stdout
        or "delivers no surveys" in told.stdout
    )
    as_json = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert {row["verdict"] for row in as_json["effects"]} == {
        "helps",
        "harms",
        "no_difference_seen",
        "too_few",
    }
