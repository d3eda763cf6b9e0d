"""Settings, keys and source mappings, and the exact words about what is wrong with them."""

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from projectcopy import ProjectCopy
from pydantic import ValidationError

from jobs.config.dispatch import load_dispatch
from jobs.config.formats import Format
from jobs.config.load_source import load_source
from jobs.config.models import load_models
from jobs.config.scores import load_health, load_risk
from jobs.config.settings import Keys, Settings, load_keys, load_settings
from jobs.config.sources import Source, columns_used, field_expressions
from jobs.contracts.extracts import ExtractContract, load_contracts
from jobs.contracts.view import CustomerView
from jobs.expressions.nodes import Name
from jobs.expressions.parse import parse as expression
from jobs.kernel.cycle import CycleKind
from jobs.kernel.located_yaml import parse
from jobs.kernel.project import Project

Issues = Callable[[Callable[[], object]], list[str]]
Contracts = dict[str, ExtractContract]


# --- settings and profiles ---------------------------------------------------


def test_a_profile_overlays_the_base(project_copy: ProjectCopy) -> None:
    project_copy.write("conf/base.yaml", (
        "time_zone: Asia/Shanghai\n"
        "cycles:\n  daily: {grace_days: 1}\n  weekly: {grace_days: 2, ends_on: 5}\n  monthly: {grace_days: 3}\n"
        "parameters:\n  high: {value: 300, unit: yuan}\n  mid: {value: 120, unit: yuan}\n"
        "spark: {a: '1', b: '2'}\n"
    ))  # fmt: skip
    project_copy.write("conf/town.yaml", (
        "cycles:\n  monthly: {grace_days: 9}\nparameters:\n  mid: {value: 99.5}\nspark: {b: '3', c: '4'}\n"
    ))  # fmt: skip
    settings = load_settings(project_copy.project, "town")
    assert settings.calendar.grace_days == {CycleKind.daily: 1, CycleKind.weekly: 2, CycleKind.monthly: 9}
    assert settings.calendar.week_ends_on == 5
    assert settings.spark == {"a": "1", "b": "3", "c": "4"}
    assert settings.parameters["mid"].value == Decimal("99.5")
    assert {name: str(kind) for name, kind in settings.parameter_types.items()} == {
        "high": "decimal in yuan",
        "mid": "decimal in yuan",
    }


def test_an_unknown_profile_is_named(project: Project, issues_of: Issues) -> None:
    assert issues_of(lambda: load_settings(project, "clster")) == [
        "CONF_MISSING_FILE there is no profile 'clster' (did you mean 'cluster'?)"
    ]


@pytest.mark.parametrize(
    ("path", "old", "new", "at", "message"),
    [
        ("conf/base.yaml", "Asia/Shanghai", "Asia/Nowhere", "time_zone:",
         "YAML_BAD_VALUE 'time_zone': is not a time zone such as Asia/Shanghai, not 'Asia/Nowhere'"),
        ("conf/base.yaml", "  monthly: {grace_days: 1}\n", "", "cycles:",
         "YAML_BAD_VALUE 'cycles': lacks monthly"),
        ("conf/base.yaml", "daily: {grace_days: 1}", "daily: {grace_days: -1}", "grace_days: -1",
         "YAML_BAD_VALUE 'grace_days': Input should be greater than or equal to 0, not -1"),
        ("conf/local.yaml", "privacy:", "privcy:", "privcy:",
         "YAML_UNKNOWN_KEY 'privcy' is not known here (did you mean 'privacy'?); "
         "allowed: cycles, parameters, privacy, spark, time_zone"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_found_in_its_file(
    project_copy: ProjectCopy, issues_of: Issues, path: str, old: str, new: str, at: str, message: str
) -> None:
    project_copy.replace(path, old, new)
    found = issues_of(lambda: load_settings(project_copy.project))
    assert found == [f"{project_copy.place(path, at)} {message}"]


def test_what_the_base_lacks_is_told_of_the_base(project_copy: ProjectCopy, issues_of: Issues) -> None:
    project_copy.replace("conf/base.yaml", "time_zone: Asia/Shanghai\n", "")
    [line] = issues_of(lambda: load_settings(project_copy.project))
    assert line.startswith("conf/base.yaml")


# --- keys --------------------------------------------------------------------


VARIABLES = ("KEYMOMENTS_KEY", "KEYMOMENTS_CONTROL_KEY")
ASKED = [
    "CONF_UNSAFE_KEY set KEYMOMENTS_CONTROL_KEY to the key of the control group",
    "CONF_UNSAFE_KEY set KEYMOMENTS_KEY to the key of pseudonyms",
]


def with_keys(key: str | None, control: str | None = "dev") -> Settings:
    cycles = {kind: {"grace_days": 1} for kind in CycleKind}
    privacy = {"development_key": key, "development_control_key": control}
    return Settings.model_validate(
        {"time_zone": "UTC", "cycles": cycles, "parameters": {}, "privacy": privacy}
    )


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("keys", [("dev", None), (None, "dev"), ("dev", "dev")])
def test_development_keys_are_for_local_runs(issues_of: Issues, keys: tuple[str | None, str | None]) -> None:
    assert load_keys(with_keys("dev", "of control"), "local") == Keys(b"dev", b"of control")
    assert issues_of(lambda: load_keys(with_keys(*keys), "cluster")) == [
        "CONF_UNSAFE_KEY a development key stands in conf/cluster.yaml; only the local profile may have one"
    ]


def test_a_development_key_is_refused_even_where_a_key_is_given(
    monkeypatch: pytest.MonkeyPatch, issues_of: Issues
) -> None:
    monkeypatch.setenv("KEYMOMENTS_KEY", "真的")
    monkeypatch.setenv("KEYMOMENTS_CONTROL_KEY", "another")
    assert load_keys(with_keys("dev"), "local") == Keys("真的".encode(), b"another")
    assert load_keys(with_keys(None, None), "cluster") == Keys("真的".encode(), b"another")
    assert len(issues_of(lambda: load_keys(with_keys("dev"), "cluster"))) == 1


@pytest.mark.parametrize("given", [None, ""])
@pytest.mark.parametrize("profile", ["local", "cluster"])
def test_missing_keys_are_asked_for_all_at_once(
    monkeypatch: pytest.MonkeyPatch, issues_of: Issues, given: str | None, profile: str
) -> None:
    if given is not None:
        monkeypatch.setenv("KEYMOMENTS_KEY", given)
    assert issues_of(lambda: load_keys(with_keys(None, None), profile)) == ASKED
    monkeypatch.setenv("KEYMOMENTS_KEY", "one")
    assert issues_of(lambda: load_keys(with_keys(None, None), profile)) == ASKED[:1]


def test_keys_are_not_printed(project: Project) -> None:
    keys = load_keys(load_settings(project), "local")
    assert repr(keys) == str(keys) == "Keys(***)"


def test_the_projects_own_profiles(project: Project, issues_of: Issues) -> None:
    assert load_keys(load_settings(project, "local"), "local").pseudonym
    assert len(issues_of(lambda: load_keys(load_settings(project, "cluster"), "cluster"))) == 2


# --- source mappings ---------------------------------------------------------

HEAD = "source: x\nzh: 某省\nen: X\n"
GOOD = HEAD + "extracts:\n  - contract: bills\n    files: bills_{period}.csv\n    fields: same\n"


PEOPLE = {"contract": "subscriptions", "files": "subscriptions_{period}.csv", "fields": "same"}


def read(text: str, contracts: Contracts) -> Source:
    """Loads a mapping to which the extract every source needs is added."""
    document = parse(text.encode(), "x.yaml")
    document.data["extracts"].append(PEOPLE)
    return load_source(document, contracts)


def test_a_source_says_who_is_in_the_network(contracts: Contracts, issues_of: Issues) -> None:
    assert issues_of(lambda: load_source(parse(GOOD.encode(), "x.yaml"), contracts)) == [
        "x.yaml:4:1 YAML_MISSING_KEY no extract fills 'subscriptions', which says who is in the network"
    ]


def one(contract: str = "bills", files: str = "bills_{period}.csv", rest: str = "    fields: same\n") -> str:
    return f"{HEAD}extracts:\n  - contract: {contract}\n    files: {files}\n{rest}"


FILLED = "    fields:\n      subscription_id: a\n      month: b\n      total: joined.c\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (one("bils"), ["x.yaml:5:5 CONF_UNKNOWN_REFERENCE 'bils' is not a contract (did you mean 'bills'?)"]),
        (
            one(rest="    fields:\n      subscription_id: a\n      month: b\n      total: c\n      backcharge: d\n"),
            [
                "x.yaml:11:7 CONTRACT_BAD_FIELD 'backcharge' is not a field of bills "
                "(did you mean 'back_charge'?)"
            ],
        ),
        (
            one(rest="    fields:\n      subscription_id: a\n"),
            [
                "x.yaml:7:5 YAML_MISSING_KEY the required field 'month' of bills is not filled",
                "x.yaml:7:5 YAML_MISSING_KEY the required field 'total' of bills is not filled",
            ],
        ),
        (
            one(files="'bills_{perid}.csv'"),
            [
                "x.yaml:6:5 YAML_BAD_VALUE {perid} is not one of period, delivered, sequence, part "
                "(did you mean 'period'?)"
            ],
        ),
        (one(files="bills.csv"), ["x.yaml:6:5 YAML_MISSING_KEY the file name has no {period}; give 'period'"]),
        (
            one(rest="    fields:\n      subscription_id: bil(a)\n      month: b\n      total: t.c\n"),
            [
                "x.yaml:8:7 EXPR_UNKNOWN_FUNCTION 'bil' is not an allowed function",
                "x.yaml:10:7 EXPR_UNKNOWN_NAME 't.c': write a column as `t.c`",
            ],
        ),
        (
            one(rest="    fields:\n      subscription_id: a\n      month: b\n      total: c + 1\n"),
            ["x.yaml:10:7 EXPR_TYPE arithmetic needs integer or decimal, not string"],
        ),
        (
            one(rest="    fields:\n      subscription_id: a\n      month: b\n      total: number(c) > :x\n"),
            ["x.yaml:10:7 EXPR_UNKNOWN_NAME :x is not a parameter here"],
        ),
        (one(rest="    where: a\n    fields: same\n"), ["x.yaml:7:5 EXPR_TYPE is string, not boolean"]),
        (
            one(rest="    encodng: gbk\n    fields: same\n"),
            [
                "x.yaml:7:5 YAML_UNKNOWN_KEY 'encodng' is not known here (did you mean 'encoding'?); allowed: "
                "approximate, columns, contract, control, decimal, delimiter, encoding, fields, files, format, gaps, header, join, "
                "late_after_days, max_bad_share, member, multiline, null_marks, on_drift, own_operator, part, period, quote, "
                "row_covers_days, thousands, time_zone, where, widths"
            ],
        ),
        (
            one(rest="    encoding: latin-1\n    fields: same\n"),
            ["x.yaml:7:5 YAML_BAD_VALUE 'encoding': Input should be 'utf-8', 'gbk' or 'gb18030', not 'latin-1'"],
        ),
        (
            one(rest="    member: bills*\n    fields: same\n"),
            [
                "x.yaml:5:5 YAML_BAD_VALUE 'extracts': 'member' belongs to 'files' that end with .zip, and to no others"
            ],
        ),
        (
            one(rest="    format: fixed\n    fields: same\n"),
            [
                "x.yaml:5:5 YAML_BAD_VALUE 'extracts': 'columns' belongs to 'format: fixed' and to 'header: false', "
                "and to no other file"
            ],
        ),
        (
            one(rest="    time_zone: Asia/Shangai\n    fields: same\n"),
            [
                "x.yaml:7:5 YAML_BAD_VALUE 'time_zone': is not a time zone such as Asia/Shanghai or UTC, "
                "not 'Asia/Shangai'"
            ],
        ),
        (
            one(rest="    join: {files: 'rest_{part}.csv', on: {a: b}}\n" + FILLED),
            ["x.yaml:7:12 YAML_BAD_VALUE {part} does not stand in the name of the first file"],
        ),
        (
            one(files="'bills_{period}_{part}.csv'", rest="    join: {files: 'rest_{period}.csv', on: {a: b}}\n" + FILLED),
            ["x.yaml:7:12 YAML_BAD_VALUE lacks {part}: each part has a second file of its own"],
        ),
        (
            one(rest="    join: {files: 'rest_*.csv', on: {a: b}}\n" + FILLED),
            [
                "x.yaml:7:12 YAML_BAD_VALUE 'files': names one file beside each first one, so it may not hold '*', "
                "not 'rest_*.csv'"
            ],
        ),
        (
            one(rest="    join: {files: 'rest_{per iod}.csv', on: {a: b}}\n" + FILLED),
            [
                "x.yaml:7:12 YAML_BAD_VALUE 'files': has a brace that belongs to no placeholder, "
                "not 'rest_{per iod}.csv'"
            ],
        ),
        (
            one(rest="    join: {files: ../rest.csv, on: {a: b}}\n" + FILLED),
            [
                "x.yaml:7:12 YAML_BAD_VALUE 'files': must be the name of a file in the folder of extracts, "
                "not '../rest.csv'"
            ],
        ),
        (
            one(files="'/abs/bills_{period}.csv'"),
            [
                "x.yaml:6:5 YAML_BAD_VALUE 'files': must be the name of a file in the folder of extracts, "
                "not '/abs/bills_{period}.csv'"
            ],
        ),
        (
            one(rest="    join: {files: 'rest_{perid}.csv', on: {a: b}}\n" + FILLED),
            [
                "x.yaml:7:12 YAML_BAD_VALUE {perid} does not stand in the name of the first file "
                "(did you mean 'period'?)"
            ],
        ),
        (
            one(rest="    approximate: [total, month]\n    fields: same\n"),
            ["x.yaml:7:19 CONTRACT_BAD_FIELD 'total' is not a date field of bills"],
        ),
        (one(rest=FILLED), ["x.yaml:10:7 EXPR_UNKNOWN_NAME 'joined.c': there is no 'join' here"]),
        (
            one(rest="    join: {files: 'rest_{period}.csv', on: {a: b}}\n    fields: same\n"),
            ["x.yaml:5:5 YAML_BAD_VALUE 'extracts': with 'join' each field needs its expression"],
        ),
        (
            one(rest="    join: {files: 'rest_{period}.csv', on: {a: b}, columns: [b, c]}\n" + FILLED),
            ["x.yaml:5:5 YAML_BAD_VALUE 'extracts': 'join' and its file both have 'columns', or neither has"],
        ),
        (
            GOOD + "defaults: {formt: csv}\n",
            ["x.yaml:8:12 YAML_UNKNOWN_KEY 'formt' is not known here (did you mean 'format'?)"],
        ),
        (GOOD + "snapshot: 2026-02-30\n", ["x.yaml:8:11 YAML_BAD_VALUE day is out of range for month"]),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_found_at_its_place(
    contracts: Contracts, issues_of: Issues, text: str, expected: list[str]
) -> None:
    assert issues_of(lambda: read(text, contracts)) == expected


def test_all_mistakes_of_a_mapping_are_found_together(contracts: Contracts, issues_of: Issues) -> None:
    text = (
        GOOD.replace("{period}", "{perid}") + "  - contract: bils\n    files: a_{period}\n    fields: same\n"
    )
    assert [line.split()[1] for line in issues_of(lambda: read(text, contracts))] == [
        "YAML_BAD_VALUE",
        "CONF_UNKNOWN_REFERENCE",
    ]


def test_defaults_stand_in_every_extract_and_may_be_replaced(contracts: Contracts) -> None:
    text = HEAD + (
        "defaults: {encoding: gbk, delimiter: '|'}\nextracts:\n"
        "  - {contract: bills, files: 'bills_{period}.csv', fields: same}\n"
        "  - {contract: balances, files: 'balances_{period}.csv', fields: same, encoding: utf-8}\n"
    )
    first, second, _ = read(text, contracts).mapping.extracts
    assert (first.encoding, first.delimiter) == ("gbk", "|")
    assert (second.encoding, second.delimiter) == ("utf-8", "|")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"format": "fixed", "columns": ["a"]}, "'widths' belongs to 'format: fixed'"),
        ({"columns": ["a"], "header": False, "widths": [1]}, "'widths' belongs to 'format: fixed'"),
        ({"columns": ["a"]}, "'columns' belongs to"),
        ({"header": False}, "'columns' belongs to"),
        ({"format": "fixed", "columns": ["a"], "widths": [1, 2]}, "differ in length"),
        ({"columns": ["a", "a"], "header": False}, "a name stands twice"),
        ({"format": "jsonl", "multiline": True}, "'multiline' means nothing"),
        ({"decimal": ",", "thousands": ","}, "decimal and thousands are the same"),
        ({"delimiter": '"'}, "delimiter and quote are the same"),
        ({"delimiter": "，"}, "delimiter is not an ASCII character"),
    ],
)
def test_settings_of_a_format_fit_together(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Format.model_validate(settings)


def test_numbers_are_read_as_the_files_write_them(contracts: Contracts) -> None:
    rest = (
        "    decimal: ','\n    thousands: '.'\n    fields:\n      subscription_id: a\n      month: date(b)\n"
        "      total: c\n      recurring: number(trim(d)) / 100\n      back_charge: number(1)\n"
    )
    extract = read(one(rest=rest), contracts).mapping.extracts[0]
    found = field_expressions(extract, contracts["bills"])
    assert found["subscription_id"] == Name("a")
    assert found["month"] == expression("date(b)")
    assert found["total"] == expression("parse_number(c, ',', '.')")
    assert found["recurring"] == expression("parse_number(trim(d), ',', '.') / 100")
    assert found["back_charge"] == expression("number(1)")


def test_a_mapping_says_which_fields_it_fills(contracts: Contracts) -> None:
    fields = "    where: kind = 'x'\n    fields: {subscription_id: '`用户`', month: m, total: number(a) + number(b)}\n"
    source = read(one(rest=fields), contracts)
    assert source.fields_of("bills") == {"subscription_id", "month", "total"}
    assert columns_used(source.mapping.extracts[0], contracts["bills"]) == ["用户", "m", "a", "b", "kind"]
    assert set(source.contracts) == {"bills", "subscriptions"}
    assert read(GOOD, contracts).fields_of("bills") == set(contracts["bills"].fields)


def test_derived_fields_follow_from_what_is_filled(contracts: Contracts) -> None:
    found = [(name, part) for name, c in contracts.items() for part in c.derived.items()]
    assert found, "no contract derives anything"
    contract, (derived, part) = found[0]
    text = one(contract, f"{contract}_{{period}}.csv")
    assert {derived, part.from_} <= read(text, contracts).fields_of(contract)


def test_no_day_of_the_year_is_taken_from_an_approximate_date(contracts: Contracts) -> None:
    text = one("customers", "customers_{period}.csv", "    approximate: [birth_date]\n    fields: same\n")
    filled = read(text, contracts).fields_of("customers")
    assert {"birth_date", "birth_year"} <= filled
    assert "birthday" not in filled


def test_patterns_of_file_names(contracts: Contracts) -> None:
    mapping = read(one(files="'b+_{part}_{period}_{delivered}_{sequence}.csv'"), contracts).mapping.extracts[
        0
    ]
    match = mapping.name_pattern.match("b+_north_202605_20260602_12.csv")
    assert match is not None
    assert match.groupdict() == {
        "part": "north", "period": "202605", "delivered": "20260602", "sequence": "12"
    }  # fmt: skip
    assert mapping.glob == "b+_*_*_*_*.csv"
    assert mapping.name_pattern.match("b+_north_202605_20260602_12.csv.bak") is None
    assert mapping.name_pattern.match("bb_north_202605_20260602_12.csv") is None
    assert mapping.name_pattern.match("b+_north_2026_20260602_12.csv") is None


def test_a_placeholder_may_stand_once(contracts: Contracts, issues_of: Issues) -> None:
    assert issues_of(lambda: read(one(files="'b_{period}_{period}.csv'"), contracts))


def test_a_fixed_period_is_a_month_or_a_day(contracts: Contracts, issues_of: Issues) -> None:
    text = one(files="b.csv", rest="    period: '202613'\n    fields: same\n")
    assert issues_of(lambda: read(text, contracts))


def test_two_extracts_must_not_fill_the_same_part(contracts: Contracts, issues_of: Issues) -> None:
    two = "".join(
        f"  - {{contract: bills, files: {name}.csv, period: '202605', fields: same}}\n" for name in "ab"
    )
    assert issues_of(lambda: read(f"{HEAD}extracts:\n{two}", contracts))


def test_a_field_that_is_no_text_is_named(contracts: Contracts, issues_of: Issues) -> None:
    text = one(rest="    fields:\n      subscription_id: 3\n      month: b\n      total: c\n")
    [line] = issues_of(lambda: read(text, contracts))
    assert line.startswith("x.yaml:8:7 YAML_BAD_VALUE 'subscription_id': ")


# --- scores and dispatch -----------------------------------------------------


def test_caps_are_of_channels_that_are_there(project_copy: ProjectCopy, issues_of: Issues) -> None:
    project_copy.replace("conf/dispatch.yaml", "{channel: sms, ", "{channel: smss, ")
    place = project_copy.place("conf/dispatch.yaml", "channel: smss")
    assert issues_of(lambda: load_dispatch(project_copy.project)) == [
        f"{place} CONF_UNKNOWN_REFERENCE there is no channel 'smss' (did you mean 'sms'?)"
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("contact_from: '09:00'", "contact_from: '20:00'", "contact_to 20:00 is not later than contact_from 20:00"),
        ("contact_to: '20:00'", "contact_to: '24:00'", "contact_to"),
        ("contact_from: '09:00'", "contact_from: '09:60'", "contact_from"),
        ("cost: 3.00", "cost: .inf", "cost"),
        ("cost: 3.00", "cost: .nan", "cost"),
        ("cost: 3.00", "cost: -1", "cost"),
        ("{low: 1.00}", "{low: .inf}", "low"),
        ("{low: 1.00}", "{low: -1}", "low"),
        ("{low: 1.00}", "{lw: 1.00}", "there is no value tier 'lw' (did you mean 'low'?)"),
    ],
)  # fmt: skip
def test_channels_have_hours_and_what_they_cost(
    project_copy: ProjectCopy, issues_of: Issues, old: str, new: str, told: str
) -> None:
    project_copy.replace("conf/dispatch.yaml", old, new)
    [line] = issues_of(lambda: load_dispatch(project_copy.project))
    assert line.startswith("conf/dispatch.yaml:") and told in line and "Traceback" not in line


def test_scores_and_dispatch_of_the_project_load(project: Project, view: CustomerView) -> None:
    assert load_risk(project, view).terms
    assert load_health(project, view).causes
    assert set(load_dispatch(project).priority.severity.levels) == {"critical", "high", "medium", "low"}


def test_a_wrong_term_is_found(project_copy: ProjectCopy, view: CustomerView, issues_of: Issues) -> None:
    project_copy.write("conf/risk.yaml", (
        "label_days: 30\nsmoothing: 50\nbands: {high: 0.1, mid: 0.05}\nterms:\n"
        "  one: {zh: a, en: b, dimension: business, group: bill_totl_1m}\n"
        "  two: {zh: a, en: b, dimension: business, group: bill_total_1m}\n"
    ))  # fmt: skip
    assert issues_of(lambda: load_risk(project_copy.project, view)) == [
        "conf/risk.yaml:5:44 EXPR_UNKNOWN_NAME 'bill_totl_1m' is not an item of the customer view "
        "(did you mean 'bill_total_1m'?)",
        "conf/risk.yaml:6:44 EXPR_TYPE is decimal, not string",
    ]


def test_the_models_of_the_project_load(project: Project, view: CustomerView) -> None:
    found = load_models(project, view, load_contracts(project))
    assert {"churn", "complaint", "downgrade", "collapse", "loss"} <= set(found.models)
    assert found.models["loss"].target[1].items == ({"plan_monthly_fee"}, {"plan_monthly_fee"})
    assert found.fingerprint_of("churn") != found.fingerprint_of("complaint")


def test_wrong_names_and_targets_of_models_are_all_found(
    project_copy: ProjectCopy, view: CustomerView, issues_of: Issues
) -> None:
    for old, new in (
        ("spend: bill_total_mean_3m", "spend: bill_total_mean_3"),
        ("  voice: business", "  voices: business"),
        ("falling: [tenure_days]", "falling: [tenure_day]"),
        ("kind = 'disconnected'", "kinds = 'disconnected'"),
        ("contract: complaints", "contract: complaint"),
        ("later.plan_monthly_fee <", "later.plan_monthly_fees <"),
        ("later.bill_total_1m < 0.5 * bill_total_mean_3m", "later.bill_total_1m"),
        ("value_tier in ('high', 'mid')", "value_tier"),
    ):
        project_copy.replace("conf/models.yaml", old, new)
    found = issues_of(lambda: load_models(project_copy.project, view, load_contracts(project_copy.project)))
    assert [re.sub(r"^conf/models.yaml:[0-9]+:[0-9]+ ", "", one) for one in found] == [
        "EXPR_TYPE is string, not boolean",
        "CONF_UNKNOWN_REFERENCE 'bill_total_mean_3' is not an item of the customer view "
        "(did you mean 'bill_total_mean_3m'?)",
        "YAML_MISSING_KEY lacks the classes voice",
        "CONF_UNKNOWN_REFERENCE there is no class 'voices' (did you mean 'voice'?)",
        "EXPR_UNKNOWN_NAME 'kinds' is not a field of churn_labels (did you mean 'kind'?)",
        "CONF_UNKNOWN_REFERENCE 'tenure_day' is not an item of the customer view (did you mean 'tenure_days'?)",
        "CONF_UNKNOWN_REFERENCE 'complaint' is not a contract of events (did you mean 'complaints'?)",
        "EXPR_UNKNOWN_NAME 'later.plan_monthly_fees' is not an item of the customer view "
        "(did you mean 'plan_monthly_fee'?)",
        "EXPR_TYPE is decimal, not boolean",
    ]


def test_an_outcome_comes_to_pass_in_one_way(
    project_copy: ProjectCopy, view: CustomerView, issues_of: Issues
) -> None:
    project_copy.replace(
        "conf/models.yaml", "- {later: later.plan", "- {contract: complaints, later: later.plan"
    )
    found = issues_of(lambda: load_models(project_copy.project, view, load_contracts(project_copy.project)))
    assert len(found) == 1 and "needs either contract and where, or later" in found[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("psi_warn: 0.1", "psi_warn: 0.5", "psi_warn is above psi_stop"),
        (
            "falling: [tenure_days]",
            "falling: [complaints_30d]",
            "cannot both rise and fall with complaints_30d",
        ),
    ],
)
def test_settings_of_models_that_contradict_each_other(
    project_copy: ProjectCopy, view: CustomerView, issues_of: Issues, old: str, new: str, expected: str
) -> None:
    project_copy.replace("conf/models.yaml", old, new)
    found = issues_of(lambda: load_models(project_copy.project, view, load_contracts(project_copy.project)))
    assert len(found) == 1 and expected in found[0]
