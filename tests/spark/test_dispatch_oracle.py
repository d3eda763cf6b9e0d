"""The chain of dispatch against the same chain in plain Python, on random candidates and a random past."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.config.dispatch import Cap, ControlGroup, DispatchSettings, QuietAfter
from jobs.domain.chain import served, stopped
from jobs.domain.dispatch import DECIDING, WHOM, DispatchPlan
from jobs.domain.known import Known
from jobs.domain.stops import choose_channel
from jobs.domain.visits import serving, with_priority, with_visits
from jobs.stages.context import Configuration
from jobs.storage.warehouse import settled
from tests.oracle import naive_dispatch
from tests.oracle.naive_dispatch import Dispatcher, Row

pytestmark = pytest.mark.spark

DAY = date(2026, 6, 1)
_HISTORY = (
    "alert_id STRING, moment_id STRING, subscription_id STRING, customer_id STRING, category STRING, "
    "channel STRING, dispatch_date DATE"
)
_CANDIDATES = (
    "alert_id STRING, moment_id STRING, subscription_id STRING, customer_id STRING, manager_id STRING, "
    "city STRING, value_tier STRING, risk_probability DOUBLE, severity STRING, channel STRING, "
    "valid_until DATE, carried_from DATE, dispatch_date DATE, status STRING, status_reason STRING, suppressed_by STRING"
)

_REPORTS = "alert_id STRING, event_date DATE, reported_at TIMESTAMP, state STRING, contacted_at TIMESTAMP, contact_result STRING, outcome STRING"
_CONSENTS = "customer_id STRING, channel STRING, purpose STRING, status STRING"
_HOURS = "customer_id STRING, quiet_from STRING, quiet_to STRING"
_ABSENCES = (
    "manager_id STRING, from_date DATE, to_date DATE, status STRING, daily_visits BIGINT, "
    "stand_in_manager_id STRING"
)


@pytest.fixture(scope="module")
def plan(configuration: Configuration) -> DispatchPlan:
    settings = configuration.dispatch
    changed: dict[str, Any] = {
        # So much of everything that each stage meets enough of each kind.
        "control": ControlGroup(share=0.3),
        "caps": (
            Cap(channel="call", contacts=1, days=7),
            Cap(channel="call", contacts=2, days=30),
            Cap(channel="sms", contacts=2, days=7),
        ),
        "quiet_after": QuietAfter(refused=20, no_need=8),
    }
    plans = {
        name: one.model_copy(update={"otherwise": ("sms",) if one.channel == "call" else ("call",)})
        if number % 2
        else one.model_copy(update={"purpose": "marketing"})
        for number, (name, one) in enumerate(sorted(configuration.rules.plans.items()))
    }
    rules = replace(configuration.rules, plans=plans)
    return DispatchPlan(DAY, rules, settings.model_copy(update=changed), b"key", DAY)


def random_past(chance: random.Random, plan: DispatchPlan, subscriptions: list[Row]) -> list[Row]:
    """Alerts served on earlier days."""
    return [
        {
            "alert_id": f"old{number}",
            "moment_id": rule.id,
            **_of(chance.choice(subscriptions), "subscription_id", "customer_id"),
            "category": rule.file.category,
            "channel": plan.rules.plans[rule.file.plan or ""].channel,
            "dispatch_date": DAY - timedelta(days=chance.randint(1, 40)),
        }
        for number in range(150)
        for rule in [chance.choice(plan.served)]
    ]


def random_candidates(
    chance: random.Random, plan: DispatchPlan, subscriptions: list[Row], past: list[Row]
) -> list[Row]:
    """Candidates of the date, some of moments that were served before."""
    rows = []
    pairs: set[tuple[str, str]] = set()
    for number in range(600):
        rule, one = chance.choice(plan.served), chance.choice(subscriptions)
        alert = f"a{number:04}"
        if chance.random() < 0.1:
            old = chance.choice(past)
            rule = plan.rules.by_id(old["moment_id"])
            one = next(s for s in subscriptions if s["subscription_id"] == old["subscription_id"])
            alert = old["alert_id"] if chance.random() < 0.3 else alert
        elif rows and (weaker := plan.rules.by_id(rows[-1]["moment_id"]).file.inhibits):
            # Among so many moments hardly anybody would have two of which one mutes the other.
            rule = plan.rules.by_id(chance.choice(weaker))
            one = next(s for s in subscriptions if s["subscription_id"] == rows[-1]["subscription_id"])
        if (rule.id, one["subscription_id"]) in pairs:
            continue
        pairs.add((rule.id, one["subscription_id"]))
        rows.append(
            {
                "alert_id": alert,
                "moment_id": rule.id,
                **one,
                "value_tier": chance.choice(["high", "mid", "low", None, "new"]),
                "risk_probability": chance.choice([None, 0.0, 0.02, 0.07, 0.3]),
                "severity": rule.file.severity,
                "channel": plan.rules.plans[rule.file.plan or ""].channel,
                "valid_until": DAY + timedelta(days=chance.choice([-1, 0, 1, 3, 3])),
                "carried_from": None,
                "dispatch_date": DAY,
                "status": None,
                "status_reason": None,
                "suppressed_by": None,
            }
        )
    return rows


def away(manager: str, stand_in: str | None) -> Row:
    """An absence of the date."""
    return {
        "manager_id": manager, "from_date": DAY, "to_date": DAY, "status": "planned", "daily_visits": 0,
        "stand_in_manager_id": stand_in,
    }  # fmt: skip


def random_absences(chance: random.Random, managers: list[str]) -> list[Row]:
    """Absences before, on and after the date, some cancelled, some with a stand-in who is absent as well."""
    rows = []
    for manager in managers:
        for start in chance.sample(range(-4, 2), chance.randint(0, 3)):
            rows.append(
                {
                    "manager_id": manager,
                    "from_date": DAY + timedelta(days=start),
                    "to_date": DAY + timedelta(days=start + chance.randint(0, 6)),
                    "status": chance.choice(["planned", "planned", "planned", "cancelled"]),
                    "daily_visits": chance.choice([0, 0, 0, 1]),
                    "stand_in_manager_id": chance.choice([None, *managers]),
                }
            )
    return rows


def random_consents(chance: random.Random, customers: set[str]) -> list[Row]:
    """What some customers want and do not want."""
    return [
        {"customer_id": customer, "channel": channel, "purpose": purpose, "status": status}
        for customer in sorted(customers)
        if chance.random() < 0.5
        for channel in ("any", "call", "sms", "app")
        for purpose in ("service", "reminder", "marketing")
        if chance.random() < 0.5
        for status in [chance.choice(["granted", "denied", "withdrawn"])]
    ]


def random_hours(chance: random.Random, customers: set[str]) -> list[Row]:
    """Hours of the day at which some customers are not to be disturbed; of some no longer."""
    times = [None, "00:00", "08:00", "08:30", "12:00", "13:15", "20:00", "20:30", "21:30", "23:59"]
    return [
        {"customer_id": one, "quiet_from": chance.choice(times), "quiet_to": chance.choice(times)}
        for one in sorted(customers)
        if chance.random() < 0.6
    ]


def random_reports(chance: random.Random, past: list[Row]) -> list[Row]:
    """What was reported of some earlier alerts, on the day of dispatch and after it; some of two, one refused."""
    rows = []
    for old in past:
        for _ in range(chance.choice([0, 0, 1, 2])):
            on = min(old["dispatch_date"] + timedelta(days=chance.randint(0, 5)), DAY - timedelta(days=1))
            at = datetime.combine(on, time(chance.choice([9, 17])))
            state = chance.choice(["rejected", "processing", "processed"])
            contacted = state != "rejected" and chance.random() < 0.7
            rows.append(
                {
                    "alert_id": old["alert_id"],
                    "event_date": on,
                    "reported_at": at,
                    "state": state,
                    "contacted_at": at if contacted else None,
                    "contact_result": chance.choice(["connected", "no_answer", "refused", None]),
                    "outcome": chance.choice(["solved", "no_need", None]),
                }
            )
    return rows


def _of(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


def decided(
    spark: SparkSession,
    plan: DispatchPlan,
    rows: list[Row],
    exempt: list[Row],
    past: list[Row],
    managers: dict[str, int],
    absences: list[Row],
    consents: list[Row],
    hours: list[Row],
    reports: list[Row],
) -> DataFrame:
    """The chain as the stage of dispatch calls it."""
    assert set(rows[0]) == set(DECIDING)
    frame = spark.createDataFrame(rows, _CANDIDATES)
    known = Known(
        exempt=spark.createDataFrame(exempt, "subscription_id STRING, moment_id STRING"),
        consents=spark.createDataFrame(consents, _CONSENTS),
        quiet_hours=spark.createDataFrame(hours, _HOURS),
        served=spark.createDataFrame(past, _HISTORY),
        reports=spark.createDataFrame(reports, _REPORTS),
        managers=serving(
            spark.createDataFrame(list(managers.items()), "manager_id STRING, daily_visits BIGINT"),
            spark.createDataFrame(absences, _ABSENCES),
            DAY,
        ),
    )
    return served(settled(stopped(frame, known, plan)))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_chain_decides_as_plain_python_does(spark: SparkSession, plan: DispatchPlan, seed: int) -> None:
    chance = random.Random(seed)
    managers = {f"M{number}": chance.randint(0, 4) for number in range(10)}
    absences = random_absences(chance, [*list(managers)[:7], "M of nowhere"])
    # Whatever chance does, one has a stand-in and one has nobody.
    absences += [away("M7", None), away("M8", "M9")]
    subscriptions = [
        {
            "subscription_id": f"S{number:03}",
            # Two numbers of one person; numbers of whom no person is known.
            "customer_id": None if number % 10 == 0 else f"C{number // 2:03}",
            "manager_id": chance.choice([*managers, "M of nowhere", None]),
            "city": chance.choice(["南京", "镇江", None]),
        }
        for number in range(150)
    ]
    past = random_past(chance, plan, subscriptions)
    rows = random_candidates(chance, plan, subscriptions, past)
    exempt_rules = [rule.id for rule in plan.rules.rules if rule.is_exempt]
    exempt = [
        {"subscription_id": one["subscription_id"], "moment_id": rule}
        for one in subscriptions
        for rule in exempt_rules
        if chance.random() < 0.1
    ]
    naive = Dispatcher(
        DAY, {rule.id: rule for rule in plan.rules.rules}, plan.settings, plan.control_key, plan.rules.plans
    )
    serving_now = naive_dispatch.serving(managers, absences, DAY)
    assert set(managers) > set(serving_now) and any(m != s for m, (s, _) in serving_now.items())
    customers = {str(one["customer_id"]) for one in subscriptions if one["customer_id"] is not None}
    asked = random_consents(chance, customers), random_hours(chance, customers)
    reports = random_reports(chance, past)
    expected = naive.decide(rows, exempt, past, serving_now, *asked, reports)
    found = decided(spark, plan, rows, exempt, past, managers, absences, *asked, reports).collect()
    assert len(found) == len(rows)
    seen = {
        row["alert_id"]: (
            row["status"], row["status_reason"], row["suppressed_by"], row["priority"], row["visit_lead"],
            row["rank_province"], row["rank_manager"], row["resource"], row["channel"],
            [tuple(one) for one in row["allowed_contact_windows"]],
        )
        for row in found
    }  # fmt: skip
    assert seen == {
        name: (
            d.status, d.reason, d.by, d.priority, d.lead, d.rank_province, d.rank_manager, d.resource, d.channel,
            d.windows,
        )
        for name, d in expected.items()
    }  # fmt: skip
    plans = {rule.id: plan.rules.plans[rule.file.plan or ""] for rule in plan.served}
    assert any(expected[row["alert_id"]].channel != plans[row["moment_id"]].channel for row in rows)
    # What was refused at import keeps some from being stopped; who was phoned before that was phoned.
    arrived = [one for one in reports if one["state"] != "rejected"]
    without = naive.decide(rows, exempt, past, serving_now, *asked, arrived)
    served = ("dispatched", "overflow", "control")
    for reason in ("cap", "cooldown"):
        stopped = [alert for alert, decision in without.items() if decision.reason == reason]
        assert any(expected[alert].status in served for alert in stopped), reason
    last = {one["alert_id"]: one["state"] for one in sorted(reports, key=lambda one: one["reported_at"])}
    assert {alert for alert, state in last.items() if state == "rejected"} > naive_dispatch.rejected(reports)
    assert {len(decision.windows) for decision in expected.values()} == {1, 2}
    # The past and the candidates are such that everything happens.
    happened = {(d.status, d.reason) for d in expected.values()}
    reasons = ("over", "exempt", "consent", "hours", "feedback", "cooldown", "inhibited", "cap")
    assert happened == {("suppressed", reason) for reason in reasons} | {
        ("overflow", "capacity"),
        ("dispatched", None),
        ("control", None),
    }


def test_owed_service_goes_by_a_channel_that_was_not_refused(spark: SparkSession, plan: DispatchPlan) -> None:
    owed = next(rule for rule in plan.served if rule.file.service_owed)
    service = plan.rules.plans[owed.file.plan or ""].model_copy(
        update={"channel": "call", "otherwise": ("sms",), "purpose": "service"}
    )
    rules = replace(plan.rules, plans={**plan.rules.plans, owed.file.plan or "": service})
    rows = [{**dict.fromkeys(DECIDING), "alert_id": who, "moment_id": owed.id, "subscription_id": who,
             "customer_id": who, "channel": "call", "dispatch_date": DAY}
            for who in ("quiet all day", "phone refused", "all refused")]  # fmt: skip
    known = [
        ("quiet all day", ["call:service"], "07:00", "22:00"),
        ("phone refused", ["call:service"], None, None),
        ("all refused", ["any:service"], None, None),
    ]
    schema = "alert_id STRING, refused ARRAY<STRING>, quiet_from STRING, quiet_to STRING"
    beside = spark.createDataFrame(known, schema)
    found = choose_channel(
        spark.createDataFrame(rows, _CANDIDATES).join(beside, "alert_id"), replace(plan, rules=rules)
    )
    assert {row["alert_id"]: (row["channel"], row["status"]) for row in found.collect()} == {
        "quiet all day": ("sms", None), "phone refused": ("sms", None), "all refused": ("call", None),
    }  # fmt: skip


@pytest.mark.slow
def test_the_order_of_rows_and_the_number_of_partitions_change_nothing(
    spark: SparkSession, plan: DispatchPlan
) -> None:
    chance = random.Random(3)
    subscriptions = [
        {"subscription_id": f"S{n:03}", "customer_id": f"C{n:03}", "manager_id": "M1", "city": "南京"}
        for n in range(60)
    ]
    past = random_past(chance, plan, subscriptions)
    rows = random_candidates(chance, plan, subscriptions, past)
    columns = [
        F.col(name).cast("string") for name in ("alert_id", "status", "suppressed_by", "rank_province")
    ]
    once = decided(spark, plan, rows, [], past, {"M1": 9}, [], [], [], []).select(*columns).collect()
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        chance.shuffle(rows)
        again = decided(spark, plan, rows, [], past, {"M1": 9}, [], [], [], []).select(*columns).collect()
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    assert sorted(once) == sorted(again)


def test_the_control_group_has_its_share_and_stays_the_same(spark: SparkSession, plan: DispatchPlan) -> None:
    rows = [
        {**dict.fromkeys(DECIDING), "alert_id": f"a{n:05}", "moment_id": "weekly_call_drop",
         "subscription_id": f"S{n}", "customer_id": f"C{n}", "severity": "low", "channel": "call",
         "valid_until": DAY, "dispatch_date": DAY}
        for n in range(3000)
    ]  # fmt: skip

    def group(settings: DispatchSettings, key: bytes) -> set[str]:
        changed = replace(plan, settings=settings, control_key=key)
        frame = spark.createDataFrame(rows, _CANDIDATES).withColumn("whom", F.expr(WHOM))
        frame = with_priority(frame, changed)
        none = spark.createDataFrame([], "manager_id STRING, server STRING, daily_visits BIGINT")
        return {
            r[0] for r in with_visits(frame, none, changed).where("control").select("customer_id").collect()
        }

    ten = plan.settings.model_copy(update={"control": ControlGroup(share=0.1)})
    group_of_ten = group(ten, b"key")
    # Five standard deviations of a binomial share.
    assert abs(len(group_of_ten) - 300) < 5 * (3000 * 0.1 * 0.9) ** 0.5
    # A larger share takes further customers in and lets nobody out; another key is another group.
    assert group_of_ten < group(plan.settings, b"key")
    assert len(group_of_ten & group(ten, b"other")) < 100
    assert not group(plan.settings.model_copy(update={"control": ControlGroup(share=0)}), b"key")
