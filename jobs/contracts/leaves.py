"""The leaves of an item's expression: a measure over a window, or a field of a state, now or earlier.

Expressions write them as calls, measure(calls, '7d') and at_end(subscriptions.plan_id, '1m before 1m'); in
the catalogue's trees each is one name, so that equal leaves are computed once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from jobs.contracts.windows import Window
from jobs.expressions.nodes import Call, Literal, Name, Node
from jobs.expressions.parse import CATALOGUE_CALLS, ExpressionProblem
from jobs.kernel.errors import did_you_mean

MEASURE, AT_START, AT_END = CATALOGUE_CALLS


@dataclass(frozen=True)
class Moment:
    """The first or the last day of a window, at which a state is looked up."""

    edge: str
    window: Window
    text: str

    def date(self, as_of: date) -> date:
        """The day itself.

        Example:
            >>> Moment("at_end", Window.parse("1m before 1m"), "1m before 1m").date(date(2026, 5, 31))
            datetime.date(2026, 4, 30)
        """
        start, end = self.window.span(as_of)
        return end if self.edge == AT_END or start is None else start

    def __str__(self) -> str:
        return f"{self.edge} {self.text}"


def measure_leaf(measure: str, window: str) -> Name:
    """The name of a measure over a window."""
    return Name(f"{measure}@{window}", MEASURE)


def split_measure(name: Name) -> tuple[str, Window]:
    """Measure and window of a name of the table 'measure'."""
    measure, _, text = name.name.partition("@")
    window = Window.parse(text)
    assert window is not None, name
    return measure, window


def state_leaf(field: Name, moment: Moment) -> Name:
    """The name of a contract's field as it stood at a moment."""
    return Name(f"{field.name}@{moment}", field.table)


def split_state(name: Name) -> tuple[str, Moment | None]:
    """Field and moment of a contract's field; no moment for its latest state.

    Example:
        >>> split_state(Name("plan_id", "subscriptions"))
        ('plan_id', None)
    """
    field, _, rest = name.name.partition("@")
    if not rest:
        return field, None
    edge, _, text = rest.partition(" ")
    window = Window.parse(text)
    assert window is not None, name
    return field, Moment(edge, window, text)


def leaf_of(node: Node, measures: Collection[str]) -> Name | None:
    """The name that a call of measure, at_start or at_end becomes; None for other nodes.

    Raises:
        ExpressionProblem: When the call is not of its form.
    """
    if not isinstance(node, Call) or node.function not in CATALOGUE_CALLS:
        return None
    what = "a measure" if node.function == MEASURE else "a field of a state extract"
    if len(node.arguments) != 2:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"{node.function} takes {what} and a window")
    first, second = node.arguments
    text = second.value if isinstance(second, Literal) else None
    window = Window.parse(text) if isinstance(text, str) else None
    if node.function == MEASURE:
        if not isinstance(first, Name) or first.name not in measures:
            known = did_you_mean(str(first), measures) if isinstance(first, Name) else ""
            shown = first if isinstance(first, Name) else "its first argument"
            raise ExpressionProblem("EXPR_UNKNOWN_NAME", f"{shown} is not a measure{known}")
    elif not isinstance(first, Name) or first.table is None:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"{node.function} takes {what} and a window")
    dated = node.function == AT_START
    if window is None or not isinstance(text, str) or (dated and window.kind == "ever"):
        wanted = "a window such as '7d', '28d before 7d', '1m', 'mtd' or 'ever'"
        if dated:
            wanted = "a window that has a first day, such as '7d', '1m before 1m' or 'mtd'"
        raise ExpressionProblem("EXPR_BAD_WINDOW", f"'{text}' is not {wanted}")
    if node.function == MEASURE:
        return measure_leaf(first.name, text)
    return state_leaf(first, Moment(node.function, window, text))
