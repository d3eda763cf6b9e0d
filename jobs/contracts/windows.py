"""Windows of the customer view: spans of days or months that end at, or some time before, as_of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from jobs.kernel.cycle import add_months, last_complete_month, month_end, month_start

_FORM = re.compile(
    r"(?:(?P<n>[0-9]{1,3})(?P<unit>[dm])|(?P<word>ever|mtd))(?: before (?P<m>[0-9]{1,3})(?P<by>[dm]))?"
)


@dataclass(frozen=True)
class Window:
    """A span relative to as_of.

    Attributes:
        kind: days, months, ever (everything known) or mtd (the month so far).
        length: Number of days or months.
        before: How many days or months before as_of (or the last complete month) it ends.
    """

    kind: Literal["days", "months", "ever", "mtd"]
    length: int = 0
    before: int = 0

    @classmethod
    def parse(cls, text: str) -> Window | None:
        """Reads '7d', '28d before 7d', '1m', '3m before 1m', 'mtd', 'ever', 'ever before 1d'.

        Returns:
            The window, or None when the text is not one.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        before = int(match["m"] or 0)
        if match["word"]:
            word: Literal["ever", "mtd"] = "ever" if match["word"] == "ever" else "mtd"
            days_only = match["by"] in (None, "d") and not (match["word"] == "mtd" and before)
            return cls(word, 0, before) if days_only else None
        if match["by"] not in (None, match["unit"]) or int(match["n"]) == 0:
            return None
        return cls("days" if match["unit"] == "d" else "months", int(match["n"]), before)

    @property
    def by_month(self) -> bool:
        """Whether it counts calendar months."""
        return self.kind == "months"

    def span(self, as_of: date) -> tuple[date | None, date]:
        """First and last date; no first date for ever.

        Example:
            >>> Window.parse("28d before 7d").span(date(2026, 5, 31))
            (datetime.date(2026, 4, 27), datetime.date(2026, 5, 24))
            >>> Window.parse("1m before 1m").span(date(2026, 5, 30))
            (datetime.date(2026, 3, 1), datetime.date(2026, 3, 31))
        """
        if self.kind == "months":
            last = add_months(last_complete_month(as_of), -self.before)
            return add_months(last, 1 - self.length), month_end(last)
        end = as_of - timedelta(days=self.before)
        if self.kind == "ever":
            return None, end
        if self.kind == "mtd":
            return month_start(as_of), end
        return end - timedelta(days=self.length - 1), end
