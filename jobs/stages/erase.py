"""Erases a person: every row of a customer in all tables, their history, and the way back.

The keyed hashes of the ids are kept first, as tombstones that ingest honours, with the names of the files
that hold the person; the tables that tell a customer's subscriptions and accounts come last. So an erasure
that is killed can be run again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.formats import JOINED
from jobs.contracts.columns import Table
from jobs.contracts.extracts import PERSON_FIELDS
from jobs.domain.privacy import tombstone
from jobs.domain.tiles import tiles_of
from jobs.expressions.sql import literal
from jobs.kernel.errors import Issue, StorageError
from jobs.stages.context import RunContext
from jobs.stages.ingest import known_deliveries
from jobs.storage.frames import frame_of
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import settled

TABLE, QUARANTINE, IDENTITY = "erasures", "quarantine", "identity"
# They tell what is whose, so their rows go last; before them the numbers, by which refused rows name people.
_PEOPLE = ("accounts", "subscriptions", "customers")

Ids = Mapping[str, Sequence[str]]
"""Ids of a person by field: customer_id, account_id, subscription_id."""


@dataclass(frozen=True)
class Erased:
    """What an erasure did.

    Attributes:
        rows: Rows that were deleted, by table.
        files: Delivered files that hold the person; deleting them is up to the operator.
    """

    rows: dict[str, int]
    files: list[str]


def erase(context: RunContext, customer_id: str) -> Erased:
    """Removes a customer, with accounts and subscriptions, from all tables and from their earlier versions.

    A subscription that has passed to another customer stays; only its rows of the erased one go.

    Raises:
        StorageError: When no table knows the customer.
    """
    started = context.clock()
    ids = _ids_of(context, customer_id)
    texts = sorted({one for mine in ids.values() for one in mine} | set(_numbers_of(context, ids)))
    tables = _tables(context)
    found = {table.name: _of_person(context, table, ids, texts) for table in tables}
    files = sorted(_files_with(context, found) | _files_told(context, customer_id))
    _bury(context, ids, files)
    rows: dict[str, int] = {}
    for table in tables:
        context.progress(f"  {table.name}")
        if deleted := found[table.name].count():
            rows[table.name] = deleted
            _delete(context, table, found[table.name], ids)
        context.warehouse.forget_history(table)
    context.log(
        LedgerRow(
            stage="erase",
            result="complete",
            started_at=started,
            finished_at=context.clock(),
            source=context.source.name,
            rows_out=sum(rows.values()),
            message=f"{sum(map(len, ids.values()))} ids; their tombstones are in {TABLE}",
        )
    )
    return Erased(rows, files)


def _ids_of(context: RunContext, customer_id: str) -> dict[str, list[str]]:
    """Ids of a customer, and of the accounts and subscriptions that are the customer's at last."""
    found = {"customer_id": [customer_id]}
    # One whose erasure was cut off may have no row any more.
    known = _is_buried(context, customer_id)
    for name in _PEOPLE:
        contract = context.configuration.contracts[name]
        rows = context.warehouse.read_or_empty(contract.clean_table())
        known = known or not rows.where(F.col("customer_id") == customer_id).isEmpty()
        key = contract.key[0]
        if key not in found:
            last = rows.groupBy(key).agg(F.max_by("customer_id", "row_date").alias("customer_id"))
            mine = last.where(F.col("customer_id") == customer_id).select(key).collect()
            found[key] = sorted(row[0] for row in mine)
    if not known:
        message = f"no table in {context.warehouse.path} knows the customer '{customer_id}'"
        raise StorageError(Issue("CUSTOMER_UNKNOWN", message))
    return found


def _is_buried(context: RunContext, customer_id: str) -> bool:
    return not _stones_of(context, customer_id).isEmpty()


def _files_told(context: RunContext, customer_id: str) -> set[str]:
    """Names of files that held a customer when an earlier erasure began."""
    return {file for row in _stones_of(context, customer_id).collect() for file in row["files"] or ()}


def _stones_of(context: RunContext, customer_id: str) -> DataFrame:
    stones = context.warehouse.read_or_empty(context.table(TABLE))
    mine = tombstone(F.lit("customer_id"), F.lit(customer_id), context.keys.pseudonym)
    return stones.where(F.col("tombstone") == mine)


def _numbers_of(context: RunContext, ids: Ids) -> list[str]:
    rows = context.warehouse.read_or_empty(context.table(IDENTITY))
    mine = rows.where(_in_identity(context, ids)).where("field = 'number'").select("clear").distinct()
    return [row["clear"] for row in mine.collect()]


def _bury(context: RunContext, ids: Ids, files: Sequence[str]) -> None:
    """Keeps the tombstones of ids that have none yet."""
    table = context.table(TABLE)
    pairs = [(field, one) for field, mine in ids.items() for one in mine]
    rows = frame_of(context.spark, pairs, "field STRING, id STRING")
    key = context.keys.pseudonym
    stones = rows.select("field", tombstone(F.col("field"), F.col("id"), key).alias("tombstone"))
    old = context.warehouse.read_or_empty(table).select("tombstone")
    new = stones.join(old, "tombstone", "left_anti").select(
        "*",
        F.array(*map(F.lit, files)).alias("files"),
        F.lit(context.clock()).alias("erased_at"),
        F.lit(context.run_id).alias("run_id"),
    )
    context.warehouse.append(new, table)


def _tables(context: RunContext) -> list[Table]:
    """All tables with rows of persons that there are, in the order in which they are gone through."""
    configuration = context.configuration

    def of(names: Iterable[str]) -> Iterator[Table]:
        for contract in map(configuration.contracts.__getitem__, names):
            yield from (contract.raw_table(), contract.clean_table(), *tiles_of(contract, configuration.view))

    ours = [table for table in configuration.tables.values() if table.name != IDENTITY]
    others = of(name for name in sorted(configuration.contracts) if name not in _PEOPLE)
    found = [*ours, context.view_table, *others, context.table(IDENTITY), *of(_PEOPLE)]
    return [
        table
        for table in found
        if (table.name in (QUARANTINE, IDENTITY) or _naming(table)) and context.warehouse.exists(table)
    ]


def _naming(table: Table) -> list[str]:
    return [field for field in PERSON_FIELDS if field in table.names]


def _of_person(context: RunContext, table: Table, ids: Ids, texts: Iterable[str]) -> DataFrame:
    """The rows of a table that name a person; a refused row does so anywhere in its text."""
    rows = context.warehouse.read(table)
    if table.name == QUARANTINE:
        alternatives = "|".join(map(re.escape, texts))
        named = F.col("original").rlike(f"(?<![A-Za-z0-9])({alternatives})(?![A-Za-z0-9])")
        return rows.where(named).unionByName(_of_buried(context, rows)).distinct()
    if table.name == IDENTITY:
        return rows.where(_in_identity(context, ids))
    return rows.where(" OR ".join(_among(field, ids[field]) for field in _naming(table)))


def _of_buried(context: RunContext, rows: DataFrame) -> DataFrame:
    """Refused rows with a word that is an id of somebody erased: later files may have brought them back."""
    pieces = [F.split("original", pattern) for pattern in ("[^A-Za-z0-9]+", "[^A-Za-z0-9_-]+")]
    words = F.explode(F.array_distinct(F.concat(*pieces))).alias("word")
    fields = F.explode(F.array(*map(F.lit, PERSON_FIELDS))).alias("field")
    told = rows.select("delivery_id", "line", words).select("*", fields)
    stone = tombstone(F.col("field"), F.col("word"), context.keys.pseudonym)
    buried = context.warehouse.read_or_empty(context.table(TABLE)).select("tombstone")
    hits = told.withColumn("tombstone", stone).join(buried, "tombstone")
    return rows.join(hits.select("delivery_id", "line").distinct(), ["delivery_id", "line"], "left_semi")


def _in_identity(context: RunContext, ids: Ids) -> str:
    """A subject is named by the first key of the contract it came with."""
    conditions = [
        f"(contract = {literal(name)} AND {_among('subject', ids[contract.key[0]])})"
        for name, contract in context.configuration.contracts.items()
        if contract.key[0] in ids
    ]
    return " OR ".join(conditions)


def _among(column: str, ids: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(map(literal, ids))})" if ids else "FALSE"


def _files_with(context: RunContext, found: Mapping[str, DataFrame]) -> set[str]:
    """Names of delivered files with rows of a person, and of those that they replaced."""
    deliveries: set[str] = set()
    for name, rows in found.items():
        if name.startswith("raw_") or name == QUARANTINE:
            deliveries |= {row[0] for row in rows.select("delivery_id").distinct().collect()}
    known = known_deliveries(context)
    slots = {_slot(row) for row in known if row["delivery_id"] in deliveries}
    return {row["file"] for row in known if _slot(row) in slots}


def _slot(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a delivery is replaced in; two joined files are in one."""
    return row["contract"], row["period"], row["part"].removesuffix(f".{JOINED}")


def _delete(context: RunContext, table: Table, found: DataFrame, ids: Ids) -> None:
    """Deletes a person's rows; no statement has an id in it, since a table's log keeps statements."""
    warehouse, spark = context.warehouse, context.spark
    if table.name in (QUARANTINE, IDENTITY):
        keys = found.select(
            *(["delivery_id", "line"] if table.name == QUARANTINE else ["contract", "subject"])
        )
        warehouse.delete(table, settled(keys.distinct()))
        return
    for field in _naming(table):
        if ids[field]:
            warehouse.delete(table, frame_of(spark, [(one,) for one in ids[field]], f"{field} STRING"))
