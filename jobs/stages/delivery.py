"""One file as one delivery of one contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from jobs.config.formats import JOINED
from jobs.config.sources import ExtractMapping, Source
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.kernel.ids import fingerprint, hash_of
from jobs.stages.periods import delivered_about, period_end
from jobs.stages.whole_files import facts_of, incomplete, joined_layout_of, layout_of
from jobs.storage.records import FileFacts


@dataclass(frozen=True)
class Delivery:
    """One file as one delivery of one contract.

    Attributes:
        delivery_id: Hash of source, contract, period, part, sequence, content, mapping and date.
        mapping: How it is read.
        period: YYYYMM or YYYYMMDD.
        sequence: Of deliveries of one period and part the highest holds.
        delivered_on: Date in the file name, where it has one; of one sequence the latest holds.
        superseded: A newer delivery of the same period and part is known.
        second: The file whose columns stand beside this one's, which is loaded and replaced with it.
        is_second: This is such a file: its records are loaded as part of another's.
    """

    delivery_id: str
    source: str
    contract: str
    mapping: ExtractMapping
    mapping_fingerprint: str
    path: str
    name: str
    period: str
    part: str
    sequence: int
    delivered_on: date | None
    facts: FileFacts
    superseded: bool = False
    second: Delivery | None = None
    is_second: bool = False

    @property
    def slot(self) -> tuple[str, str, str]:
        """What a corrected delivery replaces."""
        return self.contract, self.period, self.part

    @property
    def slots(self) -> set[tuple[str, str, str]]:
        """The slot with that of a second file, which it may have had, or have no longer."""
        mine = {self.slot}
        return mine if self.is_second else {*mine, (self.contract, self.period, f"{self.part}.{JOINED}")}

    @property
    def rank(self) -> tuple[int, date, str]:
        """Of deliveries of one slot the highest holds."""
        return self.sequence, self.delivered_on or date.min, self.name


def with_second(first: Delivery) -> list[Delivery]:
    """A delivery, and its second file where it has one."""
    return [first] if first.second is None else [first, replace(first.second, superseded=first.superseded)]


def in_order(
    deliveries: Iterable[Delivery], rows: Iterable[Mapping[str, Any]], wait_days: int
) -> dict[str, int]:
    """A number for each delivery of a contract, in the order of delivery.

    Whatever the order in which files are found: that of their own dates, or of the ends of their periods.

    Args:
        deliveries: New ones.
        rows: Rows of the table deliveries.
        wait_days: Days that the contract gives rows until they are known.
    """

    def place(delivered_on: date | None, period: str, part: str, delivery_id: str) -> tuple[Any, ...]:
        return delivered_about(delivered_on, period, wait_days) or date.min, period, part, delivery_id

    found = {place(one.delivered_on, one.period, one.part, one.delivery_id) for one in deliveries}
    names = ("delivered_on", "period", "part", "delivery_id")
    found |= {place(*(row[name] for name in names)) for row in rows}
    return {delivery_id: number for number, (*_, delivery_id) in enumerate(sorted(found))}


def files_beside(mapping: ExtractMapping, path: Path) -> set[str]:
    """The name of the second file of a first one, where its mapping joins one."""
    match = mapping.name_pattern.match(path.name)
    return set() if mapping.join is None or match is None else {mapping.join.name_for(match.groupdict())}


def delivery_of(source: Source, mapping: ExtractMapping, path: Path, definition: str = "") -> Delivery:
    """A file as a delivery of one mapping.

    Raises:
        IncompleteError: When it is not whole yet.
        SourceError: When its name does not fit the mapping, or it cannot be read.
    """
    contract = source.contracts[mapping.contract]
    match = mapping.name_pattern.match(path.name)
    if match is None:
        message = f"the name does not follow {mapping.files}"
        raise SourceError(Issue("FILE_BAD_NAME", message, Location(str(path))))
    parts = match.groupdict()
    period = parts.get("period") or mapping.period or ""
    delivered = parts.get("delivered")
    for text in (period, delivered):
        if text and period_end(text) is None:
            message = f"'{text}' in the name is not a date"
            raise SourceError(Issue("FILE_BAD_NAME", message, Location(str(path))))
    facts = facts_of(path, mapping, layout_of(mapping, contract))
    sequence = int(parts.get("sequence") or 0)
    part = parts.get("part") or mapping.part
    # Neither control files nor what is made of drift and gaps decide what a row means.
    meaning = mapping.model_dump(exclude={"control", "on_drift", "gaps"}, exclude_defaults=True)
    mark = fingerprint([meaning, contract.fingerprint, definition])
    identity = [source.name, contract.contract, period, part, str(sequence), facts.sha256, mark]
    # The same content delivered again on a later date is a delivery of its own.
    identity += [delivered] if delivered else []
    joined = None
    for name in files_beside(mapping, path):
        joined = path.with_name(name)
        if not joined.is_file():
            raise incomplete(path, f"waits for the file {name} beside it")
        joined_facts = facts_of(joined, mapping, joined_layout_of(mapping, contract))
        identity.append(joined_facts.sha256)
    first = Delivery(
        delivery_id=hash_of(*identity),
        source=source.name,
        contract=contract.contract,
        mapping=mapping,
        mapping_fingerprint=mark,
        path=str(path.resolve()),
        name=path.name,
        period=period,
        part=part,
        sequence=sequence,
        delivered_on=period_end(delivered) if delivered else None,
        facts=facts,
    )
    if joined is None:
        return first
    second = replace(
        first,
        delivery_id=hash_of(first.delivery_id, JOINED),
        path=str(joined.resolve()),
        name=joined.name,
        part=f"{part}.{JOINED}",
        facts=joined_facts,
        is_second=True,
    )
    return replace(first, second=second)
