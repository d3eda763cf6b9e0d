"""Exports the dispatched alerts of a date to files, without Spark: atomic, and the same bytes every time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast

from jobs.config.exports import Role
from jobs.domain.dispatch import DISPATCHED
from jobs.domain.reissue import WITHDRAWN
from jobs.kernel.errors import ConfigError, CycleError, Issue
from jobs.stages.context import Configuration
from jobs.stages.export_formats import Record, cloud_events, control, spreadsheet
from jobs.stages.issue import record_issue
from jobs.storage.lock import warehouse_lock
from jobs.storage.reader import rows_of

DONE = ("complete", "unchanged")


@dataclass(frozen=True)
class Export:
    """What to export.

    Attributes:
        dispatch_date: The date.
        form: jsonl (CloudEvents) or csv (spreadsheets).
        encoding: Of csv: utf-8 (with a byte-order mark) or gbk.
        per: One file in all (all), or one a city or a manager.
        role: For whom, by name and with what it may be given.
    """

    dispatch_date: date
    form: str
    encoding: str
    per: str
    role: tuple[str, Role]


@dataclass(frozen=True)
class Exported:
    """What an export came to: records by file, and whether anything was written."""

    folder: Path
    records: dict[str, int]
    changed: bool


def export_alerts(
    configuration: Configuration, warehouse: str, out: Path, export: Export, replace: bool = False
) -> Exported:
    """Writes the files and their control files into a folder of the date below out.

    All of them appear at once. Where the same files stand already, nothing is written. What is withdrawn of
    a date that was given out before goes with what is dispatched.

    Args:
        configuration: Schemas of the tables, and the source's name.
        warehouse: Folder or URI of the tables.
        out: Folder of the exports.
        export: What to export.
        replace: Write although other files of that name were exported before.

    Raises:
        CycleError: When the date has not been dispatched.
        ConfigError: When other files were exported before.
        LockedError: When alerts are to be given out and a run is at work, which might change them meanwhile.
    """
    if not export.role[1].issues:
        return _export(configuration, warehouse, out, export, replace)
    with warehouse_lock(warehouse, f"export of {export.dispatch_date}"):
        return _export(configuration, warehouse, out, export, replace)


def _export(
    configuration: Configuration, warehouse: str, out: Path, export: Export, replace: bool
) -> Exported:
    records = _records(configuration, warehouse, export)
    files = _files(configuration, export, records)
    revision = max((record["revision"] for record in records), default=1)
    again = "" if revision == 1 else f"_r{revision}"
    folder = out / f"alerts_{export.dispatch_date}_{export.role[0]}_{export.form}_{export.per}{again}"
    counts = {name: count for name, (_, count) in files.items()}
    contents = {name: content for name, (content, _) in files.items()}
    contents |= {f"{name}.ctl": control(content, count) for name, (content, count) in files.items()}
    standing: dict[str, bytes] | None = None
    if folder.exists():
        standing = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        if standing != contents and not replace:
            message = f"{folder} holds other files of this date; --replace writes it anew"
            raise ConfigError(Issue("EXPORT_DIFFERS", message))
    if export.role[1].issues:
        # Before anybody can see the files: what is given out is on record.
        record_issue(configuration, warehouse, export.dispatch_date, records)
    if standing == contents:
        return Exported(folder, counts, changed=False)
    _write(folder, contents)
    return Exported(folder, counts, changed=True)


def _records(configuration: Configuration, warehouse: str, export: Export) -> list[Record]:
    day = export.dispatch_date
    ledger = rows_of(
        warehouse,
        configuration.tables["run_ledger"],
        [("stage", "=", "date"), ("dispatch_date", "=", day)],
        ["result"],
    )
    if not any(row["result"] in DONE for row in ledger):
        raise CycleError(
            Issue("CYCLE_NOT_COMPLETE", f"{day} has not been dispatched; 'keymoments run' does it")
        )
    found = rows_of(
        warehouse,
        configuration.tables["alerts"],
        [("dispatch_date", "=", day), ("status", "in", [DISPATCHED, WITHDRAWN])],
    )
    number = _number_of(configuration, warehouse, export.role[1])
    shown: list[Record] = [{**row, "number": number(row["number"])} for row in found]
    # Reminders have no rank; they come last.
    return sorted(
        shown, key=lambda row: (row["rank_province"] is None, row["rank_province"], row["alert_id"])
    )


def _number_of(
    configuration: Configuration, warehouse: str, role: Role
) -> Callable[[str | None], str | None]:
    """How a number's pseudonym is shown to a role."""
    if role.numbers == "pseudonym":
        return lambda pseudonym: pseudonym
    if role.numbers == "masked":
        return lambda pseudonym: None
    where = [("contract", "=", "subscriptions"), ("field", "=", "number")]
    columns = ["pseudonym", "clear"]
    rows = rows_of(warehouse, configuration.tables["identity"], where, columns)
    clear: Mapping[str, str] = {row["pseudonym"]: row["clear"] for row in rows}
    return lambda pseudonym: None if pseudonym is None else clear.get(pseudonym)


def _files(
    configuration: Configuration, export: Export, records: list[Record]
) -> dict[str, tuple[bytes, int]]:
    """Content and number of records by file name."""
    # A date without alerts has its one file too.
    groups: dict[str, list[Record]] = {"all": []} if export.per == "all" else {}
    for record in records:
        groups.setdefault(_group_of(record, export.per), []).append(record)
    source = configuration.source.name if configuration.source else "unknown"
    version = configuration.tables["alerts"].version
    files: dict[str, tuple[bytes, int]] = {}
    for group, members in sorted(groups.items()):
        name = f"alerts_{export.dispatch_date}_{group}.{export.form}"
        if export.form == "jsonl":
            content = cloud_events(members, source, version)
        else:
            content = spreadsheet(members, export.encoding)
        files[name] = (content, len(members))
    return files


def _group_of(record: Record, per: str) -> str:
    """Whose file a record belongs into, as a file may be named; who shares a name shares the file."""
    city = record["city"] or "no_city"
    group = {"all": "all", "city": city, "manager": _server_of(record) or f"team_{city}"}[per]
    return re.sub(r"[^\w.-]", "_", group)


def _server_of(record: Record) -> str | None:
    """The manager who gets a record: who serves on the date; of what needs no visit, the customer's own."""
    kind, _, who = (record["served_by"] or "").partition(":")
    if not kind:
        return cast("str | None", record["manager_id"])
    return who if kind == "manager" else None


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Puts a folder in place at once: a reader never sees a part of it."""
    partial, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in contents.items():
        (partial / name).write_bytes(content)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
