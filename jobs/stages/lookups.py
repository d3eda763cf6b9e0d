"""What rows are looked up in: number segments, the keys of other contracts, and who was erased.

What there will be once the load is done counts: the rows that are loaded with them, and of those loaded
before the ones that stay. These are taken from the raw tables: in a clean one a row that goes may stand in
the place of one that stays, and a load that was killed may have been there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from threading import RLock
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.extracts import BY_PREFIX, SEGMENTS, ExtractContract
from jobs.domain.extract_rows import RowContext
from jobs.domain.privacy import tombstone
from jobs.expressions.sql import quote
from jobs.stages.context import RunContext
from jobs.stages.delivery import Delivery, in_order
from jobs.stages.tombstones import OWNED, TABLE, passed_on, stones_held
from jobs.storage.warehouse import settled

# Of so many keys every task may have a copy; of more, rows and keys are brought together.
FEW_KEYS = 1_000_000


def needed_for(contract: ExtractContract) -> set[str]:
    """The contracts in whose rows a contract's rows are looked up."""
    found = {reference.to for reference in contract.references.values()}
    if any(part.derive in BY_PREFIX for part in contract.derived.values()):
        found.add(SEGMENTS)
    return found


class Lookups:
    """The look-ups of a run; each is made once, when the first contract asks for it."""

    def __init__(self, context: RunContext, staying: Sequence[Mapping[str, Any]]) -> None:
        """Begins with nothing looked up.

        Args:
            context: The run.
            staying: Rows of the table deliveries whose rows stay as they are.
        """
        self._context = context
        self._staying = staying
        self._new: dict[str, tuple[list[Delivery], DataFrame]] = {}
        self._keys: dict[str, DataFrame | None] = {}
        self._stones: list[DataFrame] = []
        self._held: dict[tuple[object, ...], DataFrame] = {}
        self._lock = RLock()

    def add(self, contract: ExtractContract, deliveries: list[Delivery], accepted: DataFrame) -> None:
        """Rows of a contract that are about to be loaded."""
        self._new[contract.contract] = deliveries, accepted

    def of(self, contract: ExtractContract) -> RowContext:
        """What a contract's rows need; without the keys of contracts that have no row or are not supplied."""
        source = self._context.source
        needed = needed_for(contract)
        keys: dict[str, DataFrame] = {}
        with self._lock:
            for field, reference in contract.references.items():
                if reference.to in source.contracts and field in source.fields_of(contract.contract):
                    known = self._keys_of(reference.to)
                    if known is not None:
                        keys[field] = known
            operators = self._operators if SEGMENTS in needed else {}
            return RowContext(self._context.keys.pseudonym, operators, keys, self._erased(contract))

    def bury(self, contract: ExtractContract, left_out: DataFrame) -> DataFrame | None:
        """Tombstones of the accounts or subscriptions that nothing but rows of erased persons names.

        Rows that come with these alone would bring the person back: they are left out from here on.

        Args:
            contract: Which rows they are.
            left_out: Rows that are not loaded, as they are of persons who were erased.

        Returns:
            Rows for the table erasures; None of a contract that says nothing of whose an id is.
        """
        if contract.contract not in OWNED:
            return None
        key, secret = contract.key[0], self._context.keys.pseudonym
        with self._lock:
            # What has passed to somebody else is not theirs any more.
            known = self._rows(contract.contract, [key, "row_date"])
            known = known.groupBy(key).agg(F.max("row_date").alias("others"))
            good = left_out.where(f"{key} IS NOT NULL AND row_date IS NOT NULL AND reasons IS NULL")
            mine = good.join(known, key, "left").where("others IS NULL OR row_date > others")
            told = mine.select(
                F.lit(key).alias("field"),
                tombstone(F.lit(key), F.col(key), secret).alias("tombstone"),
                tombstone(F.lit("customer_id"), F.col("customer_id"), secret).alias("owner"),
                "file",
                "row_date",
            )
            stones = settled(
                told.groupBy("field", "tombstone").agg(
                    F.min("owner").alias("owner"),
                    F.sort_array(F.collect_set("file")).alias("files"),
                    F.max("row_date").alias("held_until"),
                )
            )
            self._stones.append(stones.select("tombstone", "held_until"))
        return stones

    def _keys_of(self, name: str) -> DataFrame | None:
        if name not in self._keys:
            key = quote(self._context.configuration.contracts[name].key[0])
            rows = self._rows(name, [key])
            # Before they are kept: every contract that refers to them would sort them out again.
            keys = settled(rows.select(F.col(key).alias("key")).distinct())
            count = keys.count()
            # Rows that a killed load has taken away are lacking; those that never came tell nothing.
            had = count > 0 or any(row["rows_loaded"] for row in self._of(name))
            self._keys[name] = (F.broadcast(keys) if count <= FEW_KEYS else keys) if had else None
        return self._keys[name]

    def _erased(self, contract: ExtractContract) -> DataFrame | None:
        """Tombstones that hold for a contract's rows, each with the date from which the id is another's."""
        if self._buried is None:
            return None
        # A row that met its stone twice would be two.
        stones = reduce(DataFrame.unionByName, self._stones, self._buried)
        stones = stones.groupBy("tombstone").agg(F.max("held_until").alias("held_until"))
        owned = [name for name in OWNED if name in needed_for(contract) & set(self._context.source.contracts)]
        if not owned:
            return F.broadcast(stones.select("tombstone", F.lit(None).cast("date").alias("until")))
        # The rows of these contracts have come before those of any that needs them.
        place = (*owned, len(self._stones))
        if place not in self._held:
            passed = reduce(DataFrame.unionByName, (self._passed_on(stones, name) for name in owned))
            self._held[place] = settled(stones.join(passed, "tombstone", "left").select("tombstone", "until"))
        return F.broadcast(self._held[place])

    def _passed_on(self, stones: DataFrame, name: str) -> DataFrame:
        key = self._context.configuration.contracts[name].key[0]
        rows = self._rows(name, [key, "row_date"])
        return passed_on(stones, rows, key, self._context.keys.pseudonym)

    @cached_property
    def _buried(self) -> DataFrame | None:
        if not self._context.warehouse.exists(self._context.table(TABLE)):
            return None
        return settled(stones_held(self._context))

    @cached_property
    def _operators(self) -> dict[str, str]:
        contract = self._context.configuration.contracts[SEGMENTS]
        new, _ = self._new.get(SEGMENTS, ([], None))
        place = in_order(new, self._of(SEGMENTS), contract.available_after_days)
        rows = self._rows(SEGMENTS, ["row_date", "delivery_id", "line", "prefix", "operator"]).collect()
        rows.sort(key=lambda row: (row["row_date"], place[row["delivery_id"]], row["line"]))
        return {row["prefix"]: row["operator"] for row in rows}

    def _rows(self, name: str, columns: Sequence[str]) -> DataFrame:
        raw = self._context.configuration.contracts[name].raw_table()
        stays = F.col("delivery_id").isin([row["delivery_id"] for row in self._of(name)])
        rows = self._context.warehouse.read_or_empty(raw).where(stays).select(*columns)
        return rows.unionByName(self._new[name][1].select(*columns)) if name in self._new else rows

    def _of(self, name: str) -> list[Mapping[str, Any]]:
        """The deliveries of a contract that stay."""
        return [row for row in self._staying if row["contract"] == name]
