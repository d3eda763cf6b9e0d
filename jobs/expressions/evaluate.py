"""From tree to value in plain Python: what Spark gives for the SQL of the same tree, without Spark.

For tests and explanations of single rows. Unknown (None) goes through as in SQL; overflow and division by
zero are unknown. Numbers are int and Decimal, never float.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from jobs.expressions import lunar
from jobs.expressions.nodes import Literal, Name, Node, Parameter

NameValue = Callable[[Name], Any]
ParameterValue = Callable[[str], Any]

_WIDE = Context(prec=60)
_MOST_BIGINT = 2**63
_MOST_DECIMAL = Decimal(10) ** 38
# What Spark makes of DECIMAL(28,8) / DECIMAL(20,4).
_QUOTIENT = Decimal(1).scaleb(-14)
_DATE = re.compile(r"\s*([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?\s*")
# Digits of any script are digits to Java too.
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_PATTERN = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def no_parameters(name: str) -> Any:
    """For expressions that are known to have none."""
    raise KeyError(name)


def evaluate(node: Node, name_value: NameValue, parameter_value: ParameterValue = no_parameters) -> Any:
    """The value of a parsed and checked expression.

    Args:
        node: The expression.
        name_value: Gives the value of a name; None when it is unknown.
        parameter_value: Gives the value of a parameter.

    Example:
        >>> from jobs.expressions.parse import parse
        >>> row = {"a": 3, "b": 2, "c": None}
        >>> evaluate(parse("a / b"), lambda name: row[name.name])
        Decimal('1.50000000000000')
        >>> evaluate(parse("a < b and c > 1"), lambda name: row[name.name])
        False
        >>> evaluate(parse("a > b and c > 1"), lambda name: row[name.name]) is None
        True
    """
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Name):
        return name_value(node)
    if isinstance(node, Parameter):
        return parameter_value(node.name)
    if node.function == "case":
        *pairs, default = node.arguments
        for condition, value in zip(pairs[::2], pairs[1::2], strict=True):
            if evaluate(condition, name_value, parameter_value) is True:
                return evaluate(value, name_value, parameter_value)
        return evaluate(default, name_value, parameter_value)
    values = [evaluate(argument, name_value, parameter_value) for argument in node.arguments]
    if node.function in _KNOWING:
        return _KNOWING[node.function](values)
    if any(value is None for value in values):
        return None
    return _STRICT[node.function](values)


def all_of(values: Sequence[Any]) -> bool | None:
    """Whether all are true; None when that is unknown."""
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def any_of(values: Sequence[Any]) -> bool | None:
    """Whether any is true; None when that is unknown."""
    if any(value is True for value in values):
        return True
    return None if any(value is None for value in values) else False


def _in(values: Sequence[Any]) -> bool | None:
    value, *options = values
    return any_of([None if value is None or option is None else value == option for option in options])


def _nullif(values: Sequence[Any]) -> Any:
    value, other = values
    return None if value is not None and value == other else value


# Functions that may know more than their arguments do.
_KNOWING: dict[str, Callable[[Sequence[Any]], Any]] = {
    "and": all_of,
    "or": any_of,
    "in": _in,
    "is_null": lambda values: values[0] is None,
    "coalesce": lambda values: next((value for value in values if value is not None), None),
    "nullif": _nullif,
    "if": lambda values: values[1] if values[0] is True else values[2],
}


def _sum_like(calculate: Callable[[Any, Any], Any]) -> Callable[[Sequence[Any]], Any]:
    return lambda values: _kept(calculate(*map(_exact, values)), values)


def _exact(value: Any) -> Any:
    return value if isinstance(value, int) else _WIDE.create_decimal(value)


def _kept(result: Any, values: Sequence[Any]) -> Any:
    """A result of arithmetic; None where it is beyond what a column holds."""
    if all(isinstance(value, int) for value in values):
        return result if -_MOST_BIGINT <= result < _MOST_BIGINT else None
    return result if abs(result) < _MOST_DECIMAL else None


def _divide(values: Sequence[Any]) -> Decimal | None:
    top, bottom = _decimal(values[0], 28, 8), _decimal(values[1], 20, 4)
    if top is None or bottom is None or not bottom:
        return None
    return _WIDE.divide(top, bottom).quantize(_QUOTIENT, ROUND_HALF_UP, _WIDE)


def _decimal(value: Any, precision: int, scale: int) -> Decimal | None:
    """A number or text as DECIMAL(precision, scale); None when it is none or does not fit."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        value = value.strip()
    try:
        number = Decimal(value).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _WIDE)
    except InvalidOperation:
        return None
    return number if abs(number) < Decimal(10) ** (precision - scale) else None


def _round(values: Sequence[Any]) -> Any:
    value, digits = values[0], values[1] if len(values) > 1 else 0
    if isinstance(value, int):
        return value if digits >= 0 else int(_rounded(Decimal(value), digits))
    # A column that has fewer digits keeps them.
    return _rounded(value, min(digits, max(0, -int(value.as_tuple().exponent))))


def _rounded(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _WIDE)


def _parse_number(values: Sequence[Any]) -> Decimal | None:
    text, decimal, thousands = values
    if thousands:
        groups = rf"[-+]?[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+({re.escape(decimal)}[0-9]*)?"
        text = text.replace(thousands, "") if re.fullmatch(groups, text) else text
    return _decimal(text.translate(str.maketrans(decimal + ".", "." + decimal)), 28, 8)


def _text(values: Sequence[Any]) -> str:
    [value] = values
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _substring(values: Sequence[Any]) -> str:
    text, start, length = values
    first = start - 1 if start > 0 else len(text) + start if start < 0 else 0
    return str(text)[max(first, 0) : max(first + length, 0)]


def _date(values: Sequence[Any]) -> date | None:
    [value] = values
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    match = _DATE.fullmatch(value)
    return None if match is None else _day(int(match[1]), int(match[2] or 1), int(match[3] or 1))


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _parse_date(values: Sequence[Any]) -> date | None:
    text, pattern = values
    form = re.sub("yyyy|MM|dd|HH|mm|ss", lambda found: _PATTERN[found[0]], pattern)
    # strptime takes fewer digits than the pattern has.
    if len(text) != len(pattern):
        return None
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None


def _add_days(values: Sequence[Any]) -> date | None:
    day, days = values
    start = day.date() if isinstance(day, datetime) else day
    try:
        return start + timedelta(days=int(Decimal(days).to_integral_value(ROUND_DOWN)))
    except OverflowError:
        return None


def _add_seconds(values: Sequence[Any]) -> datetime:
    moment, seconds = values
    start = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)
    return start + timedelta(seconds=int(Decimal(seconds).to_integral_value(ROUND_DOWN)))


def _days_until_lunar_month_day(values: Sequence[Any]) -> int | None:
    month_day, as_of = values
    return next(((day - as_of).days for day in lunar.days_of(month_day) if day >= as_of), None)


def _days_until_month_day(values: Sequence[Any]) -> int | None:
    month_day, as_of = values
    for year in (as_of.year, as_of.year + 1):
        found = _date([f"{year}-{month_day}"])
        if found is None and month_day == "02-29":
            found = date(year, 2, 28)
        if found is not None and found >= as_of:
            days: int = (found - as_of).days
            return days
    return None


_STRICT: dict[str, Callable[[Sequence[Any]], Any]] = {
    "not": lambda values: not values[0],
    "eq": lambda values: values[0] == values[1],
    "ne": lambda values: values[0] != values[1],
    "lt": lambda values: values[0] < values[1],
    "le": lambda values: values[0] <= values[1],
    "gt": lambda values: values[0] > values[1],
    "ge": lambda values: values[0] >= values[1],
    "add": _sum_like(lambda a, b: a + b),
    "subtract": _sum_like(lambda a, b: a - b),
    "multiply": _sum_like(lambda a, b: a * b),
    "divide": _divide,
    "negate": lambda values: _kept(0 - values[0], values),
    "abs": lambda values: abs(values[0]),
    "round": _round,
    "greatest": max,
    "least": min,
    "number": lambda values: _decimal(values[0], 28, 8),
    "parse_number": _parse_number,
    "concat": "".join,
    "lower": lambda values: values[0].lower(),
    "upper": lambda values: values[0].upper(),
    "trim": lambda values: values[0].strip(" "),
    "replace": lambda values: values[0].replace(values[1], values[2]) if values[1] else values[0],
    "text": _text,
    "substring": _substring,
    "date": _date,
    "parse_date": _parse_date,
    "days_between": lambda values: (values[1] - values[0]).days,
    "add_days": _add_days,
    "add_seconds": _add_seconds,
    "days_until_month_day": _days_until_month_day,
    "days_until_lunar_month_day": _days_until_lunar_month_day,
    "year": lambda values: values[0].year,
    "month": lambda values: values[0].month,
    "day": lambda values: values[0].day,
    "weekday": lambda values: values[0].isoweekday(),
}
