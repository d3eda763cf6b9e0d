"""Tiles: of contracts with one row a subscription and date, a row as it stands is what its tile sums up."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession

from jobs.contracts.columns import ddl_type
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.fields import Field
from jobs.contracts.view import Aggregate, CustomerView, Measure
from jobs.domain.tiles import build_tiles
from jobs.stages.context import Configuration

pytestmark = pytest.mark.spark

DAY = date(2026, 5, 31)
ALONE = ["bills", "churn_labels", "data_usage", "network_quality", "usage_monthly"]


def random_value(chance: random.Random, field: Field) -> Any:
    if chance.random() < 0.2:
        return None
    match field.type:
        case "integer":
            return chance.choice([0, 1, 3, 1200])
        case "decimal":
            return Decimal(chance.randint(-500, 500)).scaleb(-field.scale)
        case "date":
            return DAY - timedelta(days=chance.randint(0, 9))
        case "boolean":
            return chance.choice([True, False])
        case _:
            return chance.choice(field.values or ("a", "b"))


def every_aggregate(contract: ExtractContract) -> dict[str, Measure]:
    """Measures of every kind, of all rows of a contract and of some."""
    fields = {name: field.type for name, field in contract.fields.items() if name not in contract.key}
    number = next(name for name, kind in fields.items() if kind in ("integer", "decimal"))
    found = {}
    for aggregate in get_args(Aggregate):
        for which, where in {"all": None, "some": f"{number} > 0"}.items():
            of = None if aggregate == "count" else number
            given = {"from": contract.contract, "aggregate": aggregate, "of": of, "where": where}
            found[f"{aggregate}_{which}"] = Measure.model_validate(given)
    return found


def test_these_contracts_have_one_row_a_tile(configuration: Configuration) -> None:
    contracts = configuration.contracts
    assert [name for name, one in sorted(contracts.items()) if one.fills_tiles_alone] == ALONE


@pytest.mark.parametrize("name", [name for name in ALONE if name != "churn_labels"])
def test_a_tile_of_one_row_is_what_the_aggregates_come_to(
    spark: SparkSession, configuration: Configuration, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    chance, contract = random.Random(name), configuration.contracts[name]
    measures = configuration.view.measures_of(name)
    assert measures
    measures |= every_aggregate(contract)
    monkeypatch.setattr(CustomerView, "measures_of", lambda view, of: measures)
    rows = [
        (
            *(
                f"S{number}" if field == "subscription_id" else random_value(chance, one)
                for field, one in contract.fields.items()
            ),
            DAY - timedelta(days=number % 5),
            DAY,
            DAY.replace(day=1),
        )
        for number in range(100)
    ]
    fields = [f"`{field}` {ddl_type(one.type, one.scale)}" for field, one in contract.fields.items()]
    schema = ", ".join([*fields, "row_date DATE", "available_at DATE", "row_day DATE"])
    clean = spark.createDataFrame(rows, schema)
    alone = build_tiles(clean, contract, configuration.view)
    monkeypatch.setattr(ExtractContract, "fills_tiles_alone", False)
    summed = build_tiles(clean, contract, configuration.view)
    assert alone.count() == len(rows)
    assert_df_equality(alone, summed, ignore_row_order=True, ignore_nullable=True)
