"""From items of the customer view to the numbers a model learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from jobs.expressions.sql import literal, quote

NUMBERS = ("integer", "decimal")


@dataclass(frozen=True)
class Feature:
    """A number that stands for an item, or for a text item's having one of its values.

    Attributes:
        item: The item.
        value: The value asked for; None where the item is a number itself.
    """

    item: str
    value: str | None = None

    @property
    def name(self) -> str:
        """What it is called among people.

        Example:
            >>> Feature("brand", "goto").name
            'brand=goto'
        """
        return self.item if self.value is None else f"{self.item}={self.value}"

    @property
    def sql(self) -> str:
        """The number; null where the item is unknown.

        Example:
            >>> Feature("brand", "goto").sql
            "cast(cast(`brand` = 'goto' AS INT) AS FLOAT)"
        """
        if self.value is None:
            return f"cast({quote(self.item)} AS FLOAT)"
        return f"cast(cast({quote(self.item)} = {literal(self.value)} AS INT) AS FLOAT)"


def features_of(types: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> tuple[Feature, ...]:
    """The features of items, those of one item side by side.

    Args:
        types: Items and their types, in order. Dates are none: what matters of them is days since or until.
        values: Values of text items; an item that is not there is left out.
    """
    found: list[Feature] = []
    for item, kind in types.items():
        if kind in NUMBERS or kind == "boolean":
            found.append(Feature(item))
        elif kind == "string":
            found += [Feature(item, value) for value in sorted(values.get(item, ()))]
    return tuple(found)


def items_of(features: Sequence[Feature]) -> dict[str, int]:
    """The items of features, each with the place of its first one."""
    places = groupby(range(len(features)), key=lambda place: features[place].item)
    return {item: next(group) for item, group in places}


def directions(features: Sequence[Feature], rising: Sequence[str], falling: Sequence[str]) -> tuple[int, ...]:
    """What xgboost calls monotone constraints: 1 for rising, -1 for falling, 0 for either.

    Example:
        >>> directions([Feature("complaints_30d"), Feature("tenure_days")], [], ["tenure_days"])
        (0, -1)
    """
    return tuple((one.item in rising) - (one.item in falling) for one in features)
