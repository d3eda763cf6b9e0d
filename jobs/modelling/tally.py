"""How much more often something happens to customers of a kind than to all, date by date."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from jobs.modelling.arrays import Bools, Floats, Ints
from jobs.modelling.metrics import Interval


@dataclass(frozen=True)
class Tally:
    """Customers of a kind among all, and to how many of both it happened.

    Customers are counted once a date. What dates differ in is left out of the comparison: expected is what
    would have come to pass in the kind on each date at that date's share of all.

    Attributes:
        size: Customers of the kind.
        positive: Those of them to whom it happened.
        everybody: All customers.
        everybody_positive: Those of all to whom it happened.
        expected: Positive ones to be expected, were the kind like all.
        design: How many times the variance is that of as many customers counted once, since one customer's
            dates are alike; counts are worth so many times less (Rao and Scott 1992).
    """

    size: int
    positive: int
    everybody: int
    everybody_positive: int
    expected: float
    design: float = 1.0

    @property
    def share(self) -> float:
        """Share of all customers that are of the kind."""
        return self.size / self.everybody if self.everybody else math.nan

    @property
    def rate(self) -> float:
        """Share of the kind to whom it happened."""
        return self.positive / self.size if self.size else math.nan

    @property
    def rate_expected(self) -> float:
        """The rate to be expected of the kind, were it like all on each date."""
        return self.expected / self.size if self.size else math.nan

    @property
    def lift(self) -> float:
        """Positive ones against those expected."""
        return self.positive / self.expected if self.expected else math.nan

    @property
    def excess(self) -> float:
        """Positive ones beyond those expected."""
        return self.positive - self.expected

    @property
    def interval(self) -> Interval:
        """The lift with its exact 95 % interval (Clopper and Pearson 1934), what is expected taken as known.

        Example:
            >>> found = Tally(100, 20, 1000, 100, 10.0).interval
            >>> found.value, round(found.low, 2), round(found.high, 2)
            (2.0, 1.27, 2.92)
        """
        if not self.expected:
            return Interval(math.nan, math.nan, math.nan)
        positive, others = self.positive / self.design, (self.size - self.positive) / self.design
        low = beta.ppf(0.025, positive, others + 1) if positive else 0.0
        high = beta.ppf(0.975, positive + 1, others) if others else 1.0
        times = self.size / self.expected
        return Interval(self.lift, float(low) * times, float(high) * times)

    @property
    def chance(self) -> float:
        """Probability of as many positive ones or more, were the kind like all: of a binomial count.

        Where dates differ that is a little too much, since the count varies less.

        Example:
            >>> round(Tally(100, 20, 1000, 100, 10.0).chance, 5)
            0.00198
        """
        if not self.expected or not self.positive:
            return 1.0
        # The sum of the binomial's tail, for counts that need not be whole.
        positive, size = self.positive / self.design, self.size / self.design
        return float(beta.cdf(self.expected / self.size, positive, size - positive + 1))


def tally(
    kind: Bools, labels: Ints, date: Ints, among: Bools | None = None, customer: Ints | None = None
) -> Tally:
    """Tallies customers of a kind against all.

    Args:
        kind: Whether a row is of the kind.
        labels: 0 or 1.
        date: Place of the date of each row.
        among: Rows to look at; all by default.
        customer: Number of the customer of each row; each row is another's by default.

    Example:
        >>> kind, labels = np.array([True, True, False, False]), np.array([1, 0, 0, 0])
        >>> tally(kind, labels, np.zeros(4, int))
        Tally(size=2, positive=1, everybody=4, everybody_positive=1, expected=0.5, design=1.0)
    """
    if among is not None:
        kind, labels, date = kind[among], labels[among], date[among]
        customer = None if customer is None else customer[among]
    dates = int(date.max()) + 1 if len(date) else 0
    everybody = np.bincount(date, minlength=dates)
    positive = np.bincount(date, labels, minlength=dates)
    size = np.bincount(date[kind], minlength=dates)
    share = positive / np.maximum(everybody, 1)
    expected = float(np.sum(size * share))
    told = int(labels[kind].sum())
    design = 1.0
    if customer is not None and told:
        rate = np.minimum(share[date[kind]] * told / expected, 1.0)
        alone = float(np.sum(rate * (1 - rate)))
        together = np.bincount(customer[kind], labels[kind] - rate)
        design = max(1.0, float(np.sum(together**2)) / alone) if alone else 1.0
    return Tally(int(kind.sum()), told, len(labels), int(labels.sum()), round(expected, 6), round(design, 6))


def strength(sizes: Floats, positives: Floats, everybody: Floats, positive: Floats) -> tuple[Floats, Floats]:
    """Lift and z of many kinds at once, of counts by date along the last axis.

    z is that of the log-rank test (Mantel 1966): positive ones beyond those expected, in standard deviations
    of the hypergeometric count on each date.

    Args:
        sizes: Customers of each kind, (kinds..., dates).
        positives: Those of them to whom it happened.
        everybody: All customers, (..., dates).
        positive: Those of them to whom it happened.

    Returns:
        Both (kinds...,); 0 where nothing can be said.
    """
    least = np.maximum(everybody, 2)
    expected = (sizes * positive / least).sum(axis=-1)
    spread = sizes * (least - sizes) * positive * (least - positive) / (least**2 * (least - 1))
    beyond = positives.sum(axis=-1) - expected
    deviation = np.sqrt(np.maximum(spread.sum(axis=-1), 1e-12))
    lift = np.where(expected > 0, positives.sum(axis=-1) / np.maximum(expected, 1e-12), 0.0)
    return lift, np.where(expected > 0, beyond / deviation, 0.0)
