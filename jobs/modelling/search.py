"""Looks for conditions that part customers to whom something happens from the rest.

Subgroup discovery by beam search (Herrera et al. 2011): conditions on single items, then more together.
What it finds flatters, being the best of thousands: others have to judge it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from jobs.config.mining import Search
from jobs.modelling.arrays import Bools, Floats, Ints
from jobs.modelling.conditions import Condition, counted
from jobs.modelling.features import Feature
from jobs.modelling.tally import strength


@dataclass(frozen=True)
class Candidate:
    """Conditions that are all fulfilled by a kind of customers, and how the kind is parted from the rest.

    Attributes:
        conditions: One of an item at most.
        share: Of all customers.
        lift: See strength.
        z: See strength.
    """

    conditions: tuple[Condition, ...]
    share: float
    lift: float
    z: float

    @property
    def text(self) -> str:
        """The conditions as rules write them."""
        return " and ".join(one.text for one in self.conditions)


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes:
        best: By item, the condition on it that parts customers best.
        chosen: Kinds of customers, the strongest first, each with what others mean mostly the same customers.
        tried: How many conditions, and sets of them, were looked at.
    """

    best: Mapping[str, Condition]
    chosen: Sequence[tuple[Candidate, tuple[str, ...]]]
    tried: int


def met(conditions: Sequence[Condition], matrix: Floats) -> Bools:
    """Who fulfils all of some conditions; everybody, where there are none."""
    return reduce(np.logical_and, (one.met(matrix) for one in conditions), np.ones(len(matrix), bool))


def search(
    matrix: Floats,
    labels: Ints,
    date: Ints,
    features: Sequence[Feature],
    types: Mapping[str, str],
    settings: Search,
) -> Searched:
    """Searches customers for kinds to whom something happens more often than to all.

    Args:
        matrix: (rows, features), NaN where unknown.
        labels: Whether it happened, 0 or 1.
        date: Place of the date of each row.
        features: What the columns are.
        types: Types of the items.
        settings: How far to look.
    """
    singles = _ranked(
        Candidate((one.condition,), one.share, one.lift, one.z)
        for one in counted(matrix, labels, date, features, types, settings.cuts)
    )
    parts = _parts(singles, settings)
    tried, found, last = len(singles), _best_of_items(singles, settings), parts
    for _ in range(1, settings.conditions):
        last, count = _wider(last, parts, matrix, labels, date, settings)
        tried += count
        found = found + [one for one in last if _fits(one, settings)]
    best = {one.conditions[0].item: one.conditions[0] for one in reversed(singles)}
    return Searched(best, _distinct(_ranked(found), matrix, settings), tried)


def _ranked(found: Iterable[Candidate]) -> list[Candidate]:
    """The strongest first; of equally strong ones those of fewer conditions."""
    return sorted(found, key=lambda one: (-round(one.z, 9), len(one.conditions), one.text))


def _fits(one: Candidate, settings: Search) -> bool:
    """Whether a kind of customers is one that a moment could look after."""
    enough = settings.least_share <= one.share <= settings.most_share and one.z >= settings.least_z
    return enough and one.lift >= settings.least_lift


def _best_of_items(singles: Sequence[Candidate], settings: Search) -> list[Candidate]:
    """The strongest fitting condition on each item."""
    fitting = [one for one in singles if _fits(one, settings)]
    return list({one.conditions[0].item: one for one in reversed(fitting)}.values())


def _parts(singles: Sequence[Candidate], settings: Search) -> list[Candidate]:
    """Conditions to be put together: of the strongest items the strongest, the fitting, and the sharpest."""
    by_item: dict[str, list[Candidate]] = {}
    for one in singles:
        if one.share >= settings.least_share and one.z > 0:
            by_item.setdefault(one.conditions[0].item, []).append(one)
    chosen: dict[str, Candidate] = {}
    for of_item in list(by_item.values())[: settings.items]:
        fitting = [one for one in of_item if _fits(one, settings)]
        for one in (of_item[0], *fitting[:1], max(of_item, key=lambda it: it.lift)):
            chosen[one.text] = one
    return list(chosen.values())


def _wider(
    found: Sequence[Candidate],
    parts: Sequence[Candidate],
    matrix: Floats,
    labels: Ints,
    date: Ints,
    settings: Search,
) -> tuple[list[Candidate], int]:
    """The strongest sets of one condition more, each of which makes the kind clearly more telling.

    Returns:
        As many as the beam holds, and how many were looked at.
    """
    if not found:
        return [], 0
    narrow = _masks(found, matrix)
    added = _masks(parts, matrix)
    dates = int(date.max()) + 1
    # A product of matrices counts all pairs at once.
    days = [date == day for day in range(dates)]
    lost = [day & (labels == 1) for day in days]
    sizes = np.stack([narrow[:, day] @ added[:, day].T for day in days], axis=-1)
    hits = np.stack([narrow[:, day] @ added[:, day].T for day in lost], axis=-1)
    lift, z = strength(sizes, hits, *_counts(np.ones((1, len(date)), np.float32), days, lost))
    # What each condition adds to the others, among the customers who fulfil those.
    more = strength(sizes, hits, *(one[:, None] for one in _counts(narrow, days, lost)))[1]
    other = strength(sizes, hits, *(one[None, :] for one in _counts(added, days, lost)))[1]
    surer = np.minimum(more, other)
    share = sizes.sum(axis=-1) / len(date)
    wider: dict[frozenset[str], Candidate] = {}
    tried = 0
    for row, one in enumerate(found):
        items = {condition.item for condition in one.conditions}
        for column, part in enumerate(parts):
            if part.conditions[0].item in items:
                continue
            tried += 1
            least = settings.gain * max(one.lift, part.lift)
            enough = share[row, column] >= settings.least_share and surer[row, column] >= settings.least_z
            if enough and lift[row, column] >= least:
                both = (*one.conditions, *part.conditions)
                key = frozenset(condition.text for condition in both)
                figures = (share[row, column], lift[row, column], z[row, column])
                wider[key] = Candidate(both, *map(float, figures))
    return _ranked(wider.values())[: settings.beam], tried


def _counts(kinds: Floats, days: Sequence[Bools], lost: Sequence[Bools]) -> tuple[Floats, Floats]:
    """Customers of each kind by date, and the lost ones of them."""
    return (
        np.stack([kinds[:, day].sum(axis=1) for day in days], axis=-1),
        np.stack([kinds[:, day].sum(axis=1) for day in lost], axis=-1),
    )


def _masks(found: Sequence[Candidate], matrix: Floats) -> Floats:
    rows = [met(one.conditions, matrix) for one in found]
    return np.array(rows, np.float32).reshape(len(found), len(matrix))


def _distinct(
    ranked: Sequence[Candidate], matrix: Floats, settings: Search
) -> list[tuple[Candidate, tuple[str, ...]]]:
    """The strongest kinds that are not mostly the same customers, with those that are."""
    chosen: list[tuple[Candidate, Bools, list[str]]] = []
    for one in ranked:
        mine = met(one.conditions, matrix)
        same = (alike for _, other, alike in chosen if _overlap(mine, other) > settings.most_overlap)
        if (alike := next(same, None)) is not None:
            alike.append(one.text)
        elif len(chosen) < settings.finalists:
            chosen.append((one, mine, []))
    return [(one, tuple(alike)) for one, _, alike in chosen]


def _overlap(one: Bools, other: Bools) -> float:
    """Share of those of either kind that are of both (Jaccard)."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 0.0
