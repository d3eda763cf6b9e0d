"""The Chinese lunar calendar: the days on which a lunar month and day falls.

Whoever was born on the 30th keeps the last day of a month that has 29, and nobody's birthday is in a month
that a leap year has a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

MONTH_DAY = "^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|30)$"
_SHORT, _LONG = 29, 30
# A year a line: its first day, its months in order (s: 29 days, L: 30), and the month that comes twice.
# Computed by the package lunardate 0.3.0, after the tables of the Hong Kong Observatory.
_YEARS = """
2000-02-05 LLssLssLsLLs
2001-01-24 LLsLsLssLsLsL 4
2002-02-12 LLsLsLssLsLs
2003-02-01 LLsLLsLssLsL
2004-01-22 sLsLLsLsLsLsL 2
2005-02-09 sLsLsLLsLsLs
2006-01-29 LsLsLsLsLLsLL 7
2007-02-18 ssLssLsLLLsL
2008-02-07 LssLssLsLLsL
2009-01-26 LLssLssLsLsLL 5
2010-02-14 LsLsLssLsLsL
2011-02-03 LsLLsLssLsLs
2012-01-23 LsLLsLsLsLsLs 4
2013-02-10 LsLsLLsLsLsL
2014-01-31 sLsLsLsLLsLsL 9
2015-02-19 sLssLsLLLsLs
2016-02-08 LsLssLsLLsLL
2017-01-28 sLsLssLsLsLLL 6
2018-02-16 sLsLssLsLsLL
2019-02-05 LsLsLssLssLL
2020-01-25 sLLLsLssLsLsL 4
2021-02-12 sLLsLsLsLsLs
2022-02-01 LsLsLLsLsLsL
2023-01-22 sLssLLsLLsLsL 2
2024-02-10 sLssLsLLsLLs
2025-01-29 LsLssLsLsLLLs 6
2026-02-17 LsLssLssLLLs
2027-02-06 LLsLssLssLLs
2028-01-26 LLLsLssLssLLs 5
2029-02-13 LLsLsLsLssLL
2030-02-03 sLsLLsLsLsLs
2031-01-23 sLLsLsLLsLsLs 3
2032-02-11 LssLsLLsLLsL
2033-01-31 sLssLsLsLLLsL 11
2034-02-19 sLssLsLsLLsL
2035-02-08 LsLssLssLLsL
2036-01-28 LLsLssLssLsLL 6
2037-02-15 LLsLssLssLsL
2038-02-04 LLsLsLsLssLs
2039-01-24 LLsLLsLsLsLss 5
2040-02-12 LsLLsLsLLsLs
2041-02-01 sLsLsLLsLLsL
2042-01-22 sLssLsLsLLsLL 2
2043-02-10 sLssLssLLsLL
2044-01-30 LsLssLssLsLLL 7
2045-02-17 LsLssLssLsLL
2046-02-06 LsLsLsLssLsL
2047-01-26 LsLLsLsLssLsL 5
2048-02-14 sLLsLLsLssLs
2049-02-02 LsLsLLsLLsLs
2050-01-23 sLsLsLsLLsLLs 3
2051-02-11 LssLssLLsLLL
2052-02-01 sLssLssLsLLLL 8
2053-02-19 sLssLssLsLLL
2054-02-08 sLLssLssLsLL
2055-01-28 sLLsLsLssLsLs 6
2056-02-15 LLLsLsLssLsL
2057-02-04 sLLsLsLsLsLs
2058-01-24 LsLsLsLLsLLss 4
2059-02-12 LsLsLsLsLLLs
2060-02-02 LssLssLsLLLs
"""


@cache
def months() -> dict[int, list[tuple[date, int]]]:
    """The first day and the length of every month of the table, by its number, leap months left out."""
    found: dict[int, list[tuple[date, int]]] = {number: [] for number in range(1, 13)}
    for line in _YEARS.split("\n")[1:-1]:
        first, lengths, *leap = line.split()
        twice, begins = int(leap[0]) if leap else 0, date.fromisoformat(first)
        number = 0
        for place, kind in enumerate(lengths):
            length = _LONG if kind == "L" else _SHORT
            if not twice or place != twice:
                number += 1
                found[number].append((begins, length))
            begins += timedelta(days=length)
    return found


def days_of(month_day: str) -> Iterator[date]:
    """The days on which a lunar MM-DD falls, rising; none where the text is no such day.

    Example:
        >>> [str(day) for day in days_of("08-15") if day.year == 2026]
        ['2026-09-25']
    """
    match = re.fullmatch(MONTH_DAY, month_day)
    if match is not None:
        for begins, length in months()[int(match[1])]:
            yield begins + timedelta(days=min(int(match[2]), length) - 1)


def days_until_sql(month_day: str, as_of: str) -> str:
    """SQL of the days from a date to the next day on which a lunar MM-DD falls; null beyond the table."""
    epoch = date(1970, 1, 1)
    # First day and length in one number, so that a month is one literal.
    arrays = " ".join(
        f"WHEN '{number:02}' THEN array({', '.join(str(100 * (day - epoch).days + n) for day, n in known)})"
        for number, known in months().items()
    )
    on = f"least(cast(substring({month_day}, 4, 2) AS INT), lunar_month_ % 100) - 1"
    known = f"CASE substring({month_day}, 1, 2) {arrays} END"
    days = f"transform({known}, lunar_month_ -> lunar_month_ DIV 100 + {on})"
    today = f"datediff({as_of}, DATE '{epoch}')"
    waits = f"array_min(filter({days}, lunar_day_ -> lunar_day_ >= {today})) - {today}"
    return f"CASE WHEN {month_day} RLIKE '{MONTH_DAY}' THEN cast({waits} AS INT) END"
