"""Who a person is to the tables: ids, and what tells that a refused row names the person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.person_text import Clear, PersonText, built_ids, tombstone_of
from jobs.contracts.extracts import PERSON_FIELDS, ExtractContract
from jobs.domain.privacy import tombstone
from jobs.expressions.sql import literal
from jobs.stages.context import RunContext
from jobs.stages.tombstones import OWNED, TABLE, buried, passed_on, stones_held

QUARANTINE, IDENTITY = "quarantine", "identity"
NO_IDS = "cast(NULL AS MAP<STRING, STRING>) AS ids"
"""What an earlier release kept of the ids of refused rows."""
Ids = Mapping[str, Sequence[str]]
"""Ids of a person by field: customer_id, account_id, subscription_id."""


@dataclass(frozen=True)
class Spell:
    """A time in which an account or subscription was the person's, before it passed to somebody else.

    Attributes:
        field: What the id names.
        id: The id.
        first: The first day; None where nobody is known to have had it before.
        until: The first day of the next holder.
        called: The last day on which a row calls it the person's.
    """

    field: str
    id: str
    first: date | None
    until: date
    called: date


def ids_of(context: RunContext, customer_id: str) -> dict[str, list[str]]:
    """Ids of a customer, and of the accounts and subscriptions that are the customer's at last.

    Where nothing else tells whose one is, a refused row does.
    """
    found = {"customer_id": [customer_id]}
    for name in OWNED:
        contract = context.configuration.contracts[name]
        rows, key = context.warehouse.read_or_empty(contract.clean_table()), contract.key[0]
        last = rows.groupBy(key).agg(F.max_by("customer_id", "row_date").alias("customer_id"))
        mine = last.where(F.col("customer_id") == customer_id).select(key)
        told = _refused_ids(context, name, customer_id, key).join(rows, key, "left_anti")
        later = _left_out_ids(context, customer_id, key).join(rows, key, "left_anti")
        found[key] = sorted(row[0] for row in mine.unionByName(told).unionByName(later).distinct().collect())
    return found


def spells_of(context: RunContext, customer_id: str) -> list[Spell]:
    """The times in which accounts and subscriptions were the customer's that are somebody else's by now."""
    found: list[Spell] = []
    for name in OWNED:
        contract = context.configuration.contracts[name]
        key = contract.key[0]
        rows = context.warehouse.read_or_empty(contract.clean_table()).select(key, "customer_id", "row_date")
        mine = rows.where(F.col("customer_id") == customer_id).select(key).distinct()
        held = (
            rows.join(F.broadcast(mine), key, "left_semi").orderBy(key, "row_date", "customer_id").collect()
        )
        for one, told in groupby(held, key=itemgetter(0)):
            found += _spells(key, one, customer_id, [(row["row_date"], row["customer_id"]) for row in told])
    return found


def _spells(field: str, one: str, customer_id: str, told: Sequence[tuple[date, str]]) -> Iterator[Spell]:
    """The spells of one id, from its holders in order of time."""
    first: date | None = None
    called: date | None = None
    for place, (day, holder) in enumerate(told):
        if holder == customer_id:
            first, called = (day if place and called is None else first), day
        elif called is not None:
            yield Spell(field, one, first, day, called)
            first = called = None


def _left_out_ids(context: RunContext, customer_id: str, key: str) -> DataFrame:
    """Ids that rows which ingest left out call the customer's, and that stand in rows loaded before."""
    stones, secret = buried(context), context.keys.pseudonym
    owner = tombstone_of("customer_id", customer_id, secret)
    mine = stones.where(F.col("owner") == owner)
    found = context.warehouse.none_of(context.table(TABLE)).select(F.lit("").alias(key))
    if not mine.isEmpty():
        for contract in personal_contracts(context).values():
            table = contract.raw_table()
            if key in table.names and context.warehouse.exists(table):
                found = found.unionByName(context.warehouse.read(table).select(key))
    stone = tombstone(F.lit(key), F.col(key), secret)
    held = found.where(f"{key} IS NOT NULL").distinct().withColumn("tombstone", stone)
    return held.join(mine, "tombstone", "left_semi").select(key)


def _refused_ids(context: RunContext, contract: str, customer_id: str, key: str) -> DataFrame:
    """Keys that all refused rows of a contract call the customer's."""
    rows = context.warehouse.read_or_empty(context.table(QUARANTINE)).where(F.col("contract") == contract)
    ids = "ids" if "ids" in rows.columns else NO_IDS
    told = rows.selectExpr(ids).selectExpr(f"ids[{literal(key)}] AS {key}", "ids['customer_id'] AS owner")
    owners = told.where(f"{key} IS NOT NULL").groupBy(key).agg(F.min("owner"), F.max("owner"))
    return owners.where(
        F.expr(f"`min(owner)` = {literal(customer_id)} AND `max(owner)` = `min(owner)`")
    ).select(key)


def text_of(context: RunContext, ids: Ids) -> PersonText:
    """What tells that a refused row names the person, or one erased before, whom later files bring again."""
    rows = context.warehouse.read_or_empty(context.table(IDENTITY))
    mine = rows.where(in_identity(context, ids)).select("contract", "field", "clear").distinct()
    clear: dict[str | None, set[str]] = defaultdict(set)
    for row in mine.collect():
        field = context.configuration.contracts[row["contract"]].fields.get(row["field"])
        clear[None if field is None else field.personal].add(row["clear"])
    person = Clear(ids, clear["name"], clear["device"], clear["number"])
    key = context.keys.pseudonym
    stones = {tombstone_of(field, one, key) for field, mine in ids.items() for one in mine}
    # Whose id has passed to somebody else since cannot be told by it.
    sure = stones_held(context)
    for name in OWNED:
        contract = context.configuration.contracts[name]
        theirs = context.warehouse.read_or_empty(contract.clean_table()).select(contract.key[0], "row_date")
        sure = sure.join(passed_on(sure, theirs, contract.key[0], key), "tombstone", "left_anti")
    stones |= {row[0] for row in sure.select("tombstone").collect()}
    mappings = context.source.mapping.extracts
    built = built_ids(mappings, context.source.contracts)
    packed = {
        one.contract: person.packed(built.get(one.contract, ())) for one in mappings if one.format == "fixed"
    }
    return PersonText(person.pattern(), frozenset(stones), key, built, packed)


def in_identity(context: RunContext, ids: Ids) -> str:
    """A subject is named by the first key of the contract it came with."""
    conditions = [
        f"(contract = {literal(name)} AND {among('subject', ids[contract.key[0]])})"
        for name, contract in context.configuration.contracts.items()
        if contract.key[0] in ids
    ]
    return " OR ".join(conditions)


def among(column: str, ids: Sequence[str]) -> str:
    """SQL of whether a column has one of some ids."""
    return f"{column} IN ({', '.join(map(literal, ids))})" if ids else "FALSE"


def personal_contracts(context: RunContext) -> dict[str, ExtractContract]:
    """The contracts whose rows name persons."""
    contracts = context.configuration.contracts
    return {name: one for name, one in contracts.items() if set(PERSON_FIELDS) & set(one.fields)}
