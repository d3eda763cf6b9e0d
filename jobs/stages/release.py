"""Reads refused rows again, once their contract or mapping has been mended, and loads those that now hold.

For rows whose file is no longer to be had: a file that is still in the folder of extracts is loaded again as
a whole when its mapping or contract changes. The quarantine is written last: a release that is killed before
does its work again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.formats import JOINED
from jobs.config.sources import ExtractMapping, columns_used, joined_columns
from jobs.contracts.extracts import ExtractContract, contract_named
from jobs.domain.profile import Profile, field_of, profile_of
from jobs.kernel.errors import Issue, StorageError
from jobs.stages.clean import recount, write_clean
from jobs.stages.context import RunContext
from jobs.stages.coverage import covered
from jobs.stages.delivery import Delivery
from jobs.stages.delivery_ledger import known_deliveries, record_deliveries, slot_of
from jobs.stages.headers import mapping_for, may_lack, of_second
from jobs.stages.ingest import people_of
from jobs.stages.judge import ACCEPTED, Batch, Counts, columns_read, counted, typed
from jobs.stages.lookups import Lookups
from jobs.stages.whole_files import joined_layout_of, layout_of
from jobs.storage.ledger import LedgerRow
from jobs.storage.records import FileFacts
from jobs.storage.splitter import UNDECODABLE, Layout, Splitter, column_name

Text = tuple[int, str]
"""Line and text of a refused row."""
Refused = Mapping[str, list[Text]]
"""Refused rows by delivery."""
Known = Mapping[str, dict[str, Any]]
"""Rows of the table deliveries by delivery."""


@dataclass(frozen=True)
class Released:
    """What became of refused rows.

    Attributes:
        loaded: Rows that were loaded.
        left: Rows that stay where they are.
    """

    loaded: int
    left: int


def release(context: RunContext, contract_name: str, file: str | None = None) -> Released:
    """Loads the refused rows of a contract that hold under its present definition and mapping.

    Args:
        context: The run.
        contract_name: Rows of which contract.
        file: Only those of this file.

    Raises:
        ConfigError: When the source fills no such contract.
        StorageError: When nothing has been ingested yet.
    """
    started = context.clock()
    contract = contract_named(context.source.contracts, contract_name)
    table = context.table("quarantine")
    if not context.warehouse.exists(table):
        message = f"table '{table.name}' has not been written in {context.warehouse.path}"
        raise StorageError(Issue("TABLE_MISSING", message))
    rows = context.warehouse.read(table).where(F.col("contract") == contract.contract)
    chosen = rows if file is None else rows.where(F.col("file") == file)
    refused: dict[str, list[Text]] = defaultdict(list)
    total = 0
    for row in (
        chosen.select("delivery_id", "line", "original", "reasons").orderBy("delivery_id", "line").collect()
    ):
        total += 1
        # Bytes that were none of the encoding are not to be had any more.
        if UNDECODABLE not in row["reasons"]:
            refused[row["delivery_id"]].append((row["line"], row["original"]))
    known = {row["delivery_id"]: row for row in known_deliveries(context) if row["status"] == "active"}
    deliveries = [_delivery(context, known[one], known) for one in sorted(refused) if one in known]
    batch = _judged(context, [one for one in deliveries if one is not None], refused, list(known.values()))
    loaded = 0 if batch is None else sum(counts.accepted for counts in batch.counts.values())
    if batch is not None and loaded:
        _write(context, batch, known)
    context.log(
        LedgerRow(
            stage="release",
            result="complete" if loaded else "unchanged",
            started_at=started,
            finished_at=context.clock(),
            source=context.source.name,
            rows_in=total,
            rows_out=loaded,
            rows_rejected=total - loaded,
            fingerprint=context.source.fingerprint,
            message=contract.contract if file is None else f"{contract.contract}: {file}",
        )
    )
    return Released(loaded, total - loaded)


def _delivery(context: RunContext, row: Mapping[str, Any], known: Known) -> Delivery | None:
    """A loaded delivery as it is to be read now; None when no mapping is for it any more."""
    mapping = context.source.mapping_of(row["contract"], row["file"], row["part"])
    if mapping is None:
        return None
    contract = context.source.contracts[row["contract"]]
    seen = {
        name for one in known.values() if one["contract"] == row["contract"] for name in one["header"] or ()
    }
    optional = may_lack(mapping, contract, seen)
    header = _header(row, mapping, columns_used(mapping, contract), optional)
    if header is None:
        return None
    first = Delivery(
        delivery_id=row["delivery_id"],
        source=row["source"],
        contract=row["contract"],
        mapping=mapping,
        mapping_fingerprint=row["mapping_fingerprint"],
        path=row["file"],
        name=row["file"],
        period=row["period"],
        part=row["part"],
        sequence=row["sequence"],
        delivered_on=row["delivered_on"],
        facts=FileFacts(row["sha256"], header, row["rows_in_file"]),
    )
    if mapping.join is None:
        return first
    part = f"{row['part']}.{JOINED}"
    beside = [one for one in known.values() if slot_of(one) == (row["contract"], row["period"], part)]
    used = joined_columns(mapping, contract)
    joined = _header(beside[0], mapping, used, of_second(optional)) if beside else None
    # Where a record may have several lines, nobody can say where the first one ends.
    if joined is None or mapping.multiline:
        return None
    facts = FileFacts(beside[0]["sha256"], joined, beside[0]["rows_in_file"])
    name = beside[0]["file"]
    return replace(first, second=replace(first, path=name, name=name, part=part, facts=facts, is_second=True))


def _header(
    row: Mapping[str, Any], mapping: ExtractMapping, used: Sequence[str], optional: Collection[str]
) -> tuple[str, ...] | None:
    """The columns of a loaded file; None when it lacks some that are needed now."""
    if mapping.format == "jsonl":
        # The objects of a file hold what they hold, whatever was looked for when it was read.
        return tuple(used)
    header = tuple(row["header"] or ())
    return header if header and set(used) <= {*header, *optional} else None


def _judged(
    context: RunContext,
    deliveries: Sequence[Delivery],
    refused: Refused,
    known: Sequence[Mapping[str, Any]],
) -> Batch | None:
    if not deliveries:
        return None
    contract = context.source.contracts[deliveries[0].contract]
    lookups = Lookups(context, known).of(contract)
    frames: DataFrame | None = None
    for number, one in enumerate(deliveries):
        records = _records(one, number, contract, refused[one.delivery_id])
        rows = typed(context.spark.createDataFrame(records), [(number, one)], contract, lookups)
        frames = rows if frames is None else frames.unionByName(rows)
    assert frames is not None
    return counted(context, contract, list(deliveries), frames)


def _records(one: Delivery, number: int, contract: ExtractContract, refused: Sequence[Text]) -> pa.Table:
    """Refused texts as records, as the files would give them."""
    layout = _layout(layout_of(one.mapping, contract))
    splitter = Splitter(number, layout, len(one.facts.header), columns_read(one, contract))
    if one.second is None:
        return pa.Table.from_batches(splitter.again(refused), splitter.schema)
    # Both records of a joined row are kept, a line each; the second one where it was found.
    split = [(line, *text.partition("\n")) for line, text in refused]
    lines = ((line, text) for line, text, _, _ in split)
    records = pa.Table.from_batches(splitter.again(lines), splitter.schema)
    header = one.second.facts.header
    used = sorted(header.index(name) for name in joined_columns(mapping_for(one, contract), contract))
    splitter = Splitter(number, _layout(joined_layout_of(one.mapping, contract)), len(header), used)
    found = [(line, text) for line, _, had, text in split if had]
    places = iter(range(len(found)))
    at = pa.array([next(places) if had else None for _, _, had, _ in split], pa.int64())
    beside = pa.Table.from_batches(splitter.again(found), splitter.schema).take(at)
    both = pa.array([text for _, text in refused], pa.string())
    fault = pc.coalesce(records["fault"], beside["fault"])
    for name, column in (("raw", both), ("fault", fault)):
        records = records.set_column(records.column_names.index(name), name, column)
    for index in used:
        records = records.append_column(f"j{index}", beside[column_name(index)])
    return records


def _layout(layout: Layout) -> Layout:
    """How refused rows of a layout are kept: those of Parquet as comma-separated text."""
    return Layout("utf-8", ",", '"', multiline=False) if layout.format == "parquet" else layout


def _write(context: RunContext, batch: Batch, known: Known) -> None:
    """Raw rows, identity, clean rows and tiles, the deliveries, and the quarantine at last.

    Until then a release that was killed finds the same rows there, and does the same with them.
    """
    warehouse, contract, view = context.warehouse, batch.contract, context.configuration.view
    place = {
        "period": sorted({one.period for one in batch.deliveries}),
        "part": sorted({one.part for one in batch.deliveries}),
    }
    inside = F.col("period").isin(place["period"]) & F.col("part").isin(place["part"])
    accepted = batch.rows.where(ACCEPTED)
    keys = accepted.select("delivery_id", "line")
    raw = contract.raw_table()
    old = warehouse.read(raw).where(inside).join(F.broadcast(keys), ["delivery_id", "line"], "left_anti")
    new = accepted.select(*raw.names)
    warehouse.replace_changed(old.select(*raw.names).unionByName(new), raw, place, arranged=True)
    slot = {"contract": [contract.contract], **place}
    mine = inside & (F.col("contract") == contract.contract)
    people = people_of(batch)
    if people is not None:
        identity = context.table("identity")
        there = warehouse.read(identity).where(mine).select(*people.columns)
        warehouse.replace_changed(there.unionByName(people).distinct(), identity, slot)
    quarantine = warehouse.read(context.table("quarantine")).where(mine)
    refused = {row[0]: row[1] for row in quarantine.groupBy("delivery_id").count().collect()}
    units = sorted({unit for counts in batch.counts.values() for unit in counts.units})
    filled = context.source.fields_of(contract.contract)
    changed = {
        one.delivery_id: _changed(batch, one, known[one.delivery_id], refused[one.delivery_id], filled)
        for one in batch.deliveries
    }
    active = [changed.get(key, row) for key, row in known.items() if row["contract"] == contract.contract]
    others = [row for row in active if not set(units).isdisjoint(row["units"])]
    nothing = Batch(contract, [], batch.judged, {})
    write_clean(warehouse, nothing, units, others, view)
    recount(warehouse, contract, others)
    record_deliveries(context, [changed.get(row["delivery_id"], row) for row in known_deliveries(context)])
    left = quarantine.join(F.broadcast(keys), ["delivery_id", "line"], "left_anti")
    table = context.table("quarantine")
    warehouse.replace_changed(left.select(*table.names), table, slot)
    batch.judged.unpersist()


def _profile(row: Mapping[str, Any], counts: Counts, filled: Collection[str]) -> Profile:
    """The profile of all rows of a delivery, of the fields that the present mapping fills."""
    both = profile_of([row["profile"] or {}, counts.profile])
    return {name: value for name, value in both.items() if field_of(name) in filled}


def _changed(
    batch: Batch, one: Delivery, row: Mapping[str, Any], refused: int, filled: Collection[str]
) -> dict[str, Any]:
    """A row of the table deliveries with what its released rows change, but for its clean rows.

    Args:
        batch: The rows that were judged again.
        one: The delivery.
        row: Its row so far.
        refused: Its rows in quarantine, those included that are released now.
        filled: Fields that the mapping fills now.
    """
    counts = batch.counts[one.delivery_id]
    first, last = covered(one, batch.contract, counts.first, counts.last)
    spans: list[tuple[date | None, date | None]] = [(row["covers_from"], row["covers_to"]), (first, last)]
    return {
        **row,
        "rows_quarantined": refused - counts.accepted,
        # Where the ledger was written already before a kill, the profile has these rows.
        "profile": _profile(row, counts, filled) if row["rows_quarantined"] == refused else row["profile"],
        "units": sorted({*row["units"], *counts.units}),
        "reopened": sorted({*(row["reopened"] or ()), *counts.units}),
        "covers_from": min((day for day, _ in spans if day is not None), default=None),
        "covers_to": max((day for _, day in spans if day is not None), default=None),
    }
