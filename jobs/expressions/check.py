"""Types and units of a parsed expression, given those of its names and parameters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from jobs.expressions.functions import FUNCTIONS
from jobs.expressions.nodes import Literal, Name, Node, Parameter
from jobs.expressions.parse import ExpressionProblem
from jobs.expressions.types import Type, TypeMismatch

NameType = Callable[[Name], Type]
ParameterType = Callable[[str], Type]


def no_parameters(name: str) -> Type:
    """For places where no parameter may stand."""
    raise ExpressionProblem("EXPR_UNKNOWN_NAME", f":{name} is not a parameter here")


def type_of(node: Node, name_type: NameType, parameter_type: ParameterType = no_parameters) -> Type:
    """The type of an expression.

    Raises:
        ExpressionProblem: When parts do not fit, or name_type or parameter_type refuse a name.
    """
    if isinstance(node, Literal):
        return _literal_type(node)
    if isinstance(node, Name):
        return name_type(node)
    if isinstance(node, Parameter):
        return parameter_type(node.name)
    if node.function not in FUNCTIONS:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"'{node.function}' cannot be used here")
    arguments = [type_of(argument, name_type, parameter_type) for argument in node.arguments]
    try:
        return FUNCTIONS[node.function].type_rule(arguments)
    except TypeMismatch as mismatch:
        raise ExpressionProblem(mismatch.code, str(mismatch)) from None


def _literal_type(node: Literal) -> Type:
    match node.value:
        case None:
            return Type("null")
        case bool():
            return Type("boolean")
        case int():
            return Type("integer")
        case Decimal():
            return Type("decimal")
        case date():
            return Type("date")
        case _:
            return Type("string")


def is_boolean(node: Node, name_type: NameType, parameter_type: ParameterType = no_parameters) -> bool:
    """Whether an expression is a condition."""
    return type_of(node, name_type, parameter_type).kind == "boolean"
