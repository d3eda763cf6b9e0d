"""What service changed: served customers against those of the control group, with intervals.

Everybody who was to be served counts as served, whether or not he was reached (intention to treat).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import norm, t

Better = Literal["less", "more"]
Verdict = Literal["helps", "harms", "no_difference_seen", "too_few"]


@dataclass(frozen=True)
class Sample:
    """A measure over the customers of one group.

    Attributes:
        count: Customers.
        total: Sum of the measure; of something that happens or not, how often it happened.
        squares: Sum of its squares.
    """

    count: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Mean of the measure."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Variance of the measure, as estimated from the sample."""
        return max(0.0, self.squares - self.count * self.mean**2) / (self.count - 1)


@dataclass(frozen=True)
class Effect:
    """Served less control.

    Attributes:
        served: Mean of those to be served.
        control: Mean of the control group.
        difference: Served less control.
        lower: Lower end of the interval of the difference.
        upper: Its upper end.
        p_value: Probability of a difference so large if service changed nothing.
        smallest: Smallest difference that samples of these sizes would show, at the power wanted.
    """

    served: float
    control: float
    difference: float
    lower: float
    upper: float
    p_value: float
    smallest: float


def shares(served: Sample, control: Sample, confidence: float, power: float) -> Effect:
    """Difference of two shares.

    The interval is Newcombe's, from Wilson's score intervals of the two shares (R. G. Newcombe, Interval
    estimation for the difference between independent proportions, Statistics in Medicine 17, 1998, method
    10): it holds for small groups and rare events too. The p-value is that of the pooled two-proportion test.

    Args:
        served: The measure is 0 or 1.
        control: The same.
        confidence: Of the interval.
        power: With which the smallest difference would be seen.

    Example:
        >>> found = shares(Sample(70, 56, 56), Sample(80, 48, 48), 0.95, 0.8)  # Newcombe's first example
        >>> f"{found.difference:.4f} {found.lower:.4f} {found.upper:.4f}"
        '0.2000 0.0524 0.3339'
    """
    z = float(norm.ppf((1 + confidence) / 2))
    p1, p0 = served.mean, control.mean
    (l1, u1), (l0, u0) = (_wilson(one, z) for one in (served, control))
    lower = p1 - p0 - math.hypot(p1 - l1, u0 - p0)
    upper = p1 - p0 + math.hypot(u1 - p1, p0 - l0)
    pooled = (served.total + control.total) / (served.count + control.count)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / served.count + 1 / control.count))
    p_value = float(2 * norm.sf(abs(p1 - p0) / spread)) if spread else 1.0
    return Effect(p1, p0, p1 - p0, lower, upper, p_value, _smallest(spread, confidence, power))


def _wilson(one: Sample, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    n, p = one.count, one.mean
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def means(served: Sample, control: Sample, confidence: float, power: float) -> Effect:
    """Difference of two means, by Welch's t-test.

    Args:
        served: Of at least two customers.
        control: The same.
        confidence: Of the interval.
        power: With which the smallest difference would be seen.

    Example:
        >>> found = means(Sample(4, 10, 30), Sample(3, 12, 56), 0.95, 0.8)
        >>> f"{found.difference:.2f} {found.lower:.2f} {found.upper:.2f} {found.p_value:.3f}"
        '-1.50 -5.54 2.54 0.334'
    """
    difference = served.mean - control.mean
    parts = [one.variance / one.count for one in (served, control)]
    spread = math.sqrt(sum(parts))
    if not spread:
        p_value = 1.0 if not difference else 0.0
        return Effect(served.mean, control.mean, difference, difference, difference, p_value, 0.0)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (one.count - 1) for part, one in zip(parts, (served, control), strict=True)
    )
    half = float(t.ppf((1 + confidence) / 2, freedom)) * spread
    p_value = float(2 * t.sf(abs(difference) / spread, freedom))
    smallest = _smallest(spread, confidence, power)
    return Effect(
        served.mean, control.mean, difference, difference - half, difference + half, p_value, smallest
    )


def _smallest(spread: float, confidence: float, power: float) -> float:
    """The difference that is seen with a power, at the spread of the difference."""
    return spread * float(norm.ppf((1 + confidence) / 2) + norm.ppf(power))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Rates of false discovery when several effects are looked at together.

    By Y. Benjamini and Y. Hochberg, Controlling the false discovery rate, Journal of the Royal Statistical
    Society B 57, 1995: of all effects whose rate is at most q, a share of q is expected to be chance.

    Example:
        >>> adjusted([0.04, 0.01, 0.5])
        [0.06, 0.03, 0.5]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    found = [0.0] * len(p_values)
    least = 1.0
    for place, index in enumerate(order):
        least = min(least, p_values[index] * len(p_values) / (len(p_values) - place))
        found[index] = round(least, 12)
    return found


def verdict(effect: Effect, rate: float, better: Better, confidence: float) -> Verdict:
    """What can be said of an effect, given its rate of false discovery.

    Example:
        >>> verdict(Effect(0.02, 0.05, -0.03, -0.04, -0.02, 0.001, 0.01), 0.01, "less", 0.95)
        'helps'
    """
    if rate > 1 - confidence or not effect.difference:
        return "no_difference_seen"
    return "helps" if (effect.difference < 0) == (better == "less") else "harms"
