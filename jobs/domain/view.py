"""The customer view: one aggregation a source over its tiles, one join, and the items layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import ddl_type
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.supply import ItemStatus, Supply
from jobs.contracts.view import MEASURE, CustomerView, Item, split_measure
from jobs.contracts.windows import Window
from jobs.domain.tiles import merge_sql, value_type
from jobs.expressions.nodes import Name, names
from jobs.expressions.sql import literal, quote, to_sql
from jobs.kernel.cycle import Cycle

BASE = "subscriptions"
ReadTable = Callable[[str], DataFrame]


@dataclass(frozen=True)
class ViewPlan:
    """What a view of one cycle needs.

    Attributes:
        view: The catalogue.
        contracts: The contracts the source delivers.
        supply: What the source supplies at as_of.
        cycle: as_of and cutoff.
        amounts: Values of the amounts that items use as :name.
    """

    view: CustomerView
    contracts: Mapping[str, ExtractContract]
    supply: Supply
    cycle: Cycle
    amounts: Mapping[str, object]

    @property
    def leaves(self) -> list[Name]:
        """Every contract field and measure window that any item uses, once."""
        found: dict[Name, None] = {}
        for tree in self.view.trees.values():
            found.update(dict.fromkeys(name for name in names(tree) if name.table is not None))
        return list(found)

    def usable(self, leaf: Name) -> bool:
        """Whether a leaf has values in this cycle."""
        return self.supply.leaf(leaf) is ItemStatus.supplied


def build_view(plan: ViewPlan, clean: ReadTable, tiles: ReadTable) -> DataFrame:
    """One row for each subscription in the network at as_of, with all items.

    Args:
        plan: What to compute.
        clean: Gives the clean table of a contract.
        tiles: Gives the tiles of a contract.

    Returns:
        as_of, cutoff, subscription_id and the items, null where unknown.
    """
    frame = _population(plan, clean)
    for contract in plan.contracts.values():
        if contract.grain == "state":
            if contract.contract != BASE:
                frame = _join_state(frame, plan, contract, clean)
        else:
            frame = _join_measures(frame, plan, contract, tiles)
    return _with_items(frame, plan)


def known_at(rows: DataFrame, cycle: Cycle) -> DataFrame:
    """Rows that a cycle may know: dated by as_of and available by its cutoff."""
    return rows.where(f"row_date <= {literal(cycle.as_of)} AND available_at <= {literal(cycle.cutoff)}")


def latest_state(rows: DataFrame, contract: ExtractContract, cycle: Cycle, columns: list[str]) -> DataFrame:
    """The newest row of each key that a cycle may know, with the named columns."""
    # The key and the date name a row, so the maximum is unique.
    newest = F.max_by(F.struct(*(F.col(quote(name)) for name in columns)), F.col("row_date")).alias("_state")
    grouped = known_at(rows, cycle).groupBy(*contract.key).agg(newest)
    return grouped.select(*contract.key, "_state")


def _state_columns(plan: ViewPlan, contract: str) -> list[str]:
    return [leaf.name for leaf in plan.leaves if leaf.table == contract and plan.usable(leaf)]


def _population(plan: ViewPlan, clean: ReadTable) -> DataFrame:
    contract = plan.contracts[BASE]
    joins = [
        key
        for other in plan.contracts.values()
        if other.grain == "state" and other.contract != BASE
        for key in other.key
        if key in contract.column_types and key != "subscription_id"
    ]
    wanted = list(dict.fromkeys([*_state_columns(plan, BASE), *joins, "status", "joined_on"]))
    latest = latest_state(clean(BASE), contract, plan.cycle, wanted)
    leaves = [F.col(f"_state.{quote(name)}").alias(f"{BASE}.{name}") for name in wanted]
    here = (
        "_state.status <> 'closed' AND "
        f"coalesce(_state.joined_on, {literal(plan.cycle.as_of)}) <= {literal(plan.cycle.as_of)}"
    )
    return latest.where(here).select("subscription_id", *leaves)


def _join_state(frame: DataFrame, plan: ViewPlan, contract: ExtractContract, clean: ReadTable) -> DataFrame:
    wanted = _state_columns(plan, contract.contract)
    if not wanted:
        return frame
    (key,) = contract.key
    latest = latest_state(clean(contract.contract), contract, plan.cycle, wanted)
    leaves = [F.col(f"_state.{quote(name)}").alias(f"{contract.contract}.{name}") for name in wanted]
    right = latest.select(F.col(key).alias("_key"), *leaves)
    left_key = "subscription_id" if key == "subscription_id" else f"{BASE}.{key}"
    return frame.join(right, F.col(quote(left_key)) == F.col("_key"), "left").drop("_key")


def _join_measures(
    frame: DataFrame, plan: ViewPlan, contract: ExtractContract, tiles: ReadTable
) -> DataFrame:
    wanted = [
        leaf
        for leaf in plan.leaves
        if leaf.table == MEASURE
        and plan.view.measures[split_measure(leaf)[0]].from_ == contract.contract
        and plan.usable(leaf)
    ]
    if not wanted:
        return frame
    merges, first = [], plan.cycle.as_of
    for leaf in wanted:
        name, window = split_measure(leaf)
        inside = _inside(window, plan.cycle.as_of)
        sql = merge_sql(name, plan.view.measures[name], contract, inside)
        merges.append(F.expr(sql).alias(f"{MEASURE}.{leaf.name}"))
        start, _ = window.span(plan.cycle.as_of)
        first = min(first, start or date.min)
    known = known_at(tiles(contract.contract), plan.cycle)
    if first > date.min:
        # Tiles lie in partitions by row_day, which for coarse partitions starts before the date.
        known = known.where(f"row_date >= {literal(first)}")
    merged = known.groupBy("subscription_id").agg(*merges)
    joined = frame.join(merged, "subscription_id", "left")
    zeros = {
        f"{MEASURE}.{leaf.name}": 0
        for leaf in wanted
        if plan.view.measures[split_measure(leaf)[0]].missing == "zero"
    }
    filled = [
        F.coalesce(F.col(quote(name)), F.lit(0)).alias(name) if name in zeros else F.col(quote(name))
        for name in joined.columns
    ]
    return joined.select(*filled)


def _inside(window: Window, as_of: date) -> str:
    start, end = window.span(as_of)
    upper = f"row_date <= {literal(end)}"
    return upper if start is None else f"row_date >= {literal(start)} AND {upper}"


def _with_items(frame: DataFrame, plan: ViewPlan) -> DataFrame:
    """Computes items in layers: an item stands in a later select than those it uses."""

    def name_sql(name: Name) -> str:
        if name.table is not None:
            return quote(str(name)) if plan.usable(name) else f"cast(NULL AS {_leaf_type(plan, name)})"
        return literal(plan.cycle.as_of) if name.name == "as_of" else quote(name.name)

    def amount_sql(name: str) -> str:
        return literal(plan.amounts[name])  # type: ignore[arg-type]

    depth: dict[str, int] = {}
    for item, tree in plan.view.trees.items():
        used = [name.name for name in names(tree) if name.table is None and name.name in plan.view.trees]
        depth[item] = 1 + max((depth[name] for name in used), default=-1)
    for layer in range(max(depth.values()) + 1):
        computed = [
            F.expr(
                item_sql(plan.view.items[item], to_sql(plan.view.trees[item], name_sql, amount_sql))
            ).alias(item)
            for item, level in depth.items()
            if level == layer
        ]
        frame = frame.select("*", *computed)
    head = [
        F.lit(plan.cycle.as_of).alias("as_of"),
        F.lit(plan.cycle.cutoff).alias("cutoff"),
        F.col("subscription_id"),
    ]
    return frame.select(*head, *(F.col(quote(item)) for one in plan.view.classes for item in one.items))


def item_sql(item: Item, value: str) -> str:
    """An item's value in its declared type; decimals are rounded half up once, here."""
    if item.type == "decimal":
        value = f"round(try_cast({value} AS DECIMAL(38,10)), {item.scale})"
    return f"try_cast({value} AS {ddl_type(item.type, item.scale)})"


def _leaf_type(plan: ViewPlan, name: Name) -> str:
    if name.table == MEASURE:
        measure = plan.view.measures[split_measure(name)[0]]
        contract = plan.supply.contracts[measure.from_]
        return value_type(measure, contract)
    columns = {column.name: column.type for column in plan.supply.contracts[name.table or ""].kept_columns}
    return columns[name.name]
