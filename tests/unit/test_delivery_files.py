"""Which files are deliveries, which of them are new, and what they speak for."""

import gzip
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs.config.load_source import load_source
from jobs.config.sources import Source
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import SourceError
from jobs.kernel.located_yaml import parse
from jobs.stages.coverage import covered, delivered_at, told_daily
from jobs.stages.deliveries import find_deliveries
from jobs.stages.delivery import Delivery
from jobs.stages.headers import mapping_for
from jobs.stages.judge import _earliest, _latest
from jobs.stages.periods import Named, gaps_between
from jobs.storage.records import FileFacts, look_at

Issues = Callable[[Callable[[], object]], list[str]]
Contracts = dict[str, ExtractContract]
HEADER = "subscription_id,month,total\n"


def source_of(
    contracts: Contracts,
    files: str = "bills_{period}_{sequence}.csv",
    rest: str = "fields: same",
    contract: str = "bills",
) -> Source:
    text = f"source: x\nzh: x\nen: x\nextracts:\n  - contract: {contract}\n    files: '{files}'\n    {rest}\n"
    text += "  - {contract: subscriptions, files: 's_{period}.csv', fields: same}\n"
    source = load_source(parse(text.encode(), "x.yaml"), contracts)
    # Every source needs subscriptions; the files of one contract are enough here.
    alone = source.mapping.model_copy(update={"extracts": source.mapping.extracts[:1]})
    return replace(source, mapping=alone, contracts={contract: contracts[contract]})


def put(folder: Path, name: str, text: str | bytes = HEADER + "S1,2026-05-01,10\n") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def new_deliveries(*arguments: Any) -> list[Delivery]:
    return find_deliveries(*arguments).new


def row(delivery: Delivery, **other: Any) -> dict[str, Any]:
    """The row of the table deliveries that a loaded delivery leaves."""
    return {
        "delivery_id": delivery.delivery_id,
        "contract": delivery.contract,
        "period": delivery.period,
        "part": delivery.part,
        "file": delivery.name,
        "header": list(delivery.facts.header),
        "sequence": delivery.sequence,
        "sha256": delivery.facts.sha256,
        "status": "superseded" if delivery.superseded else "active",
        "covers_from": date(2026, 5, 1),
        "covers_to": date(2026, 5, 31),
        "delivered_on": delivery.delivered_on,
        **other,
    }


def test_a_file_is_a_delivery(contracts: Contracts, tmp_path: Path) -> None:
    path = put(tmp_path, "bills_202605_3.csv", HEADER + "S1,2026-05-01,10\nS2,2026-05-01,20\n")
    [one] = new_deliveries(source_of(contracts), str(tmp_path), [])
    assert (one.contract, one.period, one.part, one.sequence) == ("bills", "202605", "all", 3)
    assert (one.name, one.path) == (path.name, str(path))
    assert (one.facts.header, one.facts.records) == (("subscription_id", "month", "total"), 2)
    assert (one.delivered_on, one.superseded) == (None, False)


def test_a_missing_folder(contracts: Contracts, tmp_path: Path, issues_of: Issues) -> None:
    folder = str(tmp_path / "none")
    assert issues_of(lambda: new_deliveries(source_of(contracts), folder, [])) == [
        f"{folder} FILE_MISSING the folder of extracts is not there"
    ]


def test_a_missing_file(contracts: Contracts, tmp_path: Path, issues_of: Issues) -> None:
    assert issues_of(lambda: new_deliveries(source_of(contracts), str(tmp_path), [])) == [
        f"{tmp_path} FILE_MISSING no file named bills_{{period}}_{{sequence}}.csv for the contract bills"
    ]


def test_a_missing_file_that_fills_several_contracts_is_told_once(
    contracts: Contracts, tmp_path: Path, issues_of: Issues
) -> None:
    source = source_of(contracts)
    [bills] = source.mapping.extracts
    more = [bills, bills.model_copy(update={"contract": "payments"}), bills.model_copy(update={"part": "b"})]
    many = replace(source, mapping=source.mapping.model_copy(update={"extracts": more}))
    assert issues_of(lambda: new_deliveries(many, str(tmp_path), [])) == [
        f"{tmp_path} FILE_MISSING no file named bills_{{period}}_{{sequence}}.csv for the contract bills, payments"
    ]


def test_files_of_earlier_runs_need_not_stay(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_1.csv")
    [one] = new_deliveries(source_of(contracts), str(tmp_path), [])
    (tmp_path / one.name).unlink()
    assert new_deliveries(source_of(contracts), str(tmp_path), [row(one)]) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bills_202605_1_old.csv", "FILE_BAD_NAME the name does not follow bills_{period}_{sequence}.csv"),
        ("bills_2605_1.csv", "FILE_BAD_NAME the name does not follow bills_{period}_{sequence}.csv"),
        ("bills_202613_1.csv", "FILE_BAD_NAME '202613' in the name is not a date"),
        ("bills_20260230_1.csv", "FILE_BAD_NAME '20260230' in the name is not a date"),
    ],
)
def test_a_bad_name(contracts: Contracts, tmp_path: Path, issues_of: Issues, name: str, message: str) -> None:
    path = put(tmp_path, name)
    assert issues_of(lambda: new_deliveries(source_of(contracts), str(tmp_path), [])) == [f"{path} {message}"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("subscription_id,month,totl\n", ["1:3 FILE_BAD_HEADER column 'totl' is not a field of bills (did you mean 'total'?)"]),
        ("subscription_id,month,total,month\n", ["1:2 FILE_BAD_HEADER column 'month' stands there twice"]),
        ("subscription_id,month\n", ["1:1 FILE_BAD_HEADER column 'total' is missing"]),
        ("subscription_id,month,total,用户\n".encode("gbk"), ["1:29 FILE_UNDECODABLE byte 0xd3 is not utf-8"]),
        ("", ["1:1 FILE_BAD_HEADER is empty; expected a header"]),
    ],
)  # fmt: skip
def test_a_bad_header(
    contracts: Contracts, tmp_path: Path, issues_of: Issues, content: str | bytes, expected: list[str]
) -> None:
    path = put(tmp_path, "bills_202605_1.csv", content)
    found = issues_of(lambda: new_deliveries(source_of(contracts), str(tmp_path), []))
    assert found == [f"{path}:{line}" for line in expected]


def test_an_optional_column_may_stand_once_too(
    contracts: Contracts, tmp_path: Path, issues_of: Issues
) -> None:
    put(tmp_path, "bills_202605_1.csv", "subscription_id,month,total,recurring,recurring\n")
    assert issues_of(lambda: new_deliveries(source_of(contracts), str(tmp_path), []))


def test_a_mapped_column_must_be_there(contracts: Contracts, tmp_path: Path, issues_of: Issues) -> None:
    source = source_of(contracts, rest="fields: {subscription_id: 用户, month: 账期, total: number(`金额`)}")
    path = put(tmp_path, "bills_202605_1.csv", "用户编号,账期,金额,备注\n")
    assert issues_of(lambda: new_deliveries(source, str(tmp_path), [])) == [
        f"{path}:1:1 FILE_BAD_HEADER column '用户' is missing (did you mean '用户编号'?)"
    ]
    put(tmp_path, "bills_202605_1.csv", "用户,账期,金额,备注,备注\n")
    assert len(new_deliveries(source, str(tmp_path), [])) == 1


MAPPED = "fields: {subscription_id: 用户, month: 账期, total: 金额, recurring: 月租, back_charge: '-1 * number(`补收`)'}"
ALL = "用户,账期,金额,月租,补收\n"


@pytest.mark.parametrize(
    ("header", "setting", "expected"),
    [
        ("用户,账期,金额,补收\n", "", "column '月租' is missing"),
        ("用户,账期,金额,补收\n", "on_drift: {missing: stop}", "column '月租' is missing"),
        ("用户,账期,金额,补收\n", "on_drift: {missing: warn}", "recurring"),
        ("用户,账期,金额,月租\n", "on_drift: {missing: ignore}", "back_charge"),
        # What every row needs, or what tells the rows that count, must be there.
        ("用户,账期,月租,补收\n", "on_drift: {missing: warn}", "column '金额' is missing"),
        ("用户,账期,金额,补收\n", "where: number(`月租`) > 1\n    on_drift: {missing: warn}",
         "column '月租' is missing"),
    ],
)  # fmt: skip
def test_a_column_that_files_had_is_missed_as_the_mapping_says(
    contracts: Contracts, tmp_path: Path, issues_of: Issues, header: str, setting: str, expected: str
) -> None:
    source = source_of(contracts, rest=f"{MAPPED}\n    {setting}")
    before = put(tmp_path, "bills_202604_1.csv", ALL)
    path = put(tmp_path, "bills_202605_1.csv", header)
    if "missing" in expected:
        found = issues_of(lambda: new_deliveries(source, str(tmp_path), []))
        assert found == [f"{path}:1:1 FILE_BAD_HEADER {expected}"]
        return
    one, other = new_deliveries(source, str(tmp_path), [])
    assert mapping_for(one, contracts["bills"]) == one.mapping
    left = mapping_for(other, contracts["bills"]).fields
    assert isinstance(left, dict) and set(one.mapping.fields) - set(left) == {expected}
    # What an earlier run has loaded tells the same.
    before.unlink()
    assert len(new_deliveries(source, str(tmp_path), [row(one)])) == 1


def test_a_column_that_no_file_has_is_a_mistake_of_the_mapping(
    contracts: Contracts, tmp_path: Path, issues_of: Issues
) -> None:
    source = source_of(contracts, rest=f"{MAPPED}\n    on_drift: {{missing: ignore}}")
    path = put(tmp_path, "bills_202605_1.csv", ALL.replace("月租", "月租费"))
    assert issues_of(lambda: new_deliveries(source, str(tmp_path), [])) == [
        f"{path}:1:1 FILE_BAD_HEADER column '月租' is missing (did you mean '月租费'?)"
    ]


def test_a_column_beyond_the_contract_is_no_mistake(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_1.csv", "subscription_id,month,total,branch_code\n")
    [one] = new_deliveries(source_of(contracts), str(tmp_path), [])
    fields = mapping_for(one, contracts["bills"]).fields
    assert list(fields) == ["subscription_id", "month", "total"]


def test_gbk_and_a_byte_order_mark(contracts: Contracts, tmp_path: Path) -> None:
    fields = "fields: {subscription_id: 用户, month: 账期, total: 金额}"
    put(tmp_path, "bills_202605_1.csv", "用户,账期,金额\r\n".encode("gbk"))
    [one] = new_deliveries(source_of(contracts, rest=f"encoding: gbk\n    {fields}"), str(tmp_path), [])
    assert (one.facts.header, one.facts.records) == (("用户", "账期", "金额"), 0)
    put(tmp_path, "bills_202605_1.csv", b"\xef\xbb\xbf" + "用户,账期,金额\n1,2,3".encode())
    [one] = new_deliveries(source_of(contracts, rest=fields), str(tmp_path), [])
    assert (one.facts.header, one.facts.records) == (("用户", "账期", "金额"), 1)


def test_records_may_span_lines(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_1.csv", HEADER + '"S\n1",2026-05-01,10\nS2,2026-05-01,"2"\n')
    [one] = new_deliveries(source_of(contracts, rest="multiline: true\n    fields: same"), str(tmp_path), [])
    assert one.facts.records == 2


def test_problems_of_all_files_are_told_together(
    contracts: Contracts, tmp_path: Path, issues_of: Issues
) -> None:
    put(tmp_path, "bills_202605_1.csv", "")
    put(tmp_path, "bills_202699_1.csv")
    put(tmp_path, "bills_202604_1.csv")
    found = issues_of(lambda: new_deliveries(source_of(contracts), str(tmp_path), []))
    assert [line.split()[1] for line in found] == ["FILE_BAD_HEADER", "FILE_BAD_NAME"]


def test_the_same_file_again_is_not_new(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_1.csv")
    [one] = new_deliveries(source_of(contracts), str(tmp_path), [])
    assert new_deliveries(source_of(contracts), str(tmp_path), [row(one)]) == []


def test_another_content_or_mapping_is_new(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_1.csv")
    [one] = new_deliveries(source_of(contracts), str(tmp_path), [])
    [mapped] = new_deliveries(
        source_of(contracts, rest="null_marks: ['-']\n    fields: same"), str(tmp_path), [row(one)]
    )
    assert mapped.delivery_id != one.delivery_id
    # What days without a file mean changes nothing in a file.
    unlike = source_of(contracts, rest="gaps: empty\n    fields: same")
    assert new_deliveries(unlike, str(tmp_path), [row(one)]) == []
    put(tmp_path, "bills_202605_1.csv", HEADER + "S1,2026-05-01,11\n")
    [changed] = new_deliveries(source_of(contracts), str(tmp_path), [row(one)])
    assert changed.delivery_id != one.delivery_id
    assert not changed.superseded


def test_of_two_new_deliveries_the_higher_sequence_holds(contracts: Contracts, tmp_path: Path) -> None:
    for sequence in (9, 10, 2):
        put(tmp_path, f"bills_202605_{sequence}.csv", HEADER + f"S1,2026-05-01,{sequence}\n")
    put(tmp_path, "bills_202604_1.csv")
    found = new_deliveries(source_of(contracts), str(tmp_path), [])
    assert {(one.period, one.sequence): one.superseded for one in found} == {
        ("202604", 1): False, ("202605", 2): True, ("202605", 9): True, ("202605", 10): False
    }  # fmt: skip


def test_a_correction_replaces_what_is_loaded(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_1.csv")
    [first] = new_deliveries(source_of(contracts), str(tmp_path), [])
    put(tmp_path, "bills_202605_2.csv")
    [second] = new_deliveries(source_of(contracts), str(tmp_path), [row(first)])
    assert (second.sequence, second.superseded, second.slot) == (2, False, first.slot)


def test_another_name_in_the_place_of_what_is_loaded_is_a_mistake(
    contracts: Contracts, tmp_path: Path, issues_of: Issues
) -> None:
    """Whether or not the file that was loaded is still there: its rows would go without a word."""
    source = source_of(contracts, "bills_{period}*.csv")
    path = put(tmp_path, "bills_202605_b.csv")
    [first] = new_deliveries(source, str(tmp_path), [])
    other = put(tmp_path, "bills_202605_a.csv", HEADER + "S2,2026-05-01,20\n")
    says = "is a delivery of the same contract, period and part as {}; tell them apart by {{part}}, or by"
    [issue] = issues_of(lambda: new_deliveries(source, str(tmp_path), []))
    assert issue.startswith(f"{path} FILE_BAD_NAME {says.format(other.name)}")
    path.unlink()
    [issue] = issues_of(lambda: new_deliveries(source, str(tmp_path), [row(first)]))
    assert issue.startswith(f"{other} FILE_BAD_NAME {says.format(path.name)}")
    # What a correction has taken the place of stands in nobody's way.
    [found] = new_deliveries(source, str(tmp_path), [row(first, status="superseded")])
    assert found.name == other.name
    # The same file may be called otherwise, and may lie there twice.
    other.unlink()
    put(tmp_path, "bills_202605_c.csv")
    assert new_deliveries(source, str(tmp_path), [row(first)]) == []
    twice = put(tmp_path, "bills_202605_d.csv")
    found = find_deliveries(source, str(tmp_path), [])
    assert [one.name for one in found.new] == ["bills_202605_c.csv"]
    assert [str(one) for one in found.waiting] == [
        f"{twice} FILE_BAD_NAME holds the same as bills_202605_c.csv, which stands for it"
    ]


def test_a_file_that_the_mapping_puts_elsewhere_is_a_mistake(
    contracts: Contracts, tmp_path: Path, issues_of: Issues
) -> None:
    """Its rows would be there twice."""
    put(tmp_path, "bills_202605_south.csv")
    [first] = new_deliveries(source_of(contracts, "bills_{period}_*.csv"), str(tmp_path), [])
    put(tmp_path, "bills_202605_north.csv", HEADER + "S2,2026-05-01,20\n")
    parted = source_of(contracts, "bills_{period}_{part}.csv")
    [issue] = issues_of(lambda: new_deliveries(parted, str(tmp_path), [row(first)]))
    assert issue.startswith(
        "FILE_BAD_NAME bills_202605_south.csv was loaded as period 202605 and part all, which"
    )
    # While a file is still written, nobody can say that it will not be where it was.
    controlled = source_of(
        contracts, "bills_{period}_{part}.csv", rest="control: {file: '{file}.ok'}\n    fields: same"
    )
    (tmp_path / "bills_202605_north.csv.ok").touch()
    found = find_deliveries(controlled, str(tmp_path), [row(first)])
    assert [one.name for one in found.new] == ["bills_202605_north.csv"]
    assert [str(one).split(" ")[1] for one in found.waiting] == ["FILE_INCOMPLETE"]
    (tmp_path / "bills_202605_north.csv.ok").unlink()
    # As the message says: each has an extract of its own.
    (tmp_path / "bills_202605_north.csv").rename(tmp_path / "bills_north_202605.csv")
    kept = source_of(contracts, "bills_{period}_south.csv", rest="part: all\n    fields: same")
    [again] = new_deliveries(kept, str(tmp_path), [row(first)])
    assert again.slot == first.slot
    # A file may fill several parts, of which one is read no more.
    (tmp_path / "bills_north_202605.csv").unlink()
    other = row(first, part="other", delivery_id="x")
    assert (
        new_deliveries(source_of(contracts, "bills_{period}_*.csv"), str(tmp_path), [row(first), other]) == []
    )


def test_an_older_sequence_that_comes_late_is_superseded(contracts: Contracts, tmp_path: Path) -> None:
    put(tmp_path, "bills_202605_2.csv")
    [second] = new_deliveries(source_of(contracts), str(tmp_path), [])
    put(tmp_path, "bills_202605_1.csv")
    [first] = new_deliveries(source_of(contracts), str(tmp_path), [row(second)])
    assert (first.sequence, first.superseded) == (1, True)


def test_what_holds_is_loaded_again_after_a_kill_also_beside_an_older_file(
    contracts: Contracts, tmp_path: Path
) -> None:
    put(tmp_path, "bills_202605_2.csv")
    [second] = new_deliveries(source_of(contracts), str(tmp_path), [])
    put(tmp_path, "bills_202605_1.csv")
    found = find_deliveries(source_of(contracts), str(tmp_path), [row(second)], disturbed={second.slot})
    assert [(one.sequence, one.superseded) for one in found.new] == [(1, True), (2, False)]


def test_parts_do_not_replace_each_other(contracts: Contracts, tmp_path: Path) -> None:
    for part in ("north", "south"):
        put(tmp_path, f"bills_{part}_202605.csv")
    found = new_deliveries(source_of(contracts, "bills_{part}_{period}.csv"), str(tmp_path), [])
    assert [(one.part, one.superseded) for one in found] == [("north", False), ("south", False)]


def test_of_two_delivery_dates_the_later_holds(contracts: Contracts, tmp_path: Path) -> None:
    for day in ("20260603", "20260610"):
        put(tmp_path, f"bills_202605_{day}.csv")
    found = new_deliveries(source_of(contracts, "bills_{period}_{delivered}.csv"), str(tmp_path), [])
    assert [(one.delivered_on, one.superseded) for one in found] == [
        (date(2026, 6, 3), True), (date(2026, 6, 10), False)
    ]  # fmt: skip


def test_an_earlier_delivery_date_that_comes_late_is_superseded(contracts: Contracts, tmp_path: Path) -> None:
    source = source_of(contracts, "bills_{period}_{delivered}.csv")
    put(tmp_path, "bills_202605_20260610.csv")
    [later] = new_deliveries(source, str(tmp_path), [])
    put(tmp_path, "bills_202605_20260603.csv")
    [earlier] = new_deliveries(source, str(tmp_path), [row(later)])
    assert earlier.superseded


# --- what a delivery speaks for ----------------------------------------------


@pytest.fixture
def delivery(contracts: Contracts, tmp_path: Path) -> Delivery:
    put(tmp_path, "bills_202605_1.csv")
    return new_deliveries(source_of(contracts), str(tmp_path), [])[0]


def test_a_day_file_of_events_speaks_for_its_day(delivery: Delivery, contracts: Contracts) -> None:
    day = replace(delivery, period="20260531")
    expected = (date(2026, 5, 31), date(2026, 5, 31))
    assert covered(day, contracts["complaints"], None, None) == expected
    assert covered(day, contracts["complaints"], date(2026, 5, 29), date(2026, 5, 30)) == expected


def test_other_files_speak_for_what_their_rows_say(delivery: Delivery, contracts: Contracts) -> None:
    first, last = date(2026, 5, 3), date(2026, 5, 20)
    assert covered(delivery, contracts["complaints"], first, last) == (first, last)
    assert covered(delivery, contracts["complaints"], None, None) == (None, None)
    day = replace(delivery, period="20260531")
    assert covered(day, contracts["balances"], first, last) == (first, last)


def test_a_month_file_speaks_from_the_first_of_its_month(delivery: Delivery, contracts: Contracts) -> None:
    assert covered(delivery, contracts["bills"], date(2026, 5, 31), date(2026, 5, 31)) == (
        date(2026, 5, 1), date(2026, 5, 31)
    )  # fmt: skip


def test_rows_that_sum_up_days_speak_for_all_of_them(delivery: Delivery, contracts: Contracts) -> None:
    monthly = replace(delivery, mapping=delivery.mapping.model_copy(update={"row_covers_days": 30}))
    assert covered(monthly, contracts["complaints"], date(2026, 5, 31), date(2026, 5, 31)) == (
        date(2026, 5, 2), date(2026, 5, 31)
    )  # fmt: skip


CYCLE = Cycle(CycleKind.daily, date(2026, 5, 31), date(2026, 6, 1))


@pytest.mark.parametrize(
    ("other", "first", "last"),
    [
        ({}, "2026-05-01", "2026-05-31"),
        ({"covers_to": date(2026, 6, 30)}, "2026-05-01", "2026-05-31"),
        ({"covers_from": date(2026, 6, 1), "covers_to": date(2026, 6, 1)}, None, None),
        ({"delivered_on": date(2026, 6, 1)}, "2026-05-01", "2026-05-31"),
        ({"delivered_on": date(2026, 6, 2)}, None, None),
        ({"status": "superseded"}, None, None),
        ({"covers_from": None, "covers_to": None}, None, None),
        ({"contract": "balances"}, None, None),
        ({"covers_from": date(2026, 5, 31), "covers_to": date(2026, 5, 31)}, "2026-05-31", "2026-05-31"),
    ],
)
def test_delivered_at_a_cutoff(
    delivery: Delivery, contracts: Contracts, other: dict[str, Any], first: str | None, last: str | None
) -> None:
    assert contracts["bills"].available_after_days == 1
    source = source_of(contracts)
    found = delivered_at([row(delivery, **other)], source, source.contracts, CYCLE)["bills"]
    expected = tuple(date.fromisoformat(text) if text else None for text in (first, last))
    assert (found.data_from, found.data_until) == expected
    assert found.fields == source.fields_of("bills")


def test_rows_that_take_days_to_arrive_are_not_known_yet(delivery: Delivery, contracts: Contracts) -> None:
    slow = contracts["bills"].model_copy(update={"available_after_days": 4})
    source = source_of(contracts)
    found = delivered_at([row(delivery)], source, {"bills": slow}, CYCLE)["bills"]
    assert (found.data_from, found.data_until) == (date(2026, 5, 1), date(2026, 5, 28))


def test_several_deliveries_are_spanned(delivery: Delivery, contracts: Contracts) -> None:
    rows = [
        row(delivery, covers_from=date(2026, month, 1), covers_to=date(2026, month, 28))
        for month in (3, 1, 2)
    ]
    source = source_of(contracts)
    found = delivered_at(rows, source, source.contracts, CYCLE)["bills"]
    assert (found.data_from, found.data_until) == (date(2026, 1, 1), date(2026, 3, 28))


CONTROL = r"""control: {file: '{stem}.ctl', records: 'rows=([0-9]+)', md5: 'md5=(\S+)'}
    fields: same"""


def told(path: Path, records: object, md5: str | None = None) -> None:
    digest = hashlib.md5(path.read_bytes()).hexdigest() if md5 is None else md5
    path.with_suffix(".ctl").write_text(f"name={path.name}\nrows={records}\nmd5={digest}\n", encoding="utf-8")


def test_a_file_waits_for_its_control_file(contracts: Contracts, tmp_path: Path) -> None:
    source = source_of(contracts, rest=CONTROL)
    path = put(tmp_path, "bills_202605_1.csv")
    found = find_deliveries(source, str(tmp_path), [])
    assert found.new == []
    assert [str(issue) for issue in found.waiting] == [
        f"{path} FILE_INCOMPLETE waits for its control file bills_202605_1.ctl"
    ]
    told(path, "001")
    found = find_deliveries(source, str(tmp_path), [])
    assert [one.name for one in found.new] == [path.name] and found.waiting == []
    # The same file is the same delivery whether or not a control file told that it was whole.
    [plain] = new_deliveries(source_of(contracts), str(tmp_path), [])
    assert plain.delivery_id == found.new[0].delivery_id


def test_a_control_file_that_is_none_leaves_the_file_alone(contracts: Contracts, tmp_path: Path) -> None:
    rest = "fields: same\n    control: {file: '{file}.ctl', records: 'rows=(\\d+)'}"
    put(tmp_path, "bills_202605_1.csv")
    (tmp_path / "bills_202605_1.csv.ctl").mkdir()
    found = find_deliveries(source_of(contracts, rest=rest), str(tmp_path), [])
    assert found.new == []
    [waiting] = found.waiting
    assert waiting.message == "its control file bills_202605_1.csv.ctl cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("records", "md5", "says"),
    [
        (2, None, "has records 1, but its control file tells 2"),
        (1, "0" * 32, "but its control file tells " + "0" * 32),
        ("many", None, "its control file bills_202605_1.ctl does not tell its records"),
    ],
)
def test_a_file_that_disagrees_with_its_control_file_is_left_alone(
    contracts: Contracts, tmp_path: Path, records: object, md5: str | None, says: str
) -> None:
    told(put(tmp_path, "bills_202605_1.csv"), records, md5)
    other = put(tmp_path, "bills_202604_1.csv", HEADER + "S1,2026-04-01,10\n")
    told(other, 1)
    found = find_deliveries(source_of(contracts, rest=CONTROL), str(tmp_path), [])
    assert [one.name for one in found.new] == [other.name]
    [issue] = found.waiting
    assert issue.code == "FILE_INCOMPLETE" and says in issue.message


def test_a_control_file_may_count_the_header_and_tell_a_sha256(contracts: Contracts, tmp_path: Path) -> None:
    rest = r"""control: {file: '{stem}.ctl', records: 'rows=([0-9]+)', counts_header: true, sha256: 'sha=(\S+)'}
    fields: same"""
    source = source_of(contracts, rest=rest)
    path = put(tmp_path, "bills_202605_1.csv")
    control, digest = path.with_suffix(".ctl"), hashlib.sha256(path.read_bytes()).hexdigest()
    control.write_text(f"rows=2 sha={digest.upper()}\n", encoding="utf-8")
    assert [one.name for one in find_deliveries(source, str(tmp_path), []).new] == [path.name]
    for told_, says in ((f"rows=1 sha={digest}", "has records 2"), (f"rows=2 sha={'0' * 64}", "has sha256")):
        control.write_text(told_, encoding="utf-8")
        found = find_deliveries(source, str(tmp_path), [])
        assert found.new == [] and says in found.waiting[0].message


WHOLE = gzip.compress(HEADER.encode() + b"S1,2026-05-01,10\n" * 99, mtime=0)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty; expected a header"), (WHOLE[:40], "cannot be unpacked: ")]
)
def test_half_a_file_with_its_control_file_is_left_alone(
    contracts: Contracts, tmp_path: Path, content: bytes, says: str
) -> None:
    """What cannot be read may be half there; without a control file it is a mistake."""
    ending = "csv.gz" if content else "csv"
    files = f"bills_{{period}}_{{sequence}}.{ending}"
    with_control = source_of(contracts, files, CONTROL.replace("{stem}.ctl", "{file}.ok"))
    path = put(tmp_path, f"bills_202605_1.{ending}", content)
    path.with_name(f"{path.name}.ok").write_text("rows=99\nmd5=0\n", encoding="utf-8")
    found = find_deliveries(with_control, str(tmp_path), [])
    assert found.new == []
    [issue] = found.waiting
    assert issue.code == "FILE_INCOMPLETE" and issue.message.startswith(
        "does not agree with its control file"
    )
    assert says in issue.message
    with pytest.raises(SourceError):
        find_deliveries(source_of(contracts, files), str(tmp_path), [])


@pytest.mark.parametrize("name", ["bills_202605_1.csv.gz", "bills_202605_1.csv"])
@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_cannot_be_read_is_watched_for_a_while(
    contracts: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: bool
) -> None:
    """Half an archive, and a file that has just been begun; one that lies there for long is refused at once."""
    whole = (
        gzip.compress((HEADER + "S1,2026-05-01,10\n").encode()) if name.endswith("gz") else HEADER.encode()
    )
    path = put(tmp_path, name, whole[:20] if name.endswith("gz") else b"")
    if old:
        os.utime(path, (time.time() - 600,) * 2)

    def wait(seconds: float) -> None:
        with path.open("ab") as file:
            file.write(whole[20:])

    monkeypatch.setattr(time, "sleep", wait)
    source = source_of(contracts, name.replace("202605", "{period}").replace("1", "{sequence}"))
    if old:
        with pytest.raises(SourceError) as caught:
            find_deliveries(source, str(tmp_path), [])
        assert caught.value.codes == ["FILE_UNDECODABLE" if name.endswith("gz") else "FILE_BAD_HEADER"]
        return
    found = find_deliveries(source, str(tmp_path), [])
    assert found.new == []
    assert [issue.message for issue in found.waiting] == ["is still being written: its size changes"]
    if name.endswith("gz"):
        assert len(find_deliveries(source, str(tmp_path), []).new) == 1


def test_a_file_that_grows_while_it_is_read_is_left_alone(
    contracts: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "bills_202605_1.csv")

    def grows(*arguments: Any) -> FileFacts:
        facts = look_at(*arguments)
        with path.open("a", encoding="utf-8") as file:
            file.write("S2,2026-05-01,20\n")
        return facts

    monkeypatch.setattr("jobs.stages.whole_files.look_at", grows)
    found = find_deliveries(source_of(contracts), str(tmp_path), [])
    assert found.new == []
    assert [issue.message for issue in found.waiting] == ["is still being written: its size changes"]


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ("{file: done.ctl}", "must hold {file} or {stem}"),
        ("{file: '{file}.{kind}'}", "must hold {file} or {stem}, and no other placeholder"),
        ("{file: '{file}.ok', records: '[0-9]+'}", "has 0 groups, not one"),
        ("{file: '{file}.ok', md5: '('}", "is not a regular expression"),
        ("{file: '{file}.ok', crc: '(x)'}", "'crc' is not known here"),
    ],
)
def test_a_control_file_that_cannot_be_meant_is_refused(
    contracts: Contracts, issues_of: Issues, control: str, says: str
) -> None:
    [issue] = issues_of(lambda: source_of(contracts, rest=f"control: {control}\n    fields: same"))
    assert issue.startswith("x.yaml:7:") and says in issue


@pytest.mark.parametrize(
    ("periods", "days", "expected"),
    [
        (["202601", "202602", "202603"], 1, []),
        (["202512", "202602"], 1, [(date(2026, 1, 1), date(2026, 1, 31))]),
        # Days after a month's file, and a month's file over days.
        (["202602", "20260301", "20260303"], 1, [(date(2026, 3, 2), date(2026, 3, 2))]),
        (["20260228", "20260302", "202603"], 1, []),
        (["20260227", "20260301", "202604"], 1, [
            (date(2026, 2, 28), date(2026, 2, 28)), (date(2026, 3, 2), date(2026, 3, 31))]),
        (["20260301", "20260308", "20260315"], 7, []),
        (["20260301", "20260308", "20260322"], 7, [(date(2026, 3, 9), date(2026, 3, 15))]),
        (["202603"], 1, []),
    ],
)  # fmt: skip
def test_gaps_between_deliveries(
    contracts: Contracts, periods: list[str], days: int, expected: list[tuple[date, date]]
) -> None:
    rest = f"row_covers_days: {days}\n    fields: same"
    event = {**contracts, "bills": contracts["bills"].model_copy(update={"grain": "event"})}
    source = replace(source_of(contracts, rest=rest), contracts=event)
    for order in (periods, periods[::-1]):
        found = gaps_between(
            source, [Named("bills", f"bills_{period}_1.csv", "all", period) for period in order]
        )
        assert [(gap.first, gap.last) for gap in found] == expected
    # Each part has files of its own; what the mapping calls empty is no gap.
    shared = replace(source_of(contracts, "bills_{period}_{part}.csv", rest), contracts=event)
    parts = [
        Named("bills", f"bills_{period}_{part}.csv", part, period)
        for part in ("a", "b")
        for period in periods
        if part == "a" or period == periods[0]
    ]
    assert [(gap.first, gap.last) for gap in gaps_between(shared, parts)] == expected
    empty = source_of(contracts, rest=f"gaps: empty\n    {rest}")
    assert not gaps_between(
        empty, [Named("bills", f"bills_{period}_1.csv", "all", period) for period in periods]
    )


def test_a_file_of_months_is_its_months_whatever_day_it_is_named_by(contracts: Contracts) -> None:
    source = source_of(contracts)
    days = ["20260301", "20260402", "20260601"]
    found = gaps_between(source, [Named("bills", f"bills_{day}_1.csv", "all", day) for day in days])
    assert [(gap.first, gap.last, gap.name) for gap in found] == [
        (date(2026, 5, 1), date(2026, 5, 31), "bills_202605_*.csv")
    ]


@pytest.mark.parametrize("period", ["202605", "20260501", "20260517", "20260531"])
def test_a_file_of_months_may_have_the_rows_of_its_month(
    contracts: Contracts, tmp_path: Path, period: str
) -> None:
    """Whatever day it is named by; a day more, as sources cut their days differently."""
    put(tmp_path, f"bills_{period}_1.csv")
    [one] = new_deliveries(
        source_of(contracts, rest="fields: same\n    late_after_days: 31"), str(tmp_path), []
    )
    assert _latest([(0, one)], contracts["bills"]) == {0: date(2026, 6, 1)}
    assert _earliest([(0, one)], contracts["bills"]) == {0: date(2026, 3, 31)}


def test_a_delivery_without_rows_is_no_gap(contracts: Contracts, tmp_path: Path) -> None:
    source = source_of(contracts)
    for month in ("202603", "202604", "202605"):
        put(tmp_path, f"bills_{month}_1.csv")
    rows = [row(one) for one in new_deliveries(source, str(tmp_path), [])]
    for one, first in zip(rows, (3, 4, 5), strict=True):
        one |= {"covers_from": date(2026, first, 1), "covers_to": date(2026, first, 28)}
    assert delivered_at(rows, source, source.contracts, CYCLE)["bills"].gaps == ()
    del rows[1]
    april = (date(2026, 4, 1), date(2026, 4, 30))
    assert delivered_at(rows, source, source.contracts, CYCLE)["bills"].gaps == (april,)
    empty = {
        **rows[0],
        "period": "202604",
        "file": "bills_202604_1.csv",
        "covers_from": None,
        "covers_to": None,
    }
    assert delivered_at([*rows, empty], source, source.contracts, CYCLE)["bills"].gaps == ()


@pytest.mark.parametrize(
    ("contract", "rest", "periods", "daily"),
    [
        ("complaints", "fields: same", ["20260530", "20260531"], True),
        # Once a file of days came; the newest is that of a month, cut off we do not know where.
        ("complaints", "fields: same", ["20260430", "202605"], False),
        ("complaints", "fields: same", ["202604", "20260501"], True),
        ("complaints", "gaps: empty\n    fields: same", ["20260530", "20260531"], False),
        ("complaints", "row_covers_days: 7\n    fields: same", ["20260524", "20260531"], False),
        ("bills", "fields: same", ["20260531"], False),
        ("balances", "fields: same", ["20260531"], False),
        ("complaints", "fields: same", [], False),
    ],
)
def test_files_of_days_tell_of_every_day_up_to_the_newest(
    contracts: Contracts, contract: str, rest: str, periods: list[str], daily: bool
) -> None:
    source = source_of(contracts, f"{contract}_{{period}}_{{sequence}}.csv", rest, contract)
    rows = [
        {"contract": contract, "part": "all", "period": period, "status": "active",
         "file": f"{contract}_{period}_1.csv"}
        for period in periods
    ]  # fmt: skip
    assert told_daily(rows, source, contract) is daily
    # A file that another one has replaced says nothing.
    assert not told_daily([one | {"status": "superseded"} for one in rows], source, contract)
