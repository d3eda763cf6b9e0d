"""Which files there are, which of them are new, and which replaces which: exactly once per delivery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from jobs.config.sources import Source
from jobs.kernel.errors import Issue, KeyMomentsError, Location, SourceError, did_you_mean
from jobs.stages.delivery import Delivery, delivery_of, files_beside, with_second
from jobs.stages.delivery_ledger import slot_of
from jobs.stages.headers import bad_headers
from jobs.stages.whole_files import GROWS, IncompleteError, incomplete

OVERTAKEN = (
    "as a newer delivery of its period is there: of a higher sequence, or of the same and delivered later"
)


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
                beside = files_beside(mapping, path)
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
    found, doubled = _once(found)
    waiting += doubled
    issues += _alike(found, rows) + _elsewhere(found, rows, waiting)
    issues += bad_headers([one for first in found for one in with_second(first)], source.contracts, rows)
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


def _once(found: list[Delivery]) -> tuple[list[Delivery], list[Issue]]:
    """Of files of one slot, sequence, date and content only the first, and a word on the others."""
    first: dict[str, Delivery] = {}
    doubled = []
    for one in found:
        other = first.setdefault(one.delivery_id, one)
        if other is not one:
            message = f"holds the same as {other.name}, which stands for it"
            doubled.append(Issue("FILE_BAD_NAME", message, Location(one.path)))
    return list(first.values()), doubled


def _alike(found: list[Delivery], rows: list[dict[str, Any]]) -> list[Issue]:
    """Files of one slot, sequence and date: none could be said to be the newer one.

    The file that is loaded already may be gone. One of the same content has been given another name.
    """
    first: dict[tuple[object, ...], tuple[str, str]] = {
        (slot_of(row), row["sequence"], row["delivered_on"]): (row["file"], row["sha256"])
        for row in rows
        if row["status"] == "active"
    }
    issues = []
    for one in found:
        place = (one.slot, one.sequence, one.delivered_on)
        name, content = first.get(place, (one.name, ""))
        if name == one.name or content == one.facts.sha256:
            first[place] = one.name, one.facts.sha256
            continue
        message = (
            f"is a delivery of the same contract, period and part as {name}; "
            "tell them apart by {part}, or by {sequence} if one corrects the other"
        )
        issues.append(Issue("FILE_BAD_NAME", message, Location(one.path)))
    return issues


def _elsewhere(found: list[Delivery], rows: list[dict[str, Any]], waiting: list[Issue]) -> list[Issue]:
    """Files that a changed mapping puts into another place than the one where their rows are.

    One file may fill several places; while it waits for one of them nobody can say that it has left it.
    """
    places: dict[tuple[str, str], set[tuple[str, str, str]]] = defaultdict(set)
    for one in found:
        places[one.contract, one.name].add(one.slot)
    held = {slot_of(row) for row in rows if row["status"] == "active"}
    alone = {Path(issue.location.path).name for issue in waiting if issue.location is not None}
    issues = []
    for row in rows:
        now = places.get((row["contract"], row["file"]), {slot_of(row)})
        # One that an extract of several no longer reads stands nowhere else for that.
        moved = slot_of(row) not in now and not now <= held
        if row["status"] == "active" and moved and row["file"] not in alone:
            place = f"period {row['period']} and part {row['part']}"
            message = (
                f"{row['file']} was loaded as {place}, which its mapping makes of it no more, so that its "
                "rows would be there twice; give it an extract of its own that says 'period' and 'part', and "
                "see that no other reads it, or load into another warehouse"
            )
            issues.append(Issue("FILE_BAD_NAME", message))
    return issues


def _new_ones(
    found: list[Delivery], rows: list[dict[str, Any]], disturbed: Set[tuple[str, str, str]]
) -> list[Delivery]:
    """Leaves out what is loaded already, and marks what a newer delivery has overtaken."""
    active = {(row["contract"], row["period"], row["part"]): row for row in rows if row["status"] == "active"}
    loaded = {row["delivery_id"] for row in rows}
    fresh = [one for one in found if one.delivery_id not in loaded or _is_back(one, active.get(one.slot))]
    newest = {slot: _rank_of(row) for slot, row in active.items()}
    for one in fresh:
        newest[one.slot] = max(newest.get(one.slot, one.rank), one.rank)
    new = [replace(one, superseded=newest[one.slot] != one.rank) for one in fresh]
    # A killed load may have taken the rows of what holds; nothing newer has come in its place.
    shaken = [one for one in found if one.slot in disturbed and _holds(one, active.get(one.slot))]
    taken = {one.slot for one in new if not one.superseded}
    return new + [one for one in shaken if one.slot not in taken]


def is_overtaken(one: Delivery, active: Mapping[str, Any]) -> bool:
    """Whether a file is older than the delivery that the ledger calls active in its slot."""
    return one.rank < _rank_of(active)


def _rank_of(active: Mapping[str, Any]) -> tuple[int, date, str]:
    """The least rank that does not take the place of a loaded delivery."""
    return active["sequence"], active["delivered_on"] or date.min, ""


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
