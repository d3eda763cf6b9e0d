"""The statement that makes the customer view, read without a session."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from jobs.contracts.extracts import POPULATION, ExtractContract
from jobs.contracts.supply import Delivered, Supply
from jobs.contracts.view import CustomerView
from jobs.domain.view import CALENDAR, ViewPlan, rows_needed, sources_used, view_sql
from jobs.kernel.cycle import Cycle, CycleKind

ROOT = Path(__file__).parents[2]
AMOUNTS = {"value_tier_high": 300, "value_tier_mid": 120}


def plan(
    view: CustomerView, contracts: dict[str, ExtractContract], as_of: date, without: tuple[str, ...] = ()
) -> ViewPlan:
    delivered = {
        name: Delivered(frozenset(contract.column_types), date(2025, 1, 1), as_of)
        for name, contract in contracts.items()
        if name not in without
    }
    supply = Supply(view, contracts, delivered, as_of)
    cycle = Cycle(CycleKind.daily, as_of, as_of + timedelta(days=1))
    have = {name: contract for name, contract in contracts.items() if name not in without}
    return ViewPlan(view, have, supply, cycle, AMOUNTS)


def relations(sql: str) -> list[str]:
    tree = sqlglot.parse_one(sql, dialect="spark")
    steps = {step.alias for step in tree.find_all(exp.CTE)}
    return [table.name for table in tree.find_all(exp.Table) if table.name not in steps]


def test_every_source_is_read_once_and_every_item_given(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    one = plan(view, contracts, date(2026, 5, 31))
    sql = view_sql(one, lambda name: f"read_{name}")
    assert sorted(relations(sql)) == sorted(f"read_{name}" for name in sources_used(one))
    given = [column.alias_or_name for column in sqlglot.parse_one(sql, dialect="spark").selects]
    items = [item for part in view.classes for item in part.items]
    assert given == ["as_of", "cutoff", "subscription_id", *items]


def test_what_is_not_supplied_is_not_read(view: CustomerView, contracts: dict[str, ExtractContract]) -> None:
    one = plan(view, contracts, date(2026, 5, 31), without=("voice_usage", "tariff_plans"))
    read = relations(view_sql(one, lambda name: f"read_{name}"))
    assert not {"read_voice_usage", "read_tariff_plans"} & set(read)
    only = plan(view, contracts, date(2026, 5, 31), without=tuple(set(contracts) - {POPULATION}))
    assert relations(view_sql(only, lambda name: f"read_{name}")) == [f"read_{POPULATION}"]


@pytest.mark.parametrize("as_of", [date(2026, 2, 28), date(2028, 2, 29), date(2026, 12, 31)])
def test_nothing_but_the_cycle_dates_the_statement(
    view: CustomerView, contracts: dict[str, ExtractContract], as_of: date
) -> None:
    """No date in the statement lies behind the cycle's own."""
    sql = view_sql(plan(view, contracts, as_of), lambda name: name)
    dates = {date.fromisoformat(text) for text in re.findall(r"'(\d{4}-\d{2}-\d{2})'", sql)}
    assert max(dates) == as_of + timedelta(days=1)
    assert {day for day in dates if day > as_of} == {as_of + timedelta(days=1)}


PRINT = """
from datetime import date
from pathlib import Path
from jobs.config.settings import load_settings
from jobs.contracts.extracts import load_contracts
from jobs.contracts.view import load_view
from jobs.domain.view import view_sql
from jobs.kernel.project import Project
from tests.unit.test_view_sql import plan
project = Project(Path.cwd())
contracts = load_contracts(project)
view = load_view(project, contracts, load_settings(project, "local").parameter_types)
print(view_sql(plan(view, contracts, date(2026, 5, 31)), lambda name: name))
"""


def test_the_statement_is_the_same_in_every_process() -> None:
    """Python orders its sets anew in each; a view whose text changed would be built again for nothing."""
    texts = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1 and "SELECT" in texts.pop()


def test_only_the_calendar_differs_between_two_days(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    """Spark then finds the code of the next day's view in its cache."""

    def steps(as_of: date) -> dict[str, str]:
        sql = view_sql(plan(view, contracts, as_of), lambda name: name)
        tree = sqlglot.parse_one(sql, dialect="spark")
        return {step.alias: step.this.sql(dialect="spark") for step in tree.find_all(exp.CTE)}

    one, other = steps(date(2026, 5, 30)), steps(date(2026, 5, 31))
    assert {name for name in one if one[name] != other[name]} == {CALENDAR}


def test_the_rows_needed_reach_back_to_the_partition_of_the_longest_window(
    view: CustomerView, contracts: dict[str, ExtractContract]
) -> None:
    one = plan(view, contracts, date(2026, 5, 31))
    whole = [name for name in sources_used(one) if contracts[name].grain == "state"]
    assert {rows_needed(one, name) for name in whole} == {"row_day <= DATE'2026-05-31'"}
    # Two spans of 28 days; six months that end with the last complete one.
    for name, first in {"voice_usage": "2026-04-06", "bills": "2025-12-01"}.items():
        assert rows_needed(one, name) == f"row_day >= DATE'{first}' AND row_day <= DATE'2026-05-31'"
