"""The table of tombstones: keyed hashes of the ids of persons who were erased, which ingest honours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.person_text import tombstone_of
from jobs.domain.privacy import tombstone
from jobs.stages.context import RunContext

TABLE = "erasures"
OWNED = ("accounts", "subscriptions")
"""Contracts that say which customer's an id is."""
NEVER_HELD = date(1900, 1, 1)
"""Of an id that no loaded row calls the person's: whoever is called its holder is."""


def buried(context: RunContext) -> DataFrame:
    """All tombstones; what a table of an earlier release does not tell is null."""
    table = context.table(TABLE)
    rows = context.warehouse.read_or_empty(table)
    lacking = [column for column in table.columns if column.name not in rows.columns]
    return rows.withColumns({one.name: F.lit(None).cast(one.type) for one in lacking})


def stones_of(context: RunContext, customer_id: str) -> DataFrame:
    """The tombstones of a customer's own id: none, or one."""
    return buried(context).where(
        F.col("tombstone") == tombstone_of("customer_id", customer_id, context.keys.pseudonym)
    )


def stones_held(context: RunContext) -> DataFrame:
    """Each tombstone once, with the last date on which its id was called the erased person's."""
    return buried(context).groupBy("tombstone").agg(F.max("held_until").alias("held_until"))


def bury(context: RunContext, stones: DataFrame) -> None:
    """Keeps tombstones that are new, or of ids that are called the erased person's later than before.

    Args:
        context: The run.
        stones: field, tombstone, owner, held_until, files and, as far as exports are known, issued.
    """
    kept = buried(context).selectExpr("tombstone", "held_until AS held_before")
    # What an earlier release has buried holds for ever.
    known = (stones["tombstone"] == kept["tombstone"]) & F.expr("coalesce(held_before >= held_until, TRUE)")
    new = stones.join(kept, known, "left_anti")
    told = {"erased_at": F.lit(context.clock()), "run_id": F.lit(context.run_id)}
    if "issued" not in stones.columns:
        told["issued"] = F.array().cast("ARRAY<DATE>")
    context.warehouse.append(new.withColumns(told), context.table(TABLE))


def passed_on(stones: DataFrame, ids: DataFrame, field: str, key: bytes) -> DataFrame:
    """Stones of ids that rows call somebody else's after they were last called the erased person's.

    Args:
        stones: tombstone and held_until.
        ids: The ids of rows of persons who are not erased, with row_date.
        field: What the ids name, and the column they stand in.
        key: The secret key.

    Returns:
        tombstone, and until: the first date of such rows.
    """
    told = ids.select(tombstone(F.lit(field), F.col(field), key).alias("tombstone"), "row_date")
    later = told.join(F.broadcast(stones), "tombstone").where("row_date >= held_until")
    return later.groupBy("tombstone").agg(F.min("row_date").alias("until"))


def held_until(context: RunContext, ids: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], date]:
    """The last dates on which rows call accounts and subscriptions the customer's."""
    found = {}
    for name in OWNED:
        contract = context.configuration.contracts[name]
        key = contract.key[0]
        rows = context.warehouse.read_or_empty(contract.clean_table())
        mine = rows.where(F.col("customer_id").isin(list(ids["customer_id"]))).where(
            F.col(key).isin(list(ids[key]))
        )
        for row in mine.groupBy(key).agg(F.max("row_date")).collect():
            found[key, row[0]] = row[1]
    return found
