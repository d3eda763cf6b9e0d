"""Boosted trees: how they are trained, what they say of a customer, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xgboost

from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.features import Feature, items_of

PLACES = 6
"""Digits of a raw probability: the last bits of float sums differ between machines."""


def train(
    matrix: Floats, labels: Ints, parameters: Mapping[str, object], constraints: Sequence[int]
) -> xgboost.Booster:
    """Trains in this process, as xgboost.spark does with one worker.

    Args:
        matrix: (customers, features), NaN where unknown.
        labels: 0 or 1.
        parameters: As conf/models.yaml names them.
        constraints: See features.directions.
    """
    rounds = int(str(parameters["n_estimators"]))
    chosen = {name: value for name, value in parameters.items() if name != "n_estimators"}
    fixed = {"objective": "binary:logistic", "tree_method": "hist", "seed": 0}
    data = xgboost.DMatrix(matrix, labels)
    return xgboost.train({**fixed, **chosen, "monotone_constraints": tuple(constraints)}, data, rounds)


@dataclass(frozen=True)
class Scorer:
    """A trained model as it is applied to rows.

    Attributes:
        booster: The trees, in xgboost's binary form.
        features: What its columns are.
        steps: Least raw probability and calibrated probability of each step, rising.
        reasons: How many reasons are given.
        threads: Threads used.
    """

    booster: bytes
    features: tuple[Feature, ...]
    steps: tuple[tuple[float, float], ...]
    reasons: int
    threads: int = 1

    @cached_property
    def _trees(self) -> xgboost.Booster:
        trees = xgboost.Booster()
        trees.load_model(bytearray(self.booster))
        trees.set_param({"nthread": self.threads})
        return trees

    @cached_property
    def items(self) -> tuple[str, ...]:
        """The items, in the order of what by_item gives."""
        return tuple(items_of(self.features))

    @cached_property
    def used_items(self) -> tuple[str, ...]:
        """The items that some tree looks at."""
        used = {int(name[1:]) for name in self._trees.get_score()}
        return tuple(dict.fromkeys(self.features[place].item for place in sorted(used)))

    def by_item(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Raw probability, and what each item adds to its log-odds (Lundberg et al. 2020, tree SHAP).

        Args:
            matrix: (customers, features).

        Returns:
            (customers,) rounded to PLACES, and (customers, items).
        """
        added = self._trees.predict(xgboost.DMatrix(matrix), pred_contribs=True).astype(np.float64)
        raw = 1 / (1 + np.exp(-added.sum(axis=1)))
        starts = list(items_of(self.features).values())
        return np.round(raw, PLACES), np.add.reduceat(added[:, :-1], starts, axis=1)

    def calibrated(self, raw: Floats) -> Floats:
        """The probability that raw ones stand for."""
        low, rate = np.array(self.steps).T
        place = np.searchsorted(low, raw, side="right") - 1
        found: Floats = rate[np.clip(place, 0, None)]
        return found

    def top(self, added: Floats) -> tuple[Ints, Floats]:
        """Places of the items that raise a customer's log-odds most, and by how much; -1 where none does."""
        count = min(self.reasons, added.shape[1])
        # A stable order, so that ties do not depend on the machine.
        order = np.argsort(np.round(-added, PLACES), axis=1, kind="stable")[:, :count]
        found = np.round(np.take_along_axis(added, order, axis=1), PLACES)
        return np.where(found > 0, order, -1), np.where(found > 0, found, 0.0)
