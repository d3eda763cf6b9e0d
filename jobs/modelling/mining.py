"""Kinds of customers that are lost more often than others: found on half of them, judged on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from jobs.config.mining import Search
from jobs.modelling.arrays import Bools, Floats, Ints
from jobs.modelling.conditions import Condition
from jobs.modelling.effects import adjusted
from jobs.modelling.features import Feature, items_of
from jobs.modelling.leaks import kinds_of
from jobs.modelling.search import Searched, met, search
from jobs.modelling.tally import Tally, tally

Verdict = Literal["confirmed", "weak", "chance"]
"""What the other half says: lost as often as asked, less often but not by chance, or by chance."""

INFORMATION_BINS = 10
LEAST_EXPECTED = 5.0
"""Positive ones to be expected at least, for the lift of a date or a city to say anything."""


@dataclass(frozen=True)
class Cases:
    """Customers at dates, and what happened to them.

    Attributes:
        matrix: (rows, features), NaN where unknown.
        features: What the columns are.
        types: Types of the items.
        labels: 0 or 1.
        date: Place of the date of each row.
        customer: Number of the customer of each row.
        city: City of each row; empty where it has none.
        searched: Rows of the customers among whom conditions are looked for; the others judge them.
        moments: By moment that is known already, the rows for which its rule is true.
    """

    matrix: Floats
    features: Sequence[Feature]
    types: Mapping[str, str]
    labels: Ints
    date: Ints
    customer: Ints
    city: Sequence[str]
    searched: Bools
    moments: Mapping[str, Bools]


@dataclass(frozen=True)
class ItemFound:
    """What one item tells.

    Attributes:
        item: The item.
        known: Share of all customers of whom it is known.
        information: Information value over its deciles or values and the unknown (Siddiqi 2006), in the other
            half, as the mean over dates.
        noise: What that comes to on the mean where the item tells nothing.
        condition: The condition on it that parts the searched half best; None where none can.
        judged: Those who fulfil it, in the other half.
    """

    item: str
    known: float
    information: float
    noise: float
    condition: Condition | None
    judged: Tally | None


@dataclass(frozen=True)
class Kind:
    """Customers who fulfil all of some conditions.

    Attributes:
        conditions: One, or more.
        searched: On the half they were found on; it flatters.
        judged: On the other half.
        chance: Probability that chance gives as many there: of the conditions, and of each on top of the
            others, the greatest; adjusted for how many kinds were judged (Benjamini and Hochberg 1995).
        verdict: What the other half says.
        alike: Conditions that mean mostly the same customers, and part them less well.
        by_date: On the other half, by place of the date.
        by_city: There, by city.
        moments: By moment that is known already, the share of these customers to whom it applies.
        beyond: Among customers to whom none of those applies.
    """

    conditions: tuple[Condition, ...]
    searched: Tally
    judged: Tally
    chance: float
    verdict: Verdict
    alike: tuple[str, ...]
    by_date: Mapping[int, Tally]
    by_city: Mapping[str, Tally]
    moments: Mapping[str, float]
    beyond: Tally

    @property
    def text(self) -> str:
        """The conditions as rules write them."""
        return " and ".join(one.text for one in self.conditions)

    @property
    def stable(self) -> float | None:
        """Share of dates and cities with enough customers where the kind is lost more often than others."""
        lifts = [one.lift for one in (*self.by_date.values(), *self.by_city.values()) if tells(one)]
        return sum(lift > 1 for lift in lifts) / len(lifts) if lifts else None


@dataclass(frozen=True)
class MomentFound:
    """How a moment that is known already parts all customers.

    Attributes:
        moment: The rule.
        found: Those for whom it is true.
        chance: As of a kind, adjusted for how many moments there are.
    """

    moment: str
    found: Tally
    chance: float


@dataclass(frozen=True)
class Mined:
    """What was found.

    Attributes:
        items: All items, those first that tell most beyond what chance would.
        kinds: Kinds of customers: the confirmed first, those that bring most lost customers to light first.
        moments: Moments that are known already, the least probable by chance first.
        tried: How many conditions, and sets of them, were looked at.
    """

    items: tuple[ItemFound, ...]
    kinds: tuple[Kind, ...]
    moments: tuple[MomentFound, ...]
    tried: int


def tells(one: Tally) -> bool:
    """Whether there are enough customers for a lift to say anything."""
    return one.expected >= LEAST_EXPECTED


def mine(cases: Cases, settings: Search) -> Mined:
    """Searches half of the customers, and judges what was found on the other half."""
    half = cases.searched
    found = search(
        cases.matrix[half], cases.labels[half], cases.date[half], cases.features, cases.types, settings
    )
    items = sorted(_items(cases, found), key=lambda one: (one.noise - one.information, one.item))
    return Mined(tuple(items), tuple(_kinds(cases, found, settings)), tuple(_moments(cases)), found.tried)


def _items(cases: Cases, found: Searched) -> Iterator[ItemFound]:
    starts = [*items_of(cases.features).items(), ("", len(cases.features))]
    for (item, start), (_, end) in pairwise(starts):
        columns = cases.matrix[:, start:end]
        kinds = kinds_of(columns, INFORMATION_BINS)
        information, noise = _by_date(kinds[~cases.searched], cases)
        known = float((~np.isnan(columns).any(axis=1)).mean())
        condition = found.best.get(item)
        judged = None if condition is None else _among(cases, condition.met(cases.matrix), ~cases.searched)
        yield ItemFound(item, known, information, noise, condition, judged)


def _by_date(kinds: Ints, cases: Cases) -> tuple[float, float]:
    """The mean over dates, by their customers: what tells the dates apart tells nothing of customers."""
    labels, date = cases.labels[~cases.searched], cases.date[~cases.searched]
    found = [
        (int((date == day).sum()), *_information(kinds[date == day], labels[date == day]))
        for day in np.unique(date)
    ]
    every = sum(size for size, _, _ in found)
    return (
        sum(size * value for size, value, _ in found) / every,
        sum(size * noise for size, _, noise in found) / every,
    )


def _information(kinds: Ints, labels: Ints) -> tuple[float, float]:
    """Information value of kinds of customers, and what chance alone gives it on the mean.

    Half a customer more of either sort in each kind keeps it finite.
    """
    size = np.bincount(kinds)
    kept = size > 0
    lost = np.bincount(kinds, labels)[kept]
    stayed = size[kept] - lost
    of_lost = (lost + 0.5) / (lost + 0.5).sum()
    of_stayed = (stayed + 0.5) / (stayed + 0.5).sum()
    value = float(np.sum((of_lost - of_stayed) * np.log(of_lost / of_stayed)))
    noise = (int(kept.sum()) - 1) * (1 / max(1, lost.sum()) + 1 / max(1, stayed.sum()))
    return value, float(noise)


def _among(cases: Cases, kind: Bools, rows: Bools) -> Tally:
    return tally(kind, cases.labels, cases.date, rows, cases.customer)


def _kinds(cases: Cases, found: Searched, settings: Search) -> list[Kind]:
    judging = ~cases.searched
    masks = [met(one.conditions, cases.matrix) for one, _ in found.chosen]
    judged = [_among(cases, mask, judging) for mask in masks]
    chances = adjusted([
        max([one.chance, *_added(cases, candidate.conditions, mask)])
        for (candidate, _), mask, one in zip(found.chosen, masks, judged, strict=True)
    ])  # fmt: skip
    none_applies = ~np.logical_or.reduce([np.zeros(len(judging), bool), *cases.moments.values()])
    cities = sorted({city for city in cases.city if city})
    city = np.asarray(cases.city)
    kinds = []
    for (candidate, alike), mask, one, chance in zip(found.chosen, masks, judged, chances, strict=True):
        inside = mask & judging
        verdict: Verdict = "chance"
        if chance <= 1 - settings.confidence:
            verdict = "confirmed" if one.lift >= settings.least_lift else "weak"
        kinds.append(
            Kind(
                candidate.conditions,
                _among(cases, mask, cases.searched),
                one,
                chance,
                verdict,
                alike,
                {day: _among(cases, mask, judging & (cases.date == day)) for day in np.unique(cases.date)},
                {name: _among(cases, mask, judging & (city == name)) for name in cities},
                {name: _share(inside, applies) for name, applies in cases.moments.items()},
                _among(cases, mask, judging & none_applies),
            )
        )
    order: tuple[Verdict, ...] = ("confirmed", "weak", "chance")
    return sorted(kinds, key=lambda one: (order.index(one.verdict), -one.judged.excess, one.text))


def _added(cases: Cases, conditions: Sequence[Condition], mask: Bools) -> Iterator[float]:
    """For each of several conditions, the chance of what it adds to the others."""
    for one in conditions if len(conditions) > 1 else ():
        others = met([other for other in conditions if other != one], cases.matrix)
        yield _among(cases, mask, others & ~cases.searched).chance


def _share(inside: Bools, applies: Bools) -> float:
    size = int(inside.sum())
    return int((inside & applies).sum()) / size if size else 0.0


def _moments(cases: Cases) -> list[MomentFound]:
    everybody = np.ones(len(cases.labels), bool)
    found = {name: _among(cases, applies, everybody) for name, applies in cases.moments.items()}
    chances = adjusted([one.chance for one in found.values()])
    moments = [
        MomentFound(name, one, chance) for (name, one), chance in zip(found.items(), chances, strict=True)
    ]
    return sorted(moments, key=lambda one: (one.chance, one.moment))
