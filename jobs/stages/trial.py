"""Tries a file against its mappings: the rows as they would load, and every problem; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from jobs.domain.extract_rows import row_day
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.deliveries import OVERTAKEN, is_overtaken
from jobs.stages.delivery import Delivery, delivery_of, with_second
from jobs.stages.delivery_ledger import known_deliveries, slot_of, staying
from jobs.stages.drift import check_drift
from jobs.stages.headers import bad_headers
from jobs.stages.judge import ACCEPTED, Batch, Counts, judge_deliveries
from jobs.stages.quality import QualityCheck
from jobs.stages.refusals import bad_rows, refusal_of

SHOWN = 20


@dataclass(frozen=True)
class Trial:
    """What a file would give one contract.

    Attributes:
        contract: The contract.
        counts: Records, those that do not apply, those rejected.
        duplicates: Accepted rows that others further down have the key of.
        rows: The first rows that would load, by column, with the line each stands on; nulls left out.
        reasons: How many rows have each reason to be rejected.
        problems: The first rejected rows, located.
        refused: Why the file as a whole would be refused, if so.
        notes: What is told of it as a whole, which does not refuse it.
    """

    contract: str
    counts: Counts
    duplicates: int
    rows: list[tuple[int, dict[str, Any]]]
    reasons: dict[str, int]
    problems: list[Issue]
    refused: list[Issue]
    notes: list[str]


def try_file(context: RunContext, path: Path) -> list[Trial]:
    """Reads a file by every mapping of the source that its name follows.

    Raises:
        SourceError: When it follows none, is not there, or its header does not fit.
    """
    mappings = [one for one in context.source.mapping.extracts if one.name_pattern.match(path.name)]
    if not mappings:
        patterns = ", ".join(dict.fromkeys(one.files for one in context.source.mapping.extracts))
        message = f"the name follows none of the patterns of the source '{context.source.name}': {patterns}"
        raise SourceError(Issue("FILE_BAD_NAME", message, Location(str(path))))
    deliveries: list[Delivery] = []
    issues: list[Issue] = []
    for mapping in mappings:
        try:
            deliveries += with_second(delivery_of(context.source, mapping, path))
        except SourceError as error:
            issues += error.issues
    known = _loaded_before(context)
    issues += bad_headers(deliveries, context.source.contracts, known)
    if issues:
        raise SourceError(sorted(set(issues)))
    trials = []
    for batch in judge_deliveries(context, deliveries, staying(known, deliveries)):
        notes, stops = _as_a_whole(context, batch, known)
        trials += [_trial(context, batch, one, notes, stops) for one in batch.deliveries]
    return trials


def _loaded_before(context: RunContext) -> list[dict[str, Any]]:
    """Rows of the table deliveries; none where the warehouse is another source's, which tells nothing."""
    try:
        return known_deliveries(context)
    except SourceError:
        return []


def _trial(
    context: RunContext, batch: Batch, delivery: Delivery, notes: Sequence[str], stops: Sequence[Issue]
) -> Trial:
    mine = batch.rows.where(F.col("delivery_id") == delivery.delivery_id)
    columns = [column.name for column in batch.contract.kept_columns]
    first = mine.where(ACCEPTED).orderBy("line").select("line", *columns).limit(SHOWN).collect()
    rows = [(row["line"], {n: row[n] for n in columns if row[n] is not None}) for row in first]
    accepted = mine.where(ACCEPTED).withColumn("row_day", row_day(batch.contract))
    different = accepted.select("row_day", *batch.contract.dated_key).distinct().count()
    reasons = mine.where("applicable").select(F.explode("reasons").alias("reason"))
    counted = {row["reason"]: row["count"] for row in reasons.groupBy("reason").count().collect()}
    refusal = refusal_of(context, batch, delivery)
    problems = bad_rows(batch, delivery)
    counts = batch.counts[delivery.delivery_id]
    return Trial(
        contract=batch.contract.contract,
        counts=counts,
        duplicates=counts.accepted - different,
        rows=rows,
        reasons=dict(sorted(counted.items())),
        problems=problems,
        refused=[
            *([refusal] if refusal is not None else []),
            *(stop for stop in stops if stop.location == Location(delivery.path)),
        ],
        notes=[note for note in notes if note.startswith(f"{delivery.name} ")],
    )


def _as_a_whole(
    context: RunContext, batch: Batch, known: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[Issue]]:
    """What is told of the deliveries of a contract, and what would stop the run."""
    notes: list[str] = []
    stops: list[Issue] = []
    listening = replace(context, progress=lambda message: notes.append(message.strip()))
    check_drift(listening, batch, known, stops)
    quality = QualityCheck(listening, known)
    quality.check(batch)
    holding = {slot_of(row): row for row in known if row["status"] == "active"}
    notes += [
        f"{one.name} would not be loaded, {OVERTAKEN}"
        for one in batch.deliveries
        if one.slot in holding and is_overtaken(one, holding[one.slot])
    ]
    return notes, [*stops, *quality.stops]
