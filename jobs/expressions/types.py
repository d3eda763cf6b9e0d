"""Types and units of expressions, and how functions combine them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal as Choice

Kind = Choice["integer", "decimal", "string", "date", "timestamp", "boolean", "null"]

NUMERIC: tuple[Kind, ...] = ("integer", "decimal")


@dataclass(frozen=True)
class Type:
    """What an expression yields; unit is None where none is known, as for a bare number."""

    kind: Kind
    unit: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} in {self.unit}" if self.unit else self.kind


class TypeMismatch(Exception):
    """Two parts of an expression do not fit; code tells whether by type or by unit."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def same(arguments: Sequence[Type], what: str) -> Type:
    """The common type of arguments that are compared, added or chosen from.

    Raises:
        TypeMismatch: When kinds or units differ.
    """
    known = [argument for argument in arguments if argument.kind != "null"]
    if not known:
        return Type("null")
    kinds = {"number" if argument.kind in NUMERIC else argument.kind for argument in known}
    if len(kinds) > 1:
        raise TypeMismatch("EXPR_TYPE", f"{what} mixes {' and '.join(sorted(kinds))}")
    units = {argument.unit for argument in known if argument.unit}
    if len(units) > 1:
        raise TypeMismatch("EXPR_UNIT", f"{what} mixes the units {' and '.join(sorted(units))}")
    kind: Kind = "decimal" if any(argument.kind == "decimal" for argument in known) else known[0].kind
    return Type(kind, next(iter(units), None))


def need(arguments: Sequence[Type], kinds: Sequence[Kind], what: str) -> None:
    """Checks that every argument is of one of the kinds, or null.

    Raises:
        TypeMismatch: When one is not.
    """
    for argument in arguments:
        if argument.kind != "null" and argument.kind not in kinds:
            expected = " or ".join(kinds)
            raise TypeMismatch("EXPR_TYPE", f"{what} needs {expected}, not {argument.kind}")


Rule = Callable[[Sequence[Type]], Type]


def comparison(arguments: Sequence[Type]) -> Type:
    """Like with like gives a truth value."""
    same(arguments, "a comparison")
    return Type("boolean")


def logic(arguments: Sequence[Type]) -> Type:
    """Truth values give a truth value."""
    need(arguments, ["boolean"], "and, or, not")
    return Type("boolean")


def sum_like(arguments: Sequence[Type]) -> Type:
    """Numbers of one unit give a number of that unit."""
    need(arguments, NUMERIC, "arithmetic")
    return same(arguments, "a sum")


def product(arguments: Sequence[Type]) -> Type:
    """A unit survives multiplication by a bare number only."""
    need(arguments, NUMERIC, "arithmetic")
    units = [argument.unit for argument in arguments if argument.unit]
    kind: Kind = "decimal" if any(a.kind == "decimal" for a in arguments) else "integer"
    return Type(kind, units[0] if len(units) == 1 else None)


def quotient(arguments: Sequence[Type]) -> Type:
    """Like by like is a bare number; by a bare number the unit stays."""
    need(arguments, NUMERIC, "arithmetic")
    top, bottom = arguments
    return Type("decimal", top.unit if bottom.unit is None else None)


def signature(result: Type, what: str, *takes: Sequence[Kind]) -> Rule:
    """A function whose arguments each have kinds of their own."""

    def rule(arguments: Sequence[Type]) -> Type:
        for argument, kinds in zip(arguments, takes, strict=True):
            need([argument], kinds, what)
        return result

    return rule


def fixed(kind: Kind, takes: Sequence[Kind], what: str, unit: str | None = None) -> Rule:
    """A function that takes some kinds and always gives the same."""

    def rule(arguments: Sequence[Type]) -> Type:
        need(arguments, takes, what)
        return Type(kind, unit)

    return rule
