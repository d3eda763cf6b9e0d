"""Columns of a delivery against the contract and the delivery before: new, missing, retyped, moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import functions as F

from jobs.config.sources import columns_used, joined_columns
from jobs.kernel.errors import Issue
from jobs.stages.context import RunContext
from jobs.stages.delivery import Delivery
from jobs.stages.judge import Batch
from jobs.stages.refusals import column_for, react

KINDS = ("new", "missing", "retyped", "moved")
# Of a column that is no longer of its type, this share of the rows is refused for it.
RETYPED_SHARE = 0.5

Drift = Mapping[str, Sequence[str]]
"""Column names by kind."""


def drift_of(
    header: Sequence[str], used: Sequence[str], before: Sequence[str] | None, needed: Sequence[str] = ()
) -> Drift:
    """How columns differ from those of the delivery before, and from those that are needed.

    Args:
        header: The delivery's columns.
        used: Columns that the mapping uses.
        before: Columns of the delivery before; None when there was none.
        needed: Columns that are missing whether or not they were there before.

    Example:
        >>> drift_of(["a", "d", "b"], ["a", "b"], ["b", "a", "c"])
        {'new': ['d'], 'missing': ['c'], 'moved': ['a', 'b']}
        >>> drift_of(["a", "d"], ["a", "b"], None)
        {'new': [], 'missing': [], 'moved': []}
        >>> drift_of(["a", "b", "", "", ""], ["a"], ["b", "a", "", ""])
        {'new': [], 'missing': [], 'moved': ['a', 'b']}
        >>> drift_of(["a", "d"], ["a", "b"], None, ["a", "b"])
        {'new': [], 'missing': ['b'], 'moved': []}
    """
    lacking = [name for name in needed if name not in header]
    if before is None:
        return {"new": [], "missing": lacking, "moved": []}
    # Names that stand twice, such as those of empty columns, tell nothing of where they were.
    once = [name for name in header if header.count(name) == 1 == before.count(name)]
    held = [name for name in before if name in once]
    moved = [name for name, other in zip(once, held, strict=True) if name != other]
    return {
        "new": [name for name in header if name not in before and name not in used],
        "missing": list(dict.fromkeys([*(name for name in before if name not in header), *lacking])),
        "moved": moved,
    }


def check_drift(
    context: RunContext, batch: Batch, known: Sequence[Mapping[str, Any]], stops: list[Issue]
) -> dict[str, list[str]]:
    """Compares each delivery of a contract with the one before it, and reacts as the mapping says.

    Args:
        context: The run.
        batch: The deliveries.
        known: Rows of the table deliveries.
        stops: Gains the changes at which a mapping says stop.

    Returns:
        kind:column of all changes, by delivery.
    """
    found: dict[str, list[str]] = {}
    for one in batch.deliveries:
        columns = (joined_columns if one.is_second else columns_used)(one.mapping, batch.contract)
        # a.b of a JSON object is b of its a.
        used = [*columns, *(name.partition(".")[0] for name in columns)]
        names, before, needed = one.facts.names, _before(batch, one, known), columns
        if one.mapping.fields == "same":
            # The contract itself tells the columns, and which of them may be left out.
            before, needed = before or [name for name in names if name in columns], []
        elif one.mapping.format == "jsonl":
            # Objects need not tell what they have no value for.
            needed = []
        drift = {**drift_of(names, used, before, needed), "retyped": _retyped(batch, one)}
        found[one.delivery_id] = [f"{kind}:{name}" for kind in KINDS for name in drift[kind]]
        for kind in KINDS:
            # What is needed and missing has stopped the run already where it should.
            reaction = getattr(one.mapping.on_drift, kind) or "warn"
            if drift[kind] and reaction != "ignore":
                react(context, one, f"{kind} columns: {', '.join(drift[kind])}", reaction, stops)
    return found


def _before(batch: Batch, delivery: Delivery, known: Sequence[Mapping[str, Any]]) -> Sequence[str] | None:
    """Columns of the last delivery of the part before this one."""
    told = {
        (row["period"], row["sequence"]): row["names"]
        for row in known
        if row["contract"] == delivery.contract and row["part"] == delivery.part and row["names"]
    }
    told |= {
        (one.period, one.sequence): one.facts.names
        for one in batch.deliveries
        if one.part == delivery.part and one is not delivery
    }
    earlier = [place for place in told if place <= (delivery.period, delivery.sequence)]
    return told[max(earlier)] if earlier else None


def _retyped(batch: Batch, delivery: Delivery) -> list[str]:
    counts = batch.counts[delivery.delivery_id]
    read = counts.records - counts.not_applicable
    if not read or counts.rejected < RETYPED_SHARE * read:
        return []
    mine = batch.rows.where(F.col("delivery_id") == delivery.delivery_id).where("applicable")
    reasons = mine.select(F.explode("reasons").alias("reason")).where("reason LIKE 'type:%'")
    counted = reasons.groupBy("reason").count().where(F.col("count") >= RETYPED_SHARE * read).collect()
    fields = sorted(row["reason"].partition(":")[2] for row in counted)
    return [column_for(delivery, batch.contract, field) for field in fields]
