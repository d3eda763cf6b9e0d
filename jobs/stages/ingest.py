"""Ingest: files -> raw rows, quarantine, identity -> clean -> tiles, each delivery exactly once.

Everything is read and judged before anything is written, so that a refused delivery leaves all tables as
they were. The deliveries table is written last; a run killed before it does its work again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import Table
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.view import CustomerView
from jobs.domain.extract_rows import latest_wins, row_day
from jobs.domain.tiles import build_tiles, tile_table
from jobs.expressions.sql import literal
from jobs.kernel.errors import Issue, SourceError
from jobs.stages.context import RunContext
from jobs.stages.deliveries import Delivery, covered, find_deliveries
from jobs.stages.drift import check_drift
from jobs.stages.judge import ACCEPTED, PARALLEL_CONTRACTS, Batch, Counts, judge_deliveries, refuse_bad
from jobs.stages.quality import check_quality, write_pages
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import ROWS_PER_FILE, Warehouse


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
    found = find_deliveries(context.source, context.extracts or ".", known, definitions)
    new = found.new
    current = [one for one in new if not one.superseded]
    for issue in found.waiting:
        context.progress(f"left alone: {issue}")
    waiting = "; ".join(str(issue) for issue in found.waiting) or None
    if not new:
        _log(context, started, "unchanged", [], waiting or "no new delivery")
        return []
    context.progress(f"ingest: {len(current)} new files of {len({d.contract for d in current})} contracts")
    batches = judge_deliveries(context, current)
    try:
        drift = check_drift(context, batches, known)
        refuse_bad(context, batches)
        validator = check_quality(context, batches, known)
        _check_tables(context, batches)
        with ThreadPoolExecutor(PARALLEL_CONTRACTS + 1) as pool:
            pages = pool.submit(write_pages, context, validator)
            added = list(pool.map(lambda batch: _write(context, batch, known), batches))
            pages.result()
    finally:
        for batch in batches:
            batch.judged.unpersist()
    rows = [row | {"drift": drift[row["delivery_id"]]} for group in added for row in group]
    rows += [_superseded_row(context, one) for one in new if one.superseded]
    _record(context, known, rows)
    _log(context, started, "complete", rows, waiting)
    return rows


def _check_tables(context: RunContext, batches: list[Batch]) -> None:
    """Brings every table that will be written in line with its schema, before the first is written.

    Raises:
        StorageError: When one of them does not fit.
    """
    view = context.configuration.view
    tables = [context.table("quarantine"), context.table("identity")]
    for batch in batches:
        tables += [batch.contract.raw_table(), batch.contract.clean_table()]
        if view.measures_of(batch.contract.contract):
            tables.append(tile_table(batch.contract, view))
    for table in tables:
        if context.warehouse.exists(table):
            context.warehouse.ensure(table)


def known_deliveries(context: RunContext) -> list[dict[str, Any]]:
    """All rows of the table deliveries of the run's source."""
    if context.deliveries is not None:
        return context.deliveries
    table = context.warehouse.read_or_empty(context.table("deliveries"))
    # A table that an older release wrote may lack columns; they are null.
    none: dict[str, Any] = dict.fromkeys(context.table("deliveries").names)
    rows = [none | row.asDict() for row in table.collect()]
    others = sorted({row["source"] for row in rows} - {context.source.name})
    if others:
        path = context.warehouse.path
        message = f"{path} holds the source '{others[0]}'; give each source a warehouse of its own"
        raise SourceError(Issue("TABLE_MISMATCH", message))
    context.deliveries = rows
    return rows


def _write(context: RunContext, batch: Batch, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Writes one contract's deliveries; see the module's text for the order."""
    contract, warehouse, view = batch.contract, context.warehouse, context.configuration.view
    slots = {(d.period, d.part) for d in batch.deliveries}
    place = {"period": sorted({p for p, _ in slots}), "part": sorted({p for _, p in slots})}
    accepted = batch.rows.where(ACCEPTED)
    kept = _other_parts(warehouse, contract.raw_table(), place, slots, contract.contract, accepted)
    warehouse.replace_changed(kept, contract.raw_table(), place, arranged=True)
    _write_side_tables(context, batch, known, place, slots)
    units, others = _touched(batch, known, slots)
    tiles = tile_table(contract, view) if view.measures_of(contract.contract) else None
    loaded: dict[str, int] = {}
    if units:
        loaded = write_clean(warehouse, batch, units, others, tiles, view)
    else:
        for table in (contract.clean_table(), *([] if tiles is None else [tiles])):
            warehouse.ensure(table)
    context.progress(
        f"  {contract.contract}: {sum(c.accepted for c in batch.counts.values()):,} rows written"
    )
    return [
        _delivery_row(context, one, contract, batch.counts[one.delivery_id], loaded.get(one.delivery_id, 0))
        for one in batch.deliveries
    ]


def write_clean(
    warehouse: Warehouse,
    batch: Batch,
    units: list[date],
    others: list[dict[str, Any]],
    tiles: Table | None,
    view: CustomerView,
) -> dict[str, int]:
    """Writes some units of a clean table and its tiles.

    Args:
        warehouse: The tables.
        batch: New deliveries that have rows in these units.
        units: What is written anew.
        others: Loaded deliveries that have rows in them.
        tiles: The contract's tile table, if it has one.
        view: Gives the measures.

    Returns:
        Clean rows in these units, by delivery.
    """
    contract = batch.contract
    numbers = _numbered(batch, others)
    kept = _clean_rows(warehouse, batch, units, numbers, {row["delivery_id"] for row in others})
    kept = kept.persist(StorageLevel.MEMORY_AND_DISK)
    ids = ", ".join(map(literal, numbers))
    clean = kept.withColumn("delivery_id", F.expr(f"array({ids})[delivery]"))
    warehouse.replace_changed(clean, contract.clean_table(), {"row_day": units}, arranged=True)
    if tiles is not None:
        built = build_tiles(kept, contract, view)
        warehouse.replace_changed(built, tiles, {"row_day": units}, arranged=True)
    counted = {row[0]: row[1] for row in kept.groupBy("delivery").count().collect()}
    kept.unpersist()
    return {delivery_id: counted.get(number, 0) for delivery_id, number in numbers.items()}


def _numbered(batch: Batch, others: list[dict[str, Any]]) -> dict[str, int]:
    """A number for each delivery that has rows in units to redo, in the order of delivery."""
    mine = {(one.period, one.part, one.delivery_id) for one in batch.deliveries}
    mine |= {(row["period"], row["part"], row["delivery_id"]) for row in others}
    return {delivery_id: number for number, (_, _, delivery_id) in enumerate(sorted(mine))}


def _touched(
    batch: Batch, known: list[dict[str, Any]], slots: set[tuple[str, str]]
) -> tuple[list[date], list[dict[str, Any]]]:
    """Units of the clean table to redo, and the other active deliveries that have rows in them."""
    mine = [row for row in known if row["contract"] == batch.contract.contract and row["status"] == "active"]
    units = {unit for counts in batch.counts.values() for unit in counts.units}
    units |= {unit for row in mine if (row["period"], row["part"]) in slots for unit in row["units"]}
    others = [
        row
        for row in mine
        if (row["period"], row["part"]) not in slots and not units.isdisjoint(row["units"])
    ]
    return sorted(units), others


def _clean_rows(
    warehouse: Warehouse, batch: Batch, units: list[date], numbers: dict[str, int], others: set[str]
) -> DataFrame:
    """The clean rows of some units: from the new rows, and from raw where others have rows there too.

    A row has the number of its delivery instead of its id, which is long to carry along.
    """
    contract = batch.contract
    columns = [column.name for column in contract.kept_columns] + ["row_date", "available_at", "line"]
    frames = []
    if batch.deliveries:
        new = ", ".join(str(numbers[one.delivery_id]) for one in batch.deliveries)
        number = F.expr(f"array({new})[delivery]").alias("delivery")
        frames.append(batch.judged.where(ACCEPTED).select(*columns, number))
    if others:
        known = ", ".join(f"{literal(one)}, {numbers[one]}" for one in sorted(others))
        number = F.expr(f"map({known})[delivery_id]").alias("delivery")
        old = warehouse.read(contract.raw_table()).where(F.col("delivery_id").isin(*others))
        frames.append(old.select(*columns, number))
    rows = reduce(DataFrame.unionByName, frames)
    rows = rows.withColumn("row_day", row_day(contract)).where(F.col("row_day").isin(units))
    accepted = sum(counts.accepted for counts in batch.counts.values())
    return latest_wins(rows, contract, buckets=1 + accepted // (len(units) * ROWS_PER_FILE))


def _other_parts(
    warehouse: Warehouse,
    table: Table,
    place: dict[str, list[str]],
    slots: set[tuple[str, str]],
    contract: str,
    new: DataFrame,
) -> DataFrame:
    """Adds the rows that stand in the replaced rectangle of periods and parts but are no new delivery's."""
    crossed = {(period, part) for period in place["period"] for part in place["part"]} - slots
    if not crossed or not warehouse.exists(table):
        return new
    pairs = " OR ".join(f"(period = {literal(a)} AND part = {literal(b)})" for a, b in sorted(crossed))
    old = warehouse.read(table).where(pairs)
    if "contract" in table.names:
        old = old.where(f"contract = {literal(contract)}")
    return new.select(*table.names).unionByName(old.select(*table.names))


def _write_side_tables(
    context: RunContext,
    batch: Batch,
    known: list[dict[str, Any]],
    place: dict[str, list[str]],
    slots: set[tuple[str, str]],
) -> None:
    """Quarantine and identity; only deliveries' own slots are replaced."""
    warehouse = context.warehouse
    contract = batch.contract
    run = F.lit(context.run_id).alias("run_id")
    name = F.lit(contract.contract).alias("contract")
    bad = batch.rows.where("applicable AND size(reasons) > 0")
    slot = {"contract": [contract.contract], **place}
    quarantine = context.table("quarantine")
    before = any(row["contract"] == contract.contract and row["rows_quarantined"] for row in known)
    if before or any(counts.rejected for counts in batch.counts.values()):
        rows = bad.select(name, "period", "part", "delivery_id", "file", "line", "raw", "reasons", run)
        rows = rows.withColumnRenamed("raw", "original")
        kept = _other_parts(warehouse, quarantine, place, slots, contract.contract, rows)
        warehouse.replace_changed(kept, quarantine, slot)
    people = people_of(batch)
    if people is None:
        return
    identity = context.table("identity")
    kept = _other_parts(warehouse, identity, place, slots, contract.contract, people)
    warehouse.replace_changed(kept, identity, slot)


def people_of(batch: Batch) -> DataFrame | None:
    """Rows of the table identity: the clear values of accepted rows; None when the contract has none."""
    contract = batch.contract
    clear = [column.removeprefix("clear__") for column in batch.rows.columns if column.startswith("clear__")]
    if not clear:
        return None
    good = batch.rows.where(ACCEPTED)
    parts = [
        good.where(F.col(f"clear__{field}").isNotNull()).select(
            F.lit(contract.contract).alias("contract"),
            "period",
            "part",
            F.col(contract.key[0]).alias("subject"),
            F.lit(field).alias("field"),
            (F.col(field) if contract.fields[field].personal == "number" else F.lit(None)).alias("pseudonym"),
            F.col(f"clear__{field}").alias("clear"),
        )
        for field in clear
    ]
    return reduce(DataFrame.unionByName, parts).distinct()


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
        "units": sorted(counts.units),
        "delivered_on": one.delivered_on,
        "header": list(one.facts.header),
        "profile": dict(counts.profile),
        "drift": [],
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
    # A content that comes back after a wrong correction has been there before.
    again = {row["delivery_id"] for row in added}
    record_deliveries(context, [row for row in known if row["delivery_id"] not in again] + added)


def record_deliveries(context: RunContext, deliveries: list[dict[str, Any]]) -> None:
    """Writes the deliveries table anew."""
    table = context.table("deliveries")
    rows = [tuple(row[name] for name in table.names) for row in deliveries]
    context.warehouse.overwrite(context.spark.createDataFrame(rows, table.ddl), table)
    context.deliveries = deliveries


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
