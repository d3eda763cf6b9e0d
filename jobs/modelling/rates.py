"""Churn rates of groups and the calibration of their sum: small tables, plain Python, exact numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

PLACES = Decimal("0.00000001")
CALIBRATION_BINS = 100
GAP = Decimal("0.1")  # of the range of scores: where nobody stands so far, customers of two kinds part
UNKNOWN_GROUP = "unknown"


@dataclass(frozen=True)
class Rate:
    """Churn of one group in the base period.

    Attributes:
        term: Term of the formula, or calibration.
        group: The group; for the calibration the least score of a step.
        size: Customers in it at the base date.
        churned: Of these left within the label days.
        rate: Smoothed rate.
    """

    term: str
    group: str
    size: int
    churned: int
    rate: Decimal


def smoothed(churned: int, size: int, average: Decimal, smoothing: int) -> Decimal:
    """Empirical-Bayes rate: so many pseudo-customers at the average rate are added to the group.

    Example:
        >>> smoothed(3, 50, Decimal("0.02"), 50)
        Decimal('0.04000000')
    """
    if size + smoothing == 0:
        return average.quantize(PLACES, ROUND_HALF_UP)
    return ((churned + smoothing * average) / (size + smoothing)).quantize(PLACES, ROUND_HALF_UP)


def group_rates(counts: Iterable[tuple[str, str, int, int]], smoothing: int) -> list[Rate]:
    """Rates of all groups.

    Args:
        counts: (term, group, size, churned); the groups of one term add up to the population.
        smoothing: Pseudo-customers at the average rate.
    """
    rows = sorted(counts)
    rates = []
    for term in dict.fromkeys(row[0] for row in rows):
        groups = [row for row in rows if row[0] == term]
        size, churned = sum(row[2] for row in groups), sum(row[3] for row in groups)
        average = Decimal(churned) / size if size else Decimal(0)
        for _, group, n, c in groups:
            # Whose group is not known is taken for average: a handful of them must not look like a group.
            weight = (0, 0) if group == UNKNOWN_GROUP else (c, n)
            rates.append(Rate(term, group, n, c, smoothed(*weight, average, smoothing)))
    return rates


def calibration(
    counts: Mapping[Decimal, tuple[int, int]], smoothing: int, least: int | None = None
) -> list[Rate]:
    """A rising step function from score to probability (pool adjacent violators, Ayer et al. 1955).

    Scores are first cut into bins of about equal population and their rates are smoothed, so that a step
    never rests on a handful of customers. No bin reaches across a gap of the scores; a step does where the
    smoothed rate beyond it is no higher, since the few there tell too little.

    Args:
        counts: (size, churned) by score, of the base population.
        smoothing: Pseudo-customers at the average rate, added to each bin.
        least: Customers at least in a bin; as many as the pseudo-customers by default.

    Returns:
        One Rate a step, its group being the least score of the step; empty without customers.
    """
    size = sum(n for n, _ in counts.values())
    churned = sum(c for _, c in counts.values())
    if size == 0:
        return []
    average = Decimal(churned) / size
    least = smoothing if least is None else least
    bins = _bins(counts, max(1, least, size // CALIBRATION_BINS), least)
    steps: list[tuple[Decimal, int, int, Decimal]] = []
    for low, n, c in bins:
        steps.append((low, n, c, smoothed(c, n, average, smoothing)))
        while len(steps) > 1 and steps[-2][3] >= steps[-1][3]:
            low_1, n_1, c_1, _ = steps[-2]
            _, n_2, c_2, _ = steps[-1]
            pooled = smoothed(c_1 + c_2, n_1 + n_2, average, smoothing)
            steps[-2:] = [(low_1, n_1 + n_2, c_1 + c_2, pooled)]
    return [Rate("calibration", str(low), n, c, rate) for low, n, c, rate in steps]


def _bins(counts: Mapping[Decimal, tuple[int, int]], room: int, least: int) -> list[tuple[Decimal, int, int]]:
    """Least score, size and churned of runs of scores that hold about room customers each.

    A run ends at a gap; if it is then lighter than least, it goes to the run below it, if one stands on the
    same side.
    """
    scores = sorted(counts)
    gap = (scores[-1] - scores[0]) * GAP
    sides: list[list[tuple[Decimal, int, int]]] = []
    for place, score in enumerate(scores):
        n, c = counts[score]
        if place == 0 or score - scores[place - 1] > gap:
            sides.append([])
        side = sides[-1]
        if not side or side[-1][1] >= room:
            side.append((score, n, c))
        else:
            _add_to_last(side, n, c)
    for side in sides:
        if len(side) > 1 and side[-1][1] < least:
            _, n, c = side.pop()
            _add_to_last(side, n, c)
    return [one for side in sides for one in side]


def _add_to_last(bins: list[tuple[Decimal, int, int]], size: int, churned: int) -> None:
    low, have, left = bins[-1]
    bins[-1] = (low, have + size, left + churned)
