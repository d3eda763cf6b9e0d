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
from jobs.contracts.leaves import MEASURE, Moment, split_measure, split_state, state_leaf
from jobs.contracts.supply import ItemStatus, Supply
from jobs.contracts.view import CustomerView, Item
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
            steps[name] = _state(plan, contract, relation(name))
            added = _state_joins(plan, contract)
        else:
            steps[name], found = _measures(plan, contract, relation(name))
            added = [(f"LEFT JOIN {quote(name)} ON population.subscription_id = {quote(name)}._key", found)]
        for join, found in added:
            joins.append(join)
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
        and (_state_leaves(plan, name) if contract.grain == "state" else _measure_leaves(plan, name))
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
    for moment in _moments(plan):
        values[_moment_bound(moment)] = moment.date(plan.cycle.as_of)
    # Not SELECT ... AS ...: Spark would put such constants back where the columns are used.
    return f"SELECT * FROM VALUES ({', '.join(map(literal, values.values()))}) AS t({', '.join(values)})"


def _bound(window: Window, end: str) -> str:
    return f"{window.kind}_{window.length}_before_{window.before}_{end}"


def _moment_bound(moment: Moment) -> str:
    return _bound(moment.window, moment.edge)


def _known(relation: str) -> str:
    """The rows of a relation that the cycle may know, with the calendar beside them."""
    return f"{relation} JOIN {CALENDAR} ON row_date <= as_of AND available_at <= cutoff"


def _windows(plan: ViewPlan, contract: str | None = None) -> list[Window]:
    """The windows of the measures in use, of one contract or all."""
    used = [plan.contracts[contract]] if contract is not None else list(plan.contracts.values())
    leaves = [leaf for one in used for leaf in _measure_leaves(plan, one.contract)]
    return list(dict.fromkeys(split_measure(leaf)[1] for leaf in leaves))


def _state_leaves(plan: ViewPlan, contract: str) -> list[Name]:
    return [leaf for leaf in plan.leaves if leaf.table == contract and plan.usable(leaf)]


def _moments(plan: ViewPlan) -> list[Moment]:
    """The earlier days on which states are looked up."""
    states = [contract for contract in plan.contracts.values() if contract.grain == "state"]
    found = [moment for contract in states for moment in _fields_at(plan, contract)]
    return list(dict.fromkeys(moment for moment in found if moment is not None))


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
    states, columns = _states(_population_fields(plan), POPULATION)
    return (
        f"SELECT as_of, cutoff, subscription_id, {', '.join(columns)} "
        f"FROM (SELECT as_of, cutoff, subscription_id, {', '.join(states)} "
        f"FROM {_known(relation)} GROUP BY as_of, cutoff, subscription_id) "
        f"WHERE _state.status <> 'closed' AND coalesce(_state.joined_on, as_of) <= as_of"
    )


def _population_fields(plan: ViewPlan) -> dict[Moment | None, list[str]]:
    """Fields of the population by the day on which they are looked up: those of items, and keys of joins."""
    population = plan.contracts[POPULATION]
    wanted: dict[Moment | None, list[str]] = {None: [], **_fields_at(plan, population)}
    for other in plan.contracts.values():
        (key, *_) = other.key
        if other.grain == "state" and key in population.column_types and key != "subscription_id":
            for moment in _fields_at(plan, other):
                wanted.setdefault(moment, []).append(key)
    wanted[None] += ["status", "joined_on"]
    return {moment: list(dict.fromkeys(found)) for moment, found in wanted.items()}


def _state(plan: ViewPlan, contract: ExtractContract, relation: str) -> str:
    """The state of each key, now and on the earlier days that items ask for."""
    (key,) = contract.key
    states, columns = _states(_fields_at(plan, contract), contract.contract)
    return (
        f"SELECT _key, {', '.join(columns)} FROM (SELECT {quote(key)} AS _key, {', '.join(states)} "
        f"FROM {_known(relation)} GROUP BY {quote(key)})"
    )


def _state_joins(plan: ViewPlan, contract: ExtractContract) -> list[tuple[str, list[str]]]:
    """The joins to a state contract, each with the columns it adds.

    What is found by another key than the subscription is found by the key that it had on that day: the plan
    of a month ago is looked up in the price list of a month ago.
    """
    name, (key,) = contract.contract, contract.key
    fields = _fields_at(plan, contract)
    if key == "subscription_id":
        columns = [_state_column(name, field, moment) for moment in fields for field in fields[moment]]
        return [(f"LEFT JOIN {quote(name)} ON population.subscription_id = {quote(name)}._key", columns)]
    joins = []
    for number, moment in enumerate(fields):
        alias = quote(f"{name}_{number}")
        left = _state_column(POPULATION, key, moment)
        join = f"LEFT JOIN {quote(name)} AS {alias} ON population.{left} = {alias}._key"
        joins.append((join, [f"{alias}.{_state_column(name, field, moment)}" for field in fields[moment]]))
    return joins


def _fields_at(plan: ViewPlan, contract: ExtractContract) -> dict[Moment | None, list[str]]:
    """Fields of a state contract that items use, by the day on which they are looked up."""
    fields: dict[Moment | None, list[str]] = {}
    for leaf in _state_leaves(plan, contract.contract):
        field, moment = split_state(leaf)
        fields.setdefault(moment, []).append(field)
    return fields


def _state_column(contract: str, field: str, moment: Moment | None) -> str:
    name = Name(field, contract)
    return quote(str(name if moment is None else state_leaf(name, moment)))


def _states(fields: Mapping[Moment | None, list[str]], contract: str) -> tuple[list[str], list[str]]:
    """The newest state of a group, and that on earlier days; and its fields as columns."""
    states, columns = [], []
    for number, (moment, wanted) in enumerate(fields.items()):
        name = "_state" if moment is None else f"_state_{number}"
        until = "" if moment is None else f" FILTER (WHERE row_date <= {_moment_bound(moment)})"
        states.append(f"{_newest(wanted)}{until} AS {name}")
        columns += [f"{name}.{quote(field)} AS {_state_column(contract, field, moment)}" for field in wanted]
    return states, columns


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
    return columns[split_state(name)[0]]
