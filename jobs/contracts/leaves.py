"""The leaves of an item's expression: a measure over a window, or a field of a state, now or earlier.

Expressions write them as calls, measure(calls, '7d') and at_end(subscriptions.plan_id, '1m before 1m'); in
the catalogue's trees each is one name, so that equal leaves are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from jobs.contracts.windows import Window
from jobs.expressions.nodes import Name

MEASURE = "measure"

Edge = Literal["at_start", "at_end"]
EDGES: tuple[Edge, ...] = get_args(Edge)


@dataclass(frozen=True)
class Moment:
    """The first or the last day of a window, at which a state is looked up."""

    edge: Edge
    window: Window
    text: str

    def date(self, as_of: date) -> date:
        """The day itself.

        Example:
            >>> Moment("at_end", Window.parse("1m before 1m"), "1m before 1m").date(date(2026, 5, 31))
            datetime.date(2026, 4, 30)
        """
        start, end = self.window.span(as_of)
        return end if self.edge == "at_end" or start is None else start

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
    assert window is not None and edge in EDGES, name
    return field, Moment(EDGES[EDGES.index(edge)], window, text)
