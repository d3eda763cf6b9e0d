"""Where the pipeline stands on a day, read from the ledgers without Spark: cycles, sources, missed dates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from jobs.config.sources import Source
from jobs.contracts.supply import Supply
from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import StorageError
from jobs.stages.context import Configuration
from jobs.stages.coverage import delivered_at
from jobs.storage.ledger import FAILED_DATE
from jobs.storage.reader import rows_of

DONE = ("complete", "unchanged")


@dataclass(frozen=True)
class CycleState:
    """The last complete cycle of a kind; all but the kind are None where there is none yet."""

    kind: str
    as_of: date | None = None
    dispatch_date: date | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class SourceState:
    """How far a contract's deliveries reach.

    Attributes:
        until: Last date they speak for; None before the first.
        days_old: Days from there to the last day that a cycle of today looks at.
        may_be_old: Days that the contract allows.
        late: More than that, or never delivered.
    """

    contract: str
    zh: str
    en: str
    until: date | None
    days_old: int | None
    may_be_old: int
    late: bool


@dataclass(frozen=True)
class Status:
    """Where the pipeline stands.

    Attributes:
        on: The day it is asked for.
        cycles: Of each kind the last complete cycle.
        missed: Dates before that day on which something was due and that are not complete, since the first
            complete one.
        stale: Complete dates that rest on an earlier one which has been made again, otherwise, since.
        sources: What the source's mapping promises.
        alerts: Alerts of the last complete date, by status.
        broken: What was begun or failed, in whatever run, and has not become complete since.
        seconds: Seconds that each stage of the last complete date took.
    """

    on: date
    cycles: list[CycleState]
    missed: list[date]
    stale: list[date]
    sources: list[SourceState]
    alerts: dict[str, int]
    broken: list[str]
    seconds: dict[str, float]

    @property
    def late(self) -> list[SourceState]:
        """Sources that are late."""
        return [one for one in self.sources if one.late]

    @property
    def is_well(self) -> bool:
        """Whether nobody need look: something was completed, and nothing is late, missed, stale or broken."""
        ever = any(one.dispatch_date is not None for one in self.cycles)
        return ever and not (self.late or self.missed or self.stale or self.broken)


def status_of(configuration: Configuration, source: Source, warehouse: str, on: date) -> Status:
    """Looks at the ledgers of a warehouse.

    Args:
        configuration: The project's.
        source: The warehouse's source.
        warehouse: Folder or URI of the tables.
        on: The day.

    Raises:
        StorageError: When nothing has been loaded yet.
    """
    ledger = _rows(configuration, warehouse, "run_ledger")
    ended = {
        row["dispatch_date"]: row
        for row in sorted(ledger, key=lambda row: row["finished_at"])
        if row["stage"] == "date" and row["result"] in DONE and row["dispatch_date"] <= on
    }
    last = max(ended, default=None)
    return Status(
        on,
        [_cycle(configuration, ended, kind) for kind in CycleKind],
        _missed(configuration, set(ended), on),
        _stale(ledger, ended),
        _sources(configuration, source, warehouse, on),
        {} if last is None else _alerts(configuration, warehouse, last),
        _broken(ledger),
        {} if last is None else _seconds(ledger, ended[last]),
    )


def _rows(configuration: Configuration, warehouse: str, table: str) -> list[dict[str, Any]]:
    return rows_of(warehouse, configuration.tables[table])


def _cycle(configuration: Configuration, ended: dict[date, dict[str, Any]], kind: CycleKind) -> CycleState:
    for day in sorted(ended, reverse=True):
        for cycle in configuration.calendar.due(day):
            if cycle.kind is kind:
                return CycleState(str(kind), cycle.as_of, day, ended[day]["finished_at"])
    return CycleState(str(kind))


def _missed(configuration: Configuration, ended: set[date], on: date) -> list[date]:
    if not ended:
        return []
    first = min(ended)
    # The day itself may still be at work.
    days = [first + timedelta(days=number) for number in range((on - first).days)]
    return [day for day in days if day not in ended and configuration.calendar.due(day)]


def _stale(ledger: list[dict[str, Any]], ended: dict[date, dict[str, Any]]) -> list[date]:
    """Dates whose last run was before the last one that changed an earlier date."""
    changed = {
        row["dispatch_date"]: row["finished_at"]
        for row in sorted(ledger, key=lambda row: row["finished_at"])
        if row["stage"] == "date" and row["result"] == "complete"
    }
    return [
        day
        for day, row in sorted(ended.items())
        if any(earlier < day and at > row["finished_at"] for earlier, at in changed.items())
    ]


def later_dates(configuration: Configuration, warehouse: str, days: Iterable[date]) -> list[date]:
    """Complete dates after the first of some days, without these."""
    given = set(days)
    try:
        ledger = _rows(configuration, warehouse, "run_ledger")
    except StorageError:
        return []
    done = {row["dispatch_date"] for row in ledger if row["stage"] == "date" and row["result"] in DONE}
    return sorted(day for day in done if day > min(given) and day not in given)


def _sources(configuration: Configuration, source: Source, warehouse: str, on: date) -> list[SourceState]:
    deliveries = _rows(configuration, warehouse, "deliveries")
    # A source that delivers once is looked at on the day of its snapshot, however long ago that was.
    calendar = configuration.calendar
    day = source.mapping.snapshot or on - timedelta(days=calendar.grace_days[CycleKind.daily])
    cycle = calendar.cycle(CycleKind.daily, day)
    delivered = delivered_at(deliveries, source, source.contracts, cycle)
    supply = Supply(configuration.view, configuration.contracts, delivered, cycle.as_of)
    found = []
    for name, contract in sorted(source.contracts.items()):
        until = delivered[name].data_until
        old = None if until is None else max((cycle.as_of - until).days, 0)
        late, allowed = supply.is_stale(name), contract.freshness_days
        found.append(SourceState(name, contract.zh, contract.en, until, old, allowed, late))
    return found


def _alerts(configuration: Configuration, warehouse: str, day: date) -> dict[str, int]:
    here = [("dispatch_date", "=", day)]
    rows = rows_of(warehouse, configuration.tables["alerts"], here, ["status"])
    return dict(sorted(Counter(row["status"] for row in rows).items()))


def _broken(ledger: list[dict[str, Any]]) -> list[str]:
    """A date that failed is mended when it is complete; a stage that was begun, when it is."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(ledger, key=lambda row: row["finished_at"]):
        stage = "date" if row["stage"] == FAILED_DATE else row["stage"]
        newest[stage, row["cycle"], row["as_of"], row["dispatch_date"]] = row
    return [
        " ".join(str(part) for part in (*what, row["result"], row["message"]) if part is not None)
        for what, row in newest.items()
        if row["result"] not in DONE
    ]


def _seconds(ledger: list[dict[str, Any]], date_row: dict[str, Any]) -> dict[str, float]:
    """Seconds by stage of the run and date of a row of the ledger."""
    found: Counter[str] = Counter()
    for row in ledger:
        here = row["run_id"] == date_row["run_id"] and row["dispatch_date"] in (
            None,
            date_row["dispatch_date"],
        )
        if here and row["stage"] != "date" and row["result"] in DONE:
            found[row["stage"]] += (row["finished_at"] - row["started_at"]).total_seconds()
    return dict(sorted(found.items()))


def metrics_text(status: Status) -> str:
    """The status in the text format of Prometheus, for its node exporter's folder of text files."""
    lines: list[str] = []

    def metric(name: str, text: str, samples: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP keymoments_{name} {text}")
        lines.append(f"# TYPE keymoments_{name} gauge")
        lines.extend(f"keymoments_{name}{labels} {value!r}" for labels, value in samples)

    metric(
        "last_cycle_days",
        "Days since the dispatch date of the last complete cycle.",
        [
            (f'{{cycle="{one.kind}"}}', (status.on - one.dispatch_date).days)
            for one in status.cycles
            if one.dispatch_date is not None
        ],
    )
    metric(
        "missed_dates",
        "Dates on which something was due and that are not complete.",
        [("", len(status.missed))],
    )
    metric(
        "stale_dates",
        "Complete dates that rest on an earlier one which has been made again since.",
        [("", len(status.stale))],
    )
    metric(
        "source_days_old",
        "Days to which the deliveries of a contract do not reach.",
        [(f'{{contract="{s.contract}"}}', s.days_old) for s in status.sources if s.days_old is not None],
    )
    metric(
        "source_late",
        "1 where a contract is later than it may be.",
        [(f'{{contract="{s.contract}"}}', int(s.late)) for s in status.sources],
    )
    metric(
        "alerts",
        "Alerts of the last complete date.",
        [(f'{{status="{name}"}}', count) for name, count in status.alerts.items()],
    )
    metric("broken_stages", "Stages of the last run that did not end well.", [("", len(status.broken))])
    metric(
        "stage_seconds",
        "Seconds that the stages of the last complete date's run took.",
        [(f'{{stage="{name}"}}', seconds) for name, seconds in status.seconds.items()],
    )
    return "\n".join(lines) + "\n"
