"""Extract contracts, windows, the catalogue of the customer view, and what a source can supply."""

from collections.abc import Callable
from datetime import date

import pytest
from projectcopy import ProjectCopy

from jobs.contracts.extracts import ExtractContract, load_contracts
from jobs.contracts.released import check_released
from jobs.contracts.supply import Delivered, ItemStatus, Supply
from jobs.contracts.tables import load_tables, view_table
from jobs.contracts.view import CustomerView, load_view
from jobs.contracts.windows import Window
from jobs.expressions.nodes import Name, names
from jobs.expressions.parse import parse
from jobs.expressions.types import Type
from jobs.kernel.errors import ConfigError
from jobs.kernel.project import Project

Issues = Callable[[Callable[[], object]], list[str]]
AMOUNTS = {"value_tier_high": Type("decimal", "yuan"), "value_tier_mid": Type("decimal", "yuan")}
BILLS = "schemas/extracts/bills.yaml"
SPEND = "schemas/customer_view/bill_spend.yaml"
TARIFF = "schemas/customer_view/brand_tariff.yaml"


# --- all files ---------------------------------------------------------------


def test_all_contracts_load(project: Project, contracts: dict[str, ExtractContract]) -> None:
    files = project.files("schemas/extracts")
    assert sorted(contracts) == [path.rsplit("/", 1)[1].removesuffix(".yaml") for path in files]
    for contract in contracts.values():
        assert contract.date_field
        assert set(contract.row_key) <= {column.name for column in contract.kept_columns}, contract.contract
        names = [column.name for column in contract.clean_table().columns]
        assert len(names) == len(set(names))
        assert contract.zh and contract.en


@pytest.mark.parametrize(
    ("grain", "names"),
    [
        ("event", "allowances campaigns churn_labels complaints data_usage feedback message_usage network_quality payments "
         "public_posts questionnaires roaming_signalling service_contacts service_orders service_subscriptions surveys terminals "
         "voice_usage"),
        ("month", "bills operator_totals usage_monthly"),
        ("state", "accounts balances cities consents customers destination_tariffs device_catalogue do_not_disturb holidays "
         "household_products manager_assignments manager_leave managers number_segments quiet_hours service_catalogue service_states "
         "subscriptions tariff_plans"),
    ],
)  # fmt: skip
def test_every_contract_is_there_in_its_grain(
    contracts: dict[str, ExtractContract], grain: str, names: str
) -> None:
    assert [name for name in sorted(contracts) if contracts[name].grain == grain] == names.split()


def test_every_number_has_bounds(contracts: dict[str, ExtractContract]) -> None:
    numbers = [
        (name, field, one)
        for name, contract in contracts.items()
        for field, one in contract.fields.items()
        if one.type in ("integer", "decimal")
    ]
    assert len(numbers) > 60
    assert [(name, field) for name, field, one in numbers if one.min is None or one.max is None] == []


def test_fields_can_be_named_in_expressions_and_are_no_columns_of_our_own(
    contracts: dict[str, ExtractContract],
) -> None:
    own = {"file", "line", "raw", "fault", "applicable", "reasons", "row_date", "row_day", "available_at"}
    own |= {"delivery", "delivery_id", "period", "part"}
    for contract in contracts.values():
        assert not own & set(contract.column_types), contract.contract
        for name in contract.column_types:
            assert parse(name) == Name(name), f"{contract.contract}.{name}"


def test_no_clear_personal_data_is_a_column(contracts: dict[str, ExtractContract]) -> None:
    for contract in contracts.values():
        kept = {column.name for column in contract.kept_columns}
        for name, field in contract.fields.items():
            if field.personal in ("name", "birth_date", "device"):
                assert name not in kept, f"{contract.contract}.{name}"


def test_all_tables_load(project: Project, view: CustomerView) -> None:
    tables = load_tables(project)
    assert sorted(tables) == [
        path.rsplit("/", 1)[1].removesuffix(".yaml") for path in project.files("schemas/tables")
    ]
    for table in [*tables.values(), view_table(view)]:
        for used in (*table.partition_by, *table.sort_by, *table.key):
            assert used in table.names, f"{table.name}: {used}"
        assert len(set(table.names)) == len(table.names)


# --- windows -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("1d", Window("days", 1)),
        ("28d before 7d", Window("days", 28, 7)),
        ("1m", Window("months", 1)),
        ("3m before 1m", Window("months", 3, 1)),
        ("mtd", Window("mtd")),
        ("ever", Window("ever")),
        ("ever before 1d", Window("ever", 0, 1)),
        ("999d", Window("days", 999)),
    ],
)
def test_windows_are_read(text: str, window: Window) -> None:
    assert Window.parse(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "", "7", "d", "7w", "0d", "0m", "-7d", "7d before", "7d before 1m", "1m before 7d", "ever before 1m",
        "mtd before 1d", "1000d", "7D", " 7d", "7d ", "7d  before 1d",
        "7d\n",
        "１d",
    ],
)  # fmt: skip
def test_what_is_no_window(text: str) -> None:
    assert Window.parse(text) is None


@pytest.mark.parametrize(
    ("text", "as_of", "first", "last"),
    [
        ("1d", "2026-05-31", "2026-05-31", "2026-05-31"),
        ("7d", "2026-03-03", "2026-02-25", "2026-03-03"),
        ("7d", "2028-03-03", "2028-02-26", "2028-03-03"),
        ("28d before 7d", "2027-01-10", "2026-12-07", "2027-01-03"),
        ("1d before 1d", "2028-03-01", "2028-02-29", "2028-02-29"),
        ("1m", "2028-02-29", "2028-02-01", "2028-02-29"),
        ("1m", "2028-02-28", "2028-01-01", "2028-01-31"),
        ("1m", "2027-01-15", "2026-12-01", "2026-12-31"),
        ("1m before 1m", "2028-03-31", "2028-02-01", "2028-02-29"),
        ("3m", "2027-01-31", "2026-11-01", "2027-01-31"),
        ("3m before 1m", "2026-05-31", "2026-02-01", "2026-04-30"),
        ("mtd", "2026-05-01", "2026-05-01", "2026-05-01"),
        ("mtd", "2026-05-31", "2026-05-01", "2026-05-31"),
        ("ever", "2026-05-31", None, "2026-05-31"),
        ("ever before 1d", "2026-03-01", None, "2026-02-28"),
    ],
)
def test_spans(text: str, as_of: str, first: str | None, last: str) -> None:
    window = Window.parse(text)
    assert window is not None
    expected = (date.fromisoformat(first) if first else None, date.fromisoformat(last))
    assert window.span(date.fromisoformat(as_of)) == expected


# --- the catalogue -----------------------------------------------------------


def test_the_catalogue_has_its_fifteen_classes(view: CustomerView) -> None:
    assert [one.number for one in view.classes] == list(range(1, 16))
    assert len({one.class_ for one in view.classes}) == 15
    assert all(one.items for one in view.classes)


def test_ids_are_unique_and_every_definition_counts(view: CustomerView) -> None:
    every = [name for one in view.classes for name in (*one.measures, *one.items, *one.scores)]
    assert len(every) == len(set(every))
    assert len(view.items) == sum(len(one.items) for one in view.classes) == len(view.columns)
    assert set(view.types) == {*view.items, *view.scores}


def test_items_come_after_what_they_use(view: CustomerView) -> None:
    seen: set[str] = set()
    for item, tree in view.trees.items():
        used = {name.name for name in names(tree) if name.table is None} - {"as_of"}
        assert used <= seen, item
        seen.add(item)


def test_leaves_are_found_through_other_items(view: CustomerView) -> None:
    assert [str(name) for name in view.leaves("bill_rise_on_mean")] == [
        "measure.bill_total@1m",
        "measure.bills_delivered@3m before 1m",
        "measure.bill_total_mean@3m before 1m",
    ]
    assert Name("balance", "balances") in view.leaves("balance_days_left")


@pytest.mark.parametrize(
    ("path", "old", "new", "at", "message"),
    [
        (SPEND, "measure(bill_total, '1m')", "measure(bill_totl, '1m')", "value: \"measure(bill_totl",
         "EXPR_UNKNOWN_NAME bill_totl is not a measure (did you mean 'bill_total'?)"),
        (SPEND, "measure(bill_total, '1m')", "measure(bill_total, '1w')", "value: \"measure(bill_total, '1w'",
         "EXPR_BAD_WINDOW '1w' is not a window such as '7d', '28d before 7d', '1m', 'mtd' or 'ever'"),
        (SPEND, "measure(bill_total, '1m')", "measure(bill_total)", "value: \"measure(bill_total)",
         "EXPR_NOT_ALLOWED measure takes a measure and a window"),
        (TARIFF, "at_end(subscriptions.plan_id, '1m before 1m')", "at_end(plan_id, '1m')", "value: \"at_end(plan_id",
         "EXPR_NOT_ALLOWED at_end takes a field of a state extract and a window"),
        (TARIFF, "at_end(subscriptions.plan_id, '1m before 1m')", "at_start(subscriptions.plan_id, 'ever')",
         "value: \"at_start(subscriptions.plan_id, 'ever'",
         "EXPR_BAD_WINDOW 'ever' is not a window that has a first day, such as '7d', '1m before 1m' or 'mtd'"),
        (TARIFF, "at_end(subscriptions.plan_id, '1m before 1m')", "at_end(bills.total, '1m')",
         "tariff_plan_before_1m:",
         "EXPR_UNKNOWN_NAME tariff_plan_before_1m: 'bills' is not a state extract"),
        (SPEND, "measure(bill_total, '1m')", "coalesc(1)", "value: \"coalesc(1)",
         "EXPR_UNKNOWN_FUNCTION 'coalesc' is not an allowed function (did you mean 'coalesce'?)"),
        (SPEND, "bill_total_1m - bill_total_mean_3m_before'", "bill_total_1m - bill_total_mean_3m_befor'",
         "bill_rise_on_mean:", "EXPR_UNKNOWN_NAME bill_rise_on_mean: 'bill_total_mean_3m_befor' is not an item "
         "(did you mean 'bill_total_mean_3m_before'?)"),
        (SPEND, "measure(bill_total, '1m')", "bill_rise_on_mean", "bill_total_1m:",
         "ITEM_CYCLE refers to itself: bill_total_1m -> bill_rise_on_mean -> bill_total_1m"),
        ("schemas/customer_view/payment_balance.yaml", "ranks_like: [bill_total_mean_3m]", "ranks_like: [bill_total_mean_3]", "spend_per_day:",
         "CONF_UNKNOWN_REFERENCE spend_per_day: ranks_like 'bill_total_mean_3' is not an item "
         "(did you mean 'bill_total_mean_3m'?)"),
        (SPEND, "measure(bill_total, '1m')", "'x'", "bill_total_1m:",
         "EXPR_TYPE bill_total_1m is declared decimal but its value is string"),
        (SPEND, "measure(bill_total, '1m')", ":value_tier_hihg", "bill_total_1m:",
         "EXPR_UNKNOWN_NAME bill_total_1m: :value_tier_hihg is not given in conf "
         "(did you mean 'value_tier_high'?)"),
        (SPEND, "measure(bill_total, '1m')", "balance.arrears", "bill_total_1m:",
         "EXPR_UNKNOWN_NAME bill_total_1m: 'balance' is not a state extract (did you mean 'balances'?)"),
        (SPEND, "measure(bill_total, '1m')", "balances.arears", "bill_total_1m:",
         "EXPR_UNKNOWN_NAME bill_total_1m: 'arears' is not a field of balances (did you mean 'arrears'?)"),
        (SPEND, "bill_total: {from: bills,", "bill_total: {from: number_segments,", "bill_total: {from",
         "CONF_UNKNOWN_REFERENCE 'number_segments' is not an event or month extract"),
        (SPEND, "measure(bill_total, '1m')", "number_segments.operator", "bill_total_1m:",
         "EXPR_UNKNOWN_NAME bill_total_1m: 'number_segments' is found by prefix, not by one field of subscriptions"),
        (SPEND, "measure(bill_total, '1m')", "consents.purpose", "bill_total_1m:",
         "EXPR_UNKNOWN_NAME bill_total_1m: 'consents' is found by customer_id, channel, purpose, "
         "not by one field of subscriptions"),
        (SPEND, "bill_total: {from: bills, aggregate: sum, of: total,", "bill_total: {from: public_posts, aggregate: count,",
         "bill_total: {from", "CONF_UNKNOWN_REFERENCE 'public_posts' has no subscription_id to add up by"),
        (SPEND, "bill_total: {from: bills, aggregate: sum, of: total,", "bill_total: {from: bills, aggregate: count, of: total,",
         "bill_total: {from", "YAML_BAD_VALUE 'of' is needed, except for count"),
        (SPEND, "bill_total: {from: bills, aggregate: sum, of: total,", "bill_total: {from: bills, aggregate: sum, of: totel,",
         "bill_total: {from", "EXPR_UNKNOWN_NAME 'totel' is not a field of bills (did you mean 'total'?)"),
        (BILLS, "key: [subscription_id, month]", "key: [subscription_id, mont]", "key:",
         "CONTRACT_BAD_FIELD key 'mont' is not a field"),
        (BILLS, "\nmonth: month", "", "grain:", "CONTRACT_BAD_FIELD grain month needs 'month'"),
        (BILLS, "\nmonth: month", "\nmonth: mond", "grain:", "CONTRACT_BAD_FIELD 'mond' is not a field"),
        (BILLS, "key: [subscription_id, month]", "key: [month, month]", "key:", "CONTRACT_BAD_FIELD 'month' stands twice"),
        (BILLS, "subscription_id: {type: string, required: true", "subscription_id: {type: string", "subscription_id: {type",
         "CONTRACT_BAD_FIELD 'subscription_id' is in the key, so it must be required, or 'subscription_id' stand in "
         "'optional_key'"),
        (BILLS, "key: [subscription_id, month]", "key: [subscription_id, month]\noptional_key: [subscription_id]",
         "subscription_id: {type", "CONTRACT_BAD_FIELD 'subscription_id' is never empty, so it has no place in 'optional_key'"),
        (BILLS, "key: [subscription_id, month]", "key: [subscription_id, month]\noptional_key: [total]", "optional_key:",
         "CONTRACT_BAD_FIELD 'total' is not in the key"),
        (BILLS, "month: {type: date,", "month: {type: date, personal: number,", "month: {type",
         "CONTRACT_BAD_FIELD personal data of the kind number is string, not date"),
        (BILLS, "key: [subscription_id, month]", "key: []", "key:",
         "YAML_BAD_VALUE 'key': Tuple should have at least 1 item after validation, not 0"),
        (BILLS, "\nmonth: month", "\nmonth: month\nevent_date: month", "month: month",
         "CONTRACT_BAD_FIELD dates a row besides 'event_date'"),
        (BILLS, "month: {type: date", "month: {type: string", "month: month", "CONTRACT_BAD_FIELD 'month' is string, not date"),
        (BILLS, "month: {type: date, required: true", "month: {type: date", "month: {type",
         "CONTRACT_BAD_FIELD 'month' dates a row, so it must be required"),
        (BILLS, "required: true, min: 0, max: 1000000, zh: 账单总额", "required: true, min: 9, max: 1, zh: 账单总额", "total:",
         "CONTRACT_BAD_FIELD min 9 is more than max 1"),
        (BILLS, "required: true, min: 0, max: 1000000, zh: 账单总额", "required: true, max: .inf, zh: 账单总额", "max: .inf",
         "YAML_BAD_VALUE 'max': Input should be a finite number, not inf"),
        (BILLS, "total: {type: decimal, scale: 2", "total: {type: decimal, scale: 99", "scale: 99",
         "YAML_BAD_VALUE 'scale': Input should be less than or equal to 10, not 99"),
        (BILLS, "subscription_id: {type: string,", "subscription_id: {type: string, min: 1,", "subscription_id: {type",
         "CONTRACT_BAD_FIELD 'min' belongs to numbers, not to string"),
        (BILLS, "subscription_id: {type: string,", "subscription_id: {type: string, pattern: '(?P<x>S)',", "subscription_id: {type",
         "CONTRACT_BAD_FIELD pattern has a group (?P...), which Spark does not know"),
        (BILLS, "  recurring: {type: decimal,", "  recurring: {type: decimal, values: [a],", "recurring:",
         "CONTRACT_BAD_FIELD 'values' belongs to strings, not to decimal"),
        (BILLS, "  recurring:", "  line:", "line:",
         "CONTRACT_BAD_FIELD 'line' is a column of our own; the names taken are alike, applicable, available_at, "
         "delivery, delivery_id, fault, file, line, part, period, raw, reasons, row_date, row_day, run_id"),
        (BILLS, "freshness_days: 35", "freshness_days: -1", "freshness_days",
         "YAML_BAD_VALUE 'freshness_days': Input should be greater than or equal to 0, not -1"),
        (BILLS, "rows: {least: 1}", "rows: {breach: stop}", "rows:", "YAML_BAD_VALUE 'rows': needs 'least' or 'most'"),
        (BILLS, "grain: month", "grain: yearly", "grain:",
         "YAML_BAD_VALUE 'grain': Input should be 'event', 'month' or 'state', not 'yearly'"),
        (BILLS, "recurring: {type: decimal, scale: 2, unit: yuan", "recurring: {type: decimal, scale: 2, unit: yaun", "unit: yaun",
         "YAML_BAD_VALUE 'unit': Input should be 'count', 'yuan', 'percent', 'point', 'second', 'minute', 'day', 'year', 'mb', "
         "'mbps' or 'character', not 'yaun' (did you mean 'yuan'?)"),
        (BILLS, "{subscription_id: {to: subscriptions}}", "{total: {to: subscriptions}}", "to: subscriptions",
         "CONTRACT_BAD_FIELD 'total' is decimal, but the key of subscriptions, subscription_id, is string"),
    ],
)  # fmt: skip
def test_one_mistake_is_found_at_its_place(
    project_copy: ProjectCopy, issues_of: Issues, path: str, old: str, new: str, at: str, message: str
) -> None:
    project_copy.replace(path, old, new)
    found = issues_of(lambda: load_view(project_copy.project, load_contracts(project_copy.project), AMOUNTS))
    assert f"{project_copy.place(path, at)} {message}" in found


def test_an_item_may_be_defined_once(project_copy: ProjectCopy, issues_of: Issues) -> None:
    path = "schemas/customer_view/payment_balance.yaml"
    project_copy.replace(
        path, "items:\n", "items:\n  bill_total_1m: {type: decimal, value: '1', zh: a, en: b}\n"
    )
    found = issues_of(lambda: load_view(project_copy.project, load_contracts(project_copy.project), AMOUNTS))
    assert found == [
        f"{project_copy.place(path, 'bill_total_1m')} ITEM_DUPLICATE 'bill_total_1m' is defined twice, also at "
        f"{project_copy.place(SPEND, 'bill_total_1m:')}"
    ]


def test_mistakes_of_several_files_are_found_together(project_copy: ProjectCopy, issues_of: Issues) -> None:
    project_copy.replace(BILLS, "grain: month", "grain: yearly")
    project_copy.replace("schemas/extracts/balances.yaml", "contract: balances", "contrat: balances")
    found = issues_of(lambda: load_contracts(project_copy.project))
    assert [line.split()[1] for line in found] == ["YAML_MISSING_KEY", "YAML_UNKNOWN_KEY", "YAML_BAD_VALUE"]
    assert {line.split(":")[0] for line in found} == {BILLS, "schemas/extracts/balances.yaml"}


def test_a_contract_may_be_defined_once(project_copy: ProjectCopy, issues_of: Issues) -> None:
    text = (project_copy.root / BILLS).read_text(encoding="utf-8")
    project_copy.write("schemas/extracts/bills_again.yaml", text)
    assert issues_of(lambda: load_contracts(project_copy.project))


def test_a_measure_needs_an_extract_that_exists(project_copy: ProjectCopy, issues_of: Issues) -> None:
    project_copy.replace(SPEND, "bill_total: {from: bills,", "bill_total: {from: bill,")
    assert issues_of(
        lambda: load_view(project_copy.project, load_contracts(project_copy.project), AMOUNTS)
    ) == [
        f"{project_copy.place(SPEND, 'bill_total: {from')} CONF_UNKNOWN_REFERENCE 'bill' is not an event or "
        "month extract (did you mean 'bills'?)"
    ]


def test_where_of_a_measure_is_a_condition(project_copy: ProjectCopy, issues_of: Issues) -> None:
    path = "schemas/customer_view/service_complaints.yaml"
    project_copy.replace(path, "where: \"topic = 'bill'\"", "where: topic")
    assert issues_of(lambda: load_view(project_copy.project, load_contracts(project_copy.project), AMOUNTS))


def test_the_unit_of_an_item_is_that_of_its_value(project_copy: ProjectCopy, issues_of: Issues) -> None:
    project_copy.replace(
        SPEND,
        "out_of_package_1m: {type: decimal, unit: yuan",
        "out_of_package_1m: {type: decimal, unit: minute",
    )
    assert issues_of(lambda: load_view(project_copy.project, load_contracts(project_copy.project), AMOUNTS))


# --- supply ------------------------------------------------------------------

AS_OF = date(2026, 5, 31)
EVER = {"data_from": date(2025, 1, 1), "data_until": AS_OF}


def statuses(
    view: CustomerView, contracts: dict[str, ExtractContract], **delivered: Delivered
) -> dict[str, ItemStatus]:
    return Supply(view, contracts, delivered, AS_OF).statuses()


def test_nothing_delivered_is_not_supplied(view: CustomerView, contracts: dict[str, ExtractContract]) -> None:
    found = statuses(view, contracts)
    assert set(found) == set(view.items)
    assert found["bill_total_1m"] is ItemStatus.not_supplied
    assert found["balance_days_left"] is ItemStatus.not_supplied


def test_a_field_that_is_not_mapped_is_not_supplied(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    found = statuses(view, contracts, balances=Delivered(frozenset({"balance"}), **EVER))
    assert found["balance"] is ItemStatus.supplied
    assert found["arrears_amount"] is ItemStatus.not_supplied


def test_before_the_first_delivery_history_is_short(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    found = statuses(view, contracts, bills=Delivered(frozenset({"total"})))
    assert found["bill_total_1m"] is ItemStatus.short_history


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (date(2026, 2, 1), ["supplied", "supplied", "supplied"]),
        (date(2026, 2, 2), ["supplied", "supplied", "short_history"]),
        (date(2026, 5, 1), ["supplied", "short_history", "short_history"]),
        (date(2026, 5, 2), ["short_history", "short_history", "short_history"]),
    ],
)
def test_history_must_reach_the_start_of_a_window(
    view: CustomerView, contracts: dict[str, ExtractContract], first: date, expected: list[str]
) -> None:
    found = statuses(view, contracts, bills=Delivered(frozenset({"total"}), first, AS_OF))
    items = ["bill_total_1m", "bill_total_prev_1m", "bill_total_mean_3m_before"]
    assert [str(found[item]) for item in items] == expected


@pytest.mark.parametrize(("day", "expected"), [(28, "supplied"), (27, "stale_input")])
def test_old_input_is_stale(
    view: CustomerView, contracts: dict[str, ExtractContract], day: int, expected: str
) -> None:
    assert contracts["balances"].freshness_days == 3
    delivered = Delivered(frozenset({"balance"}), date(2026, 1, 1), date(2026, 5, day))
    assert str(statuses(view, contracts, balances=delivered)["balance"]) == expected


@pytest.mark.parametrize(("covers", "opened", "month"), [(1, "supplied", "supplied"), (30, "too_coarse", "supplied"),
                                                        (31, "too_coarse", "too_coarse")])  # fmt: skip
def test_rows_that_sum_up_days_are_too_coarse_for_shorter_windows(
    view: CustomerView, contracts: dict[str, ExtractContract], covers: int, opened: str, month: str
) -> None:
    fields = frozenset(contracts["complaints"].fields)
    found = statuses(view, contracts, complaints=Delivered(fields, **EVER, row_covers_days=covers))
    assert (str(found["complaints_opened_1d"]), str(found["complaints_30d"])) == (opened, month)


def test_coalesce_needs_one_of_its_arguments(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    mean = Delivered(frozenset({"mean_spend_3m"}), **EVER)
    assert statuses(view, contracts, subscriptions=mean)["bill_total_mean_3m"] is ItemStatus.supplied
    bills = Delivered(frozenset({"total"}), **EVER)
    assert statuses(view, contracts, bills=bills)["bill_total_mean_3m"] is ItemStatus.supplied
    short = Delivered(frozenset({"total"}), date(2026, 5, 1), AS_OF)
    assert statuses(view, contracts, bills=short)["bill_total_mean_3m"] is ItemStatus.short_history
    both = statuses(view, contracts, bills=short, subscriptions=mean)
    assert both["bill_total_mean_3m"] is ItemStatus.supplied


def test_an_item_is_as_bad_as_what_it_rests_on(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    bills = Delivered(frozenset({"total"}), **EVER)
    stale = Delivered(frozenset({"balance"}), date(2026, 1, 1), date(2026, 5, 1))
    found = statuses(view, contracts, bills=bills, balances=stale)
    assert found["spend_per_day"] is ItemStatus.supplied
    assert found["balance_days_left"] is ItemStatus.stale_input
    assert statuses(view, contracts, balances=stale)["balance_days_left"] is ItemStatus.not_supplied


def test_which_absence_is_for_ever() -> None:
    assert [status.is_for_ever for status in ItemStatus] == [True, True, False, False, False, False]


# --- what readers outside rely on --------------------------------------------


def test_what_would_break_readers_needs_a_new_version(project_copy: ProjectCopy) -> None:
    path = "schemas/tables/alerts.yaml"
    for old, new in (
        ("  county: {type: STRING", "  area: {type: STRING"),
        ("  revision: {type: INT,", "  revision: {type: BIGINT,"),
        ("  title_zh: {type: STRING, required: true,", "  title_zh: {type: STRING,"),
        ("partition_by: [dispatch_cycle, dispatch_date]", "partition_by: [dispatch_date]"),
    ):
        project_copy.replace(path, old, new)

    def check() -> None:
        check_released(project_copy.project, load_tables(project_copy.project).values())

    with pytest.raises(ConfigError) as found:
        check()
    assert [str(issue) for issue in found.value.issues] == [
        f"{path} TABLE_BREAKS_READERS readers of version 1 would break: {what}; raise 'version'"
        for what in (
            "column 'county' is gone",
            "column 'revision' was INT and is BIGINT",
            "column 'title_zh' could not be null and can be now",
            "the partitions were dispatch_cycle, dispatch_date and are dispatch_date",
        )
    ]
    project_copy.replace(path, "version: 1", "version: 2")
    check()


def test_columns_may_be_added(project_copy: ProjectCopy) -> None:
    path = "schemas/tables/alerts.yaml"
    project_copy.replace(path, "  county:", "  district: {type: STRING, zh: 区, en: District}\n  county:")
    project_copy.replace(path, "  county: {type: STRING,", "  county: {type: STRING, required: true,")
    check_released(project_copy.project, load_tables(project_copy.project).values())
