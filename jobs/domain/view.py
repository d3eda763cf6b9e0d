"""The customer view as one SQL statement: an aggregation a source, one join, and the items layer by layer.

The statement is text, analysed once by Spark, so the view is planned in one go and can be read and tested
without a session. All that depends on the cycle's dates stands in one row, the calendar, which is joined like
data: written into expressions as constants, the dates would give every day's view code of its own to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import ddl_type
from jobs.contracts.extracts import POPULATION, ExtractContract
from jobs.contracts.supply import ItemStatus, Supply
from jobs.contracts.view import MEASURE, CustomerView, Item, split_measure
from jobs.contracts.windows import Window
from jobs.domain.tiles import merge_sql, value_type
from jobs.expressions.nodes import Name, names
from jobs.expressions.sql import literal, quote, to_sql
from jobs.kernel.cycle import Cycle

CALENDAR = "calendar"
Relation = Callable[[str], str]
"""Name of the relation that holds the clean rows of a state contract, or the tiles of another."""


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


def view_sql(plan: ViewPlan, relation: Relation) -> str:
    """One row for each subscription in the network at as_of, with all items.

    Args:
        plan: What to compute.
        relation: Names the relation to read for a contract: clean rows of states, tiles of the others.

    Returns:
        SQL that gives as_of, cutoff, subscription_id and the items, null where unknown.
    """
    steps = {CALENDAR: _calendar(plan), "population": _population(plan, relation(POPULATION))}
    joins, columns = [], ["population.*"]
    for name in sources_used(plan):
        if name == POPULATION:
            continue
        contract = plan.contracts[name]
        if contract.grain == "state":
            steps[name], found = _state(plan, contract, relation(name))
            (key,) = contract.key
            left = "subscription_id" if key == "subscription_id" else quote(f"{POPULATION}.{key}")
        else:
            steps[name], found = _measures(plan, contract, relation(name))
            left = "subscription_id"
        joins.append(f"LEFT JOIN {quote(name)} ON population.{left} = {quote(name)}._key")
        columns += found
    steps["joined"] = f"SELECT {', '.join(columns)} FROM population {' '.join(joins)}"
    last = "joined"
    for number, layer in enumerate(_item_layers(plan)):
        steps[f"items_{number}"] = f"SELECT *, {', '.join(layer)} FROM {last}"
        last = f"items_{number}"
    items = [quote(item) for one in plan.view.classes for item in one.items]
    parts = ",\n".join(f"{quote(name)} AS ({sql})" for name, sql in steps.items())
    return f"WITH {parts}\nSELECT as_of, cutoff, subscription_id, {', '.join(items)} FROM {last}"


def sources_used(plan: ViewPlan) -> list[str]:
    """The contracts that the view reads, the population's first."""
    used = [
        name
        for name, contract in plan.contracts.items()
        if name != POPULATION
        and (_state_columns(plan, name) if contract.grain == "state" else _measure_leaves(plan, name))
    ]
    return [POPULATION, *used]


def rows_needed(plan: ViewPlan, contract: str) -> str:
    """Condition on row_day, the partition of a relation, that all rows a view takes from it fulfil."""
    dates = [window.span(plan.cycle.as_of)[0] for window in _windows(plan, contract)]
    until = f"row_day <= {literal(plan.cycle.as_of)}"
    known = [day for day in dates if day is not None]
    if not dates or len(known) < len(dates):
        return until
    first = min(known)
    starts = {"day": first, "month": first.replace(day=1), "year": first.replace(month=1, day=1)}
    return f"row_day >= {literal(starts[plan.contracts[contract].partition_unit])} AND {until}"


def known_at(rows: DataFrame, cycle: Cycle) -> DataFrame:
    """Rows that a cycle may know: dated by as_of and available by its cutoff."""
    return rows.where(f"row_date <= {literal(cycle.as_of)} AND available_at <= {literal(cycle.cutoff)}")


def latest_state(rows: DataFrame, contract: ExtractContract, cycle: Cycle, columns: list[str]) -> DataFrame:
    """The newest row of each key that a cycle may know, with the named columns."""
    grouped = known_at(rows, cycle).groupBy(*contract.key).agg(F.expr(_newest(columns)).alias("_state"))
    return grouped.select(*contract.key, "_state")


def _newest(columns: list[str]) -> str:
    # The key and the date name a row, so the maximum is unique.
    return f"max_by(struct({', '.join(quote(name) for name in columns)}), row_date)"


def _calendar(plan: ViewPlan) -> str:
    """One row with as_of, cutoff, and the first and last date of every window."""
    values = {"as_of": plan.cycle.as_of, "cutoff": plan.cycle.cutoff}
    for window in _windows(plan):
        start, end = window.span(plan.cycle.as_of)
        values |= {_bound(window, "last"): end} | ({} if start is None else {_bound(window, "first"): start})
    # Not SELECT ... AS ...: Spark would put such constants back where the columns are used.
    return f"SELECT * FROM VALUES ({', '.join(map(literal, values.values()))}) AS t({', '.join(values)})"


def _bound(window: Window, end: str) -> str:
    return f"{window.kind}_{window.length}_before_{window.before}_{end}"


def _known(relation: str) -> str:
    """The rows of a relation that the cycle may know, with the calendar beside them."""
    return f"{relation} JOIN {CALENDAR} ON row_date <= as_of AND available_at <= cutoff"


def _windows(plan: ViewPlan, contract: str | None = None) -> list[Window]:
    """The windows of the measures in use, of one contract or all."""
    used = [plan.contracts[contract]] if contract is not None else list(plan.contracts.values())
    leaves = [leaf for one in used for leaf in _measure_leaves(plan, one.contract)]
    return list(dict.fromkeys(split_measure(leaf)[1] for leaf in leaves))


def _state_columns(plan: ViewPlan, contract: str) -> list[str]:
    return [leaf.name for leaf in plan.leaves if leaf.table == contract and plan.usable(leaf)]


def _measure_leaves(plan: ViewPlan, contract: str) -> list[Name]:
    return [
        leaf
        for leaf in plan.leaves
        if leaf.table == MEASURE
        and plan.view.measures[split_measure(leaf)[0]].from_ == contract
        and plan.usable(leaf)
    ]


def _population(plan: ViewPlan, relation: str) -> str:
    """The subscriptions in the network, with their fields that items or joins need."""
    contract = plan.contracts[POPULATION]
    joins = [
        key
        for other in plan.contracts.values()
        if other.grain == "state" and other.contract != POPULATION
        for key in other.key
        if key in contract.column_types and key != "subscription_id"
    ]
    wanted = list(dict.fromkeys([*_state_columns(plan, POPULATION), *joins, "status", "joined_on"]))
    leaves = ", ".join(f"_state.{quote(name)} AS {quote(f'{POPULATION}.{name}')}" for name in wanted)
    return (
        f"SELECT as_of, cutoff, subscription_id, {leaves} "
        f"FROM (SELECT as_of, cutoff, subscription_id, {_newest(wanted)} AS _state "
        f"FROM {_known(relation)} GROUP BY as_of, cutoff, subscription_id) "
        f"WHERE _state.status <> 'closed' AND coalesce(_state.joined_on, as_of) <= as_of"
    )


def _state(plan: ViewPlan, contract: ExtractContract, relation: str) -> tuple[str, list[str]]:
    """The newest state of each key, and the columns it adds to the join."""
    wanted = _state_columns(plan, contract.contract)
    (key,) = contract.key
    names_ = [quote(f"{contract.contract}.{name}") for name in wanted]
    leaves = ", ".join(f"_state.{quote(name)} AS {alias}" for name, alias in zip(wanted, names_, strict=True))
    sql = (
        f"SELECT _key, {leaves} FROM (SELECT {quote(key)} AS _key, {_newest(wanted)} AS _state "
        f"FROM {_known(relation)} GROUP BY {quote(key)})"
    )
    return sql, names_


def _measures(plan: ViewPlan, contract: ExtractContract, relation: str) -> tuple[str, list[str]]:
    """The tiles of a source merged over all windows, and the columns they add to the join."""
    merges, columns = [], []
    for leaf in _measure_leaves(plan, contract.contract):
        name, window = split_measure(leaf)
        measure = plan.view.measures[name]
        alias = quote(f"{MEASURE}.{leaf.name}")
        merges.append(f"{merge_sql(name, measure, contract, _inside(window))} AS {alias}")
        columns.append(f"coalesce({alias}, 0) AS {alias}" if measure.missing == "zero" else alias)
    merged = f"subscription_id AS _key, {', '.join(merges)}"
    return f"SELECT {merged} FROM {_known(relation)} GROUP BY subscription_id", columns


def _inside(window: Window) -> str:
    upper = f"row_date <= {_bound(window, 'last')}"
    return upper if window.kind == "ever" else f"row_date >= {_bound(window, 'first')} AND {upper}"


def _item_layers(plan: ViewPlan) -> list[list[str]]:
    """Items in layers, as SQL: an item stands in a later layer than those it uses."""

    def name_sql(name: Name) -> str:
        if name.table is not None:
            return quote(str(name)) if plan.usable(name) else f"cast(NULL AS {_leaf_type(plan, name)})"
        return quote(name.name)

    def amount_sql(name: str) -> str:
        return literal(plan.amounts[name])  # type: ignore[arg-type]

    depth: dict[str, int] = {}
    layers: dict[int, list[str]] = {}
    for item, tree in plan.view.trees.items():
        used = [name.name for name in names(tree) if name.table is None and name.name in plan.view.trees]
        depth[item] = 1 + max((depth[name] for name in used), default=-1)
        value = item_sql(plan.view.items[item], to_sql(tree, name_sql, amount_sql))
        layers.setdefault(depth[item], []).append(f"{value} AS {quote(item)}")
    return [layers[number] for number in sorted(layers)]


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
