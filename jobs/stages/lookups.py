"""What rows are looked up in: number segments, the keys of other contracts, and who was erased.

Those loaded before count, and those that are loaded with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from threading import RLock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.extracts import BY_PREFIX, SEGMENTS, ExtractContract
from jobs.domain.extract_rows import RowContext
from jobs.expressions.sql import quote
from jobs.stages.context import RunContext
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

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._new: dict[str, DataFrame] = {}
        self._keys: dict[str, DataFrame | None] = {}
        self._lock = RLock()

    def add(self, contract: ExtractContract, accepted: DataFrame) -> None:
        """Rows of a contract that are about to be loaded."""
        self._new[contract.contract] = accepted

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
            return RowContext(self._context.keys.pseudonym, operators, keys, self._erased)

    def _keys_of(self, name: str) -> DataFrame | None:
        if name not in self._keys:
            key = quote(self._context.configuration.contracts[name].key[0])
            rows = self._rows(name, lambda rows: rows.select(F.col(key).alias("key")))
            # Before they are kept: every contract that refers to them would sort them out again.
            keys = settled(rows.distinct())
            count = keys.count()
            self._keys[name] = (F.broadcast(keys) if count <= FEW_KEYS else keys) if count else None
        return self._keys[name]

    @cached_property
    def _erased(self) -> DataFrame | None:
        table = self._context.table("erasures")
        if not self._context.warehouse.exists(table):
            return None
        return F.broadcast(settled(self._context.warehouse.read(table).select("tombstone").distinct()))

    @cached_property
    def _operators(self) -> dict[str, str]:
        rows = self._rows(SEGMENTS, lambda rows: rows.select("row_date", "prefix", "operator"))
        return {row["prefix"]: row["operator"] for row in rows.orderBy("row_date").collect()}

    def _rows(self, name: str, select: Callable[[DataFrame], DataFrame]) -> DataFrame:
        contract = self._context.configuration.contracts[name]
        rows = select(self._context.warehouse.read_or_empty(contract.clean_table()))
        return rows.unionByName(select(self._new[name])) if name in self._new else rows
