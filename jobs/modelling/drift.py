"""Whether customers of today are like those a model has learned from: the population stability index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.modelling.arrays import Floats

BINS = 10
# An empty bin would make the index infinite.
LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Spread:
    """How values were spread.

    Attributes:
        edges: Least values of all bins but the first.
        shares: Of the bins, and last of unknown values.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]


def spread_of(values: Floats, bins: int = BINS) -> Spread:
    """The spread of values: over each of them where they are few, else over bins of about as many each.

    Args:
        values: The values, NaN where unknown.
        bins: How many bins, or values, at most.

    Example:
        >>> spread_of(np.array([0.0, 0.0, 0.0, 1.0]))
        Spread(edges=(1.0,), shares=(0.75, 0.25, 0.0))
    """
    known = values[~np.isnan(values)]
    cuts = np.unique(known)
    if len(cuts) > bins:
        # No edge is the least or the greatest value, which may be one customer's.
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
        cuts = np.append(known.min(), cuts[cuts > known.min()])
    edges = tuple(float(cut) for cut in cuts[1:])
    return Spread(edges, _shares(values, edges))


def _shares(values: Floats, edges: Sequence[float]) -> tuple[float, ...]:
    unknown = np.isnan(values)
    bins = np.searchsorted(np.asarray(edges), values[~unknown], side="right")
    counts = np.append(np.bincount(bins, minlength=len(edges) + 1), unknown.sum())
    return tuple(float(count) for count in counts / max(1, values.size))


def noise(before: Spread, size: int) -> float:
    """What the index of customers who have not changed comes to, on the mean, by chance alone."""
    held = sum(share > 0 for share in before.shares)
    return max(0, held - 1) / max(1, size)


def stability(before: Spread, values: Floats) -> float:
    """Population stability index of values against a spread: 0 when alike, above 0.25 a clear shift.

    Example:
        >>> before = spread_of(np.array([0.0, 0.0, 1.0, 1.0]))
        >>> round(stability(before, np.array([0.0, 1.0, 1.0, 1.0])), 4)
        0.2747
    """
    then = np.maximum(before.shares, LEAST_SHARE)
    now = np.maximum(_shares(values, before.edges), LEAST_SHARE)
    return float(np.sum((now - then) * np.log(now / then)))
