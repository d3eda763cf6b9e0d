"""Erases a person: every row of a customer in all tables, their history, and the way back.

The keyed hashes of the ids are kept first, as tombstones that ingest honours, with the names of the files
that hold the person; the tables that tell a customer's subscriptions and accounts come last. So an erasure
that is killed can be run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.formats import JOINED
from jobs.config.person_text import PersonText, owner_of, tombstone_of
from jobs.contracts.columns import Table
from jobs.contracts.extracts import PERSON_FIELDS
from jobs.domain.tiles import tiles_of
from jobs.expressions.sql import literal
from jobs.kernel.errors import Issue, StorageError
from jobs.stages.context import RunContext
from jobs.stages.delivery_ledger import known_deliveries, record_deliveries
from jobs.stages.person import (
    IDENTITY,
    NO_IDS,
    QUARANTINE,
    Ids,
    Spell,
    among,
    ids_of,
    in_identity,
    personal_contracts,
    spells_of,
    text_of,
)
from jobs.stages.tombstones import (
    NEVER_HELD,
    TABLE,
    bury,
    held_until,
    stones_of,
)
from jobs.storage.begun import read_begun
from jobs.storage.frames import frame_of
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import settled

ALERTS = "alerts"
# They tell what is whose, so their rows go last; before them refused rows, which may tell it too, and the
# numbers by which these name people.
_PEOPLE = ("accounts", "subscriptions", "customers")


@dataclass(frozen=True)
class Erased:
    """What an erasure did.

    Attributes:
        rows: Rows that were deleted, by table.
        files: Delivered files that hold the person; deleting them is up to the operator.
        replaced: Files whose rows corrections have replaced with such as do not name the person: whether they
            hold the person cannot be told any more.
        issued: Dates of dispatch whose exports hold alerts of the person, if any were made.
    """

    rows: dict[str, int]
    files: list[str]
    replaced: list[str]
    issued: list[date]


def erase(context: RunContext, customer_id: str) -> Erased:
    """Removes a customer, with accounts and subscriptions, from all tables and from their earlier versions.

    A subscription that has passed to another customer stays; only its rows of the erased one's time go.

    Raises:
        StorageError: When no table knows the customer.
    """
    started = context.clock()
    ids = ids_of(context, customer_id)
    text, spells = text_of(context, ids), spells_of(context, customer_id)
    tables = _tables(context)
    found = {table.name: _of_person(context, table, ids, spells, text) for table in tables}
    counts = {table.name: found[table.name].count() for table in tables}
    # One whose erasure was cut off may have no row any more.
    if not any(counts.values()) and stones_of(context, customer_id).isEmpty():
        message = f"no table in {context.warehouse.path} knows the customer '{customer_id}'"
        raise StorageError(Issue("CUSTOMER_UNKNOWN", message))
    told = _told_before(context, customer_id)
    files = sorted(_files_with(context, found) | told.files)
    issued = sorted(_issued(context, found) | told.issued)
    _bury(context, ids, spells, files, issued)
    rows = {name: count for name, count in counts.items() if count}
    for table in tables:
        if table.name in rows:
            context.progress(f"  {table.name}")
            _delete(context, table, found[table.name])
    context.warehouse.forget_history(tables)
    _recount(context)
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
    return Erased(rows, files, sorted(_replaced_files(context) - set(files)), issued)


def _recount(context: RunContext) -> None:
    """Brings the ledger of deliveries in line with the rows that are left in the tables.

    From nothing but these, so that an erasure that was killed counts the same when it is run again.
    """
    warehouse, personal = context.warehouse, personal_contracts(context)

    def rows_of(table: Table) -> dict[str, int]:
        rows = warehouse.read_or_empty(table).groupBy("delivery_id").count()
        return {row[0]: row[1] for row in rows.collect()}

    deliveries = known_deliveries(context)
    active = [row for row in deliveries if row["status"] == "active"]
    refused = rows_of(context.table(QUARANTINE))
    for row in active:
        left = refused.get(row["delivery_id"], 0)
        row["rows_erased"] = (row["rows_erased"] or 0) + row["rows_quarantined"] - left
        row["rows_quarantined"] = left
    for name in sorted({row["contract"] for row in active} & set(personal)):
        accepted, loaded = rows_of(personal[name].raw_table()), rows_of(personal[name].clean_table())
        for row in (row for row in active if row["contract"] == name):
            mine = accepted.get(row["delivery_id"], 0)
            row["rows_loaded"] = loaded.get(row["delivery_id"], 0)
            row["rows_duplicate"] = mine - row["rows_loaded"]
            row["rows_erased"] = row["rows_read"] - row["rows_quarantined"] - mine
    record_deliveries(context, deliveries)


@dataclass(frozen=True)
class _Told:
    """What an earlier erasure of the same person, perhaps killed, found when it began."""

    files: set[str]
    issued: set[date]


def _told_before(context: RunContext, customer_id: str) -> _Told:
    stones = [row.asDict() for row in stones_of(context, customer_id).collect()]

    def all_of(name: str) -> set[Any]:
        return {one for stone in stones for one in stone.get(name) or ()}

    return _Told(all_of("files"), all_of("issued"))


def _issued(context: RunContext, found: Mapping[str, DataFrame]) -> set[date]:
    """Dates of dispatch whose exports hold alerts of a person: what was given out, or could be looked at."""
    if ALERTS not in found:
        return set()
    issued = context.warehouse.read_or_empty(context.table("issued_alerts"))
    given = issued.join(found[ALERTS].select("alert_id"), "alert_id", "left_semi").select("dispatch_date")
    sent = found[ALERTS].where("status = 'dispatched'").select("dispatch_date")
    return {row[0] for row in given.unionByName(sent).distinct().collect()}


def _bury(
    context: RunContext, ids: Ids, spells: Sequence[Spell], files: Sequence[str], issued: Sequence[date]
) -> None:
    """Keeps the tombstones of ids."""
    key, held = context.keys.pseudonym, held_until(context, ids)
    [owner] = (tombstone_of("customer_id", one, key) for one in ids["customer_id"])
    rows = [
        (field, tombstone_of(field, one, key), owner, held.get((field, one), NEVER_HELD))
        for field, mine in ids.items()
        for one in mine
    ]
    last = {(one.field, one.id): one.called for one in spells}
    rows += [(field, tombstone_of(field, one, key), owner, day) for (field, one), day in last.items()]
    stones = frame_of(context.spark, rows, "field STRING, tombstone STRING, owner STRING, held_until DATE")
    told = {
        "files": F.array(*map(F.lit, files)).cast("ARRAY<STRING>"),
        "issued": F.array(*map(F.lit, issued)).cast("ARRAY<DATE>"),
    }
    bury(context, stones.withColumns(told))


def _tables(context: RunContext) -> list[Table]:
    """All tables with rows of persons that there are, in the order in which they are gone through."""
    configuration = context.configuration

    def of(names: Iterable[str]) -> Iterator[Table]:
        for contract in map(configuration.contracts.__getitem__, names):
            yield from (contract.raw_table(), contract.clean_table(), *tiles_of(contract, configuration.view))

    last = [configuration.tables[name] for name in (QUARANTINE, IDENTITY)]
    ours = [table for table in configuration.tables.values() if table not in last]
    others = of(name for name in sorted(configuration.contracts) if name not in _PEOPLE)
    found = [*ours, context.view_table, *others, *last, *of(_PEOPLE)]
    return [
        table
        for table in found
        if (table.name in (QUARANTINE, IDENTITY) or _naming(table)) and context.warehouse.exists(table)
    ]


def _naming(table: Table) -> list[str]:
    return [field for field in PERSON_FIELDS if field in table.names]


def _of_person(
    context: RunContext, table: Table, ids: Ids, spells: Sequence[Spell], text: PersonText
) -> DataFrame:
    """The rows of a table that name a person; a refused row does so anywhere in its text."""
    rows = context.warehouse.read(table)
    if table.name == QUARANTINE:
        return _refused_with(context, rows, text)
    if table.name == IDENTITY:
        return rows.where(in_identity(context, ids)).unionByName(_of_spells(context, rows, ids, spells))
    return rows.where(_is_of(table, ids, spells))


def _of_spells(context: RunContext, rows: DataFrame, ids: Ids, spells: Sequence[Spell]) -> DataFrame:
    """Clear values that came with rows of the person's time alone, of ids that are somebody else's by now."""
    found = [rows.where("FALSE")]
    for name, contract in personal_contracts(context).items():
        key, table = contract.key[0], contract.raw_table()
        passed = sorted({one.id for one in spells if one.field == key})
        if passed and context.warehouse.exists(table):
            raw = context.warehouse.read(table).where(among(key, passed))
            others = raw.where(f"NOT ({_is_of(table, ids, spells)})").select("period", "part", key)
            theirs = rows.where(f"contract = {literal(name)} AND {among('subject', passed)}")
            gone = others.withColumnRenamed(key, "subject")
            found.append(theirs.join(gone, ["period", "part", "subject"], "left_anti").select(*rows.columns))
    return reduce(DataFrame.unionByName, found)


def _dated(table: Table) -> str | None:
    """What tells in a table in whose time a row lies."""
    return next((name for name in ("row_date", "as_of") if name in table.names), None)


def _is_of(table: Table, ids: Ids, spells: Sequence[Spell]) -> str:
    """SQL of whether a row is the person's.

    The first id that it has tells, and of an id that has passed to somebody else the date.
    """
    day, fields = _dated(table), _naming(table)

    def mine(field: str) -> str:
        told = [among(field, ids[field])]
        for one in (one for one in spells if one.field == field and day is not None):
            since = "TRUE" if one.first is None else f"{day} >= {literal(one.first)}"
            told.append(f"({field} = {literal(one.id)} AND {since} AND {day} < {literal(one.until)})")
        return " OR ".join(told)

    cases = " ".join(f"WHEN {field} IS NOT NULL THEN {mine(field)}" for field in fields)
    return f"CASE {cases} ELSE FALSE END"


def _refused_with(context: RunContext, rows: DataFrame, text: PersonText) -> DataFrame:
    """The refused rows in whose text somebody is.

    Where a word alone tells it, only if the row has no id that a table knows: it may be an amount.
    """
    # An earlier release kept no ids with them.
    ids = "ids" if "ids" in rows.columns else NO_IDS

    schema = pa.schema(
        [
            ("delivery_id", pa.string()),
            ("line", pa.int64()),
            ("sure", pa.bool_()),
            ("field", pa.string()),
            ("id", pa.string()),
        ]
    )

    def named(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = []
            for row in batch.to_pylist():
                ids = dict(row["ids"] or ())
                sure = text.is_in(row["original"], ids)
                if sure or text.may_be_in(row["original"], row["contract"]):
                    field, owner = owner_of(ids) or (None, None)
                    place = {name: row[name] for name in ("delivery_id", "line")}
                    found.append({**place, "sure": sure, "field": field, "id": owner})
            yield pa.RecordBatch.from_pylist(found, schema)

    read = rows.selectExpr("delivery_id", "line", "coalesce(original, '') AS original", ids, "contract")
    told = "delivery_id STRING, line BIGINT, sure BOOLEAN, field STRING, id STRING"
    found = settled(read.mapInArrow(named, told))
    known = reduce(DataFrame.unionByName, _known_ids(context))
    unsure = found.where("NOT sure").join(known, ["field", "id"], "left_anti")
    keys = settled(found.where("sure").unionByName(unsure).select("delivery_id", "line"))
    return rows.join(F.broadcast(keys), ["delivery_id", "line"], "left_semi")


def _known_ids(context: RunContext) -> Iterator[DataFrame]:
    """The ids of persons that tables know, as field and id."""
    for name in _PEOPLE:
        contract = context.configuration.contracts[name]
        rows = context.warehouse.read_or_empty(contract.clean_table())
        yield rows.select(
            F.lit(contract.key[0]).alias("field"), F.col(contract.key[0]).alias("id")
        ).distinct()


def _files_with(context: RunContext, found: Mapping[str, DataFrame]) -> set[str]:
    """Names of delivered files with rows of a person, and of those that they replaced."""
    deliveries: set[str] = set()
    for name, rows in found.items():
        if name.startswith("raw_") or name == QUARANTINE:
            deliveries |= {row[0] for row in rows.select("delivery_id").distinct().collect()}
    known = known_deliveries(context)
    slots = {_slot(row) for row in known if row["delivery_id"] in deliveries}
    # A load that was killed has left rows that the ledger does not know.
    unknown = deliveries - {row["delivery_id"] for row in known}
    personal = personal_contracts(context)
    begun = [one for one in read_begun(context.warehouse.path) if one.contract in personal]
    return {row["file"] for row in known if _slot(row) in slots} | {one.file for one in begun if unknown}


def _replaced_files(context: RunContext) -> set[str]:
    """Names of files with rows of persons that are in no table any more."""
    personal = personal_contracts(context)
    return {
        row["file"]
        for row in known_deliveries(context)
        if row["status"] == "superseded" and row["contract"] in personal
    }


def _slot(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a delivery is replaced in; two joined files are in one."""
    return row["contract"], row["period"], row["part"].removesuffix(f".{JOINED}")


def _delete(context: RunContext, table: Table, found: DataFrame) -> None:
    """Deletes a person's rows; no statement has an id in it, since a table's log keeps statements."""
    keys = {QUARANTINE: ["delivery_id", "line"], IDENTITY: ["contract", "period", "part", "subject"]}
    day = _dated(table)
    names = keys.get(table.name) or [*_naming(table), *([] if day is None else [day])]
    context.warehouse.delete(table, settled(found.select(*names).distinct()))
