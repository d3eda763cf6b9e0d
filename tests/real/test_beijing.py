"""Beijing Mobile: everything the pipeline makes of the two files is found again by SQL over the files."""

from pathlib import Path

import pytest
from crosscheck import DATA, ROOT, CrossCheck

FOLDER = DATA / "beijing-mobile-2022"
VOICE, USERS_OF_DATA = "attachment1_voice_users.csv", "attachment2_data_users.csv"

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the Beijing Mobile files are not in ../shared/data"),
]

# What the files say, one row a user. The month is April 2022; billing knows nothing of voice users whose
# arrears are empty; 0 stands for "none" in the columns of plan and age.
EXPECTED = """
create table expected as
select
    'V' || "用户id" as id,
    '北京' as city,
    null as county,
    null as gender,
    null::bigint as age_years,
    null as tariff_plan,
    null::decimal(18, 2) as plan_monthly_fee,
    "客户星级标识" as star_level,
    null::bigint as tenure_days,
    null as lifecycle_stage,
    case when "当月欠费金额" is not null then "当月ARPU"::decimal(18, 2) end as bill_total_1m,
    case when "当月欠费金额" is not null then "套外流量费（元）"::decimal(18, 2) end as out_of_package_1m,
    null::decimal(18, 2) as bill_total_mean_3m,
    case when "当月欠费金额" is null then null when "当月ARPU"::double >= 300 then 'high'
        when "当月ARPU"::double >= 120 then 'mid' else 'low' end as value_tier,
    "当月欠费金额"::decimal(18, 2) as arrears_amount,
    "前第3个月欠费金额"::decimal(18, 2) as arrears_3m_ago,
    case when "当月欠费金额" is not null then "当月MOU"::decimal(18, 2) end as voice_minutes_1m,
    case when "当月欠费金额" is not null
        then round("GPRS总流量（KB）"::double / 1024, 2)::decimal(18, 2) end as data_mb_1m,
    ("脱网次数"::decimal(18, 2) + "mos质差次数"::int + "未接通掉话次数"::int)::decimal(18, 2)
        as poor_network_events_30d,
    "家宽投诉"::bigint + "资费投诉"::bigint as complaints_30d,
    "语音通话整体满意度"::bigint as satisfaction_last,
    case when "当月欠费金额" is not null
        then "省际漫游-时长（分钟）"::decimal(18, 2) end as roaming_minutes_1m,
    case when "当月欠费金额" is not null
        then round("GPRS-国内漫游-流量（KB）"::double / 1024, 2)::decimal(18, 2) end as roaming_mb_1m,
    case when "ARPU（家庭宽带）"::double > 0 then 'own' end as household_broadband
from voice
union all
select
    'D' || "用户"[3:],
    '北京',
    case when "当月高频通信分公司" <> '不详' then regexp_replace("当月高频通信分公司", '分公司$', '') end,
    case "性别" when '男' then 'male' when '女' then 'female' when '性别不详' then 'unknown' end,
    case when "年龄" <> '0' then "年龄"::bigint end,
    case when "畅享套餐名称" <> '0' then "畅享套餐名称" end,
    case when "主套餐档位" <> '0' then "主套餐档位"::decimal(18, 2) end,
    "客户星级标识",
    date '2022-04-30' - "码号资源-激活时间"::date,
    case
        when date '2022-04-30' - "码号资源-激活时间"::date < 90 then 'joining'
        when date '2022-04-30' - "码号资源-激活时间"::date < 365 then 'growing'
        when "码号资源-激活时间" is not null then 'stable'
    end,
    null,
    null,
    "近3个月平均消费（元）"::decimal(18, 2),
    case
        when "近3个月平均消费（元）"::decimal(18, 2) >= 300 then 'high'
        when "近3个月平均消费（元）"::decimal(18, 2) >= 120 then 'mid'
        else 'low'
    end,
    null,
    null,
    "当月MOU"::decimal(18, 2),
    ("当月GPRS资源使用量（GB）"::decimal(18, 4) * 1024)::decimal(18, 2),
    (coalesce("上网质差次数"::double, 0) + coalesce("微信质差次数"::double, 0)
        + coalesce("王者荣耀质差次数"::double, 0) + coalesce("脱网次数"::double, 0))::decimal(18, 2),
    0,
    "手机上网整体满意度"::bigint,
    null,
    null,
    null
from users_of_data
"""

# The users for whom a rule has to fire, from the columns of the files.
FIRED = {
    "arrears_before_suspension": """
        select 'V' || "用户id" from voice
        where "当月欠费金额"::double >= 10 and "前第3个月欠费金额"::double > 0""",
    "complaint": """
        select 'V' || "用户id" from voice where "家宽投诉" <> '0' or "资费投诉" <> '0'""",
    "package_overrun": """
        select 'V' || "用户id" from voice where "套外流量费（元）"::double >= 30""",
    "network_quality_drop": """
        select 'V' || "用户id" from voice
        where "脱网次数"::int + "mos质差次数"::int + "未接通掉话次数"::int >= 40
        union all
        select 'D' || "用户"[3:] from users_of_data
        where coalesce("上网质差次数"::double, 0) + coalesce("微信质差次数"::double, 0)
            + coalesce("王者荣耀质差次数"::double, 0) + coalesce("脱网次数"::double, 0) >= 40""",
}

# Mid- and high-value users who joined on a 3 May, three days after the snapshot.
ANNIVERSARIES = """
    select 'D' || "用户"[3:] from users_of_data
    where "码号资源-激活时间" like '%-05-03%' and "近3个月平均消费（元）"::double >= 120"""

# Rules that the source can decide, with the conditions that it cannot.
EVALUATED = {
    "arrears_before_suspension": ["to_come", "within"],
    "complaint": ["open_past_limit"],
    "holiday": [],
    "join_anniversary": [],
    "network_quality_drop": ["rises", "enough"],
    "package_overrun": [],
    "suspended": [],
}
NOT_SUPPLIED = {
    "bill_slump": ["bill_rise_on_mean", "bill_rise_on_mean_pct"],
    "bill_surge": ["bill_rise_on_mean", "bill_rise_on_mean_pct"],
    "birthday": ["days_to_birthday"],
    "calling_circle_shrink": ["contacts_28d_before", "contacts_change_pct_28d"],
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
    "leave_signal": ["days_since_call", "days_since_data", "port_out_queries_1d", "power_off_days"],
    "low_balance": ["balance_days_left"],
    "monthly_spend_drop": ["bill_total_change_pct_1m", "bill_total_change_pct_prev_1m"],
    "new_handset": ["terminal_age_days", "terminal_models_used"],
    "off_net_drift": ["contacts_1m", "offnet_share_change_1m"],
    "order_progress": ["order_steps_1d", "visit_on"],
    "package_digest": ["data_package_mb"],
    "plan_downgrade": ["plan_fee_change_1m", "tariff_plan_before_1m"],
    "plan_withdrawal": ["plan_withdrawn_on"],
    "repeat_contact": ["topic_contacts_most_30d"],
    "roaming_data_use": ["abroad_mb_mtd"],
    "service_unusable": ["faults_open", "faults_open_over_3d", "faults_reported_1d"],
    "spend_and_call_drop": ["bill_total_change_pct_1m", "voice_minutes_change_pct_1m"],
    "terminal_change": ["terminal_age_days", "terminal_generation_change_1d", "terminals_seen_30d"],
    "weekly_call_drop": ["voice_minutes_change_pct_7d", "voice_minutes_week_mean_4w"],
}

ITEMS = [
    "city", "county", "gender", "age_years", "tariff_plan", "plan_monthly_fee", "star_level", "tenure_days",
    "lifecycle_stage", "bill_total_1m", "out_of_package_1m", "bill_total_mean_3m", "value_tier",
    "arrears_amount", "arrears_3m_ago", "voice_minutes_1m", "data_mb_1m", "poor_network_events_30d",
    "complaints_30d", "satisfaction_last", "roaming_minutes_1m", "roaming_mb_1m", "household_broadband",
]  # fmt: skip

# Where rows of a file are rows of a contract; all of them by default.
BILLED = '"当月欠费金额" is not null'
DELIVERED = {
    ("balances", "voice"): BILLED,
    ("bills", "voice"): BILLED,
    ("complaints", "broadband"): "\"家宽投诉\" <> '0'",
    ("complaints", "tariff"): "\"资费投诉\" <> '0'",
    ("customers", "data"): "true",
    ("customers", "voice"): "true",
    ("household_products", "voice"): '"ARPU（家庭宽带）"::double > 0',
    ("network_quality", "data"): "true",
    ("network_quality", "voice"): "true",
    ("subscriptions", "data"): "true",
    ("subscriptions", "voice"): "true",
    ("surveys", "data_coverage"): "true",
    ("surveys", "data_overall"): "true",
    ("surveys", "data_speed"): "true",
    ("surveys", "data_stability"): "true",
    ("surveys", "voice_clarity"): "true",
    ("surveys", "voice_coverage"): "true",
    ("surveys", "voice_overall"): "true",
    ("surveys", "voice_stability"): "true",
    ("usage_monthly", "data"): "true",
    ("usage_monthly", "voice"): BILLED,
}


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> CrossCheck:
    found = CrossCheck()
    found.raw("voice", FOLDER / VOICE)
    found.raw("users_of_data", FOLDER / USERS_OF_DATA)
    found.connection.execute(EXPECTED)
    found.run("beijing_mobile", FOLDER, tmp_path_factory.mktemp("beijing"))
    return found


def test_records_with_line_breaks_are_one_row(check: CrossCheck) -> None:
    lines = {name: (FOLDER / name).read_bytes().count(b"\n") for name in (VOICE, USERS_OF_DATA)}
    records = dict(check.rows("select distinct file, rows_in_file from deliveries"))
    assert records == {VOICE: check.one("select count(*) from voice"),
                       USERS_OF_DATA: check.one("select count(*) from users_of_data")}  # fmt: skip
    # Lines less the header: were there no line breaks inside a record, the two would be equal.
    assert sum(lines.values()) - 2 > sum(records.values())


def test_files_in_other_encodings_load_the_same_rows(check: CrossCheck, tmp_path: Path) -> None:
    """The voice file in GBK, the other, which has characters that GBK lacks, in GB18030."""
    for name, encoding in ((VOICE, "gbk"), (USERS_OF_DATA, "gb18030")):
        (tmp_path / name).write_bytes((FOLDER / name).read_text(encoding="utf-8-sig").encode(encoding))
    mapping = (ROOT / "conf/sources/beijing_mobile.yaml").read_text(encoding="utf-8")
    mapping = mapping.replace("encoding: utf-8", "encoding: gbk")
    mapping = mapping.replace(f"{USERS_OF_DATA}\n", f"{USERS_OF_DATA}\n    encoding: gb18030\n")
    (tmp_path / "recoded.yaml").write_text(mapping, encoding="utf-8")
    (tmp_path / "extracts").mkdir()
    for name in (VOICE, USERS_OF_DATA):
        (tmp_path / name).rename(tmp_path / "extracts" / name)
    again = CrossCheck()
    again.ingest(tmp_path / "recoded.yaml", tmp_path / "extracts", tmp_path / "warehouse")
    assert again.deliveries() == check.deliveries()
    contracts = {contract for contract, _ in DELIVERED}
    for contract in sorted(contracts):
        rows = f"select * exclude (delivery_id) from clean_{contract} order by all"
        found = again.rows(rows)
        assert found == check.rows(rows) and len(found) > 0, contract


def test_every_row_is_accounted_for(check: CrossCheck) -> None:
    expected = {}
    for (contract, part), where in DELIVERED.items():
        table = "users_of_data" if part.startswith("data") else "voice"
        records, of_contract = check.rows(f"select count(*), count_if({where}) from {table}")[0]
        expected[contract, "202204", part] = (
            records, records - of_contract, of_contract, of_contract, 0, 0,
        )  # fmt: skip
    assert check.deliveries() == expected


def test_the_month_is_april(check: CrossCheck) -> None:
    """The snapshot date rests on the data file alone: spend of the year, days of use, newest number."""
    months = check.one(
        'select median("本年累计消费（元）"::double / "近3个月平均消费（元）"::double) '
        'from users_of_data where "近3个月平均消费（元）"::double > 20'
    )
    assert months == 4
    assert check.one('select max("游戏类APP使用天数"::double) from users_of_data') == 30
    assert check.one('select max("码号资源-激活时间") from users_of_data') == "2022-04-01"


@pytest.mark.parametrize("item", ITEMS)
def test_item_is_what_the_files_say(check: CrossCheck, item: str) -> None:
    known, different = check.known_and_different(item)
    assert known > 0
    assert different == 0


def test_survey_answers(check: CrossCheck) -> None:
    columns = {
        "overall": ("语音通话整体满意度", "手机上网整体满意度"),
        "coverage": ("网络覆盖与信号强度", "网络覆盖与信号强度"),
        "clarity": ("语音通话清晰度", None),
        "stability": ("语音通话稳定性", "手机上网稳定性"),
        "speed": (None, "手机上网速度"),
    }
    expected = {}
    for question, (voice, data) in columns.items():
        parts = [f'select "{voice}"::int as s from voice'] if voice else []
        parts += [f'select "{data}"::int as s from users_of_data'] if data else []
        expected[question] = check.rows(f"select count(*), sum(s) from ({' union all '.join(parts)})")[0]
    found = check.rows("select question, count(*), sum(score) from clean_surveys group by question")
    assert {question: (count, total) for question, count, total in found} == expected


def test_complaints_stand_for_their_counts(check: CrossCheck) -> None:
    expected = check.rows(
        "select 'home_broadband', count_if(\"家宽投诉\" <> '0'), sum(\"家宽投诉\"::int) from voice union all "
        "select 'tariff', count_if(\"资费投诉\" <> '0'), sum(\"资费投诉\"::int) from voice"
    )
    found = check.rows(
        "select category, count(*), sum(count) from clean_complaints group by all order by all"
    )
    assert found == expected


@pytest.mark.parametrize("moment", FIRED)
def test_moment_fires_for_exactly_the_right_users(check: CrossCheck, moment: str) -> None:
    expected = {row[0] for row in check.rows(FIRED[moment])}
    assert len(expected) >= 100
    assert check.fired(moment) == expected


def test_anniversaries_of_joining_are_those_of_the_file(check: CrossCheck) -> None:
    expected = {row[0] for row in check.rows(ANNIVERSARIES)}
    assert expected and check.fired("join_anniversary") == expected


def test_no_other_moment_fires(check: CrossCheck) -> None:
    fired = {row["moment_id"]: row["fired_count"] for row in check.evaluations() if row["fired_count"]}
    expected = {moment: len(check.rows(sql)) for moment, sql in FIRED.items()}
    assert fired == expected | {"join_anniversary": len(check.rows(ANNIVERSARIES))}
    assert check.alerts() == fired


def test_rules_evaluated_and_not_supplied(check: CrossCheck) -> None:
    rows = list(check.evaluations())
    evaluated = {row["moment_id"]: row["left_out"] for row in rows if row["result"] == "evaluated"}
    lacking = {row["moment_id"]: row["not_supplied"] for row in rows if row["result"] == "not_supplied"}
    assert evaluated == EVALUATED
    assert lacking == NOT_SUPPLIED


def test_unknown_is_counted(check: CrossCheck) -> None:
    unknown = {row["moment_id"]: row["unknown_count"] for row in check.evaluations() if row["unknown_count"]}
    without_bill = check.one("select count(*) from expected where bill_total_1m is null")
    no_day = "tenure_days is null and coalesce(value_tier, 'mid') <> 'low'"
    assert unknown == {
        "join_anniversary": check.one(f"select count(*) from expected where {no_day}"),
        "package_overrun": without_bill,
        "arrears_before_suspension": without_bill,
    }


def test_health_learned_on_half_follows_the_satisfaction_of_the_other_half(check: CrossCheck) -> None:
    """Nobody is told to have left; who is dissatisfied stands for it. No other answer of the survey is used."""
    import lightgbm
    import numpy as np
    from scipy.stats import spearmanr

    from jobs.kernel.ids import hash_of
    from jobs.modelling import scorecard
    from jobs.modelling.features import features_of
    from jobs.modelling.metrics import interval
    from jobs.stages.samples import feature_columns

    configuration = check.context.configuration
    answered = check.rows("select id from items where satisfaction_last is not null")
    assert len(answered) == 12_453
    types, values = {}, {}
    for name, item in configuration.view.items.items():
        if "satisfaction" in name or item.type in ("date", "timestamp"):
            continue
        if item.type == "string":
            found = [
                row[0] for row in check.rows(f"select distinct {name} from items where {name} is not null")
            ]
            if not 1 < len(found) <= configuration.models.training.max_values:
                continue
            values[name] = sorted(found)
        types[name] = item.type
    features = features_of(types, values)
    columns = ", ".join(feature_columns(features)).replace("`", '"')
    rows = check.connection.execute(
        f"select id, satisfaction_last::double, {columns} from items where satisfaction_last is not null order by id"
    ).fetchnumpy()
    told = [np.ma.filled(np.ma.asarray(one, dtype=np.float64), np.nan) for one in list(rows.values())[1:]]
    score, matrix = told[0], np.column_stack(told[1:]).astype(np.float32)
    low = (score <= 6).astype(np.int64)
    half = np.array([int(hash_of("fold", one)[:8], 16) % 2 == 0 for one in rows["id"]])
    of_class = configuration.models.dimensions
    dimension = {item: of_class[one.class_] for one in configuration.view.classes for item in one.items}
    names = list(configuration.health.dimensions)
    # Voice and data users answered two questions: within each, and over all.
    voice = np.array([one.startswith("V") for one in rows["id"]])
    for group, least in ((voice, 0.08), (~voice, 0.28), (np.ones(len(half), bool), 0.25)):
        for mine, theirs in ((half & group, ~half & group), (~half & group, half & group)):
            steps = scorecard.learn(
            matrix[mine], low[mine], np.zeros(mine.sum(), np.int64), features, types, [0] * len(features),
            configuration.mining.health,
        )  # fmt: skip
            priced = scorecard.points_of(steps, matrix[mine], dimension.__getitem__)
            left = scorecard.overall(scorecard.health(priced, matrix[theirs], dimension.__getitem__, names))
            others = score[theirs]
            told_by = interval(
                lambda at, left=left, others=others: spearmanr(left[at], others[at]).statistic,
                np.arange(len(left)),
                200,
            )
            trees = lightgbm.LGBMRegressor(
            n_estimators=200, learning_rate=0.03, num_leaves=15, min_child_samples=40, subsample=0.8,
            subsample_freq=1, colsample_bytree=0.5, random_state=1, n_jobs=2, verbose=-1,
        ).fit(matrix[mine], score[mine])  # fmt: skip
            best = spearmanr(trees.predict(matrix[theirs]), others).statistic
            assert told_by.low > least and told_by.value >= 0.8 * best
