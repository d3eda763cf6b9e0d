"""A scorecard that people can read: conditions that each cost points, learned from who was lost.

Logistic regression on steps: each item counts by conditions of one direction, so that it never helps to be
worse, and no condition may speak for a customer, only against. The penalty keeps few of them
(Tibshirani 1996, with weights that are never negative).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from jobs.config.mining import Scorecard
from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.conditions import Condition, Counted, counted
from jobs.modelling.features import Feature

FULL = 100
WORST = 99
"""Per cent of customers who keep points in every dimension."""


@dataclass(frozen=True)
class Step:
    """A condition, and what it costs.

    Attributes:
        condition: The condition.
        weight: What it adds to the logarithm of the odds.
        share: Of the customers it was learned from, those who fulfil it.
        lift: How many times as often as all they were lost.
    """

    condition: Condition
    weight: float
    share: float
    lift: float


def learn(
    matrix: Floats,
    labels: Ints,
    date: Ints,
    features: Sequence[Feature],
    types: Mapping[str, str],
    directions: Sequence[int],
    settings: Scorecard,
) -> list[Step]:
    """Learns which conditions speak against customers, the dearest first.

    Args:
        matrix: (rows, features), NaN where unknown; unknown fulfils no condition.
        labels: Whether they were lost, 0 or 1.
        date: Place of the date of each row.
        features: What the columns are.
        types: Types of the items.
        directions: 1 of features with which the risk may only rise, -1 only fall, 0 either.
        settings: How many conditions, and how strong.
    """
    found = _candidates(counted(matrix, labels, date, features, types, settings.cuts), directions, settings)
    if not found:
        return []
    met = np.column_stack([one.condition.met(matrix) for one in found]).astype(float)

    def loss(weights: Floats) -> tuple[float, Floats]:
        log_odds = weights[0] + met @ weights[1:]
        residual = 1 / (1 + np.exp(-log_odds)) - labels
        value = np.mean(np.logaddexp(0, log_odds) - labels * log_odds) + settings.penalty * weights[1:].sum()
        slope = met.T @ residual / len(labels) + settings.penalty
        return float(value), np.append(residual.mean(), slope)

    bounds = [(None, None), *((0, None) for _ in found)]
    start = np.zeros(len(found) + 1)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    steps = [
        Step(one.condition, float(weight), one.share, one.lift)
        for one, weight in zip(found, fitted.x[1:], strict=True)
        if weight >= settings.least_weight
    ]
    return sorted(steps, key=lambda one: (-one.weight, one.condition.text))


def _candidates(found: Iterable[Counted], directions: Sequence[int], settings: Scorecard) -> list[Counted]:
    """Conditions on the strongest items: of a number some steps in its stronger direction."""
    by_side: dict[tuple[str, str], list[Counted]] = defaultdict(list)
    for one in found:
        fits = settings.least_share <= one.share <= settings.most_share and one.z >= settings.least_z
        sign, value = one.condition.sign, one.condition.value
        against = {">=": -1, "<": 1}.get(sign, 0)
        if isinstance(value, bool):
            against = -1 if value else 1
        if fits and (not against or directions[one.condition.feature] != against):
            by_side[one.condition.item, one.condition.sign].append(one)
    best: dict[str, list[Counted]] = {}
    for (item, _), side in sorted(by_side.items(), key=lambda it: (-_strongest(it[1]), it[0])):
        best.setdefault(item, side)
    chosen = []
    for side in list(best.values())[: settings.items]:
        rising = sorted(side, key=lambda one: (one.share, one.condition.text))
        places = np.unique(np.linspace(0, len(rising) - 1, settings.steps).round().astype(int))
        chosen += [rising[place] for place in places]
    return chosen


def _strongest(side: Sequence[Counted]) -> float:
    return max(round(one.z, 9) for one in side)


def points_of(
    steps: Sequence[Step], matrix: Floats, dimension: Callable[[str], str]
) -> list[tuple[Step, int]]:
    """What each step costs in points, those that cost none left out.

    One scale for all dimensions, so that points mean the same in each: of the customers with most against
    them in the dimension that costs most, one in a hundred has no points left.

    Args:
        steps: The steps.
        matrix: Customers.
        dimension: Gives the dimension of an item.
    """
    lost: dict[str, Floats] = {}
    for one in steps:
        name = dimension(one.condition.item)
        lost[name] = lost.get(name, np.zeros(len(matrix))) + one.weight * one.condition.met(matrix)
    most = max((float(np.percentile(one, WORST)) for one in lost.values()), default=0.0)
    if most <= 0:
        return []
    priced = [(one, round(FULL * one.weight / most)) for one in steps]
    return [(one, min(points, FULL)) for one, points in priced if points > 0]


def health(
    priced: Sequence[tuple[Step, int]],
    matrix: Floats,
    dimension: Callable[[str], str],
    names: Sequence[str],
) -> Floats:
    """Points that customers have left, (rows, dimensions); NaN where no condition of a dimension is known.

    Args:
        priced: Steps and what each costs.
        matrix: Customers.
        dimension: Gives the dimension of an item.
        names: The dimensions.
    """
    left = np.full((len(matrix), len(names)), float(FULL))
    known = np.zeros(left.shape, bool)
    for one, points in priced:
        place = names.index(dimension(one.condition.item))
        left[:, place] -= points * one.condition.met(matrix)
        known[:, place] |= ~np.isnan(matrix[:, one.condition.feature])
    return np.where(known, np.maximum(left, 0), np.nan)


def overall(left: Floats) -> Floats:
    """The mean of the dimensions that are known; all points where none is.

    Example:
        >>> overall(np.array([[50.0, np.nan], [np.nan, np.nan]])).tolist()
        [50.0, 100.0]
    """
    known = ~np.isnan(left)
    total = np.where(known, left, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), FULL)
