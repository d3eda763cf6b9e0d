"""How well an order of customers, or a probability, foretells what they did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from jobs.modelling.arrays import Floats, Ints

DECILE = 0.1
CALIBRATION_BINS = 10
SEED = 20260531


def auc(labels: Ints, scores: Floats) -> float:
    """Area under the ROC curve; NaN without both classes."""
    return float(roc_auc_score(labels, scores)) if 0 < labels.sum() < len(labels) else float("nan")


def pr_auc(labels: Ints, scores: Floats) -> float:
    """Average precision: the area under the precision-recall curve, by steps at distinct scores."""
    return float(average_precision_score(labels, scores)) if labels.any() else float("nan")


def hits_at(labels: Ints, scores: Floats, reach: float) -> float:
    """Positive cases expected among the share of customers that stands highest.

    Those who tie for the last places are taken in part: no order among them is better than another.

    Example:
        >>> hits_at(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1]), 0.5)
        1.5
    """
    places = reach * len(labels)
    cut = np.sort(scores)[::-1][max(0, int(np.ceil(places)) - 1)]
    above, at = scores > cut, scores == cut
    rest = (places - above.sum()) / at.sum()
    return float(labels[above].sum() + rest * labels[at].sum())


def lift(labels: Ints, scores: Floats) -> float:
    """Share of positive cases in the highest decile against that of all."""
    return precision_at(labels, scores, DECILE) / float(labels.mean()) if labels.any() else float("nan")


def precision_at(labels: Ints, scores: Floats, reach: float) -> float:
    """Share of positive cases among those who are reached."""
    return hits_at(labels, scores, reach) / (reach * len(labels))


def recall_at(labels: Ints, scores: Floats, reach: float) -> float:
    """Share of the positive cases that is reached."""
    return hits_at(labels, scores, reach) / float(labels.sum()) if labels.any() else float("nan")


def reliability(labels: Ints, probabilities: Floats) -> list[tuple[float, float, int]]:
    """Mean probability, share of positive cases and size, of runs of about as many customers each."""
    order = np.argsort(probabilities, kind="stable")
    runs = [run for run in np.array_split(order, CALIBRATION_BINS) if len(run)]
    return [(float(probabilities[run].mean()), float(labels[run].mean()), len(run)) for run in runs]


def calibration_error(labels: Ints, probabilities: Floats) -> float:
    """Expected calibration error: the mean distance of probability and share over those runs."""
    runs = reliability(labels, probabilities)
    return sum(abs(told - was) * size for told, was, size in runs) / len(labels)


def profit(labels: Ints, scores: Floats) -> float:
    """Expected maximum profit a customer, in euros (Verbraken et al. 2013, with its amounts)."""
    # It takes seconds to import, and only evaluation needs it.
    from empulse.metrics import empc_score

    return float(empc_score(labels, scores)) if 0 < labels.sum() < len(labels) else float("nan")


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that holds 95 % of its resampled values."""

    value: float
    low: float
    high: float


def interval(figure: Callable[[Ints], float], keys: Ints, resamples: int) -> Interval:
    """A figure with its percentile bootstrap (Efron 1979) over customers.

    Args:
        figure: Gives the figure of the rows at some places.
        keys: The customer of each row; all rows of a customer are drawn together.
        resamples: How often to draw.
    """
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
    groups = np.split(order, starts[1:])
    single = len(groups) == len(keys)
    chance = np.random.default_rng(SEED)
    drawn = []
    for _ in range(resamples):
        chosen = chance.integers(0, len(groups), len(groups))
        rows = order[chosen] if single else np.concatenate([groups[place] for place in chosen])
        drawn.append(figure(rows))
    known = [value for value in drawn if not np.isnan(value)]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (float("nan"), float("nan"))
    return Interval(figure(np.arange(len(keys))), float(low), float(high))
