"""Which files there are, which of them are new, and which replaces which: exactly once per delivery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from jobs.config.formats import JOINED
from jobs.config.sources import ExtractMapping, Source, columns_used, joined_columns
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.errors import Issue, KeyMomentsError, Location, SourceError, did_you_mean
from jobs.kernel.ids import fingerprint, hash_of
from jobs.stages.periods import period_end
from jobs.stages.whole_files import GROWS, IncompleteError, facts_of, incomplete, joined_layout_of, layout_of
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


@dataclass(frozen=True)
class Found:
    """What a folder of extracts holds.

    Attributes:
        new: Deliveries not loaded yet; those overtaken by a newer one are marked superseded.
        waiting: Files left alone until they are whole, and why.
        unread: Names of files that no mapping reads.
    """

    new: list[Delivery]
    waiting: list[Issue]
    unread: list[str]


def folder_of_extracts(folder: str) -> Path:
    """The folder the files are delivered to.

    Raises:
        SourceError: When it is not there.
    """
    base = Path(folder)
    if not base.is_dir():
        raise SourceError(Issue("FILE_MISSING", "the folder of extracts is not there", Location(folder)))
    return base


def find_deliveries(
    source: Source,
    folder: str,
    known: Iterable[dict[str, Any]],
    definitions: Mapping[str, str] | None = None,
    disturbed: Set[tuple[str, str, str]] = frozenset(),
    growing: Set[str] = frozenset(),
) -> Found:
    """Looks through the folder of extracts for deliveries not loaded yet.

    Args:
        source: The source mapping.
        folder: Where the files are.
        known: Rows of the table deliveries.
        definitions: By contract, the fingerprint of what is made of its rows; when it changes, the
            contract's files are loaded again.
        disturbed: Slots in which a load was cut off: what holds there is loaded again.
        growing: Paths of files that have been seen to be still written.

    Raises:
        SourceError: With all problems: folder or files missing, bad names, headers lacking columns.
    """
    base = folder_of_extracts(folder)
    rows = list(known)
    issues: list[Issue] = []
    # One file may fill several contracts; it is told once.
    missing: dict[str, dict[str, None]] = {}
    found: list[Delivery] = []
    waiting: list[Issue] = []
    unread = _unread(source, base)
    for mapping in source.mapping.extracts:
        alone = set() if mapping.join is None else {path.name for path in base.glob(mapping.join.glob)}
        paths = sorted(path for path in base.glob(mapping.glob) if path.is_file())
        if not paths and not any(row["contract"] == mapping.contract for row in rows):
            missing.setdefault(mapping.files, {})[mapping.contract] = None
        for path in paths:
            try:
                beside = _beside(mapping, path)
                alone -= beside
                if {str(one.resolve()) for one in (path, *map(path.with_name, beside))} & growing:
                    raise incomplete(path, GROWS)
                definition = (definitions or {}).get(mapping.contract, "")
                found.append(delivery_of(source, mapping, path, definition))
            except IncompleteError as error:
                waiting.extend(error.issues)
            except KeyMomentsError as error:
                issues.extend(error.issues)
        message = f"waits for the file {mapping.files} beside it"
        waiting += [Issue("FILE_INCOMPLETE", message, Location(str(base / name))) for name in sorted(alone)]
    issues += [
        Issue(
            "FILE_MISSING",
            f"no file named {files} for the contract {', '.join(contracts)}{did_you_mean(files, unread)}",
            Location(folder),
        )
        for files, contracts in missing.items()
    ]
    issues += _alike(found)
    if issues:
        raise SourceError(issues)
    new = _new_ones(found, rows, disturbed)
    return Found([one for first in new for one in with_second(first)], waiting, unread)


def _unread(source: Source, base: Path) -> list[str]:
    """Names of the files in a folder that are no delivery, nor beside one."""
    names = {path.name for path in base.iterdir() if path.is_file() and not path.name.startswith(".")}
    for mapping in source.mapping.extracts:
        read = {path.name for path in base.glob(mapping.glob)}
        names -= read
        if mapping.join is not None:
            names -= {path.name for path in base.glob(mapping.join.glob)}
        if mapping.control is not None:
            names -= {mapping.control.name_for(name) for name in read}
    return sorted(names)


def with_second(first: Delivery) -> list[Delivery]:
    """A delivery, and its second file where it has one."""
    return [first] if first.second is None else [first, replace(first.second, superseded=first.superseded)]


def _beside(mapping: ExtractMapping, path: Path) -> set[str]:
    """Name of the second file of a first one, where its mapping joins one."""
    match = mapping.name_pattern.match(path.name)
    return set() if mapping.join is None or match is None else {mapping.join.name_for(match.groupdict())}


def delivery_of(source: Source, mapping: ExtractMapping, path: Path, definition: str = "") -> Delivery:
    """A file as a delivery of one mapping.

    Raises:
        IncompleteError: When it is not whole yet.
        SourceError: When its name or its header does not fit the mapping, or it cannot be read.
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
    _check_header(facts.header, mapping, contract, path)
    sequence = int(parts.get("sequence") or 0)
    part = parts.get("part") or mapping.part
    # Neither control files nor what is made of drift and gaps decide what a row means.
    meaning = mapping.model_dump(exclude={"control", "on_drift", "gaps"}, exclude_defaults=True)
    mark = fingerprint([meaning, contract.fingerprint, definition])
    identity = [source.name, contract.contract, period, part, str(sequence), facts.sha256, mark]
    # The same content delivered again on a later date is a delivery of its own.
    identity += [delivered] if delivered else []
    joined = None
    for name in _beside(mapping, path):
        joined = path.with_name(name)
        if not joined.is_file():
            raise incomplete(path, f"waits for the file {name} beside it")
        joined_facts = facts_of(joined, mapping, joined_layout_of(mapping, contract))
        _check_columns(joined_facts.header, joined_columns(mapping, contract), joined)
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


def _check_header(
    header: tuple[str, ...], mapping: ExtractMapping, contract: ExtractContract, path: Path
) -> None:
    wanted = columns_used(mapping, contract)
    issues = []
    if mapping.fields == "same":
        # An optional field may be left out of a file whose columns are named like the contract's fields.
        optional = {name for name, field in contract.fields.items() if not field.required}
        wanted = [name for name in wanted if name in header or name not in optional]
        for column, name in enumerate(header, start=1):
            if name not in contract.fields:
                hint = did_you_mean(name, contract.fields)
                message = f"column '{name}' is not a field of {contract.contract}{hint}"
                issues.append(Issue("FILE_BAD_HEADER", message, Location(str(path), 1, column)))
                # That the field it seems to be is missing goes without saying.
                wanted = [one for one in wanted if f"'{one}'" not in hint]
    try:
        _check_columns(header, wanted, path)
    except SourceError as error:
        issues += error.issues
    if issues:
        raise SourceError(issues)


def _check_columns(header: tuple[str, ...], wanted: list[str], path: Path) -> None:
    issues = []
    for name in wanted:
        if name not in header:
            message = f"column '{name}' is missing{did_you_mean(name, header)}"
            issues.append(Issue("FILE_BAD_HEADER", message, Location(str(path), 1, 1)))
        elif header.count(name) > 1:
            column = header.index(name) + 1
            message = f"column '{name}' stands there twice"
            issues.append(Issue("FILE_BAD_HEADER", message, Location(str(path), 1, column)))
    if issues:
        raise SourceError(issues)


def _alike(found: list[Delivery]) -> list[Issue]:
    """Files of one slot, sequence and date: none could be said to be the newer one."""
    first: dict[tuple[object, ...], Delivery] = {}
    issues = []
    for one in found:
        other = first.setdefault((one.slot, one.sequence, one.delivered_on), one)
        if other is not one:
            message = (
                f"is a delivery of the same contract, period and part as {other.name}; "
                "tell them apart by {part}, or by {sequence} if one corrects the other"
            )
            issues.append(Issue("FILE_BAD_NAME", message, Location(one.path)))
    return issues


def _new_ones(
    found: list[Delivery], rows: list[dict[str, Any]], disturbed: Set[tuple[str, str, str]]
) -> list[Delivery]:
    """Leaves out what is loaded already, and marks what a newer delivery has overtaken."""
    active = {(row["contract"], row["period"], row["part"]): row for row in rows if row["status"] == "active"}
    loaded = {row["delivery_id"] for row in rows}
    fresh = [one for one in found if one.delivery_id not in loaded or _is_back(one, active.get(one.slot))]
    newest: dict[tuple[str, str, str], tuple[int, date, str]] = {
        slot: (row["sequence"], row["delivered_on"] or date.min, "") for slot, row in active.items()
    }
    for one in fresh:
        newest[one.slot] = max(newest.get(one.slot, one.rank), one.rank)
    new = [replace(one, superseded=newest[one.slot] != one.rank) for one in fresh]
    # A killed load may have taken the rows of what holds; nothing newer has come in its place.
    shaken = [one for one in found if one.slot in disturbed and _holds(one, active.get(one.slot))]
    taken = {one.slot for one in new if not one.superseded}
    return new + [one for one in shaken if one.slot not in taken]


def _holds(one: Delivery, active: dict[str, Any] | None) -> bool:
    """Whether a file is the delivery that the ledger calls active."""
    return active is not None and active["delivery_id"] == one.delivery_id


def _is_back(one: Delivery, active: dict[str, Any] | None) -> bool:
    """Whether a file holds a content again that another of the same name had taken the place of."""
    return (
        active is not None
        and active["delivery_id"] != one.delivery_id
        and (active["file"], active["sequence"], active["delivered_on"])
        == (one.name, one.sequence, one.delivered_on)
    )
