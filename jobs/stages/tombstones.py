"""The table of tombstones: keyed hashes of the ids of persons who were erased, which ingest honours."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.person_text import tombstone_of
from jobs.stages.context import RunContext

TABLE = "erasures"
BY_ERASURE, BY_LOAD = "erase", "load"
"""Who set a stone: an erasure, or a load of rows that name somebody erased, whom a correction may unsay."""


def buried(context: RunContext) -> DataFrame:
    """All tombstones; a table of an earlier release lacks columns, until something is written to it."""
    return context.warehouse.read_or_empty(context.table(TABLE))


def stones_of(context: RunContext, customer_id: str) -> DataFrame:
    """The tombstones of a customer's own id: none, or one."""
    return buried(context).where(
        F.col("tombstone") == tombstone_of("customer_id", customer_id, context.keys.pseudonym)
    )


def bury(context: RunContext, stones: DataFrame) -> None:
    """Keeps the tombstones of ids that have none yet.

    Args:
        context: The run.
        stones: field, tombstone, made_by, owner, files and, as far as exports are known, issued.
    """
    new = stones.join(buried(context).select("tombstone"), "tombstone", "left_anti")
    told = {"erased_at": F.lit(context.clock()), "run_id": F.lit(context.run_id)}
    if "issued" not in stones.columns:
        told["issued"] = F.array().cast("ARRAY<DATE>")
    context.warehouse.append(new.withColumns(told), context.table(TABLE))
