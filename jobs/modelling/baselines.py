"""What a model has to beat: the formula, and logistic regression on weights of evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.drift import spread_of
from jobs.modelling.rates import group_rates


def formula(
    groups: Mapping[str, Sequence[str]], labels: Ints, later: Mapping[str, Sequence[str]], smoothing: int
) -> Floats:
    """Scores of the churn-risk formula: the sum of the smoothed rates of a customer's groups, times 100.

    Args:
        groups: By term, the group of each customer whose outcome is known.
        labels: That outcome.
        later: By term, the group of each customer who is scored.
        smoothing: Pseudo-customers at the average rate.
    """
    count = len(next(iter(later.values()))) if later else 0
    score = np.zeros(count)
    for term, names in groups.items():
        sizes, churned = Counter(names), Counter(n for n, y in zip(names, labels, strict=True) if y)
        counts = [(term, name, size, churned[name]) for name, size in sizes.items()]
        rates = {rate.group: float(rate.rate) for rate in group_rates(counts, smoothing)}
        average = float(labels.mean()) if len(labels) else 0.0
        score += np.array([rates.get(name, average) for name in later[term]])
    return score * 100


class EvidenceRegression:
    """Logistic regression on weights of evidence, the scorecard of the field (Siddiqi 2006).

    Each feature is cut into deciles and a bin of unknown values; a bin's weight of evidence is the logarithm
    of its odds against those of all customers.
    """

    def __init__(self, matrix: Floats, labels: Ints) -> None:
        self._edges = [np.asarray(spread_of(column).edges) for column in matrix.T]
        self._weights: list[Floats] = []
        # One customer more in every bin, of either kind by the share of all, so that no bin is without.
        share = (labels.sum() + 0.5) / (len(labels) + 1)
        for place, edges in enumerate(self._edges):
            bins = self._bins(matrix[:, place], edges)
            size = np.bincount(bins, minlength=len(edges) + 2)
            good = np.bincount(bins, labels, minlength=len(edges) + 2)
            odds = (good + share) / (size - good + 1 - share)
            self._weights.append(np.log(odds) - np.log(share / (1 - share)))
        self._regression = LogisticRegression(max_iter=500).fit(self._evidence(matrix), labels)

    @staticmethod
    def _bins(values: Floats, edges: Floats) -> Ints:
        found = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), len(edges) + 1, found)

    def _evidence(self, matrix: Floats) -> Floats:
        columns = [
            weights[self._bins(matrix[:, place], edges)]
            for place, (edges, weights) in enumerate(zip(self._edges, self._weights, strict=True))
        ]
        return np.column_stack(columns)

    def probabilities(self, matrix: Floats) -> Floats:
        """The probability of each row."""
        found: Floats = self._regression.predict_proba(self._evidence(matrix))[:, 1]
        return found
