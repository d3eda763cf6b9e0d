"""Rules tried on past dates: as they are they give what was given, otherwise what a person expects of them."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.stages.backtest import simulated
from jobs.stages.tuning import curve_of
from jobs.storage.warehouse import Warehouse
from tests.e2e.conftest import DATES, ROOT, Province

pytestmark = pytest.mark.spark

WRITTEN = ("alerts", "moments", "moment_state", "rule_evaluations", "tasks", "current_moments", "run_ledger")


def versions(warehouse: Warehouse) -> dict[str, int | None]:
    return {name: warehouse.version(name) for name in WRITTEN}


def live(province: Province, table: str) -> pl.DataFrame:
    return pl.read_delta(str(province.warehouse / table))


def test_rules_as_they_are_give_what_was_given(province: Province) -> None:
    """The second date, with waiting alerts, cooldown and caps of the first one behind it."""
    before = versions(province.context.warehouse)
    told = [
        column.name for column in province.configuration.tables["alerts"].columns if not column.run_metadata
    ]
    # Spark does not compare maps.
    told.remove("attributes")
    with simulated(province.context, DATES[1:]) as tried:
        mine = tried.alerts.select(*told)
        given = (
            province.context.warehouse.read("alerts").where(f"dispatch_date = DATE'{DATES[1]}'").select(*told)
        )
        assert given.count() > 100
        assert mine.exceptAll(given).count() == given.exceptAll(mine).count() == 0
        found = tried.figures()
    assert versions(province.context.warehouse) == before
    alerts = live(province, "alerts").filter(pl.col("dispatch_date") == DATES[1])
    moments = live(province, "moments").filter(
        pl.col("dispatch_date") == DATES[1], pl.col("category") != "exempt"
    )
    assert {name: one.fired for name, one in found.moments.items() if one.fired} == dict(
        moments.group_by("moment_id").len().iter_rows()
    )
    statuses = alerts.group_by("moment_id", "status").len().rows()
    assert {
        (name, status, n) for name, one in found.moments.items() for status, n in one.by_status.items()
    } == set(statuses)
    calls = alerts.filter(pl.col("visit_lead"), pl.col("channel") == "call")
    assert found.calls == {DATES[1]: calls.filter(pl.col("status") == "dispatched").height}
    assert found.waiting == {DATES[1]: calls.filter(pl.col("status") == "overflow").height}
    assert found.calls[DATES[1]] and found.waiting[DATES[1]] and not found.held
    # The month of June is not over.
    assert "end on 2026-05-31" in found.untold["churn"]


def test_what_came_after_moments(province: Province) -> None:
    """Of the last day of April, with all of May known."""
    as_of = date(2026, 4, 30)
    with simulated(province.context, [as_of + timedelta(days=1)]) as tried:
        found = tried.figures()
        fired = {(row[0], row[1]) for row in tried.moments.select("moment_id", "subscription_id").collect()}
    checked = 0
    for name, table, where in (
        ("churn", "churn_labels", pl.col("kind") == "left"),
        ("complaint", "complaints", pl.col("stage") == "opened"),
    ):
        days = province.configuration.models.models[name].days
        rows = live(province, f"clean_{table}").filter(
            where, pl.col("row_date") > as_of, pl.col("row_date") <= as_of + timedelta(days=days)
        )
        hit = set(rows["subscription_id"])
        view = live(province, "customer_view").filter(
            pl.col("as_of") == as_of, pl.col("subscription_status").fill_null("active") == "active"
        )
        base = view.filter(pl.col("subscription_id").is_in(hit)).height / view.height
        assert 0 < base < 0.2
        for moment, one in found.moments.items():
            mine = {subscription for its, subscription in fired if its == moment}
            if mine:
                outcome = one.outcomes[name]
                assert (outcome.cases, outcome.hits) == (len(mine), len(mine & hit)), (name, moment)
                assert outcome.base_share == pytest.approx(base)
                checked += outcome.hits
    assert checked


def test_what_a_change_of_rules_would_do(province: Province, tmp_path: Path) -> None:
    """Without the rule of complaints nobody is given that moment, and everybody else keeps theirs."""
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    complaint = rules / "moments" / "complaint.yaml"
    complaint.write_text(complaint.read_text("utf-8").replace("status: active", "status: retired"), "utf-8")
    place = ["--source", "conf/sources/synthetic.yaml", "--warehouse", str(province.warehouse)]
    dates = ["--from", str(DATES[0]), "--to", str(DATES[0])]
    done = CliRunner().invoke(
        app, ["rules", "diff", str(ROOT / "rules"), str(rules), *place, *dates, "--json"]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    moments = live(province, "moments").filter(
        pl.col("dispatch_date") == DATES[0], pl.col("category") != "exempt"
    )
    fired = dict(
        moments.select("moment_id", "subscription_id").unique().group_by("moment_id").len().iter_rows()
    )
    lost = {name: one["lost"] for name, one in told["moments"].items() if one["lost"]}
    assert lost == {"complaint": fired.pop("complaint")}
    assert {name: one["kept"] for name, one in told["moments"].items() if one["kept"]} == fired
    assert not any(one["gained"] for one in told["moments"].values())
    sent = told["dispatched"]["complaint"]
    assert sent["lost"] and not sent["kept"] and sent["one_lost"] in moments["subscription_id"]
    # A rule that is no longer in use is not taken for a broken feed.
    assert not told["held"]
    [(before, after)] = told["calls"].values()
    # A visit that another moment shares is still made.
    assert 0 < before - after <= sent["lost"]


def test_a_curve_counts_who_would_meet_the_rule(province: Province) -> None:
    curve = curve_of(province.context, "weekly_call_drop", "drop_pct")
    assert curve.as_of == date(2026, 5, 31) and curve.default in curve.values
    view = live(province, "customer_view").filter(
        pl.col("as_of") == curve.as_of,
        pl.col("value_tier").is_in(["mid", "high"]),
        pl.col("subscription_status") == "active",
    )
    assert curve.audience[""] == view.height > 100
    used = view.filter(pl.col("voice_minutes_week_mean_4w") >= 20)
    for place, value in enumerate(curve.values):
        met = used.filter(pl.col("voice_minutes_change_pct_7d") <= -value)
        assert curve.met[""][place] == met.height
        assert {city: counts[place] for city, counts in curve.met.items() if city and counts[place]} == dict(
            met.group_by("city").len().iter_rows()
        )
    assert curve.met[""][0] > curve.met[""][-1]
    assert curve.rate_now == curve.rate(curve.default, "")
    some = curve.suggested(0.05, "")
    assert some is not None and 0 < curve.rate(some, "") <= 0.05
    closer = [value for value in curve.values if curve.rate(some, "") < curve.rate(value, "") <= 0.05]
    assert closer == [] and curve.suggested(0.0001, "") is None
