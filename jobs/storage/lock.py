"""One run at a time on a warehouse: an OS file lock, which dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.kernel.errors import Issue, Location, LockedError, StorageError

FILE = ".lock"


@contextmanager
def warehouse_lock(warehouse: str, holder: str) -> Iterator[None]:
    """Holds the warehouse for a run, or for an export that gives alerts out.

    A warehouse that is not a local folder (its path has a scheme such as hdfs://) is not locked here; the
    scheduler must keep runs apart.

    Args:
        warehouse: Folder or URI of the tables.
        holder: What others are told of who holds it.

    Raises:
        LockedError: When another run holds it.
    """
    if "://" in warehouse:
        yield
        return
    folder = Path(warehouse)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot be used as a warehouse: {error.strerror}"
        raise StorageError(Issue("TABLE_MISMATCH", message, Location(warehouse))) from None
    with (folder / FILE).open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            other = handle.read().strip() or "unknown"
            message = (
                f"another process ({other}) is at work on {warehouse}; this one stops and changes nothing"
            )
            raise LockedError(Issue("LOCKED", message)) from None
        handle.truncate(0)
        handle.write(f"{holder}, process {os.getpid()}")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)
