"""The whole pipeline on a synthetic province, held against independent readings of the same files."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import nbformat
import polars as pl
import pytest
from deltalake import DeltaTable
from nbclient import NotebookClient

from jobs.kernel.ids import hash_of
from jobs.stages.plan import run_date
from tests.e2e.conftest import DATES, ROOT, Province
from tests.oracle.naive_dispatch import Dispatcher, serving
from tests.oracle.province_truth import read_truth

pytestmark = pytest.mark.spark


def all_tables(province: Province) -> dict[str, int]:
    """Version of every table but the ledger, which tells of each run."""
    names = sorted(log.parent.name for log in province.warehouse.glob("*/_delta_log"))
    return {
        name: DeltaTable(str(province.warehouse / name)).version() for name in names if name != "run_ledger"
    }


# Item -> source, SQL of the value, rows of the window that ends on 2026-05-31, value without any row.
ITEMS: dict[str, tuple[str, str, str, int | None]] = {
    "voice_minutes_7d": (
        "voice_usage", "sum(duration_s::bigint) / 60.0", "started_at between '2026-05-25' and '2026-06-01'", 0,
    ),
    "contacts_28d": (
        "voice_usage", "count(distinct counterpart)", "started_at between '2026-05-04' and '2026-06-01'", 0,
    ),
    "messages_28d": ("message_usage", "count(*)", "sent_at between '2026-05-04' and '2026-06-01'", 0),
    "data_mb_7d": ("data_usage", "sum(mb::bigint)", "used_on between '2026-05-25' and '2026-05-31'", 0),
    "data_mb_mtd": ("data_usage", "sum(mb::bigint)", "used_on between '2026-05-01' and '2026-05-31'", 0),
    "poor_network_events_7d": (
        "network_quality",
        "sum(coalesce(dropped_calls::double, 0) + coalesce(blocked_calls::double, 0) "
        "+ coalesce(poor_quality::double, 0) + coalesce(detaches::double, 0))",
        "measured_on between '2026-05-25' and '2026-05-31'",
        0,
    ),
    "bill_total_1m": ("bills", "sum(total::decimal(18,2))", "month = '2026-05-01'", None),
    "bill_total_mean_3m_before": (
        "bills", "case when count(*) = 3 then avg(total::decimal(18,2)) end", "month in ('2026-02-01', '2026-03-01', '2026-04-01')", None,
    ),
    "paid_amount_30d": (
        "payments", "sum(amount::decimal(18,2))", "paid_on between '2026-05-02' and '2026-05-31'", 0,
    ),
    "complaints_30d": (
        "complaints",
        "sum(coalesce(count::bigint, 1))",
        "stage = 'opened' and occurred_on between '2026-05-02' and '2026-05-31'",
        0,
    ),
    "service_contacts_30d": (
        "service_contacts",
        "sum(coalesce(count::bigint, 1))",
        "contacted_at between '2026-05-02' and '2026-06-01'",
        0,
    ),
    "services_active": (
        "service_subscriptions",
        "count(*) filter (where action = 'start') - count(*) filter (where action = 'end')",
        "true",
        0,
    ),
    "abroad_attaches_28d": (
        "roaming_signalling",
        "count(*)",
        "kind = 'attach' and country <> 'CN' and occurred_at between '2026-05-04' and '2026-06-01'",
        0,
    ),
    "balance": ("balances", "max_by(balance::decimal(18,2), balance_date)", "true", None),
    "terminal_model": ("terminals", "max_by(model, (first_seen_on, model))", "true", None),
    "tenure_days": (
        "subscriptions", "date '2026-05-31' - max_by(joined_on, updated_on)::date", "true", None,
    ),
}  # fmt: skip


def table(province: Province, name: str) -> pl.DataFrame:
    return pl.read_delta(str(province.warehouse / name))


def alerts(province: Province, day: date = DATES[-1]) -> pl.DataFrame:
    return table(province, "alerts").filter(pl.col("dispatch_date") == day)


def test_moments_are_exactly_those_of_the_independent_truth(province: Province) -> None:
    truth = read_truth(province.folder / "extracts")
    rows = table(province, "moments").select("subscription_id", "moment_id", "as_of", "category")
    found = {row[:3] for row in rows.filter(pl.col("category") != "exempt").rows()}
    inside = {row[:3] for row in rows.filter(pl.col("category") == "exempt").rows()}
    assert len(found) == rows.filter(pl.col("category") != "exempt").height, "a moment stands there twice"
    assert found == truth.entered
    assert inside == truth.exempt


def test_every_planted_moment_is_found_and_no_near_miss(province: Province) -> None:
    rows = table(province, "moments").select("subscription_id", "moment_id", pl.col("as_of").cast(str)).rows()
    found = set(rows)
    planted = {(r["subscription_id"], r["moment"], r["date"]) for r in province.truth("planted.csv")}
    near = {(r["subscription_id"], r["moment"], r["date"]) for r in province.truth("near_misses.csv")}
    rules = {rule.id for rule in province.configuration.rules.rules}
    # A festival is everybody's on its day, and so is a digest, so nobody's story; no festival is near these dates.
    everybodys = {"holiday", "package_digest"}
    assert {moment for _, moment, _ in planted} == rules - everybodys, "a rule has no planted story"
    assert planted <= found
    assert not near & found


def test_bad_rows_are_quarantined_with_file_line_and_reason(province: Province) -> None:
    rows = table(province, "quarantine").select("file", "line", "contract", "reasons").rows()
    found = {(file, line, contract, reasons[0].split(":")[0]) for file, line, contract, reasons in rows}
    expected = {
        (r["file"], int(r["line"]), r["contract"], r["reason"]) for r in province.truth("bad_rows.csv")
    }
    assert found == expected
    originals = table(province, "quarantine").select("file", "line", "original").rows()
    for file, line, original in originals:
        lines = (province.folder / "extracts" / file).read_text(encoding="utf-8").split("\n")
        assert original == lines[line - 1]


def test_rows_read_are_loaded_quarantined_or_duplicate_for_each_file(province: Province) -> None:
    duplicates = {r["file"]: int(r["count"]) for r in province.truth("duplicates.csv")}
    rows = table(province, "deliveries").to_dicts()
    assert len(rows) == len(list((province.folder / "extracts").glob("*.csv")))
    for row in rows:
        lines = (province.folder / "extracts" / row["file"]).read_bytes().count(b"\n") - 1
        assert row["rows_in_file"] == row["rows_read"] == lines
        assert row["rows_read"] == row["rows_loaded"] + row["rows_quarantined"] + row["rows_duplicate"]
        assert row["rows_duplicate"] == duplicates.get(row["file"], 0), row["file"]
    clean = sum(row["rows_loaded"] for row in rows if row["contract"] == "voice_usage")
    assert table(province, "clean_voice_usage").height == clean


AS_OF = date(2026, 5, 31)


def test_view_items_agree_with_the_files(province: Province) -> None:
    """Sums, counts, distinct, means, last values and states of the view, read from the files by DuckDB."""
    view = table(province, "customer_view").filter(pl.col("as_of") == AS_OF)
    assert view.height > 900
    for item, (source, value, where, missing) in ITEMS.items():
        files = f"{province.folder}/extracts/{source}_*.csv"
        expected = dict(
            duckdb.execute(
                f"""
                with rows as (
                    select distinct * from read_csv('{files}', all_varchar = true, null_padding = true)
                    where subscription_id not like 'BAD%'
                )
                select subscription_id, {value} from rows where {where} group by 1
                """
            ).fetchall()
        )
        found = dict(view.select("subscription_id", item).rows())
        assert len(found.keys() & expected.keys()) > 0, item
        wrong = [
            (one, value, expected.get(one, missing))
            for one, value in found.items()
            if not _alike(value, expected.get(one, missing))
        ]
        assert not wrong, f"{item}: {len(wrong)} differ, such as {wrong[:3]} (found, expected)"


def _alike(found: object, expected: object) -> bool:
    if found is None or expected is None or isinstance(found, str):
        return found == expected
    # Decimals of the view are rounded half up to two places.
    return abs(float(str(found)) - float(str(expected))) <= 0.0051


def test_rates_of_the_formula_are_those_of_the_files(province: Province) -> None:
    """Sizes and leavers of the service term's groups, and their smoothing, from the files alone."""
    base, until = date(2026, 4, 30), date(2026, 5, 30)
    folder = province.folder / "extracts"
    options = "all_varchar = true, null_padding = true"
    groups = duckdb.execute(
        f"""
        with latest as (
            select subscription_id, max_by(status, updated_on) as status, max_by(joined_on, updated_on) as joined_on
            from read_csv('{folder}/subscriptions_*.csv', {options})
            where updated_on <= '{base}' and subscription_id not like 'BAD%' group by 1
        ),
        complained as (
            select distinct subscription_id from read_csv('{folder}/complaints_*.csv', {options})
            where stage = 'opened' and occurred_on between '{base - timedelta(days=29)}' and '{base}'
        ),
        contacted as (
            select subscription_id, sum(n) as contacts from (
                select distinct contact_id, subscription_id, coalesce(try_cast(count as int), 1) as n, contacted_at
                from read_csv('{folder}/service_contacts_*.csv', {options})
            )
            where contacted_at::date between date '{base - timedelta(days=29)}' and date '{base}' group by 1
        ),
        gone as (
            select subscription_id, max(kind) as kind from read_csv('{folder}/churn_labels_*.csv', {options})
            where churned_on > '{base}' and churned_on <= '{until}' group by 1
        )
        select
            case when c.subscription_id is not null then 'complaint'
                when coalesce(k.contacts, 0) >= 2 then '2+ contacts' else '0-1 contacts' end as "group",
            count(*), count(*) filter (where g.kind = 'left')
        from latest l left join complained c using (subscription_id) left join contacted k using (subscription_id)
            left join gone g using (subscription_id)
        where l.status = 'active' and l.joined_on <= '{base}' and coalesce(g.kind, '') <> 'disconnected'
        group by 1
        """
    ).fetchall()
    size, churned = sum(row[1] for row in groups), sum(row[2] for row in groups)
    assert churned > 10 and len(groups) == 3
    expected = {name: (n, c, round((c + 50 * churned / size) / (n + 50), 8)) for name, n, c in groups}
    rates = table(province, "risk_rates").filter((pl.col("as_of") == AS_OF) & (pl.col("term") == "service"))
    found = {
        row["group"]: (row["group_size"], row["churned"], round(float(row["rate"]), 8))
        for row in rates.to_dicts()
    }
    assert found.keys() == expected.keys()
    for name, (n, c, rate) in expected.items():
        assert found[name][:2] == (n, c), name
        assert found[name][2] == pytest.approx(rate, abs=2e-8)


def test_running_again_changes_nothing_and_commits_nothing(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_tables(province)
    assert {"alerts", "tasks", "current_moments", "clean_bills", "raw_bills", "tiles_bills"} <= before.keys()
    again = province.reopen()
    with monkeypatch.context() as forgetful:
        # On the first date every view is made again, from tables read anew, and has to be the same.
        forgetful.setattr("jobs.stages.view._standing", lambda *_: None)
        run_date(again, DATES[0])
    built: list[object] = []
    monkeypatch.setattr("jobs.stages.view._build", lambda *_: built.append(_))
    run_date(again, DATES[1])
    assert not built, "a view was made again although nothing it rests on had changed"
    assert all_tables(province) == before
    ledger = table(province, "run_ledger").filter(pl.col("run_id") == again.run_id)
    # Two views were made again on purpose; each says so before it starts.
    started = ledger.filter(pl.col("result") == "started")
    assert set(started["stage"]) == {"build_view"} and started.height == 2
    assert set(ledger.filter(pl.col("result") != "started")["result"]) == {"unchanged"}
    assert ledger.filter(pl.col("stage") == "date").height == len(DATES)
    # From a stage on: what comes before it is not even looked at.
    later = province.reopen()
    run_date(later, DATES[1], "dispatch")
    ledger = table(province, "run_ledger").filter(pl.col("run_id") == later.run_id)
    assert sorted(ledger["stage"]) == ["date", "dispatch"] and set(ledger["result"]) == {"unchanged"}


def dispatcher_of(province: Province) -> Dispatcher:
    """The plain reading of the dispatch of the last date."""
    configuration = province.configuration
    rules = {rule.id: rule for rule in configuration.rules.rules}
    plans = configuration.rules.plans
    return Dispatcher(DATES[-1], rules, configuration.dispatch, province.context.keys.control, plans)


def state_at(province: Province, contract: str, as_of: date) -> list[dict[str, Any]]:
    """The newest row of each key that a date's daily cycle knows."""
    key = list(province.configuration.contracts[contract].key)
    rows = table(province, f"clean_{contract}").filter(
        (pl.col("updated_on") <= as_of) & (pl.col("available_at") <= as_of + timedelta(days=1))
    )
    return rows.sort("updated_on").group_by(key).last().to_dicts()


def _order(row: dict[str, Any]) -> tuple[Any, str]:
    return -row["priority"], row["alert_id"]


def test_capacity_binds_and_is_filled_in_order(province: Province) -> None:
    rows = alerts(province).filter(pl.col("visit_lead")).to_dicts()
    dispatcher = dispatcher_of(province)
    visits, withheld = [], []
    for row in rows:
        kept = dispatcher.rules[row["moment_id"]].in_control and dispatcher.in_control(row["customer_id"])
        (withheld if kept else visits).append(row)
    assert {row["status"] for row in visits} == {"dispatched", "overflow"}
    assert "dispatched" not in {row["status"] for row in withheld}
    as_of = DATES[-1] - timedelta(days=1)
    managers = {row["manager_id"]: row["daily_visits"] for row in state_at(province, "managers", as_of)}
    serves = serving(managers, state_at(province, "manager_leave", as_of), DATES[-1])
    by_resource = defaultdict(list)
    teams = province.configuration.dispatch.teams
    for row in visits:
        server, capacity = serves.get(row["manager_id"], (None, None))
        if capacity is None:
            capacity = teams.daily_visits_by_city.get(row["city"], teams.daily_visits_default)
        resource = f"team:{row['city']}" if server is None else f"manager:{server}"
        assert row["served_by"] == resource
        by_resource[resource, capacity].append(row)
    # Somebody is away; in a province so small nobody has a colleague in the city to stand in.
    assert {row["manager_id"] for row in visits} - set(serves) - {None}
    for (resource, capacity), group in by_resource.items():
        group.sort(key=_order)
        served = [row["status"] == "dispatched" for row in group]
        assert served == [index < capacity for index in range(len(group))], resource
    for row in withheld:
        # Control has the place that it would take, and moves nobody down.
        if row["customer_id"] not in {other["customer_id"] for other in visits}:
            stronger = [other for other in visits if _order(other) < _order(row)]
            assert row["rank_province"] == len(stronger) + 1
        assert row["status"] in ("control", "overflow")
    order = sorted(visits, key=_order)
    assert [row["rank_province"] for row in order] == list(range(1, len(order) + 1))


def test_customers_are_contacted_by_channels_and_at_hours_that_they_have_not_refused(
    province: Province,
) -> None:
    dispatcher = dispatcher_of(province)
    seen = Counter()
    for day in DATES:
        consents = state_at(province, "consents", day - timedelta(days=1))
        hours = state_at(province, "quiet_hours", day - timedelta(days=1))
        for row in table(province, "alerts").filter(pl.col("dispatch_date") == day).to_dicts():
            channel, windows, why = dispatcher.way_to(row, consents, hours)
            if row["status_reason"] not in ("over", "exempt", "superseded"):
                told = row["status_reason"] if row["status_reason"] in ("consent", "hours") else None
                assert told == (None if why is None else why[0])
            assert row["channel"] == channel
            assert [(one["from_time"], one["to_time"]) for one in row["allowed_contact_windows"]] == windows
            usual = dispatcher.settings.channels[channel]
            seen["narrowed"] += windows != [(usual.contact_from, usual.contact_to)]
            first = channel == dispatcher.plans[row["plan_id"]].channel
            seen[why[0] if why is not None else "first" if first else "other"] += 1
    assert seen.keys() >= {"consent", "other", "first"} and seen["narrowed"] > 0


def test_the_control_group_is_left_alone_and_nobody_else_is_called_control(province: Province) -> None:
    dispatcher = dispatcher_of(province)
    seen = Counter()
    for row in table(province, "alerts").to_dicts():
        kept = dispatcher.rules[row["moment_id"]].in_control and dispatcher.in_control(
            row["customer_id"] or row["subscription_id"]
        )
        assert row["status"] != ("dispatched" if kept else "control")
        seen[row["status"], kept] += 1
    assert seen["control", True] > 0


def test_nobody_is_contacted_more_often_than_the_caps_allow(province: Province) -> None:
    caps = province.configuration.dispatch.caps
    rules = {rule.id: rule for rule in province.configuration.rules.rules}
    met = Counter()
    first, last = (alerts(province, day).to_dicts() for day in DATES)

    def contacts(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
        """Who has been contacted, and how; reminders aside."""
        served = [row for row in rows if row["status"] in ("dispatched", "control")]
        return {(r["customer_id"], r["channel"]) for r in served if not rules[r["moment_id"]].is_reminder}

    before = contacts(first)
    owed = {(row["customer_id"], row["channel"]) for row in last if row["status"] == "dispatched"
            and rules[row["moment_id"]].file.service_owed}  # fmt: skip
    assert not before & contacts(last) - owed
    for row in last:
        if row["status_reason"] == "cap":
            assert row["suppressed_by"] in {cap.name for cap in caps if cap.channel == row["channel"]}
            # A visit serves all moments of a day; of messages each is one contact.
            others = contacts(first + [other for other in last if other["alert_id"] != row["alert_id"]])
            assert (row["customer_id"], row["channel"]) in (before if row["channel"] == "call" else others)
            met[row["channel"]] += 1
    assert sum(met.values()) > 0


def test_priority_is_the_product_of_its_stored_factors(province: Province) -> None:
    for row in alerts(province).to_dicts():
        product = 1
        for factor in row["priority_factors"]:
            assert 0 < factor["factor"] <= 1
            product *= factor["factor"]
        assert float(row["priority"]) == pytest.approx(float(product), abs=3e-6)
        assert [factor["name"] for factor in row["priority_factors"]] == [
            "risk",
            "value",
            "severity",
            "urgency",
        ]


def test_exempt_customers_are_not_contacted(province: Province) -> None:
    moments = table(province, "moments").filter(pl.col("dispatch_date") == DATES[-1])
    exempt = defaultdict(set)
    for subscription, moment in (
        moments.filter(pl.col("category") == "exempt").select("subscription_id", "moment_id").rows()
    ):
        exempt[subscription].add(moment)
    rules = {rule.id: rule for rule in province.configuration.rules.rules}
    seen = Counter()
    for row in alerts(province).to_dicts():
        stops = exempt[row["subscription_id"]] - set(rules[row["moment_id"]].file.ignores_exempt)
        if stops:
            assert row["status"] == "suppressed"
            assert row["suppressed_by"] in stops
        seen[bool(stops)] += 1
    assert seen[True] > 0


def test_stronger_moments_mute_weaker_ones_and_say_so(province: Province) -> None:
    rules = {rule.id: rule for rule in province.configuration.rules.rules}
    muted = alerts(province).filter(pl.col("status_reason") == "inhibited").to_dicts()
    assert muted
    for row in muted:
        assert row["moment_id"] in rules[row["suppressed_by"]].file.inhibits


def test_alert_ids_are_hashes_and_each_is_dispatched_once(province: Province) -> None:
    rows = alerts(province).to_dicts()
    for row in rows:
        assert row["alert_id"] == hash_of(row["moment_id"], row["subscription_id"], row["occurrence"])
    assert len({row["alert_id"] for row in rows}) == len(rows)
    dispatched = table(province, "alerts").filter(pl.col("status") == "dispatched")
    assert dispatched.height > 0
    assert dispatched["alert_id"].n_unique() == dispatched.height


def test_other_readers_see_what_spark_sees(province: Province) -> None:
    path = str(province.warehouse / "alerts")
    spark = province.context.warehouse.read("alerts")
    counts = {(row[0], row[1]): row[2] for row in spark.groupBy("moment_id", "status").count().collect()}
    polars = {(a, b): n for a, b, n in table(province, "alerts").group_by("moment_id", "status").len().rows()}
    dataset = DeltaTable(path).to_pyarrow_dataset()
    rows = duckdb.from_arrow(dataset).aggregate("moment_id, status, count(*)", "moment_id, status")
    assert polars == counts
    assert {(a, b): n for a, b, n in rows.fetchall()} == counts
    texts = set(table(province, "alerts")["description_zh"])
    assert {row[0] for row in spark.select("description_zh").distinct().collect()} == texts
    assert all(re.search("[\u4e00-\u9fff]", text) for text in texts)


def test_clear_numbers_stand_in_the_restricted_tables_only(province: Province) -> None:
    """Whole rows are searched as text, so that nested values and numbers inside sentences count too."""
    clear = set(table(province, "identity").filter(pl.col("field") == "number")["clear"])
    assert len(clear) > 900
    searched = 0
    for folder in sorted(path.parent for path in province.warehouse.glob("*/_delta_log")):
        if folder.name in ("identity", "quarantine"):
            continue
        rows = duckdb.from_arrow(DeltaTable(str(folder)).to_pyarrow_dataset())
        text = "regexp_extract_all(rows::varchar, '1[0-9]{10}')"
        found = rows.set_alias("rows").project(f"unnest({text}) as number").distinct().fetchall()
        assert not clear & {row[0] for row in found}, folder.name
        searched += 1
    assert searched > 40


def test_risk_terms_add_up_and_probability_rises_with_the_score(province: Province) -> None:
    rows = table(province, "risk_scores").filter(pl.col("as_of") == date(2026, 5, 31)).to_dicts()
    assert len(rows) > 900
    for row in rows:
        total = sum(term["rate"] for term in row["terms"])
        assert float(row["risk_score"]) == pytest.approx(float(total) * 100, abs=0.0001)
    ordered = sorted(rows, key=lambda row: row["risk_score"])
    chances = [row["risk_probability"] for row in ordered]
    assert chances == sorted(chances) and len(set(chances)) > 2
    four = {"brand_tariff", "business", "service", "calling_circle"}
    assert all({term["dimension"] for term in row["terms"]} == four for row in rows)
    for row in rows:
        assert not any("unknown" in reason for reason in row["reasons_zh"] + row["reasons_en"])


# Dimension, points and condition of every cause of conf/health.yaml, as polars.
CAUSES = {
    "brand_tariff": [
        (25, pl.col("out_of_package_1m") >= 30),
        (25, pl.col("bill_rise_on_mean_pct") >= 50),
        (30, pl.col("bill_total_change_pct_1m") <= -30),
        (30, pl.col("arrears_amount") > 0),
    ],
    "business": [
        (30, pl.col("services_active") == 0),
        (20, pl.col("data_mb_1m") * 5 <= pl.col("data_package_mb")),
    ],
    "service": [
        (40, pl.col("complaints_30d") >= 1),
        (30, pl.col("complaints_open_over_7d") >= 1),
        (30, pl.col("poor_network_events_30d") >= 20),
        (30, pl.col("satisfaction_last") <= 5),
    ],
    "calling_circle": [
        (35, pl.col("voice_minutes_change_pct_1m") <= -40),
        (30, pl.col("contacts_change_pct_28d") <= -40),
        (25, pl.col("offnet_contact_share_1m") >= 50),
    ],
}


def test_health_is_a_hundred_less_the_points_of_its_causes(province: Province) -> None:
    view = table(province, "customer_view").filter(pl.col("as_of") == AS_OF)
    lost = [
        pl.sum_horizontal(pl.when(when).then(points).otherwise(0) for points, when in causes).alias(name)
        for name, causes in CAUSES.items()
    ]
    expected = {row[0]: row[1:] for row in view.select("subscription_id", *lost).rows()}
    scores = table(province, "health_scores").filter(pl.col("as_of") == AS_OF)
    found = scores.select("subscription_id", *(f"health_{name}" for name in CAUSES)).rows()
    assert len(found) == len(expected) > 900
    for subscription, *health in found:
        assert health == [max(100 - points, 0) for points in expected[subscription]], subscription
    mean = dict(scores.select("subscription_id", "health_mean").rows())
    for subscription, *health in found:
        assert mean[subscription] == (sum(health) / len(health) + 0.5) // 1
    # The change since the month end at least 30 days before, from the view of that date.
    before = table(province, "customer_view").filter(pl.col("as_of") == date(2026, 4, 30))
    # By the causes that both dates can tell, of the dimensions that are known of the customer on both.
    both = {
        name: [(points, when) for points, when in causes if before.select(when.is_not_null().any()).item()]
        for name, causes in CAUSES.items()
    }

    def points_left(rows: pl.DataFrame) -> dict[str, list[int | None]]:
        left = [
            pl.when(pl.any_horizontal(*(when.is_not_null() for _, when in causes))).then(
                100 - pl.sum_horizontal(pl.when(when).then(points).otherwise(0) for points, when in causes).clip(0, 100)
            ).alias(name)
            for name, causes in both.items()
            if causes
        ]  # fmt: skip
        return {row[0]: list(row[1:]) for row in rows.select("subscription_id", *left).rows()}

    now, earlier = points_left(view), points_left(before)
    change = dict(scores.select("subscription_id", "health_change_1m").rows())
    assert (
        {one for one, value in change.items() if value is None} == expected.keys() - earlier.keys() != set()
    )
    for subscription in expected.keys() & earlier.keys():
        pairs = zip(now[subscription], earlier[subscription], strict=True)
        moved = [today - then for today, then in pairs if today is not None and then is not None]
        told = sum(moved) / len(moved)
        # Half up, away from nothing.
        assert change[subscription] == (1 if told >= 0 else -1) * ((abs(told) + 0.5) // 1), subscription
    assert min(change.values(), key=lambda value: value or 0) < -10
    # Every cause is true for somebody, so none of them could be wrong unseen.
    for causes in CAUSES.values():
        for _, when in causes:
            assert view.filter(when).height > 0, str(when)


def test_texts_say_dates_and_numbers_that_hold_on_the_day_of_the_call(province: Province) -> None:
    rows = alerts(province).to_dicts()
    birthdays = [row for row in rows if row["moment_id"] == "birthday"]
    owing = [row for row in rows if row["moment_id"] == "arrears_before_suspension"]
    assert birthdays and owing
    for row in birthdays:
        assert str(row["serve_on"]) in row["description_zh"] and str(row["serve_on"]) in row["description_en"]
    told = [
        re.search(r"20\d\d-\d\d-\d\d", row["description_zh"])
        for row in owing
        if row["status"] != "suppressed"
    ]
    assert any(told) and min(one[0] for one in told if one) >= str(DATES[-1])
    ending = [row for row in rows if row["moment_id"] in ("contract_ending", "contract_lapse")]
    ends = dict(table(province, "customer_view").filter(pl.col("as_of") == AS_OF)
                .select("subscription_id", pl.col("contract_ends_on").cast(str)).rows())  # fmt: skip
    assert ending and all(ends[row["subscription_id"]] in row["description_en"] for row in ending)
    # Days counted from the data are one more on the day of the call, and more while an alert waits.
    passing = re.compile(r"今天|今日|昨|天前|天后|还有\d+天|today|yesterday|days ago|ends in|this week")
    for row in rows:
        assert not passing.search(row["description_zh"] + row["description_en"]), row
        numbers = [re.findall(r"\d+(?:\.\d+)?", row[f"description_{language}"]) for language in ("zh", "en")]
        # English may say a number once more in words; every figure of the Chinese text stands in the English.
        assert set(numbers[0]) - {"30"} <= set(numbers[1]), row["moment_id"]


def test_a_step_of_last_months_package_is_not_told_on_the_first_of_the_next(province: Province) -> None:
    of_steps = pl.col("moment_id").is_in(["data_package_use", "roaming_data_use"])
    first = alerts(province).filter(of_steps)
    assert first["moment_id"].n_unique() == 2
    assert set(first.select("status", "status_reason").rows()) == {("suppressed", "over")}
    assert set(first["valid_until"]) == {date(2026, 5, 31)}
    others = alerts(province).filter(~of_steps)
    assert "over" not in set(others["status_reason"])


def test_the_notebook_runs_on_the_alert_table(province: Province, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYMOMENTS_WAREHOUSE", str(province.warehouse))
    (path,) = sorted((ROOT / "notebooks").glob("*.ipynb"))
    notebook = nbformat.read(path, as_version=4)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["kernelspec"] = kernel
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs and not any(output.output_type == "error" for output in outputs)
    printed = json.dumps(outputs, default=str).replace(",", "")
    assert f"{alerts(province).height} alerts of {DATES[-1]}" in printed


@pytest.fixture(autouse=True)
def _same_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and workers started by tests use this interpreter."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
