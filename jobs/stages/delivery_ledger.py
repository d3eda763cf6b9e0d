"""The table deliveries: one row for each file that has come, with what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import date
from typing import Any

from jobs.contracts.extracts import ExtractContract
from jobs.kernel.errors import Issue, SourceError
from jobs.stages.context import RunContext
from jobs.stages.coverage import covered
from jobs.stages.delivery import Delivery
from jobs.stages.judge import Counts
from jobs.storage.frames import frame_of

Slot = tuple[str, str, str]
"""Contract, period and part: what a corrected delivery replaces."""


def slot_of(row: Mapping[str, Any]) -> Slot:
    """The slot of a row of the table."""
    return row["contract"], row["period"], row["part"]


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


def staying(known: Iterable[dict[str, Any]], deliveries: Iterable[Delivery]) -> list[dict[str, Any]]:
    """The active deliveries that these do not replace."""
    slots = {slot for one in deliveries for slot in one.slots}
    return [row for row in known if row["status"] == "active" and slot_of(row) not in slots]


def record_deliveries(context: RunContext, deliveries: list[dict[str, Any]]) -> None:
    """Writes the deliveries table anew."""
    table = context.table("deliveries")
    rows = [tuple(row[name] for name in table.names) for row in deliveries]
    context.warehouse.overwrite(frame_of(context.spark, rows, table.ddl), table)
    context.deliveries = deliveries


def delivery_row(
    context: RunContext,
    one: Delivery,
    contract: ExtractContract,
    counts: Counts,
    loaded: int,
    reopened: Set[date] = frozenset(),
) -> dict[str, Any]:
    """The row of a delivery that has been loaded.

    Args:
        context: The run.
        one: The delivery.
        contract: Its contract.
        counts: What it holds.
        loaded: Its rows in the clean table.
        reopened: Units made anew with it.
    """
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
        "rows_erased": None,
        "covers_from": first,
        "covers_to": last,
        "units": sorted(counts.units),
        "reopened": sorted(reopened),
        "delivered_on": one.delivered_on,
        "header": list(one.facts.header),
        "names": list(one.facts.names),
        "profile": dict(counts.profile),
        "drift": [],
        "run_id": context.run_id,
    }


def superseded_row(context: RunContext, one: Delivery) -> dict[str, Any]:
    """The row of a delivery that a newer one had overtaken when it came."""
    contract = context.source.contracts[one.contract]
    return {**delivery_row(context, one, contract, Counts(0, 0, 0, None, None), 0), "rows_read": 0}
