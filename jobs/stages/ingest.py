"""Ingest: files -> raw rows, quarantine, identity -> clean -> tiles, each delivery exactly once.

Everything is read and judged before anything is written, so that a refused delivery leaves all tables as
they were. The deliveries table is written last; a run killed before it does its work again, and a note of
what it had begun tells the next one what else may be half done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import reduce
from itertools import product
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.contracts.columns import Table
from jobs.contracts.extracts import PERSON_FIELDS
from jobs.domain.tiles import tiles_of
from jobs.expressions.sql import literal, quote
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import Issue, SourceError
from jobs.stages.clean import recount, write_clean
from jobs.stages.context import RunContext
from jobs.stages.coverage import named
from jobs.stages.deliveries import OVERTAKEN, find_deliveries
from jobs.stages.delivery import Delivery
from jobs.stages.delivery_ledger import (
    delivery_row,
    known_deliveries,
    record_deliveries,
    slot_of,
    staying,
    superseded_row,
)
from jobs.stages.drift import check_drift
from jobs.stages.judge import ACCEPTED, PARALLEL_CONTRACTS, REFUSED, Batch, judge_deliveries
from jobs.stages.periods import Named
from jobs.stages.quality import QualityCheck
from jobs.stages.readiness import check_ready
from jobs.stages.refusals import refusals
from jobs.stages.tombstones import bury
from jobs.stages.whole_files import stored_size
from jobs.storage.begun import Begun, read_begun, write_begun
from jobs.storage.layout import predicate
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import Warehouse

SLOT = ("contract", "period", "part")


def ingest(
    context: RunContext, cycles: Sequence[Cycle] = (), growing: Set[str] = frozenset()
) -> list[dict[str, Any]]:
    """Loads every new delivery in the folder of extracts.

    Args:
        context: The run.
        cycles: Those that will be computed from what is loaded; nothing is, when they cannot be.
        growing: Paths of files that are left alone, as they have been seen to be still written.

    Returns:
        The rows of the table deliveries that this run added.

    Raises:
        SourceError: When files are missing or misnamed, headers lack columns, or a delivery has more bad
            rows than its contract allows; no table is touched then.
        CycleError: When a cycle ends before the first delivery or long after the last.
    """
    started = context.clock()
    known = known_deliveries(context)
    view = context.configuration.view
    definitions = {name: view.measures_fingerprint(name) for name in context.source.contracts}
    begun = read_begun(context.warehouse.path)
    disturbed = {one.slot for one in begun}
    found = find_deliveries(context.source, context.extracts or ".", known, definitions, disturbed, growing)
    new = found.new
    current = [one for one in new if not one.superseded]
    for slot in sorted(disturbed - {slot for one in found.new for slot in one.slots}):
        context.progress(
            f"a load of {' '.join(slot)} was cut off and no file is there for it: deliver it again"
        )
    for issue in found.waiting:
        context.progress(f"left alone: {issue}")
    for late in new:
        if late.superseded and not late.is_second:
            context.progress(f"not loaded: {late.name}, {OVERTAKEN}")
    if found.unread:
        context.progress(f"no mapping reads {', '.join(found.unread)}")
    check_ready(context.source, context.extracts or ".", _named(known, current), found.unread, cycles)
    waiting = "; ".join(str(issue) for issue in found.waiting) or None
    if not new:
        _log(context, started, "unchanged", [], waiting or "no new delivery")
        return []
    context.progress(f"ingest: {len(current)} new files of {len({d.contract for d in current})} contracts")
    quality = QualityCheck(context, known)
    batches: list[Batch] = []
    drift: dict[str, list[str]] = {}
    stops: list[Issue] = []
    try:
        try:
            for batch in judge_deliveries(context, current, staying(known, current)):
                batches.append(batch)
                _tell_erased(context, batch)
                drift |= check_drift(context, batch, known, stops)
                stops += refusals(context, batch)
                quality.check(batch)
        except Exception:
            # A file that is cut off, replaced or gone while it is read may fail in any way.
            if not _grown(current):
                raise
        if grown := _grown(current):
            # What has been read of them is half; the others are as they were.
            for path in sorted(grown):
                if stored_size(path) is None:
                    context.progress(f"left alone: {path} has gone while it was read")
            return ingest(context, cycles, growing | grown)
        if quality.stops:
            quality.write()
        if stops or quality.stops:
            raise SourceError([*stops, *quality.stops])
        _check_tables(context, batches)
        for batch in batches:
            if batch.stones is not None:
                bury(context, batch.stones)
        mine = list(_begins(batches, known, begun))
        again = {one.slot for one in mine}
        write_begun(context.warehouse.path, [*mine, *(one for one in begun if one.slot not in again)])
        with ThreadPoolExecutor(PARALLEL_CONTRACTS) as pool:
            beside = [
                pool.submit(quality.write),
                pool.submit(_write_quarantine, context, batches, known, begun),
                pool.submit(_write_identity, context, batches),
            ]
            groups = list(pool.map(lambda batch: _write(context, batch, known, begun), batches))
            for one in beside:
                one.result()
    finally:
        for batch in batches:
            batch.judged.unpersist()
    rows = [row | {"drift": drift[row["delivery_id"]]} for group in groups for row in group]
    rows += [superseded_row(context, one) for one in new if one.superseded]
    slots = {slot for one in current for slot in one.slots}
    _record(context, known, rows, slots)
    write_begun(context.warehouse.path, [one for one in begun if one.slot not in slots])
    _log(context, started, "complete", rows, waiting)
    return rows


def _tell_erased(context: RunContext, batch: Batch) -> None:
    """Names the files that bring rows of persons who were erased."""
    for one in batch.deliveries:
        if count := batch.counts[one.delivery_id].erased:
            context.progress(f"{one.name}: {count:,} rows of erased persons left out; they stand in the file")


def _grown(deliveries: list[Delivery]) -> set[str]:
    """Paths of the files that have another size than when they were looked at."""
    return {one.path for one in deliveries if stored_size(one.path) != one.facts.stored}


def _named(known: list[dict[str, Any]], current: list[Delivery]) -> list[Named]:
    """The deliveries there will be, as far as their names tell them."""
    return named(known) + [
        Named(one.contract, one.name, one.part, one.period) for one in current if not one.is_second
    ]


def _check_tables(context: RunContext, batches: list[Batch]) -> None:
    """Brings every table that will be written in line with its schema, before the first is written.

    Raises:
        StorageError: When one of them does not fit.
    """
    view = context.configuration.view
    tables = [context.table("quarantine"), context.table("identity")]
    for batch in batches:
        contract = batch.contract
        tables += [contract.raw_table(), contract.clean_table(), *tiles_of(contract, view)]
    for table in tables:
        if context.warehouse.exists(table):
            context.warehouse.ensure(table)


def _begins(batches: Sequence[Batch], known: list[dict[str, Any]], begun: Sequence[Begun]) -> Iterator[Begun]:
    """What is about to be written, file by file."""
    for batch in batches:
        units, _ = _touched(batch, _reopened(batch, known), known, begun)
        for one in sorted(batch.deliveries, key=lambda one: one.slot):
            yield Begun(*one.slot, tuple(units), one.name)


def _write(
    context: RunContext, batch: Batch, known: list[dict[str, Any]], begun: Sequence[Begun]
) -> list[dict[str, Any]]:
    """Writes one contract's deliveries; see the module's text for the order."""
    contract, warehouse, view = batch.contract, context.warehouse, context.configuration.view
    slots = {(one.period, one.part) for one in batch.deliveries}
    accepted = batch.rows.where(ACCEPTED)
    _replace_slots(warehouse, accepted, contract.raw_table(), ("period", "part"), slots, arranged=True)
    reopened = _reopened(batch, known)
    units, others = _touched(batch, reopened, known, begun)
    loaded: dict[str, int] = {}
    if units:
        loaded = write_clean(warehouse, batch, units, others, view)
        if others:
            recount(warehouse, contract, others)
    else:
        for table in (contract.clean_table(), *tiles_of(contract, view)):
            warehouse.ensure(table)
    written = sum(loaded.get(one.delivery_id, 0) for one in batch.deliveries)
    duplicates = sum(counts.accepted for counts in batch.counts.values()) - written
    told = f", {duplicates:,} duplicates left out" if duplicates else ""
    context.progress(f"  {contract.contract}: {written:,} rows written{told}")
    return [
        delivery_row(
            context,
            one,
            contract,
            batch.counts[one.delivery_id],
            loaded.get(one.delivery_id, 0),
            reopened[one.delivery_id],
        )
        for one in batch.deliveries
    ]


def _touched(
    batch: Batch, reopened: Mapping[str, set[date]], known: list[dict[str, Any]], begun: Sequence[Begun]
) -> tuple[list[date], list[dict[str, Any]]]:
    """Units of the clean table to redo, and the other active deliveries that have rows in them."""
    slots = {one.slot for one in batch.deliveries}
    # What a killed load has left in other units goes, too.
    left = (load.units for load in begun if load.slot in slots)
    units = set().union(*reopened.values(), *left)
    mine = (row for row in known if row["contract"] == batch.contract.contract and row["status"] == "active")
    others = [row for row in mine if slot_of(row) not in slots and not units.isdisjoint(row["units"])]
    return sorted(units), others


def _reopened(batch: Batch, known: list[dict[str, Any]]) -> dict[str, set[date]]:
    """By delivery, the units that its rows fall in or those of the delivery that it replaces."""
    before = {slot_of(row): row["units"] for row in known if row["status"] == "active"}
    return {
        one.delivery_id: {*batch.counts[one.delivery_id].units, *before.get(one.slot, ())}
        for one in batch.deliveries
    }


def _replace_slots(
    warehouse: Warehouse,
    rows: DataFrame,
    table: Table,
    names: tuple[str, ...],
    slots: Set[tuple[str, ...]],
    arranged: bool = False,
) -> None:
    """Puts the rows of new deliveries in the place of what the earlier ones of their slots brought.

    Args:
        warehouse: The tables.
        rows: The new rows.
        table: The table.
        names: Its columns that make up a slot, which are its first partition columns.
        slots: The slots; a table replaces all combinations of their values, so what stands in others stays.
        arranged: See Warehouse.replace_changed.
    """
    place = {name: sorted({slot[at] for slot in slots}) for at, name in enumerate(names)}
    crossed = set(product(*place.values())) - slots
    if crossed and warehouse.exists(table):
        inside = " OR ".join(f"({predicate(_of(names, slot))})" for slot in sorted(crossed))
        old = warehouse.read(table).where(inside)
        rows = rows.select(*table.names).unionByName(old.select(*table.names))
    warehouse.replace_changed(rows, table, place, arranged)


def _of(names: tuple[str, ...], slot: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: [value] for name, value in zip(names, slot, strict=True)}


def _write_quarantine(
    context: RunContext, batches: list[Batch], known: list[dict[str, Any]], begun: Sequence[Begun]
) -> None:
    """Refused rows; those of the deliveries that are replaced go, and what a killed load has left of them."""
    run = F.lit(context.run_id).alias("run_id")
    had = {row["contract"] for row in known if row["rows_quarantined"]} | {load.contract for load in begun}
    frames, slots = [], set()
    for batch in batches:
        name = batch.contract.contract
        if name in had or any(counts.rejected for counts in batch.counts.values()):
            told = ("period", "part", "delivery_id", "file", "line", "reasons")
            contract, original = F.lit(name).alias("contract"), F.col("raw").alias("original")
            bad = batch.rows.where(REFUSED)
            frames.append(bad.select(contract, *told, original, _ids(batch), run))
            slots |= {slot for one in batch.deliveries for slot in one.slots}
    if frames:
        rows = reduce(DataFrame.unionByName, frames)
        _replace_slots(context.warehouse, rows, context.table("quarantine"), SLOT, slots)


def _ids(batch: Batch) -> Column:
    """The ids that a refused row holds, by which it is found when their person is erased."""
    mine = [name for name in PERSON_FIELDS if name in batch.contract.fields]
    pairs = ", ".join(f"{literal(name)}, {quote(name)}" for name in mine)
    return F.expr(f"map_filter(cast(map({pairs}) AS MAP<STRING, STRING>), (k, v) -> v IS NOT NULL)").alias(
        "ids"
    )


def _write_identity(context: RunContext, batches: list[Batch]) -> None:
    """Clear values; those that came with the deliveries that are replaced go."""
    found = [(batch, people_of(batch)) for batch in batches]
    frames = [people for _, people in found if people is not None]
    if frames:
        slots = {one.slot for batch, people in found if people is not None for one in batch.deliveries}
        rows = reduce(DataFrame.unionByName, frames)
        _replace_slots(context.warehouse, rows, context.table("identity"), SLOT, slots)


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


def _record(
    context: RunContext,
    known: list[dict[str, Any]],
    added: list[dict[str, Any]],
    new_slots: Set[tuple[str, str, str]],
) -> None:
    """Writes the deliveries table: the commit point of the ingest."""
    for row in known:
        if slot_of(row) in new_slots:
            row["status"] = "superseded"
    # A content that comes back after a wrong correction has been there before.
    again = {row["delivery_id"] for row in added}
    record_deliveries(context, [row for row in known if row["delivery_id"] not in again] + added)


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
