"""The tree of an expression: literals, names, parameters and calls, and questions one can ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

Value = str | int | Decimal | bool | date | None


@dataclass(frozen=True)
class Literal:
    """A constant; None is SQL's null."""

    value: Value


@dataclass(frozen=True)
class Name:
    """An item, a column, or contract.field when table is given."""

    name: str
    table: str | None = None

    def __str__(self) -> str:
        return f"{self.table}.{self.name}" if self.table else self.name


@dataclass(frozen=True)
class Parameter:
    """A named parameter, written :name."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function or operator and its arguments; operators have names such as add, le, and, in."""

    function: str
    arguments: tuple[Node, ...]


Node = Literal | Name | Parameter | Call


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first."""
    yield node
    if isinstance(node, Call):
        for argument in node.arguments:
            yield from walk(argument)


def names(node: Node) -> list[Name]:
    """All names used, each once, in order of appearance."""
    return list(dict.fromkeys(found for found in walk(node) if isinstance(found, Name)))


def parameters(node: Node) -> list[str]:
    """All parameters used, each once, in order of appearance."""
    return list(dict.fromkeys(found.name for found in walk(node) if isinstance(found, Parameter)))


def is_supplied(node: Node, known: Callable[[Name], bool]) -> bool:
    """Whether an expression can have a value, given which names can.

    coalesce needs one of its arguments, everything else needs all that it names.

    Example:
        >>> either = Call("coalesce", (Name("a"), Name("b")))
        >>> is_supplied(either, lambda name: name.name == "b")
        True
    """
    if isinstance(node, Name):
        return known(node)
    if isinstance(node, Call):
        each = (is_supplied(argument, known) for argument in node.arguments)
        return any(each) if node.function == "coalesce" else all(each)
    return True


def substitute(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """A copy in which some nodes are changed.

    Args:
        node: The tree.
        change: Gives the node to put in a node's place, or None to keep it and look below.
    """
    if (changed := change(node)) is not None:
        return changed
    if isinstance(node, Call):
        return Call(node.function, tuple(substitute(argument, change) for argument in node.arguments))
    return node
