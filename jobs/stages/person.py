"""Who a person is to the tables: ids, and what tells that a refused row names the person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

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


def ids_of(context: RunContext, customer_id: str) -> dict[str, list[str]]:
    """Ids of a customer, and of the accounts and subscriptions that are the customer's at last.

    Where nothing else tells whose one is, a refused row does.
    """
    found = {"customer_id": [customer_id]}
    for name in ("accounts", "subscriptions"):
        contract = context.configuration.contracts[name]
        rows, key = context.warehouse.read_or_empty(contract.clean_table()), contract.key[0]
        last = rows.groupBy(key).agg(F.max_by("customer_id", "row_date").alias("customer_id"))
        mine = last.where(F.col("customer_id") == customer_id).select(key)
        told = _refused_ids(context, name, customer_id, key).join(rows, key, "left_anti")
        later = _left_out_ids(context, customer_id, key).join(rows, key, "left_anti")
        found[key] = sorted(row[0] for row in mine.unionByName(told).unionByName(later).distinct().collect())
    return found


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
