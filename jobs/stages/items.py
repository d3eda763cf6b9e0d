"""Looks into the customer view: finds items by words, and tells all that is known of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from jobs.contracts.columns import Table
from jobs.contracts.lineage import Origin, origins_of, personal_parts
from jobs.contracts.tables import view_table
from jobs.contracts.view import Item, Score, ViewClass
from jobs.domain.moments import ATTRIBUTES, CUSTOMER_COLUMNS, RISK_COLUMNS
from jobs.kernel.errors import ConfigError, Issue, StorageError, did_you_mean
from jobs.modelling.features import NUMBERS
from jobs.rulelang.uses import Uses, uses_of
from jobs.stages.context import Configuration
from jobs.storage.reader import newest_partition, table_of

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_VALUES = 50
SHOWN_VALUES = 8


@dataclass(frozen=True)
class ItemFacts:
    """What is known of an item.

    Attributes:
        id: Its name.
        class_: The class it is in.
        item: Its definition.
        origins: The extract fields it rests on.
        personal: Kinds of personal data it comes from.
        users: Who uses it.
    """

    id: str
    class_: ViewClass
    item: Item | Score
    origins: list[Origin]
    personal: list[str]
    users: list[str]


@dataclass(frozen=True)
class Distribution:
    """An item's values in one partition of the view.

    Attributes:
        as_of: Of which date.
        cutoff: As known on which date.
        rows: Subscriptions.
        known: Of them with a value.
        quantiles: Values below which 5, 25, 50, 75 and 95 % of the known ones lie; none for texts.
        values: The most frequent values and their rows; none where there are many, which tell of people.
        distinct: How many different values there are.
    """

    as_of: str
    cutoff: str
    rows: int
    known: int
    quantiles: list[float]
    values: list[tuple[str, int]]
    distinct: int


def all_items(configuration: Configuration) -> Iterator[ItemFacts]:
    """Every item and score, in order of class."""
    view = configuration.view
    uses = item_uses(configuration)
    for one in view.classes:
        known: dict[str, Item | Score] = {**one.items, **one.scores}
        for name, item in known.items():
            origins = origins_of(view, name)
            personal = personal_parts(origins, configuration.contracts)
            yield ItemFacts(name, one, item, origins, personal, uses.get(name, []))


def item_uses(configuration: Configuration) -> Uses:
    """Who uses each item."""
    view, rules = configuration.view, configuration.rules
    record = [*CUSTOMER_COLUMNS, *RISK_COLUMNS, *ATTRIBUTES]
    models = configuration.models.models.values()
    left_out = set.intersection(*(set(model.leave_out) for model in models)) if models else set(view.items)
    # Of text items those that turn out to have few values are learnt from; what names its codes has.
    learnt = [
        name
        for name, item in view.items.items()
        if name not in left_out and (item.type in (*NUMBERS, "boolean") or item.labels)
    ]
    return uses_of(view, rules, configuration.risk, configuration.health, record, learnt)


def search(configuration: Configuration, words: list[str]) -> list[ItemFacts]:
    """The items in which all words stand, Chinese or English: those that have them in their names first.

    Raises:
        ConfigError: When there is none.
    """
    wanted = [word.casefold() for word in words]
    found: list[tuple[int, ItemFacts]] = []
    for facts in all_items(configuration):
        named = f"{facts.id} {facts.item.zh} {facts.item.en}".casefold()
        wider = " ".join([named, *_told_around(facts, configuration)]).casefold()
        if all(word in named for word in wanted):
            found.append((0, facts))
        elif all(word in wider for word in wanted):
            found.append((1, facts))
    if not found:
        known = {word for facts in all_items(configuration) for word in [facts.id, *facts.id.split("_")]}
        hint = "".join(did_you_mean(word, known) for word in wanted if word not in known)
        message = f"no item has {' and '.join(repr(word) for word in words)}{hint}"
        raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))
    return [facts for _, facts in sorted(found, key=lambda pair: pair[0])]


def _told_around(facts: ItemFacts, configuration: Configuration) -> Iterator[str]:
    """Words of an item's class and of the extracts it comes from."""
    yield from (facts.class_.class_, facts.class_.zh, facts.class_.en)
    for origin in facts.origins:
        contract = configuration.contracts[origin.contract]
        yield from (origin.contract, contract.zh, contract.en, *origin.fields)


def facts_of(configuration: Configuration, item: str) -> ItemFacts:
    """All that is known of an item.

    Raises:
        ConfigError: When there is no such item.
    """
    for facts in all_items(configuration):
        if facts.id == item:
            return facts
    message = f"'{item}' is not an item of the customer view{did_you_mean(item, configuration.view.types)}"
    raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))


def distribution_of(configuration: Configuration, warehouse: str, facts: ItemFacts) -> Distribution:
    """An item's values in the newest partition of the view, or of the scores.

    Raises:
        StorageError: When it has not been written, or not since the item is there.
    """
    table = _table(configuration, facts.item)
    partition = newest_partition(warehouse, table, ("as_of", "cutoff"))
    where = [(name, "=", date.fromisoformat(value)) for name, value in partition.items()]
    found = table_of(warehouse, table, where, [facts.id])
    if facts.id not in found.column_names:
        message = f"table '{table.name}' in {warehouse} was written before there was this item"
        raise StorageError(Issue("TABLE_MISMATCH", message))
    column = found.column(facts.id).combine_chunks()
    known = column.drop_null()
    counted = pc.value_counts(known).to_pylist() if len(known) else []
    values: list[tuple[str, int]] = []
    if len(counted) <= MOST_VALUES:
        ordered = sorted(counted, key=lambda one: (-one["counts"], str(one["values"])))
        values = [(str(one["values"]), one["counts"]) for one in ordered[:SHOWN_VALUES]]
    quantiles: list[float] = []
    if len(known) and facts.item.type in ("integer", "decimal"):
        quantiles = pc.quantile(known.cast(pa.float64()), q=list(QUANTILES)).to_pylist()
    as_of, cutoff = (str(partition[name]) for name in ("as_of", "cutoff"))
    return Distribution(as_of, cutoff, len(column), len(known), quantiles, values, len(counted))


def _table(configuration: Configuration, item: Item | Score) -> Table:
    return configuration.tables[item.table] if isinstance(item, Score) else view_table(configuration.view)
