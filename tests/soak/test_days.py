"""Days of the province one after the other: everything holds each day, and the checks would see it if not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from jobs.kernel.errors import CycleError
from jobs.stages.export import Export, export_alerts
from jobs.stages.plan import run_date
from tests.soak.month import Month, change

pytestmark = [pytest.mark.spark, pytest.mark.slow]

FIRST, LAST = date(2026, 5, 29), date(2026, 6, 1)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """Three days with a daily cycle, and a first of a month that is a Monday; `make soak` lives a month."""
    month = Month(tmp_path_factory.mktemp("lived"), 1000, print, control=0.25)
    month.prepare()
    # Nobody is texted instead of called, so that four days meet the caps of calls.
    settings = month.folder / "project" / "conf" / "dispatch.yaml"
    change(settings, "low: 1.00", "")
    month.run(FIRST, LAST)
    return month


def test_everything_holds_every_day(lived: Month) -> None:
    assert lived.broken == []
    alerts = lived.table("alerts")
    assert set(alerts["dispatch_date"]) == {date(2026, 5, day) for day in (29, 30, 31)} | {LAST}
    assert set(alerts["dispatch_cycle"]) == {"daily", "weekly", "monthly"}
    assert set(alerts["status"]) == {"dispatched", "control", "overflow", "suppressed"}
    # What managers reported has come back: as tasks, and as customers who are left alone.
    states = set(lived.table("tasks")["state"])
    assert {"unprocessed", "processing", "processed", "rejected"} <= states
    assert {"cap", "exempt", "inhibited", "feedback"} <= set(alerts["status_reason"])


def test_a_date_comes_out_the_same_when_more_has_been_reported_since(lived: Month) -> None:
    before = lived.table("alerts")
    context = lived.open()
    run_date(context, date(2026, 5, 31), "dispatch")
    context.flush_log()
    ledger = lived.table("run_ledger").filter(pl.col("run_id") == context.run_id)
    assert set(ledger["result"]) == {"unchanged"}
    assert lived.table("alerts").equals(before)


Change = Callable[[pl.DataFrame], pl.DataFrame]


def _status(old: str, new: str, reason: str | None = None) -> Change:
    """The first alert of the last date with a status, and maybe a reason, has another one."""

    def change(alerts: pl.DataFrame) -> pl.DataFrame:
        rows = alerts.filter((pl.col("dispatch_date") == LAST) & (pl.col("status") == old))
        if reason is not None:
            rows = rows.filter(pl.col("status_reason") == reason)
        one = rows.sort("alert_id")["alert_id"][0]
        here = (pl.col("alert_id") == one) & (pl.col("dispatch_date") == LAST)
        return alerts.with_columns(
            pl.when(here).then(pl.lit(new)).otherwise(pl.col("status")).alias("status")
        )

    return change


def _any_time(alerts: pl.DataFrame) -> pl.DataFrame:
    """Whoever is reached at some hours only is reached from morning to night."""
    day = [{"from_time": "00:00", "to_time": "23:59"}]
    rows = alerts.to_dicts()
    for row in rows:
        if row["dispatch_date"] == LAST and row["status"] == "dispatched":
            row["allowed_contact_windows"] = day
    return pl.DataFrame(rows, schema=alerts.schema)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_status("overflow", "dispatched"), "visits of"),
        (_status("suppressed", "dispatched", "exempt"), "who is exempt"),
        (_status("suppressed", "dispatched", "feedback"), "refused lately|the plain reading"),
        (_status("suppressed", "dispatched", "cap"), "against call|the plain reading"),
        (_status("suppressed", "dispatched", "consent"), "uses what the customer refused"),
        (_any_time, "not to be disturbed"),
        (_status("control", "dispatched"), "is dispatched"),
        (_status("dispatched", "control"), "is control"),
        (_status("dispatched", "overflow"), "the plain reading"),
        (lambda alerts: pl.concat([alerts, alerts.filter(pl.col("dispatch_date") == LAST).head(1)]), "twice"),
        (lambda alerts: alerts.filter(pl.col("dispatch_date") < LAST), "no candidates"),
    ],
)
def test_what_does_not_hold_is_seen(lived: Month, change: Change, words: str) -> None:
    honest = lived.look(lived.table("alerts"), LAST)
    assert honest.broken() == []
    assert any(_matches(words, text) for text in lived.look(change(lived.table("alerts")), LAST).broken())


def _matches(words: str, text: str) -> bool:
    return any(one in text for one in words.split("|"))


def test_an_issued_date_is_made_again_only_as_a_revision(lived: Month, tmp_path: Path) -> None:
    """The last test of the lived, since it changes its last date."""
    configuration, warehouse = lived.configuration, str(lived.warehouse)
    role = configuration.exports.roles["downstream"]
    wanted = Export(LAST, "jsonl", "utf-8", "all", ("downstream", role))
    first = export_alerts(configuration, warehouse, tmp_path, wanted)
    given = _dispatched(lived)
    assert first.records == {f"alerts_{LAST}_all.jsonl": len(given)}
    with pytest.raises(CycleError, match="CYCLE_ISSUED"):
        run_date(lived.open(), LAST)
    assert _dispatched(lived) == given
    # Since then managers have reported, and a rule has been taken out of use.
    reports = pl.read_csv(lived.extracts / f"feedback_{LAST:%Y%m%d}.csv", infer_schema=False)
    contacted = set(
        reports.filter(pl.col("contacted_at").is_not_null() | (pl.col("state") == "processed"))["alert_id"]
    )
    alerts = lived.table("alerts").filter(pl.col("dispatch_date") == LAST)
    before = {row["alert_id"]: row for row in alerts.to_dicts()}
    # A visit is made for all its moments, whichever of them is reported.
    made = {before[one]["visit_id"] or one for one in given & contacted}
    kept = {one for one in given if (before[one]["visit_id"] or one) in made}
    assert kept >= given & contacted
    untouched = alerts.filter((pl.col("status") == "dispatched") & ~pl.col("alert_id").is_in(list(kept)))
    retired = untouched["moment_id"].sort()[0]
    rules = (lived.folder / "project" / "rules").glob(f"*/{retired}.yaml")
    change(next(rule for rule in rules if rule.parent.name != "tests"), "status: active", "status: retired")
    del lived.configuration
    run_date(lived.open(), LAST, reissue=True)
    now = lived.table("alerts").filter(pl.col("dispatch_date") == LAST)
    rows = {row["alert_id"]: row for row in now.to_dicts()}
    assert len(rows) == now.height
    assert kept and all(rows[one] == before[one] for one in kept)
    gone = set(untouched.filter(pl.col("moment_id") == retired)["alert_id"])
    assert gone and all(
        (rows[one]["status"], rows[one]["status_reason"]) == ("withdrawn", "gone") for one in gone
    )
    # Everything that went out is still to be done, or withdrawn.
    assert all(rows[one]["status"] in ("dispatched", "withdrawn") for one in given)
    assert {row["revision"] for one, row in rows.items() if one not in kept} == {2}
    made = Counter(
        (row["served_by"], row["visit_id"])
        for row in rows.values()
        if row["status"] == "dispatched" and row["served_by"]
    )
    busy = Counter(who for who, _ in made)
    full = Counter(
        who
        for who, _ in {
            (row["served_by"], row["visit_id"])
            for row in before.values()
            if row["status"] == "dispatched" and row["served_by"]
        }
    )
    waiting = {row["served_by"] for row in before.values() if row["status"] == "overflow"}
    assert waiting and all(busy[who] <= full[who] for who in waiting)
    # Once more, and nothing changes; then it is given out, and the withdrawals with it.
    run_date(lived.open(), LAST, reissue=True)
    again = lived.table("alerts").filter(pl.col("dispatch_date") == LAST).drop("run_id", "generated_at")
    assert again.sort("alert_id").equals(now.drop("run_id", "generated_at").sort("alert_id"))
    second = export_alerts(lived.configuration, warehouse, tmp_path, wanted)
    assert second.folder.name.endswith("_r2")
    withdrawn = {one for one, row in rows.items() if row["status"] == "withdrawn"}
    events = [
        json.loads(line) for line in next(second.folder.glob("*.jsonl")).read_text("utf-8").splitlines()
    ]
    assert {e["data"]["alert_id"] for e in events if ".withdrawn." in e["type"]} == withdrawn >= gone


def _dispatched(lived: Month) -> set[str]:
    alerts = lived.table("alerts").filter(
        (pl.col("dispatch_date") == LAST) & (pl.col("status") == "dispatched")
    )
    return set(alerts["alert_id"])
