"""The closed list of functions and operators: how many arguments, which types, which Spark SQL.

Arithmetic is written with Spark's try_ functions: overflow and division by zero give null, that is
unknown, never an error and never a wrong number. Division is always decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobs.expressions import types
from jobs.expressions.lunar import days_until_sql
from jobs.expressions.types import NUMERIC, Rule, Type

Sql = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Function:
    """One allowed function.

    Attributes:
        least: Fewest arguments.
        most: Most arguments.
        type_rule: From the arguments' types to the result's.
        sql: From the arguments' SQL to the result's.
    """

    least: int
    most: int
    type_rule: Rule
    sql: Sql


def _call(name: str) -> Sql:
    return lambda args: f"{name}({', '.join(args)})"


def _infix(symbol: str) -> Sql:
    return lambda args: "(" + f" {symbol} ".join(args) + ")"


def _fold(name: str) -> Sql:
    def sql(args: Sequence[str]) -> str:
        result = args[0]
        for argument in args[1:]:
            result = f"{name}({result}, {argument})"
        return result

    return sql


def _strict(name: str) -> Sql:
    """Spark's greatest and least skip nulls; here one unknown makes the result unknown."""

    def sql(args: Sequence[str]) -> str:
        unknown = " OR ".join(f"{argument} IS NULL" for argument in args)
        return f"CASE WHEN {unknown} THEN NULL ELSE {name}({', '.join(args)}) END"

    return sql


def _divide(args: Sequence[str]) -> str:
    # The wide numerator keeps at least 15 digits behind the point whatever the denominator is.
    top, bottom = args
    return f"try_divide(try_cast({top} AS DECIMAL(28,8)), try_cast({bottom} AS DECIMAL(20,4)))"


def _case(args: Sequence[str]) -> str:
    *pairs, default = args
    branches = " ".join(f"WHEN {pairs[i]} THEN {pairs[i + 1]}" for i in range(0, len(pairs), 2))
    return f"CASE {branches} ELSE {default} END"


def _case_type(arguments: Sequence[Type]) -> Type:
    *pairs, default = arguments
    types.need(pairs[0::2], ["boolean"], "when")
    return types.same([*pairs[1::2], default], "case")


def _if_type(arguments: Sequence[Type]) -> Type:
    types.need(arguments[:1], ["boolean"], "if")
    return types.same(arguments[1:], "if")


def _alike(what: str) -> Rule:
    return lambda arguments: types.same(arguments, what)


def _number_like(what: str) -> Rule:
    def rule(arguments: Sequence[Type]) -> Type:
        types.need(arguments, NUMERIC, what)
        return arguments[0]

    return rule


def _parse_number(args: Sequence[str]) -> str:
    """A number with its own decimal point and, in groups of three digits only, its own separator."""
    text, decimal, thousands = args
    digits = "concat('^[-+]?[0-9]{{1,3}}(\\\\Q', {t}, '\\\\E[0-9]{{3}})+(\\\\Q', {d}, '\\\\E[0-9]*)?$')"
    grouped = f"{text} RLIKE {digits.format(t=thousands, d=decimal)}"
    joined = f"CASE WHEN {grouped} THEN replace({text}, {thousands}, '') ELSE {text} END"
    pointed = f"translate({joined}, concat({decimal}, '.'), concat('.', {decimal}))"
    return f"try_cast({pointed} AS DECIMAL(28,8))"


def _anniversary_in(year: str, month_day: str) -> str:
    on_day = f"try_cast(concat({year}, '-', {month_day}) AS DATE)"
    leap = f"CASE WHEN {month_day} = '02-29' THEN make_date({year}, 2, 28) END"
    return f"coalesce({on_day}, {leap})"


def _days_until_month_day(args: Sequence[str]) -> str:
    month_day, as_of = args
    this_year = _anniversary_in(f"year({as_of})", month_day)
    next_year = _anniversary_in(f"(year({as_of}) + 1)", month_day)
    return (
        f"CASE WHEN {this_year} >= {as_of} THEN datediff({this_year}, {as_of}) "
        f"ELSE datediff({next_year}, {as_of}) END"
    )


def _date_function(name: str) -> Function:
    rule = types.fixed("integer", ["date", "timestamp"], name)
    return Function(1, 1, rule, _call(name))


COUNTED_FROM_AS_OF = ("days_until_month_day", "days_until_lunar_month_day")
"""Functions that are written without their last argument, which is as_of."""
_TEXT = types.fixed("string", ["string"], "a text function")
_MANY = 50

FUNCTIONS: dict[str, Function] = {
    # operators
    "and": Function(2, _MANY, types.logic, _infix("AND")),
    "or": Function(2, _MANY, types.logic, _infix("OR")),
    "not": Function(1, 1, types.logic, lambda args: f"(NOT {args[0]})"),
    "eq": Function(2, 2, types.comparison, _infix("=")),
    "ne": Function(2, 2, types.comparison, _infix("<>")),
    "lt": Function(2, 2, types.comparison, _infix("<")),
    "le": Function(2, 2, types.comparison, _infix("<=")),
    "gt": Function(2, 2, types.comparison, _infix(">")),
    "ge": Function(2, 2, types.comparison, _infix(">=")),
    "in": Function(2, 500, types.comparison, lambda args: f"({args[0]} IN ({', '.join(args[1:])}))"),
    "is_null": Function(1, 1, lambda _: Type("boolean"), lambda args: f"({args[0]} IS NULL)"),
    "add": Function(2, 2, types.sum_like, _fold("try_add")),
    "subtract": Function(2, 2, types.sum_like, _fold("try_subtract")),
    "multiply": Function(2, 2, types.product, _fold("try_multiply")),
    "divide": Function(2, 2, types.quotient, _divide),
    "negate": Function(1, 1, _number_like("-"), lambda args: f"try_subtract(0, {args[0]})"),
    "case": Function(3, _MANY, _case_type, _case),
    # numbers
    "abs": Function(1, 1, _number_like("abs"), lambda args: f"abs({args[0]})"),
    "round": Function(1, 2, _number_like("round"), _call("round")),
    "greatest": Function(2, _MANY, _alike("greatest"), _strict("greatest")),
    "least": Function(2, _MANY, _alike("least"), _strict("least")),
    "number": Function(
        1,
        1,
        types.fixed("decimal", ["string", *NUMERIC], "number"),
        lambda args: f"try_cast({args[0]} AS DECIMAL(28,8))",
    ),
    "parse_number": Function(
        3,
        3,
        types.signature(Type("decimal"), "parse_number", ["string"], ["string"], ["string"]),
        _parse_number,
    ),
    # choice
    "coalesce": Function(1, _MANY, _alike("coalesce"), _call("coalesce")),
    "nullif": Function(2, 2, _alike("nullif"), _call("nullif")),
    "if": Function(3, 3, _if_type, _call("if")),
    # text
    "concat": Function(1, _MANY, _TEXT, _call("concat")),
    "lower": Function(1, 1, _TEXT, _call("lower")),
    "upper": Function(1, 1, _TEXT, _call("upper")),
    "trim": Function(1, 1, _TEXT, _call("trim")),
    "replace": Function(3, 3, _TEXT, _call("replace")),
    "text": Function(1, 1, lambda _: Type("string"), lambda args: f"cast({args[0]} AS STRING)"),
    "substring": Function(
        3,
        3,
        types.signature(Type("string"), "substring", ["string"], ["integer"], ["integer"]),
        _call("substring"),
    ),
    # dates
    "date": Function(
        1,
        1,
        types.fixed("date", ["string", "date", "timestamp"], "date"),
        lambda args: f"try_cast({args[0]} AS DATE)",
    ),
    "parse_date": Function(
        2,
        2,
        types.fixed("date", ["string"], "parse_date"),
        lambda args: f"cast(try_to_timestamp({args[0]}, {args[1]}) AS DATE)",
    ),
    "days_between": Function(
        2,
        2,
        types.fixed("integer", ["date"], "days_between", "day"),
        lambda args: f"datediff({args[1]}, {args[0]})",
    ),
    "add_days": Function(
        2,
        2,
        types.signature(Type("date"), "add_days", ["date", "timestamp"], NUMERIC),
        lambda args: f"date_add({args[0]}, try_cast({args[1]} AS INT))",
    ),
    "add_seconds": Function(
        2,
        2,
        types.signature(Type("timestamp"), "add_seconds", ["date", "timestamp"], NUMERIC),
        lambda args: f"timestampadd(SECOND, try_cast({args[1]} AS INT), cast({args[0]} AS TIMESTAMP))",
    ),
    "days_until_month_day": Function(
        2,
        2,
        types.signature(Type("integer", "day"), "days_until_month_day", ["string"], ["date"]),
        _days_until_month_day,
    ),
    "days_until_lunar_month_day": Function(
        2,
        2,
        types.signature(Type("integer", "day"), "days_until_lunar_month_day", ["string"], ["date"]),
        lambda args: days_until_sql(*args),
    ),
    "year": _date_function("year"),
    "month": _date_function("month"),
    "day": _date_function("day"),
    # ISO 8601: 1 is Monday.
    "weekday": Function(
        1,
        1,
        types.fixed("integer", ["date", "timestamp"], "weekday"),
        lambda args: f"(weekday({args[0]}) + 1)",
    ),
}
