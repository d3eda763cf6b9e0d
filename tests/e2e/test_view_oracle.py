"""Every item of every subscription of the province, computed again in plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars import selectors

from tests.e2e.conftest import Province
from tests.oracle.naive_view import NaiveView

pytestmark = pytest.mark.spark

# A month's end, the day before it, and the month end on which the risk is based.
VIEWS = (
    (date(2026, 5, 31), date(2026, 6, 1)),
    (date(2026, 5, 30), date(2026, 5, 31)),
    (date(2026, 4, 30), date(2026, 5, 1)),
)
NAMES = ("as_of", "cutoff")


@pytest.mark.parametrize(("as_of", "cutoff"), VIEWS)
def test_all_items_are_those_of_a_naive_reading(province: Province, as_of: date, cutoff: date) -> None:
    configuration = province.configuration
    assert configuration.source is not None
    contracts = configuration.source.contracts
    # Times as the operator's clocks show them, as Spark has them.
    local = selectors.datetime().dt.convert_time_zone("Asia/Shanghai").dt.replace_time_zone(None)
    rows = {
        name: pl.read_delta(str(path)).with_columns(local).to_dicts()
        for name, contract in contracts.items()
        if (path := Path(province.warehouse) / contract.clean_table().name).is_dir()
    }
    naive = NaiveView(configuration.view, contracts, rows, configuration.amounts, as_of, cutoff)
    view = pl.read_delta(str(province.warehouse / "customer_view"))
    found = {
        row["subscription_id"]: row
        for row in view.to_dicts()
        if (row["as_of"], row["cutoff"]) == (as_of, cutoff)
    }
    assert sorted(found) == sorted(naive.subscriptions()) and len(found) > 900
    wrong: dict[str, list[Any]] = defaultdict(list)
    values: dict[str, set[Any]] = defaultdict(set)
    for subscription, row in found.items():
        for item, expected in naive.items(subscription).items():
            values[item].add(row[item])
            if row[item] != expected:
                wrong[item].append((subscription, row[item], expected))
    assert not wrong, {item: (len(rows), rows[0]) for item, rows in wrong.items()}
    # What is the same everywhere would tell little.
    assert sum(len(one) > 1 for one in values.values()) > 75


def test_hours_and_networks_of_calls_are_those_of_the_records(province: Province) -> None:
    """The hour on the network's clock; another network by the prefix, and unknown where the prefix is."""
    calls = pl.read_delta(str(province.warehouse / "clean_voice_usage"))
    local = pl.col("started_at").dt.convert_time_zone("Asia/Shanghai").dt.hour()
    assert calls.filter(pl.col("hour") != local).is_empty() and calls["hour"].null_count() == 0
    assert calls["hour"].n_unique() > 12
    other = pl.col("counterpart_operator") != "中国移动"
    assert calls.filter(pl.col("off_net").ne_missing(other)).is_empty()
    assert 0.1 < calls["off_net"].mean() < 0.6


def test_items_tell_something_of_their_own(province: Province) -> None:
    """Each has values, and not the same for everybody."""
    view = pl.read_delta(str(province.warehouse / "customer_view")).filter(pl.col("as_of") == VIEWS[0][0])
    items = province.configuration.view.items
    assert [name for name in items if view[name].drop_nulls().n_unique() < 2] == []


def test_no_two_items_rank_customers_alike(province: Province) -> None:
    """Numbers that order customers as others do add nothing, unless the catalogue says that they do."""
    # The day before a month ends: on the last one the month so far is the last complete month.
    view = pl.read_delta(str(province.warehouse / "customer_view")).filter(pl.col("as_of") == VIEWS[1][0])
    items = province.configuration.view.items
    ordered = [name for name, item in items.items() if item.type in ("integer", "decimal", "date")]
    declared = {frozenset((one, other)) for one in ordered for other in items[one].ranks_like}
    alike = set()
    for one, other in combinations(ordered, 2):
        both = view.select(one, other).drop_nulls().select(pl.all().rank())
        if both.height >= 30 and abs(both.select(pl.corr(one, other)).item()) > 0.999:
            alike.add(frozenset((one, other)))
    assert [sorted(pair) for pair in alike - declared] == []
    # Beside what is declared so, the catalogue has as many items as it is to have.
    assert len(items) + len(province.configuration.view.scores) - len(declared) >= 233
