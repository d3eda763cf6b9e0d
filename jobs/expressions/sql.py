"""From tree to Spark SQL text. The only place that quotes names and literals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from jobs.expressions.functions import FUNCTIONS
from jobs.expressions.nodes import Literal, Name, Node, Parameter, Value

NameSql = Callable[[Name], str]
ParameterSql = Callable[[str], str]


def quote(name: str) -> str:
    """A quoted identifier.

    Example:
        >>> quote("a`b")
        '`a``b`'
    """
    return "`" + name.replace("`", "``") + "`"


def literal(value: Value) -> str:
    r"""A SQL literal.

    Example:
        >>> literal("it's"), literal(Decimal("1.50")), literal(date(2026, 5, 31)), literal(None)
        ("'it\\'s'", '1.50BD', "DATE'2026-05-31'", 'NULL')
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case Decimal():
            return f"{value:f}BD"
        case date():
            return f"DATE'{value.isoformat()}'"
        case _:
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"


def plain_name(name: Name) -> str:
    """A name as a quoted column."""
    return f"{quote(name.table)}.{quote(name.name)}" if name.table else quote(name.name)


def no_parameters(name: str) -> str:
    """For expressions that are known to have none."""
    raise KeyError(name)


def to_sql(node: Node, name_sql: NameSql = plain_name, parameter_sql: ParameterSql = no_parameters) -> str:
    """Writes an expression as Spark SQL.

    Args:
        node: A parsed and checked expression.
        name_sql: How a name is written.
        parameter_sql: How a parameter is written.

    Example:
        >>> from jobs.expressions.parse import parse
        >>> to_sql(parse("a / b >= 1.5 and c is not null"))
        '((try_divide(try_cast(`a` AS DECIMAL(28,8)), try_cast(`b` AS DECIMAL(20,4))) >= 1.5BD) \
AND (NOT (`c` IS NULL)))'
    """
    if isinstance(node, Literal):
        return literal(node.value)
    if isinstance(node, Name):
        return name_sql(node)
    if isinstance(node, Parameter):
        return parameter_sql(node.name)
    arguments = [to_sql(argument, name_sql, parameter_sql) for argument in node.arguments]
    return FUNCTIONS[node.function].sql(arguments)
