"""What deliveries speak for: the dates they cover, and what a cycle may know of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from jobs.config.formats import JOINED
from jobs.config.sources import Source
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.supply import Delivered
from jobs.kernel.cycle import Cycle
from jobs.stages.delivery import Delivery
from jobs.stages.periods import Named, delivered_about, gaps_between, period_end


def covered(
    delivery: Delivery, contract: ExtractContract, first: date | None, last: date | None
) -> tuple[date | None, date | None]:
    """First and last date a delivery speaks for.

    A day's file speaks for its day whether or not it has rows. A month's file may have been cut before
    the month's end, so its rows tell.

    Args:
        delivery: The delivery.
        contract: Its contract.
        first: Date of its first row.
        last: Date of its last row.
    """
    if delivery.mapping.row_covers_days > 1 and first is not None:
        return first - timedelta(days=delivery.mapping.row_covers_days - 1), last
    if speaks_for_a_day(delivery.period, contract):
        end = period_end(delivery.period)
        return end, end
    if contract.grain == "month" and first is not None:
        return first.replace(day=1), last
    return first, last


def speaks_for_a_day(period: str | None, contract: ExtractContract) -> bool:
    """Whether a delivery of events is that of one day, which it tells of even without any row."""
    return len(period or "") == 8 and contract.grain == "event"


def told_daily(rows: Iterable[Mapping[str, Any]], source: Source, contract: str) -> bool:
    """Whether a contract tells of every day up to its last one: its newest delivery is that of a day.

    Where days without a file are called empty, or a row sums up several days, the last date of the rows says
    no more than that something happened on it.

    Args:
        rows: Rows of the table deliveries.
        source: The source.
        contract: Name of the contract.
    """
    mine = [row for row in rows if row["contract"] == contract and row["status"] == "active"]
    newest = max(mine, key=lambda row: period_end(row["period"]) or date.min, default=None)
    if newest is None or not speaks_for_a_day(newest["period"], source.contracts[contract]):
        return False
    mapping = source.mapping_of(contract, newest["file"], newest["part"])
    return mapping is not None and mapping.gaps != "empty" and mapping.row_covers_days == 1


def known_from(row: Mapping[str, Any], contract: ExtractContract) -> date:
    """The first date at which any row of a delivery counts as known."""
    wait = timedelta(days=contract.available_after_days)
    found: date = row["delivered_on"] or row["covers_from"] + wait
    return found


def named(rows: Iterable[Mapping[str, Any]]) -> list[Named]:
    """The active rows of the table deliveries, as far as their names tell them."""
    return [
        Named(row["contract"], row["file"], row["part"], row["period"])
        for row in rows
        if row["status"] == "active" and not row["part"].endswith(f".{JOINED}")
    ]


def reaching(
    rows: Iterable[dict[str, Any]], contracts: Mapping[str, ExtractContract], cycle: Cycle
) -> list[dict[str, Any]]:
    """The active deliveries that a cycle may know rows of."""
    return [
        row
        for row in rows
        if row["status"] == "active"
        and row["covers_from"] is not None
        and row["contract"] in contracts
        and row["covers_from"] <= cycle.as_of
        and known_from(row, contracts[row["contract"]]) <= cycle.cutoff
    ]


def _empty(
    rows: Iterable[dict[str, Any]], contracts: Mapping[str, ExtractContract], cycle: Cycle
) -> list[dict[str, Any]]:
    """The deliveries without any row that a cycle may know of: they came, so they are no gap."""
    found = []
    for row in rows:
        if row["covers_from"] is None and row["contract"] in contracts:
            wait = contracts[row["contract"]].available_after_days
            since = delivered_about(row["delivered_on"], row["period"], wait)
            if since is not None and since <= cycle.cutoff:
                found.append(row)
    return found


def delivered_at(
    rows: Iterable[dict[str, Any]], source: Source, contracts: dict[str, ExtractContract], cycle: Cycle
) -> dict[str, Delivered]:
    """What each contract of a source has delivered, as known at a cycle's cutoff."""
    found: dict[str, Delivered] = {}
    rows = list(rows)
    known = reaching(rows, contracts, cycle)
    gaps = gaps_between(source, named([*known, *_empty(rows, contracts, cycle)]))
    for name, contract in contracts.items():
        wait = timedelta(days=contract.available_after_days)
        spans = []
        for row in (one for one in known if one["contract"] == name):
            until = row["covers_to"] if row["delivered_on"] else min(row["covers_to"], cycle.cutoff - wait)
            spans.append((row["covers_from"], min(until, cycle.as_of)))
        found[name] = Delivered(
            fields=source.fields_of(name),
            data_from=min((span[0] for span in spans), default=None),
            data_until=max((span[1] for span in spans), default=None),
            gaps=tuple((gap.first, gap.last) for gap in gaps if gap.mapping.contract == name),
            row_covers_days=source.row_covers_days(name),
        )
    return found
