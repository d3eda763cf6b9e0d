"""Names that rules may use beside items: what holds for everybody on the day of a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from jobs.config.holidays import Holidays
from jobs.expressions.nodes import Value
from jobs.expressions.sql import literal
from jobs.expressions.types import Type

RESERVED = {
    "as_of": Type("date"),
    "dispatch_date": Type("date"),
    "days_to_holiday": Type("integer", "day"),
    "next_holiday": Type("string"),
    "next_holiday_on": Type("date"),
}
_SQL_TYPES = {"date": "DATE", "integer": "INT", "string": "STRING"}


def reserved_values(holidays: Holidays, as_of: date, dispatch_date: date) -> dict[str, Value]:
    """The values on a day; those of holidays are unknown past the end of the calendar.

    Args:
        holidays: The calendar.
        as_of: Last day the cycle looks at.
        dispatch_date: Day on which its alerts are served.
    """
    coming = holidays.next_after(as_of)
    on, name = coming if coming is not None else (None, None)
    return {
        "as_of": as_of,
        "dispatch_date": dispatch_date,
        "days_to_holiday": None if on is None else (on - as_of).days,
        "next_holiday": name,
        "next_holiday_on": on,
    }


def reserved_sql(values: Mapping[str, Value]) -> dict[str, str]:
    """The values as SQL, an unknown one with its type."""
    return {
        name: f"cast({literal(value)} AS {_SQL_TYPES[RESERVED[name].kind]})"
        if value is None
        else literal(value)
        for name, value in values.items()
    }
