"""Looks into the quarantine: how many rows were refused and why, and the rows themselves, masked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from jobs.config.masking import masked, shape
from jobs.config.sources import Source
from jobs.contracts.columns import Table
from jobs.contracts.extracts import contract_named
from jobs.stages.context import Configuration
from jobs.storage.reader import rows_of


@dataclass(frozen=True, order=True)
class Refused:
    """How often a reason stands on the rows of a file."""

    contract: str
    file: str
    reason: str
    rows: int


@dataclass(frozen=True, order=True)
class RefusedRow:
    """One refused row; original has personal data as its shape only."""

    file: str
    line: int
    reasons: tuple[str, ...]
    original: str


def refused(configuration: Configuration, warehouse: str, contract: str | None = None) -> list[Refused]:
    """The reasons of all rows in quarantine, counted by contract and file.

    Raises:
        ConfigError: When no such contract is defined.
        StorageError: When nothing has been ingested yet.
    """
    where = _only(configuration, contract)
    rows = rows_of(warehouse, _quarantine(configuration), where, ("contract", "file", "reasons"))
    counted = Counter((row["contract"], row["file"], reason) for row in rows for reason in row["reasons"])
    return sorted(Refused(*key, count) for key, count in counted.items())


def refused_rows(
    configuration: Configuration, source: Source, warehouse: str, contract: str, file: str | None, limit: int
) -> list[RefusedRow]:
    """The first rows of a contract in quarantine, by file and line.

    Args:
        configuration: Contracts and tables.
        source: Tells how the files' columns fill fields, and so which are personal.
        warehouse: Where the tables are.
        contract: Which rows.
        file: Only this file's.
        limit: How many at most.

    Raises:
        ConfigError: When no such contract is defined.
        StorageError: When nothing has been ingested yet.
    """
    where = _only(configuration, contract) + ([("file", "=", file)] if file is not None else [])
    rows = rows_of(warehouse, _quarantine(configuration), where)
    deliveries = rows_of(warehouse, configuration.tables["deliveries"], (), ("delivery_id", "header"))
    headers = {row["delivery_id"]: row["header"] for row in deliveries}
    definition = configuration.contracts[contract]
    found = []
    for row in sorted(rows, key=lambda one: (one["file"], one["line"]))[:limit]:
        reasons = tuple(row["reasons"])
        original = row["original"] or ""
        mapping = source.mapping_of(contract, row["file"], row["part"])
        shown = (
            shape(original)
            if mapping is None
            else masked(original, reasons, headers.get(row["delivery_id"]), mapping, definition)
        )
        found.append(RefusedRow(row["file"], row["line"], reasons, shown))
    return found


def _quarantine(configuration: Configuration) -> Table:
    return configuration.tables["quarantine"]


def _only(configuration: Configuration, contract: str | None) -> list[tuple[str, str, str]]:
    if contract is None:
        return []
    return [("contract", "=", contract_named(configuration.contracts, contract).contract)]
