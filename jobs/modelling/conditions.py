"""Conditions on single items, and who fulfils them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jobs.modelling.arrays import Bools, Floats, Ints
from jobs.modelling.drift import spread_of
from jobs.modelling.features import Feature
from jobs.modelling.tally import strength

Sign = Literal[">=", "<", "="]
DIGITS = 2


@dataclass(frozen=True)
class Condition:
    """A comparison of an item with a value; unknown fulfils none.

    Attributes:
        feature: Place of the feature among all.
        item: The item.
        sign: How it is compared; a text, or a truth, is equal to its value.
        value: The value: a number, a text, or whether it is true.
    """

    feature: int
    item: str
    sign: Sign
    value: float | str | bool

    @property
    def text(self) -> str:
        """The condition as rules write it.

        Example:
            >>> Condition(0, "complaints_30d", ">=", 2.0).text, Condition(1, "brand", "=", "goto").text
            ('complaints_30d >= 2', "brand = 'goto'")
            >>> Condition(2, "is_5g", "=", False).text, Condition(3, "bill_total_1m", "<", 0.25).text
            ('is_5g = false', 'bill_total_1m < 0.25')
        """
        if isinstance(self.value, bool):
            return f"{self.item} = {str(self.value).lower()}"
        if isinstance(self.value, str):
            quoted = self.value.replace("'", "''")
            return f"{self.item} = '{quoted}'"
        return f"{self.item} {self.sign} {plain(self.value)}"

    def met(self, matrix: Floats) -> Bools:
        """Who fulfils it."""
        column = matrix[:, self.feature]
        # Both as the matrix holds them: 0.7 is 0.69999999 there.
        value = column.dtype.type(1 if isinstance(self.value, str) else self.value)
        if self.sign == "=":
            found: Bools = column == value
        elif self.sign == ">=":
            found = column >= value
        else:
            found = column < value
        return found


def plain(number: float) -> str:
    """A number as people write it, without an exponent.

    Example:
        >>> plain(12.0), plain(0.07), plain(1e7)
        ('12', '0.07', '10000000')
    """
    return f"{number:.0f}" if number == int(number) else np.format_float_positional(number, trim="-")


def cuts(values: Floats, whole: bool, most: int) -> list[float]:
    """Values that part customers, spread evenly over them, as round as people would choose them.

    Args:
        values: What is known of the item, NaN where nothing is.
        whole: Whether only whole numbers make sense.
        most: How many at most.

    Example:
        >>> cuts(np.array([0.0, 0.0, 1.0, 2.0, 2.0]), whole=True, most=20)
        [1.0, 2.0]
        >>> cuts(np.linspace(0, 987.6, 500), whole=False, most=4)
        [200.0, 390.0, 590.0, 790.0]
    """
    if not (~np.isnan(values)).any():
        return []
    least, greatest = float(np.nanmin(values)), float(np.nanmax(values))
    rounded = {_rounded(edge, whole) for edge in spread_of(values, most + 1).edges}
    return sorted(cut for cut in rounded if least < cut <= greatest)


def _rounded(value: float, whole: bool) -> float:
    """To two digits that count; a whole number, up to a hundred, as it is."""
    if value == 0:
        return 0.0
    digits = DIGITS - 1 - math.floor(math.log10(abs(value)))
    return float(round(value, min(digits, 0) if whole else digits))


@dataclass(frozen=True)
class Counted:
    """A condition, and how it parts customers.

    Attributes:
        share: Of all customers, those who fulfil it.
        lift: See strength.
        z: See strength.
    """

    condition: Condition
    share: float
    lift: float
    z: float


def counted(
    matrix: Floats,
    labels: Ints,
    date: Ints,
    features: Sequence[Feature],
    types: Mapping[str, str],
    most_cuts: int,
) -> Iterator[Counted]:
    """Every condition on a single item that parts customers, with how it does.

    Numbers are compared with cuts of theirs, from either side; a text is one of its values; a truth holds or
    does not.
    """
    dates = int(date.max()) + 1
    everybody = np.bincount(date, minlength=dates).astype(float)
    positive = np.bincount(date, labels, minlength=dates).astype(float)
    for place, feature in enumerate(features):
        column = matrix[:, place]
        is_number = feature.value is None and types[feature.item] != "boolean"
        edges = cuts(column, types[feature.item] == "integer", most_cuts) if is_number else [1.0]
        if not edges:
            continue
        known = ~np.isnan(column)
        bins = np.searchsorted(np.asarray(edges, column.dtype), column[known], side="right")
        cell = date[known] * (len(edges) + 1) + bins
        shape = (dates, len(edges) + 1)
        sizes = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).T.astype(float)
        hits = np.bincount(cell, labels[known], minlength=shape[0] * shape[1]).reshape(shape).T
        below_sizes, below_hits = sizes.cumsum(axis=0)[:-1], hits.cumsum(axis=0)[:-1]
        above_sizes, above_hits = sizes.sum(axis=0) - below_sizes, hits.sum(axis=0) - below_hits
        for upward, size, hit in ((True, above_sizes, above_hits), (False, below_sizes, below_hits)):
            if not upward and feature.value is not None:
                continue
            lift, z = strength(size, hit, everybody, positive)
            for at, edge in enumerate(edges):
                sign: Sign = (">=" if upward else "<") if is_number else "="
                value = edge if is_number else upward if feature.value is None else feature.value
                condition = Condition(place, feature.item, sign, value)
                share = size[at].sum() / everybody.sum()
                yield Counted(condition, float(share), float(lift[at]), float(z[at]))
