"""Whether a file is whole: still being written, short of its control file, or told wrong by it."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path

from jobs.config.formats import Control
from jobs.config.sources import ExtractMapping, columns_used, joined_columns
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.storage.records import FileFacts, look_at
from jobs.storage.splitter import Layout

GROWS = "is still being written: its size changes"
# Seconds since its last change in which a file may yet grow, and seconds that it is watched then.
LATELY, PATIENCE = 60.0, 0.5


class IncompleteError(SourceError):
    """A file that is left alone until it is whole."""


def facts_of(path: Path, mapping: ExtractMapping, layout: Layout) -> FileFacts:
    """What a look at a whole file tells.

    Raises:
        IncompleteError: When it is not whole yet.
        SourceError: When it cannot be read.
    """
    control = None if mapping.control is None else _control_text(path, mapping.control)
    if not path.is_file():
        raise SourceError(Issue("FILE_MISSING", "is not there", Location(str(path))))
    size = stored_size(str(path))
    try:
        facts = look_at(str(path), layout)
    except SourceError as error:
        if _grows(path, size):
            raise incomplete(path, GROWS) from None
        if control is None:
            raise
        # What it holds cannot be held against its control file: half a file can hardly be unpacked.
        raise incomplete(path, f"does not agree with its control file: {error.issues[0].message}") from None
    if size is None or stored_size(str(path)) != size:
        raise incomplete(path, GROWS)
    if mapping.control is not None and control is not None:
        try:
            _check_control(path, mapping.control, control, facts)
        except FileNotFoundError:
            raise incomplete(path, GROWS) from None
    return replace(facts, stored=size)


def _grows(path: Path, size: int | None) -> bool:
    """Whether a file that cannot be read is still being written, for all that a short wait can tell.

    Half an archive cannot be unpacked, half a Parquet file has no end, and a file just begun is empty.
    """
    try:
        if stored_size(str(path)) == size and time.time() - path.stat().st_mtime < LATELY:
            time.sleep(PATIENCE)
    except FileNotFoundError:
        return True
    return stored_size(str(path)) != size


def stored_size(path: str) -> int | None:
    """The bytes of a file as it lies there; None when it has gone."""
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return None


def incomplete(path: Path, message: str) -> IncompleteError:
    """The error that leaves a file alone."""
    return IncompleteError(Issue("FILE_INCOMPLETE", message, Location(str(path))))


def _control_text(path: Path, control: Control) -> str:
    """What the control file of a delivery says.

    Raises:
        IncompleteError: When it is not there yet.
    """
    beside = path.with_name(control.name_for(path.name))
    try:
        return beside.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise incomplete(path, f"waits for its control file {beside.name}") from None
    except OSError as error:
        raise incomplete(path, f"its control file {beside.name} cannot be read: {error.strerror}") from None


def _check_control(path: Path, control: Control, text: str, facts: FileFacts) -> None:
    """Holds a file against the count and the checksums in its control file.

    Raises:
        IncompleteError: When one of them differs, or is not there.
    """
    have = {"records": str(facts.records + control.counts_header)}
    for name in ("md5", "sha256"):
        if getattr(control, name) is not None:
            with path.open("rb") as file:
                have[name] = hashlib.file_digest(file, name).hexdigest()
    for name, value in have.items():
        pattern = getattr(control, name)
        if pattern is None:
            continue
        match = re.search(pattern, text)
        told = match[1].strip().lower() if match else None
        if told is None:
            raise incomplete(path, f"its control file {control.name_for(path.name)} does not tell its {name}")
        if (told.lstrip("0") or "0") != value and told != value:
            raise incomplete(path, f"has {name} {value}, but its control file tells {told}")


def layout_of(mapping: ExtractMapping, contract: ExtractContract) -> Layout:
    """How a mapping says that its files are laid out."""
    # The objects of a JSON file need not have the same names: those are looked for that are used.
    columns = tuple(columns_used(mapping, contract)) if mapping.format == "jsonl" else mapping.columns
    return Layout(
        mapping.encoding,
        mapping.delimiter,
        mapping.quote,
        mapping.multiline,
        mapping.format,
        columns,
        mapping.widths or (),
        mapping.member,
    )


def joined_layout_of(mapping: ExtractMapping, contract: ExtractContract) -> Layout:
    """How the second file of a mapping is laid out."""
    assert mapping.join is not None
    named = tuple(joined_columns(mapping, contract)) if mapping.format == "jsonl" else mapping.join.columns
    return replace(
        layout_of(mapping, contract),
        columns=named,
        widths=mapping.join.widths or (),
        member=mapping.join.member,
    )
