"""The run ledger: one row a stage, and the row that makes a dispatch date visible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from jobs.contracts.columns import Table
from jobs.storage.frames import frame_of
from jobs.storage.warehouse import Warehouse

# The stage of a date that failed: readers take the stage date for what they may read.
FAILED_DATE = "run"


@dataclass(frozen=True)
class LedgerRow:
    """What a stage did.

    Attributes:
        stage: ingest, build_view, score_risk, identify_moments, dispatch, train, or date for a whole date.
        result: complete, unchanged, started or failed.
    """

    stage: str
    result: str
    started_at: datetime
    finished_at: datetime
    source: str | None = None
    cycle: str | None = None
    as_of: date | None = None
    dispatch_date: date | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rows_rejected: int | None = None
    inputs: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str | None = None
    message: str | None = None


def record(warehouse: Warehouse, table: Table, run_id: str, rows: list[LedgerRow]) -> None:
    """Appends rows to the ledger."""
    data = [
        (
            run_id,
            row.stage,
            row.source,
            row.cycle,
            row.as_of,
            row.dispatch_date,
            row.result,
            row.rows_in,
            row.rows_out,
            row.rows_rejected,
            json.dumps(row.inputs, sort_keys=True, ensure_ascii=False, default=str),
            row.fingerprint,
            row.started_at,
            row.finished_at,
            row.message,
        )
        for row in rows
    ]
    warehouse.append(frame_of(warehouse.spark, data, table.ddl), table)
