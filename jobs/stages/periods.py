"""Periods of deliveries, and the gaps between them: files that should have come and did not."""

from __future__ import annotations

import calendar
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from jobs.config.sources import ExtractMapping, Source
from jobs.kernel.errors import Issue, Location, did_you_mean

DAY = timedelta(days=1)


def period_end(text: str) -> date | None:
    """The last day of a period YYYYMM or YYYYMMDD; None when it is no date."""
    try:
        year, month = int(text[:4]), int(text[4:6])
        day = int(text[6:8]) if len(text) == 8 else calendar.monthrange(year, month)[1]
        return date(year, month, day)
    except (ValueError, calendar.IllegalMonthError):
        return None


def delivered_about(delivered_on: date | None, period: str, wait_days: int) -> date | None:
    """When a delivery came: its own date, or else so many days after the end of its period.

    Args:
        delivered_on: The date in its name.
        period: Its period.
        wait_days: Days that its contract gives rows until they are known.
    """
    end = period_end(period)
    return delivered_on or (None if end is None else end + wait_days * DAY)


def period_start(text: str) -> date:
    """The first day of a period YYYYMM or YYYYMMDD."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:8] or 1))


@dataclass(frozen=True)
class Named:
    """A delivery as far as its name tells it: its contract, file, part and period."""

    contract: str
    file: str
    part: str
    period: str


@dataclass(frozen=True)
class Gap:
    """Days between two deliveries of a contract and part for which there is none.

    Attributes:
        mapping: How the contract's files are named.
        first: First day without a file.
        last: Last day without a file.
    """

    mapping: ExtractMapping
    first: date
    last: date

    def issue(self, place: str, unread: Iterable[str] = ()) -> Issue:
        """The gap as people are told of it.

        Args:
            place: Where the files are looked for.
            unread: Names of files there that no mapping reads.
        """
        days = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        message = (
            f"no file of {self.mapping.contract} for {days}, such as {self.name}, though there are some "
            f"before and after{did_you_mean(self.name, unread)}; "
            "where that is right, let 'gaps' of the mapping say so"
        )
        return Issue("FILE_MISSING", message, Location(place))

    @property
    def name(self) -> str:
        """A name that a missing file may have: of a month where a whole one is missing, else of a day."""
        end = period_end(f"{self.first:%Y%m}")
        whole = self.first.day == 1 and end is not None and end <= self.last
        files = re.sub(r"\{(part|sequence|delivered)\}", "*", self.mapping.files)
        return files.replace("{period}", f"{self.first:{'%Y%m' if whole else '%Y%m%d'}}")


def gaps_between(source: Source, deliveries: Iterable[Named]) -> list[Gap]:
    """The gaps between the deliveries of each contract and part whose mapping does not call them empty.

    A file named by a month speaks for all of it, one named by a day for that day, or for as many days as
    each of its rows sums up.
    """
    groups: dict[tuple[str, str], list[Named]] = defaultdict(list)
    for one in deliveries:
        groups[one.contract, one.part].append(one)
    found = []
    for (contract, part), some in sorted(groups.items()):
        mapping = source.mapping_of(contract, some[0].file, part)
        if mapping is not None and mapping.gaps != "empty":
            monthly = source.contracts[contract].grain == "month"
            found += [Gap(mapping, first, last) for first, last in _holes(mapping, some, monthly)]
    return found


def _holes(mapping: ExtractMapping, deliveries: Iterable[Named], monthly: bool) -> list[tuple[date, date]]:
    spans = set()
    for one in deliveries:
        # Whatever the day a file of months is named by, it is its month's.
        end = period_end(one.period[:6] if monthly else one.period)
        if end is not None:
            start = end.replace(day=1) if monthly else period_start(one.period)
            spans.add((min(start, end - DAY * (mapping.row_covers_days - 1)), end))
    found = []
    reach: date | None = None
    for first, last in sorted(spans):
        if reach is not None and first > reach + DAY:
            found.append((reach + DAY, first - DAY))
        reach = last if reach is None else max(reach, last)
    return found
