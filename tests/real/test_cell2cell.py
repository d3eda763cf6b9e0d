"""Cell2Cell: everything the pipeline makes of the file is found again by SQL over the file."""

import pytest
from crosscheck import DATA, CrossCheck

FOLDER = DATA / "cell2cell"

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the Cell2Cell file is not in ../shared/data"),
]

# The last month and the mean of the three before, from the mean of all four and the change. Both are rounded
# in the file, which alone puts them up to 0.055 and 0.67 below nothing; a bill further below is a credit.
MONTHS = """
create table months as
select
    CustomerID as id,
    (MonthlyRevenue::decimal(18, 4) + PercChangeRevenues::decimal(18, 4))::decimal(18, 2) as bill,
    round(MonthlyRevenue::double - PercChangeRevenues::double / 3, 2)::decimal(18, 2) as bill_before,
    (MonthlyMinutes::int + PercChangeMinutes::int)::decimal(18, 2) as minutes,
    round(MonthlyMinutes::double - PercChangeMinutes::double / 3, 2)::decimal(18, 2) as minutes_before,
    MonthlyRevenue is not null and PercChangeRevenues is not null as bill_known
from raw
"""
EXPECTED = """
create table expected as
select
    id,
    nullif(ServiceArea[:3], '') as city,
    case when AgeHH1 <> '0' then AgeHH1::bigint end as age_years,
    case when TotalRecurringCharge::double >= 0 then TotalRecurringCharge::decimal(18, 2) end
        as plan_monthly_fee,
    round(MonthsInService::int * 30.4375 + 15)::bigint as tenure_days,
    case when ActiveSubs <> '0' then ActiveSubs::bigint end as household_subscriptions,
    substr('ABBCCDD', CreditRating[1]::int, 1) as credit_class,
    case when bill >= -0.055 then greatest(bill, 0) end as bill_total_1m,
    case when bill_before >= 0 then bill_before end as bill_total_prev_1m,
    case when MonthlyRevenue::double >= 0 then MonthlyRevenue::decimal(18, 2) end as bill_total_mean_3m,
    -- Where the mean is a credit, the last bill tells.
    coalesce(bill_total_mean_3m, bill_total_1m) as spend,
    case when spend >= 180 then 'high' when spend >= 100 then 'mid' when spend >= 0 then 'low' end as value_tier,
    minutes as voice_minutes_1m,
    case when minutes_before > 0 then minutes_before when minutes_before <= 0 then 0 end
        as voice_minutes_prev_1m,
    (PeakCallsInOut::decimal(18, 2) + OffPeakCallsInOut::decimal(18, 2))::decimal(18, 2) as calls_1m,
    DroppedCalls::decimal(18, 2) as dropped_calls_30d,
    (DroppedCalls::decimal(18, 2) + BlockedCalls::decimal(18, 2))::decimal(18, 2) as poor_network_events_30d,
    round(CustomerCareCalls::decimal(18, 1))::bigint as service_contacts_30d,
    case when CurrentEquipmentDays::int >= 0 then CurrentEquipmentDays::bigint end as terminal_age_days,
    case when CurrentEquipmentDays::int >= 0 then HandsetModels::bigint end as terminal_models_used
from raw join months on id = CustomerID
"""

# A change is rounded to 0.01 before it is compared, so -29.995 is as good as -30; multiplied out it is exact.
FIRED = {
    "spend_and_call_drop": """
        select id from expected
        where 100 * (bill_total_1m - bill_total_prev_1m) <= -29.995 * bill_total_prev_1m
            and 100 * (voice_minutes_1m - voice_minutes_prev_1m) <= -39.995 * voice_minutes_prev_1m
            and bill_total_prev_1m > 0 and voice_minutes_prev_1m > 0""",
    "network_quality_drop": """
        select CustomerID from raw where DroppedCalls::double + BlockedCalls::double >= 40""",
    "new_handset": """
        select CustomerID from raw
        where CurrentEquipmentDays::int between 0 and 30 and HandsetModels::int >= 2""",
}

# Rules that the source can decide, with the conditions that it cannot.
EVALUATED = {
    "holiday": [],
    "network_quality_drop": ["rises", "enough"],
    "new_handset": [],
    "spend_and_call_drop": [],
    "suspended": [],
}
NOT_SUPPLIED = {
    "arrears_before_suspension": ["arrears_3m_ago", "arrears_amount", "days_to_suspension"],
    "bill_slump": ["bill_rise_on_mean", "bill_rise_on_mean_pct"],
    "bill_surge": ["bill_rise_on_mean", "bill_rise_on_mean_pct"],
    "birthday": ["days_to_birthday"],
    "calling_circle_shrink": ["contacts_28d_before", "contacts_change_pct_28d"],
    "complaint": ["complaints_30d", "complaints_open", "complaints_open_over_7d", "complaints_opened_1d"],
    "contract_ending": ["contract_days_left"],
    "contract_lapse": ["contract_days_left"],
    "data_enquiry_follow_up": ["days_since_data_enquiry"],
    "data_package_use": ["data_package_used_pct"],
    "do_not_disturb": ["dnd_from", "dnd_to"],
    "first_bill_new_tariff": ["first_full_month_on_plan"],
    "first_bill_query": ["bill_queries_1d", "bill_queries_60d_before"],
    "first_data_use": ["data_mb_1d", "data_mb_56d_before_1d", "data_months_3m_before_1m"],
    "first_roaming_arrival": ["countries_new_1d", "provinces_ever", "provinces_new_1d"],
    "first_service_activation": ["service_families_new_1d"],
    "intl_roaming_enabled": ["intl_roaming_started_1d"],
    "join_anniversary": ["days_to_join_anniversary", "next_join_anniversary_years"],
    "leave_signal": ["days_since_call", "days_since_data", "port_out_queries_1d", "power_off_days"],
    "low_balance": ["arrears_amount", "balance_days_left"],
    "monthly_spend_drop": ["bill_total_change_pct_prev_1m"],
    "off_net_drift": ["contacts_1m", "offnet_share_change_1m"],
    "order_progress": ["order_steps_1d", "visit_on"],
    "package_digest": ["data_package_mb"],
    "package_overrun": ["out_of_package_1m"],
    "plan_downgrade": ["plan_fee_change_1m", "tariff_plan", "tariff_plan_before_1m"],
    "plan_withdrawal": ["plan_withdrawn_on"],
    "repeat_contact": ["topic_contacts_most_30d"],
    "roaming_data_use": ["abroad_mb_mtd"],
    "service_unusable": ["faults_open", "faults_open_over_3d", "faults_reported_1d"],
    "terminal_change": ["terminal_generation_change_1d", "terminals_seen_30d"],
    "weekly_call_drop": ["voice_minutes_change_pct_7d", "voice_minutes_week_mean_4w"],
}

ITEMS = [
    "city", "age_years", "plan_monthly_fee", "tenure_days", "bill_total_1m", "bill_total_prev_1m",
    "bill_total_mean_3m", "value_tier", "voice_minutes_1m", "voice_minutes_prev_1m", "calls_1m",
    "dropped_calls_30d", "poor_network_events_30d", "service_contacts_30d", "terminal_age_days",
    "terminal_models_used", "credit_class", "household_subscriptions",
]  # fmt: skip

# Where rows of the file are rows of a contract, and which of those it cannot hold.
DELIVERED = {
    ("accounts", "200401"): ("true", "false"),
    ("bills", "200312"): ("bill_known", "bill_before < 0"),
    ("bills", "200401"): ("bill_known", "bill < -0.055"),
    ("churn_labels", "200402"): ("Churn = 'Yes'", "false"),
    ("customers", "200401"): ("ServiceArea is not null", "false"),
    ("household_products", "200401"): ("ActiveSubs <> '0'", "false"),
    ("network_quality", "200401"): ("true", "false"),
    ("service_contacts", "200401"): ("CustomerCareCalls::double >= 0.5", "false"),
    ("subscriptions", "200401"): ("true", "false"),
    ("terminals", "200401"): ("CurrentEquipmentDays::int >= 0", "false"),
    ("usage_monthly", "200312"): ("minutes is not null", "false"),
    ("usage_monthly", "200401"): ("true", "false"),
}


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> CrossCheck:
    found = CrossCheck()
    found.raw("raw", FOLDER / "cell2cell.csv", "NA")
    found.connection.execute(MONTHS)
    found.connection.execute(EXPECTED)
    found.run("cell2cell", FOLDER, tmp_path_factory.mktemp("cell2cell"))
    return found


def test_what_is_mined_is_counted_again_over_the_file(check: CrossCheck) -> None:
    """Kinds of leavers: whoever the file calls so; the strongest is told in docs/mining.md."""
    from datetime import date

    from jobs.stages.mining import mine_moments

    found = mine_moments(check.context, "churn", date(2004, 3, 1))
    assert (found.customers, found.lost) == (40_626, 11_735)
    check.connection.execute(
        "create or replace view all_items as select e.*, i.* exclude (id, city, age_years, plan_monthly_fee, "
        "tenure_days, household_subscriptions, credit_class, bill_total_1m, bill_total_prev_1m, "
        "bill_total_mean_3m, value_tier, voice_minutes_1m, voice_minutes_prev_1m, calls_1m, dropped_calls_30d, "
        "poor_network_events_30d, service_contacts_30d, terminal_age_days, terminal_models_used) "
        "from expected e join items i using (id)"
    )
    kinds = {one.text: one for one in found.mined.kinds}
    for text, one in kinds.items():
        sql = f"select count(*), count_if(Churn = 'Yes') from all_items join raw on id = CustomerID where {text}"
        counts = (one.searched.size + one.judged.size, one.searched.positive + one.judged.positive)
        assert check.rows(sql) == [counts], text
    confirmed = [text for text, one in kinds.items() if one.verdict == "confirmed"]
    assert confirmed[0] == "credit_class = 'B' and voice_minutes_change_pct_1m < -74" and len(confirmed) == 3
    assert round(kinds[confirmed[0]].judged.lift, 2) == 1.78


def test_the_least_healthy_tenth_leaves_far_more_often(check: CrossCheck) -> None:
    """Of customers it was not learned from; and the file gives every customer the points that were judged."""
    from datetime import date

    import numpy as np
    import yaml

    from jobs.config.scores import HealthSettings
    from jobs.domain.health import health_scores
    from jobs.modelling.scorecard import health
    from jobs.stages.health import health_file, learn_health
    from jobs.stages.samples import at_date, samples_of
    from jobs.stages.snapshot import supply_at

    context, day = check.context, date(2004, 3, 1)
    found = learn_health(context, "churn", day)
    assert found.lift.value >= 1.5 and found.lift.low > 1.3
    assert found.auc.low > 0.6
    # Learned from all, so it flatters: the tenth that the file calls worst, counted over the raw file.
    settings = HealthSettings.model_validate(yaml.safe_load(health_file(found, context.configuration.health)))
    samples = samples_of(context, "churn", day)
    statuses = supply_at(context, at_date(context, samples.bases[0])).statuses()
    names = list(settings.dimensions)
    columns = [f"health_{name}" for name in names]
    scores = health_scores(samples.rows, settings, statuses).orderBy("subscription_id").toPandas()
    dimension = {cause.when: cause.dimension for cause, _ in found.causes.values()}
    of_item = {step.condition.item: dimension[step.condition.text] for _, step in found.causes.values()}
    priced = [(step, cause.points) for cause, step in found.causes.values()]
    same = health(priced, samples.matrix, of_item.__getitem__, names)
    assert np.array_equal(scores[columns].to_numpy(float), same, equal_nan=True)


def test_every_row_is_accounted_for(check: CrossCheck) -> None:
    expected = {}
    for (contract, period), (where, bad) in DELIVERED.items():
        counts = f"count(*), count_if({where}), count_if(({where}) and {bad})"
        records, read, quarantined = check.rows(f"select {counts} from raw join months on id = CustomerID")[0]
        expected[contract, period, "all"] = (
            records, records - read, read, read - quarantined, quarantined, 0,
        )  # fmt: skip
    assert check.deliveries() == expected


def test_credits_are_quarantined_with_line_and_text(check: CrossCheck) -> None:
    found = check.rows("select period, split_part(original, ',', 1), line, reasons from quarantine")
    expected = check.rows("select '200401', id from months where bill < -0.055 union all "
                          "select '200312', id from months where bill_before < 0")  # fmt: skip
    assert {row[:2] for row in found} == set(expected)
    assert {tuple(row[3]) for row in found} == {("range:total",)}
    lines = (FOLDER / "cell2cell.csv").read_text(encoding="utf-8").splitlines()
    assert all(lines[row[2] - 1].startswith(f"{row[1]},") for row in found)


def test_change_is_the_last_month_less_the_mean_of_four(check: CrossCheck) -> None:
    """Only so no minutes are negative; taken as the change on the month before, 1,208 customers' would be."""
    lowest = "select min(minutes), min(minutes_before) from months"
    assert [float(value) for value in check.rows(lowest)[0]] == [0, -0.67]
    assert check.one(
        "select count(*) from raw where MonthlyMinutes::int - PercChangeMinutes::int < 0"
    ) == 1208  # fmt: skip
    # The means are no list prices, the last month's bills are.
    at_30 = "count_if(round(bill, 1) = 30), count_if(round(MonthlyRevenue::double, 1) = 30)"
    last, mean = check.rows(f"select {at_30} from raw join months on id = CustomerID")[0]
    assert last > 3 * mean


@pytest.mark.parametrize("item", ITEMS)
def test_item_is_what_the_file_says(check: CrossCheck, item: str) -> None:
    known, different = check.known_and_different(item)
    assert known > 0
    assert different == 0


def test_changes_are_those_of_the_two_months(check: CrossCheck) -> None:
    sql = """
        select count(*), 
            count_if(coalesce(abs(v.{item} - 100.0 * (e.{now} - e.{before}) / e.{before}) > 0.0051, true))
        from expected e join items v using (id) where e.{now} is not null and e.{before} > 0"""
    for item, now, before in (
        ("bill_total_change_pct_1m", "bill_total_1m", "bill_total_prev_1m"),
        ("voice_minutes_change_pct_1m", "voice_minutes_1m", "voice_minutes_prev_1m"),
    ):
        known, different = check.rows(sql.format(item=item, now=now, before=before))[0]
        assert known > 38_000
        assert different == 0


def test_leaving_cannot_be_seen_at_the_snapshot(check: CrossCheck) -> None:
    labels, first = check.rows("select count(*), min(churned_on) from clean_churn_labels")[0]
    assert labels == check.one("select count(*) from raw where Churn = 'Yes'")
    assert first > check.one("select max(cutoff) from customer_view")
    assert check.one("select count(*) from risk_scores") == 0


@pytest.mark.parametrize("moment", FIRED)
def test_moment_fires_for_exactly_the_right_customers(check: CrossCheck, moment: str) -> None:
    expected = {row[0] for row in check.rows(FIRED[moment])}
    assert len(expected) >= 1000
    assert check.fired(moment) == expected


def test_no_other_moment_fires(check: CrossCheck) -> None:
    fired = {row["moment_id"]: row["fired_count"] for row in check.evaluations() if row["fired_count"]}
    assert fired == {moment: len(check.rows(sql)) for moment, sql in FIRED.items()}
    assert check.alerts() == fired


def test_rules_evaluated_and_not_supplied(check: CrossCheck) -> None:
    rows = list(check.evaluations())
    evaluated = {row["moment_id"]: row["left_out"] for row in rows if row["result"] == "evaluated"}
    lacking = {row["moment_id"]: row["not_supplied"] for row in rows if row["result"] == "not_supplied"}
    assert evaluated == EVALUATED
    assert lacking == NOT_SUPPLIED


def test_a_charge_that_is_not_delivered_is_not_zero(check: CrossCheck) -> None:
    results = {row["moment_id"]: row["result"] for row in check.evaluations()}
    assert results["package_overrun"] == "not_supplied"
    assert check.one("select count(out_of_package_1m) from items") == 0


def test_unknown_is_counted(check: CrossCheck) -> None:
    unknown = {row["moment_id"]: row["unknown_count"] for row in check.evaluations() if row["unknown_count"]}
    # A condition that is false decides the rule, whatever the other is.
    spend = "100 * (bill_total_1m - bill_total_prev_1m) <= {} * nullif(bill_total_prev_1m, 0)"
    calls = "100 * (voice_minutes_1m - voice_minutes_prev_1m) <= {} * nullif(voice_minutes_prev_1m, 0)"
    both = f"({spend.format(-29.995)}) and ({calls.format(-39.995)})"
    assert unknown == {
        "spend_and_call_drop": check.one(f"select count(*) from expected where ({both}) is null"),
        "new_handset": check.one("select count(*) from expected where terminal_age_days is null"),
        # The snapshot lies outside the calendar of festivals.
        "holiday": check.one("select count(*) from expected where coalesce(value_tier, 'mid') <> 'low'"),
    }


def test_the_churn_model_is_no_worse_than_lightgbm_on_the_raw_columns(check: CrossCheck) -> None:
    """One seed; tests/bench/cell2cell_model.py takes five, with intervals."""
    from tests.bench.cell2cell_model import beside

    found = beside(check.context, FOLDER / "cell2cell.csv", range(1))
    (auc, lift), (rival_auc, rival_lift) = found["model"][0], found["lightgbm"][0]
    assert rival_auc > 0.675 and rival_lift > 1.85
    assert auc >= rival_auc - 0.005 and lift >= rival_lift - 0.05
