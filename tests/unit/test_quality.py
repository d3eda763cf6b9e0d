"""Deliveries as a whole: figures against plain sums, suites of Great Expectations, drift of columns."""

from __future__ import annotations

import statistics
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from projectcopy import ProjectCopy

from jobs.contracts.extracts import ExtractContract, load_contracts, read_contract
from jobs.contracts.quality import Check
from jobs.kernel.errors import ConfigError
from jobs.kernel.located_yaml import parse
from jobs.kernel.project import Project
from jobs.stages.delivery import Delivery
from jobs.stages.drift import _before, drift_of
from jobs.stages.expectations import Validator, expectations_of
from jobs.stages.judge import Batch, Counts
from jobs.stages.quality import _figures, _sentence

CONTRACT = """
contract: calls
version: 1
zh: 通话
en: Calls
grain: event
event_date: day
key: [id]
available_after_days: 1
freshness_days: 3
references: {who: {to: people, within: 0.1}}
quality: {rows: {least: 2, most: 5000}, volume: {within: 0.2, breach: stop}, drift: {within: 0.25}}
fields:
  id: {type: string, required: true, zh: 编号, en: Id}
  who: {type: string, required: true, zh: 谁, en: Who}
  day: {type: date, required: true, zh: 日期, en: Day}
  kind: {type: string, values: [out, in], zh: 类型, en: Kind}
  seconds: {type: integer, required: true, zh: 秒, en: Seconds}
"""


@pytest.fixture
def contract() -> ExtractContract:
    return read_contract(parse(CONTRACT.encode(), "calls.yaml"))


def delivery(name: str, period: str, sequence: int = 0, **facts: object) -> Delivery:
    class Facts:
        header = names = cast("tuple[str, ...]", facts.get("header", ()))

    none: Any = None
    return Delivery(
        name, "s", "calls", none, "", f"/x/{name}", name, period, "all", sequence, None, cast(Any, Facts())
    )


def profiled(rows: list[tuple[str | None, int]]) -> dict[str, Decimal]:
    kinds = [kind for kind, _ in rows]
    seconds = [Decimal(second) for _, second in rows]
    return {
        "nulls:kind": Decimal(kinds.count(None)),
        "code:kind=out": Decimal(kinds.count("out")),
        "code:kind=in": Decimal(kinds.count("in")),
        "sum:seconds": sum(seconds, Decimal(0)),
        "squares:seconds": sum((one * one for one in seconds), Decimal(0)),
    }


USUAL: list[tuple[str | None, int]] = [("out", 10), ("in", 20), ("out", 30), (None, 60)] * 50
ODD: list[tuple[str | None, int]] = [("in", 100), (None, 300)] * 150


def batch_of(contract: ExtractContract, **rows: list[tuple[str | None, int]]) -> Batch:
    deliveries = [delivery(name, name[1:]) for name in rows]
    counts = {name: Counts(len(mine), 0, 0, None, None, (), profiled(mine)) for name, mine in rows.items()}
    return Batch(contract, deliveries, cast(Any, None), counts)


def test_figures_are_differences_from_the_last_four(contract: ExtractContract) -> None:
    batch = batch_of(contract, d20260505=USUAL, d20260506=ODD)
    known = [
        {
            "contract": "calls", "part": "all", "status": status, "period": period,
            # One that was replaced, or is of another kind of period, tells nothing of what is usual.
            "rows_read": 210 if status == "active" and len(period) == 8 else 9_999,
            "rows_quarantined": 10, "profile": profiled(USUAL if status == "active" and len(period) == 8 else ODD),
        }
        for period, status in [("20260501", "active"), ("20260502", "active"), ("20260503", "superseded"),
                               ("20260504", "active"), ("202604", "active")]
    ]  # fmt: skip
    first = _figures(batch, batch.deliveries[0], known)
    assert first == {
        "rows": 200.0, "volume": 1.0, "freshness": None, "nulls:kind": 0.0, "drift:kind": 0.0, "drift:seconds": 0.0,
        "references:who": None,
    }  # fmt: skip
    profile = cast("dict[str, Decimal]", batch.counts["d20260506"].profile)
    profile["unknown:who"] = Decimal(90)
    second = _figures(batch, batch.deliveries[1], known)
    seconds = [second for _, second in USUAL]
    assert second["volume"] == pytest.approx(300 / 200)
    assert second["nulls:kind"] == pytest.approx(1 / 2 - 1 / 4)
    # Of the codes two in three were out; now there are none.
    assert second["drift:kind"] == pytest.approx(2 / 3)
    difference = abs(200 - statistics.fmean(seconds)) / statistics.pstdev(seconds)
    assert second["drift:seconds"] == pytest.approx(difference)
    assert second["references:who"] == 0.3


def test_the_last_four_are_the_newest_of_the_same_part(contract: ExtractContract) -> None:
    """Older ones, and those of another part, would tell another story."""
    batch = batch_of(contract, d20260520=USUAL, d20260519=ODD)
    south = replace(batch.deliveries[1], part="south")
    batch = replace(batch, deliveries=[batch.deliveries[0], south])
    days = [f"202605{day:02}" for day in range(1, 9)]
    known = [
        {
            "contract": "calls", "part": part, "status": "active", "period": day, "rows_quarantined": 0,
            "rows_read": 200 if part == "all" and day >= "20260505" else 9_999,
            "profile": profiled(USUAL if part == "all" and day >= "20260505" else ODD),
        }
        for day in [*days, "20260518"] for part in (("south",) if day == "20260518" else ("all", "south"))
    ]  # fmt: skip
    found = _figures(batch, batch.deliveries[0], known)
    assert (found["volume"], found["nulls:kind"], found["drift:kind"], found["drift:seconds"]) == (1, 0, 0, 0)


def test_all_of_many_deliveries_that_breach_are_told(contract: ExtractContract) -> None:
    """Great Expectations itself lists two hundred."""
    expected = expectations_of(contract)
    figures = [{"volume": 3.0 + number / 1000, "rows": 200.0} for number in range(365)]
    figures[7] = {"volume": 1.0, "rows": 200.0}
    unmet = Validator().failed(contract, expected, figures)
    assert [[one.column for one in mine] for mine in unmet] == [
        [] if number == 7 else ["volume"] for number in range(365)
    ]


def test_what_is_not_kept_of_a_person_may_not_come_empty_either(project: Project) -> None:
    contracts = load_contracts(project)
    expected = {one.column for name in ("customers", "terminals") for one in expectations_of(contracts[name])}
    assert {"nulls:name", "nulls:birth_date", "nulls:imei"} <= expected


def test_a_first_delivery_and_a_small_one_have_nothing_to_be_compared_with(contract: ExtractContract) -> None:
    rows = {"d20260501": ODD * 9, "d20260502": ODD, "d20260503": [("out", 1)], "d20260504": USUAL}
    batch = batch_of(contract, **rows)
    first, second, third, _ = (_figures(batch, one, []) for one in batch.deliveries)
    assert first.pop("rows") == len(ODD) * 9 and set(first.values()) == {None}
    # What the first of all brought is no volume to go by, but it is a distribution.
    assert second["volume"] is None and second["drift:seconds"] == 0.0
    # One row is a fall in volume, but no distribution.
    assert third["volume"] == pytest.approx(1 / 300)
    assert third["nulls:kind"] is None and third["drift:seconds"] is None


@pytest.mark.parametrize(
    ("now", "least", "most"),
    [
        pytest.param([5] * 200, 0, 0, id="the same"),
        pytest.param([6] * 200, 1_000, 1_000, id="another constant"),
        # One row in 200 moves the mean by a fraction of what the number varies now.
        pytest.param([5] * 199 + [6], 0.05, 0.1, id="one row"),
        pytest.param([5] * 100 + [9] * 100, 0.9, 1.1, id="half of the rows"),
    ],
)
def test_drift_of_a_number_that_was_always_the_same(
    contract: ExtractContract, now: list[int], least: float, most: float
) -> None:
    rows: dict[str, list[tuple[str | None, int]]] = {
        "d20260501": [("out", 5)] * 200,
        "d20260502": [("out", one) for one in now],
    }
    batch = batch_of(contract, **rows)
    found = _figures(batch, batch.deliveries[1], [])["drift:seconds"]
    assert found is not None and least <= found <= most


def test_suites_find_the_delivery_and_the_expectation(contract: ExtractContract, tmp_path: Path) -> None:
    batch = batch_of(contract, d20260504=USUAL, d20260505=USUAL, d20260506=USUAL, d20260507=ODD)
    cast("dict[str, Decimal]", batch.counts["d20260506"].profile)["unknown:who"] = Decimal(20)
    figures = [_figures(batch, one, []) for one in batch.deliveries]
    assert figures[2]["references:who"] == 0.1
    validator = Validator()
    unmet = validator.failed(contract, expectations_of(contract), figures)
    assert [[one.column for one in mine] for mine in unmet] == [
        [],
        [],
        [],
        ["volume", "nulls:kind", "drift:kind", "drift:seconds"],
    ]
    assert [one.breach for one in unmet[3]] == ["stop", "warn", "warn", "warn"]
    assert _sentence(unmet[3][0], figures[3]["volume"]) == (
        "has 150% of the mean rows of the last 4; expected 80% to 120%"
    )
    validator.write_docs(tmp_path / "docs")
    pages = sorted(path.name for path in (tmp_path / "docs").rglob("*.html"))
    assert "index.html" in pages and "calls.html" in pages
    text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "docs").rglob("*.html"))
    assert "drift:kind" in text


def test_every_contract_makes_a_suite_that_runs(project: Project) -> None:
    validator = Validator()
    for one in load_contracts(project).values():
        expected = expectations_of(one)
        columns = [each.column for each in expected]
        assert len(columns) == len(set(columns))
        # What is not known breaches nothing; far too much breaches everything that has an upper bound.
        figures = [dict.fromkeys(columns), dict.fromkeys(columns, 1e6)]
        unmet = validator.failed(one, expected, figures)
        bounded = [each.column for each in expected if each.most is not None]
        assert [[each.column for each in mine] for mine in unmet] == [[], bounded]


def test_rows_have_bounds_of_their_own(contract: ExtractContract, project: Project) -> None:
    """Which hold for the first delivery too, and for one without rows."""
    batch = batch_of(contract, d20260501=[("out", 1)], d20260502=USUAL, d20260503=USUAL * 26)
    figures = [_figures(batch, one, []) for one in batch.deliveries]
    expected = [one for one in expectations_of(contract) if one.check == "rows"]
    unmet = Validator().failed(contract, expected, figures)
    assert [len(mine) for mine in unmet] == [1, 0, 1]
    assert _sentence(expected[0], figures[0]["rows"]) == "has 1 rows; expected at least 2 and at most 5,000"
    empty = [dict.fromkeys(figures[0]) | {"rows": 0.0}]
    assert [one.column for one in Validator().failed(contract, expected, empty)[0]] == ["rows"]
    rows = {name: one.quality.rows for name, one in load_contracts(project).items()}
    with_least = {name: one.breach for name, one in rows.items() if one is not None and one.least == 1}
    assert with_least == {
        "balances": "warn", "bills": "warn", "usage_monthly": "warn",
        **dict.fromkeys(("cities", "destination_tariffs", "device_catalogue", "holidays", "managers",
                         "number_segments", "operator_totals", "service_catalogue",
                         "tariff_plans"), "stop"),
    }  # fmt: skip


def test_volume_of_states_is_expected_only_where_the_contract_says_so(project: Project) -> None:
    contracts = load_contracts(project)
    checks = {name: {one.check for one in expectations_of(each)} for name, each in contracts.items()}
    assert "volume" not in checks["subscriptions"] and "volume" in checks["voice_usage"]
    state = contracts["subscriptions"]
    asked = state.model_copy(update={"quality": type(state.quality)(volume=Check(within=0.1))})
    assert "volume" in {one.check for one in expectations_of(asked)}


def test_expectations_do_not_decide_how_rows_are_read(contract: ExtractContract) -> None:
    other = read_contract(parse(CONTRACT.replace("0.25", "0.5").encode(), "calls.yaml"))
    assert other != contract and other.fingerprint == contract.fingerprint


def test_a_row_refused_for_its_reference_breaches_nothing_else(contract: ExtractContract) -> None:
    strict = read_contract(
        parse(CONTRACT.replace("within: 0.1", "breach: quarantine").encode(), "calls.yaml")
    )
    assert "references:who" not in {one.column for one in expectations_of(strict)}
    # Unlike an expectation it decides how rows are read, so that files are read again.
    assert strict.fingerprint != contract.fingerprint


def test_states_are_never_late(contract: ExtractContract) -> None:
    text = CONTRACT.replace("grain: event", "grain: state\nlate_after_days: 3").replace(
        "event_date", "effective_date"
    )
    with pytest.raises(ConfigError) as caught:
        read_contract(parse(text.encode(), "calls.yaml"))
    assert [one.message for one in caught.value.issues] == ["rows of grain state are never late"]


def test_contracts_that_refer_to_each_other_are_refused(project_copy: ProjectCopy) -> None:
    refers = "references: {county: {to: accounts}}\nfields:"
    project_copy.replace("schemas/extracts/customers.yaml", "fields:", refers)
    with pytest.raises(ConfigError) as caught:
        load_contracts(project_copy.project)
    assert {one.message for one in caught.value.issues} == {
        "'accounts' refers back to 'customers': neither could be read first",
        "'customers' refers back to 'accounts': neither could be read first",
    }


def test_a_reference_names_a_field_and_a_contract(project: Project) -> None:
    with pytest.raises(ConfigError) as caught:
        read_contract(parse(CONTRACT.replace("{who:", "{whom:").encode(), "calls.yaml"))
    assert [str(one) for one in caught.value.issues] == [
        "calls.yaml:11:14 CONTRACT_BAD_FIELD 'whom' is not a field"
    ]
    found = {
        (name, field): reference.to
        for name, one in load_contracts(project).items()
        for field, reference in one.references.items()
    }
    assert found["bills", "subscription_id"] == "subscriptions"


@pytest.mark.parametrize(
    ("header", "before", "expected"),
    [
        ("abc", "abc", {"new": "", "missing": "", "moved": ""}),
        ("abcd", "abc", {"new": "d", "missing": "", "moved": ""}),
        ("bc", "abc", {"new": "", "missing": "a", "moved": ""}),
        ("acb", "abc", {"new": "", "missing": "", "moved": "cb"}),
        ("xcb", "abc", {"new": "x", "missing": "a", "moved": "cb"}),
        # A column in use that was not there before is no surprise.
        ("ab", "a", {"new": "", "missing": "", "moved": ""}),
        ("x", None, {"new": "", "missing": "", "moved": ""}),
    ],
)
def test_columns_come_go_and_move(header: str, before: str | None, expected: dict[str, str]) -> None:
    found = drift_of(list(header), ["a", "b"], None if before is None else list(before))
    assert found == {kind: list(names) for kind, names in expected.items()}


@pytest.mark.parametrize(
    ("header", "before", "expected"),
    [
        ("a", None, {"new": "", "missing": "b", "moved": ""}),
        ("a", "ab", {"new": "", "missing": "b", "moved": ""}),
        # It is told until it comes back, or the mapping does without it.
        ("a", "a", {"new": "", "missing": "b", "moved": ""}),
        ("ab", "a", {"new": "", "missing": "", "moved": ""}),
        ("a", "abc", {"new": "", "missing": "bc", "moved": ""}),
    ],
)
def test_columns_that_are_needed_are_missed_always(
    header: str, before: str | None, expected: dict[str, str]
) -> None:
    found = drift_of(list(header), ["a", "b"], None if before is None else list(before), ["a", "b"])
    assert found == {kind: list(names) for kind, names in expected.items()}


def test_columns_are_compared_with_those_of_the_delivery_before(contract: ExtractContract) -> None:
    new = [delivery("a", "202603", header=("a",)), delivery("b", "202605", 1, header=("b",))]
    batch = Batch(contract, new, cast(Any, None), {})
    row = {"contract": "calls", "part": "all", "period": "202605", "sequence": 0, "names": ["k"]}
    later = row | {"period": "202606", "names": ["later"]}
    other = row | {"part": "north", "sequence": 1, "names": ["other"]}
    assert _before(batch, new[1], [row, later, other]) == ["k"]
    assert _before(batch, new[1], []) == ("a",)
    assert _before(batch, new[0], [row]) is None
