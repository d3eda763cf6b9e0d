"""Ingest: files -> raw rows, quarantine, identity -> tiles -> clean, each delivery exactly once.

Everything is read and judged before anything is written, so that a refused delivery leaves all tables as
they were. The deliveries table is written last; a run killed before it does its work again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import Table
from jobs.contracts.extracts import ExtractContract
from jobs.domain.extract_rows import latest_wins, row_day
from jobs.domain.tiles import build_tiles, tile_table
from jobs.expressions.sql import literal
from jobs.kernel.errors import Issue, SourceError
from jobs.stages.context import RunContext
from jobs.stages.deliveries import Delivery, covered, find_deliveries
from jobs.stages.judge import PARALLEL_CONTRACTS, Batch, Counts, judge_deliveries, refuse_bad
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import Warehouse


def ingest(context: RunContext) -> list[dict[str, Any]]:
    """Loads every new delivery in the folder of extracts.

    Returns:
        The rows of the table deliveries that this run added.

    Raises:
        SourceError: When files are missing or misnamed, headers lack columns, or a delivery has more bad
            rows than its contract allows; no table is touched then.
    """
    started = context.clock()
    known = known_deliveries(context)
    view = context.configuration.view
    definitions = {name: view.measures_fingerprint(name) for name in context.source.contracts}
    new = find_deliveries(context.source, context.extracts or ".", known, definitions)
    current = [one for one in new if not one.superseded]
    if not new:
        _log(context, started, "unchanged", [], "no new delivery")
        return []
    context.progress(f"ingest: {len(current)} new files of {len({d.contract for d in current})} contracts")
    batches = judge_deliveries(context, current)
    try:
        refuse_bad(context, batches)
        with ThreadPoolExecutor(PARALLEL_CONTRACTS) as pool:
            added = list(pool.map(lambda batch: _write(context, batch, known), batches))
    finally:
        for batch in batches:
            batch.rows.unpersist()
    rows = [row for group in added for row in group]
    rows += [_superseded_row(context, one) for one in new if one.superseded]
    _record(context, known, rows)
    _log(context, started, "complete", rows, None)
    return rows


def known_deliveries(context: RunContext) -> list[dict[str, Any]]:
    """All rows of the table deliveries of the run's source."""
    if context.deliveries is not None:
        return context.deliveries
    table = context.warehouse.read_or_empty(context.table("deliveries"))
    rows = [row.asDict() for row in table.collect()]
    others = sorted({row["source"] for row in rows} - {context.source.name})
    if others:
        path = context.warehouse.path
        message = f"{path} holds the source '{others[0]}'; give each source a warehouse of its own"
        raise SourceError(Issue("TABLE_MISMATCH", message))
    context.deliveries = rows
    return rows


def _write(context: RunContext, batch: Batch, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Writes one contract's deliveries; the clean table last, since it tells what must be redone."""
    contract, warehouse = batch.contract, context.warehouse
    slots = {(d.period, d.part) for d in batch.deliveries}
    place = {"period": sorted({p for p, _ in slots}), "part": sorted({p for _, p in slots})}
    raw_table, clean_table = contract.raw_table(), contract.clean_table()
    accepted = batch.rows.where("applicable AND size(reasons) = 0")
    kept = _other_parts(warehouse, raw_table, place, slots, accepted)
    warehouse.replace_changed(kept, raw_table, place)
    _write_side_tables(context, batch, known, place)
    days = _touched_days(warehouse, batch, known, slots)
    loaded: dict[str, int] = {}
    if days:
        unit = {"row_day": days}
        raw = (
            warehouse.read(raw_table)
            .withColumn("row_day", row_day(contract))
            .where(F.col("row_day").isin(days))
        )
        clean = latest_wins(raw, contract).persist(StorageLevel.MEMORY_AND_DISK)
        if context.configuration.view.measures_of(contract.contract):
            table = tile_table(contract, context.configuration.view)
            warehouse.replace_changed(build_tiles(clean, contract, context.configuration.view), table, unit)
        warehouse.replace_changed(clean, clean_table, unit)
        loaded = {row[0]: row[1] for row in clean.groupBy("delivery_id").count().collect()}
        clean.unpersist()
    else:
        warehouse.ensure(clean_table)
        if context.configuration.view.measures_of(contract.contract):
            warehouse.ensure(tile_table(contract, context.configuration.view))
    context.progress(f"  {contract.contract}: {sum(c.accepted for c in batch.counts.values()):,} rows")
    return [
        _delivery_row(context, one, contract, batch.counts[one.delivery_id], loaded.get(one.delivery_id, 0))
        for one in batch.deliveries
    ]


def _other_parts(
    warehouse: Warehouse,
    table: Table,
    place: dict[str, list[str]],
    slots: set[tuple[str, str]],
    accepted: DataFrame,
) -> DataFrame:
    """Adds the rows that stand in the replaced rectangle of periods and parts but are no new delivery's."""
    crossed = {(period, part) for period in place["period"] for part in place["part"]} - slots
    if not crossed or not warehouse.exists(table):
        return accepted
    pairs = " OR ".join(f"(period = {literal(a)} AND part = {literal(b)})" for a, b in sorted(crossed))
    old = warehouse.read(table).where(pairs)
    return accepted.select(*table.names).unionByName(old.select(*table.names))


def _write_side_tables(
    context: RunContext, batch: Batch, known: list[dict[str, Any]], place: dict[str, list[str]]
) -> None:
    """Quarantine and identity; only deliveries' own slots are replaced."""
    contract = batch.contract
    run = F.lit(context.run_id).alias("run_id")
    name = F.lit(contract.contract).alias("contract")
    bad = batch.rows.where("applicable AND size(reasons) > 0")
    slot = {"contract": [contract.contract], **place}
    quarantine = context.table("quarantine")
    before = any(row["contract"] == contract.contract and row["rows_quarantined"] for row in known)
    if before or any(counts.rejected for counts in batch.counts.values()):
        rows = bad.select(name, "period", "part", "delivery_id", "file", "line", "raw", "reasons", run)
        context.side_lock_replace(rows.withColumnRenamed("raw", "original"), quarantine, slot)
    clear = [column.removeprefix("clear__") for column in batch.rows.columns if column.startswith("clear__")]
    if not clear:
        return
    subject = F.col(contract.key[0]).alias("subject")
    good = batch.rows.where("applicable AND size(reasons) = 0")
    parts = [
        good.where(F.col(f"clear__{field}").isNotNull()).select(
            name,
            "period",
            "part",
            subject,
            F.lit(field).alias("field"),
            (F.col(field) if contract.fields[field].personal == "number" else F.lit(None)).alias("pseudonym"),
            F.col(f"clear__{field}").alias("clear"),
        )
        for field in clear
    ]
    people = parts[0]
    for part in parts[1:]:
        people = people.unionByName(part)
    context.side_lock_replace(people.distinct(), context.table("identity"), slot)


def _is_replaced(row: dict[str, Any], contract: str, slots: set[tuple[str, str]]) -> bool:
    return row["contract"] == contract and row["status"] == "active" and (row["period"], row["part"]) in slots


def _touched_days(
    warehouse: Warehouse, batch: Batch, known: list[dict[str, Any]], slots: set[tuple[str, str]]
) -> list[date]:
    """Units of the clean table to redo: those of new rows, and those with rows of replaced deliveries."""
    days = {day for counts in batch.counts.values() for day in counts.units}
    replaced = [row["delivery_id"] for row in known if _is_replaced(row, batch.contract.contract, slots)]
    table = batch.contract.clean_table()
    if replaced and warehouse.exists(table):
        old = warehouse.read(table).where(F.col("delivery_id").isin(replaced)).select("row_day").distinct()
        days |= {row[0] for row in old.collect()}
    return sorted(days)


def _delivery_row(
    context: RunContext, one: Delivery, contract: ExtractContract, counts: Counts, loaded: int
) -> dict[str, Any]:
    first, last = covered(one, contract, counts.first, counts.last)
    return {
        "delivery_id": one.delivery_id,
        "source": one.source,
        "contract": one.contract,
        "period": one.period,
        "part": one.part,
        "sequence": one.sequence,
        "file": one.name,
        "sha256": one.facts.sha256,
        "mapping_fingerprint": one.mapping_fingerprint,
        "status": "superseded" if one.superseded else "active",
        "rows_in_file": one.facts.records,
        "rows_not_applicable": counts.not_applicable,
        "rows_read": counts.records - counts.not_applicable,
        "rows_loaded": loaded,
        "rows_quarantined": counts.rejected,
        "rows_duplicate": counts.accepted - loaded,
        "covers_from": first,
        "covers_to": last,
        "delivered_on": one.delivered_on,
        "run_id": context.run_id,
    }


def _superseded_row(context: RunContext, one: Delivery) -> dict[str, Any]:
    contract = context.source.contracts[one.contract]
    return {**_delivery_row(context, one, contract, Counts(0, 0, 0, None, None), 0), "rows_read": 0}


def _record(context: RunContext, known: list[dict[str, Any]], added: list[dict[str, Any]]) -> None:
    """Writes the deliveries table: the commit point of the ingest."""
    new_slots = {(r["contract"], r["period"], r["part"]) for r in added if r["status"] == "active"}
    for row in known:
        if (row["contract"], row["period"], row["part"]) in new_slots:
            row["status"] = "superseded"
    table = context.table("deliveries")
    rows = [tuple(row[name] for name in table.names) for row in [*known, *added]]
    frame = context.spark.createDataFrame(rows, table.ddl)
    context.warehouse.overwrite(frame, table)
    context.deliveries = [*known, *added]


def _log(
    context: RunContext, started: datetime, result: str, rows: list[dict[str, Any]], message: str | None
) -> None:
    context.log(
        LedgerRow(
            stage="ingest",
            result=result,
            started_at=started,
            finished_at=context.clock(),
            source=context.source.name,
            rows_in=sum(row["rows_read"] for row in rows),
            rows_out=sum(row["rows_loaded"] for row in rows),
            rows_rejected=sum(row["rows_quarantined"] for row in rows),
            inputs={row["file"]: row["sha256"] for row in rows},
            fingerprint=context.source.fingerprint,
            message=message,
        )
    )
