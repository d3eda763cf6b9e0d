"""Reads refused rows again, once their contract or mapping has been mended, and loads those that now hold.

For rows whose file is no longer to be had: a file that is still in the folder of extracts is loaded again as
a whole when its mapping or contract changes. The deliveries table is written last, as in an ingest; a release
that is killed before does its work again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.sources import columns_used, optional_columns
from jobs.contracts.extracts import contract_named
from jobs.kernel.errors import Issue, StorageError
from jobs.stages.clean import write_clean
from jobs.stages.context import RunContext
from jobs.stages.coverage import covered
from jobs.stages.deliveries import Delivery, layout_of
from jobs.stages.ingest import known_deliveries, people_of, record_deliveries
from jobs.stages.judge import ACCEPTED, Batch, columns_read, counted, typed
from jobs.stages.lookups import Lookups
from jobs.storage.ledger import LedgerRow
from jobs.storage.records import FileFacts
from jobs.storage.splitter import UNDECODABLE, Layout, Splitter

Refused = Mapping[str, list[tuple[int, str]]]
"""Line and text of refused rows, by delivery."""


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
    refused: dict[str, list[tuple[int, str]]] = defaultdict(list)
    total = 0
    for row in (
        chosen.select("delivery_id", "line", "original", "reasons").orderBy("delivery_id", "line").collect()
    ):
        total += 1
        # Bytes that were none of the encoding are not to be had any more.
        if UNDECODABLE not in row["reasons"]:
            refused[row["delivery_id"]].append((row["line"], row["original"]))
    known = {row["delivery_id"]: row for row in known_deliveries(context) if row["status"] == "active"}
    deliveries = [_delivery(context, known[one]) for one in sorted(refused) if one in known]
    batch = _judged(context, [one for one in deliveries if one is not None], refused)
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


def _delivery(context: RunContext, row: Mapping[str, Any]) -> Delivery | None:
    """A loaded delivery as it is to be read now; None when no mapping is for it any more."""
    mapping = context.source.mapping_of(row["contract"], row["file"], row["part"])
    # A record alone does not tell what stood beside it in a second file.
    if mapping is None or mapping.join is not None or not row["header"]:
        return None
    header = tuple(row["header"])
    contract = context.source.contracts[row["contract"]]
    if mapping.format == "jsonl":
        # The objects of a file hold what they hold, whatever was looked for when it was read.
        header = tuple(columns_used(mapping, contract))
    elif not set(columns_used(mapping, contract)) <= {*header, *optional_columns(mapping, contract)}:
        return None
    return Delivery(
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


def _judged(context: RunContext, deliveries: Sequence[Delivery], refused: Refused) -> Batch | None:
    if not deliveries:
        return None
    contract = context.source.contracts[deliveries[0].contract]
    lookups = Lookups(context).of(contract)
    frames: DataFrame | None = None
    for number, one in enumerate(deliveries):
        layout = layout_of(one.mapping, contract)
        if layout.format == "parquet":
            # As such rows are kept.
            layout = Layout("utf-8", ",", '"', multiline=False)
        splitter = Splitter(number, layout, len(one.facts.header), columns_read(one, contract))
        records = pa.Table.from_batches(splitter.again(refused[one.delivery_id]), splitter.schema)
        rows = typed(context.spark.createDataFrame(records), [(number, one)], contract, lookups)
        frames = rows if frames is None else frames.unionByName(rows)
    assert frames is not None
    return counted(context, contract, list(deliveries), frames)


def _write(context: RunContext, batch: Batch, known: Mapping[str, dict[str, Any]]) -> None:
    """Raw rows, identity, quarantine, clean rows and tiles, and at last the deliveries."""
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
    quarantine = context.table("quarantine")
    left = warehouse.read(quarantine).where(mine)
    left = left.join(F.broadcast(keys), ["delivery_id", "line"], "left_anti").select(*quarantine.names)
    warehouse.replace_changed(left, quarantine, slot)
    units = sorted({unit for counts in batch.counts.values() for unit in counts.units})
    changed = {one.delivery_id: _changed(batch, one, known[one.delivery_id]) for one in batch.deliveries}
    active = [changed.get(key, row) for key, row in known.items() if row["contract"] == contract.contract]
    others = [row for row in active if not set(units).isdisjoint(row["units"])]
    nothing = Batch(contract, [], batch.judged, {})
    write_clean(warehouse, nothing, units, others, view)
    batch.judged.unpersist()
    _recount(context, batch, changed)
    record_deliveries(context, [changed.get(row["delivery_id"], row) for row in known_deliveries(context)])


def _changed(batch: Batch, one: Delivery, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table deliveries with what its released rows change, but for its clean rows."""
    counts = batch.counts[one.delivery_id]
    first, last = covered(one, batch.contract, counts.first, counts.last)
    spans: list[tuple[date | None, date | None]] = [(row["covers_from"], row["covers_to"]), (first, last)]
    return {
        **row,
        "rows_quarantined": row["rows_quarantined"] - counts.accepted,
        "units": sorted({*row["units"], *counts.units}),
        "covers_from": min((day for day, _ in spans if day is not None), default=None),
        "covers_to": max((day for _, day in spans if day is not None), default=None),
    }


def _recount(context: RunContext, batch: Batch, changed: Mapping[str, dict[str, Any]]) -> None:
    """Brings the numbers of clean and of duplicate rows up to date."""
    units = sorted({unit for row in changed.values() for unit in row["units"]})
    clean = context.warehouse.read(batch.contract.clean_table())
    mine = clean.where(F.col("row_day").isin(units) & F.col("delivery_id").isin(*changed))
    loaded = {row[0]: row[1] for row in mine.groupBy("delivery_id").count().collect()}
    for delivery_id, row in changed.items():
        row["rows_loaded"] = loaded.get(delivery_id, 0)
        row["rows_duplicate"] = row["rows_read"] - row["rows_quarantined"] - row["rows_loaded"]
