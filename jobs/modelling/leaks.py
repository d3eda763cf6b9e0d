"""Which items tell an outcome better than anything known beforehand could."""

from __future__ import annotations

import numpy as np

from jobs.modelling import metrics
from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.drift import spread_of

# Fine enough that few positive cases fill a bin of their own.
MOST_BINS, BIN_SIZE = 200, 20


def separation(columns: Floats, labels: Ints) -> float:
    """AUC of the share of positive cases among customers of one kind, by one item alone.

    Whatever the direction, and whether it is a value, its being in the middle, or its being known that tells.

    Args:
        columns: (customers, features) of the item: a number, or one column a value of a text.
        labels: 0 or 1.

    Example:
        >>> labels = np.array([1, 1, 0, 0, 0, 0, 0, 0] * 10)
        >>> separation(np.array([[0.0], [0.0], [-1.0], [1.0], [-1.0], [1.0], [-1.0], [1.0]] * 10), labels)
        1.0
    """
    kinds = kinds_of(columns, max(2, min(MOST_BINS, len(labels) // BIN_SIZE)))
    half = np.arange(len(labels)) % 2 == 0
    share = np.zeros(len(labels))
    for mine in (half, ~half):
        # From the other half: what chance makes of few positive cases in a bin would look like knowledge.
        size = np.bincount(kinds[~mine], minlength=kinds.max() + 1)
        positive = np.bincount(kinds[~mine], labels[~mine], minlength=kinds.max() + 1)
        share[mine] = ((positive + labels.mean()) / (size + 1))[kinds[mine]]
    return metrics.auc(labels, share)


def kinds_of(columns: Floats, bins: int) -> Ints:
    """The kind of each customer by one item: the bin of a number, the value of a text, or unknown.

    Args:
        columns: (customers, features) of the item: a number, or one column a value of a text.
        bins: Of a number, at most.
    """
    if columns.shape[1] == 1:
        values = columns[:, 0]
        edges = np.asarray(spread_of(values, bins).edges)
        found = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), len(edges) + 1, found)
    unknown = np.isnan(columns).any(axis=1)
    valued = np.where(np.nan_to_num(columns).any(axis=1), np.nan_to_num(columns).argmax(axis=1) + 1, 0)
    return np.where(unknown, columns.shape[1] + 1, valued)
