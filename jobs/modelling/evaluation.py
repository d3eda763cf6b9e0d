"""Judges a model beside what it has to beat, on customers that none of them has learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from jobs.modelling import metrics
from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.baselines import EvidenceRegression, formula
from jobs.modelling.metrics import Interval
from jobs.modelling.rates import calibration
from jobs.modelling.trees import PLACES, Scorer, train

Steps = tuple[tuple[float, float], ...]

RIVALS = ("random", "spend", "formula", "evidence", "model")
FIGURES = ("auc", "pr_auc", "lift", "precision", "recall", "calibration_error", "profit")


@dataclass(frozen=True)
class Data:
    """Customers with known outcome.

    Attributes:
        keys: Number of each row's customer, the same at all dates.
        base: Place of each row's base date.
        fold: Fold of each row's customer.
        matrix: Features.
        labels: 0 or 1.
        active: Whether the customer is among those looked at on their own.
        spend: What he spends, NaN where unknown.
        groups: By term of the formula, his group.
    """

    keys: Ints
    base: Ints
    fold: Ints
    matrix: Floats
    labels: Ints
    active: npt.NDArray[np.bool_]
    spend: Floats
    groups: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class How:
    """What is trained and how it is judged.

    Attributes:
        parameters: Of the trees.
        constraints: See features.directions.
        scorer: Makes a Scorer from trees and calibration.
        smoothing: Of the formula's rates.
        least_bin: Customers at least in a step of the calibration.
        lag: Base dates by which those that are learned from lie before the next: their time has passed then.
        reach: Share of customers that can be looked after.
        resamples: Of the bootstrap.
        progress: Is told what has been done.
    """

    parameters: Mapping[str, object]
    constraints: tuple[int, ...]
    scorer: Callable[[bytes, Steps], Scorer]
    smoothing: int
    least_bin: int
    lag: int
    reach: float
    resamples: int
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """What came out.

    Attributes:
        scheme: How the rows were parted: dates or folds.
        customers: Rows that were judged.
        positive: Of these.
        figures: By population, rival and figure, with its interval.
        by_base: AUC and lift by place of the base, rival and figure.
        reliability: Mean probability, share and size of runs of customers, by rival.
        drivers: Mean distance from zero of what each item adds to the log-odds by the model.
    """

    scheme: str
    customers: int
    positive: int
    figures: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    by_base: Mapping[int, Mapping[str, Mapping[str, float]]]
    reliability: Mapping[str, list[tuple[float, float, int]]]
    drivers: Mapping[str, float]


def steps_of(raw: Floats, labels: Ints, least: int, smoothing: int = 1) -> Steps:
    """The calibration of raw probabilities; see rates.calibration.

    Trees have seen to it that the few are not taken for more than they are: one pseudo-customer, so that no
    probability is nought or one.
    """
    sizes: Counter[Decimal] = Counter()
    positive: Counter[Decimal] = Counter()
    for score, label in zip(raw.tolist(), labels.tolist(), strict=True):
        key = Decimal(f"{score:.{PLACES}f}")
        sizes[key] += 1
        positive[key] += label
    counts = {score: (size, positive[score]) for score, size in sizes.items()}
    return tuple((float(step.group), float(step.rate)) for step in calibration(counts, smoothing, least))


def judge(data: Data, how: How) -> Judged:
    """Judges all rivals.

    By dates where there are enough: all learn from those whose time had passed, the model is calibrated on
    the last of them, and the next date judges. Otherwise by folds of customers; the calibration of a fold
    then comes from the raw probabilities of the others, so that only which customers are in which fold is
    known to it of those it is held against.

    Scores of different models are not alike: within a date or fold they count by their rank alone.

    Raises:
        ValueError: When customers who are learned from, or judged, are all of one kind.
    """
    last = int(data.base.max())
    if last >= 2 * how.lag:
        parts = [_by_date(data, how, base) for base in range(2 * how.lag, last + 1)]
        scheme = "dates"
    else:
        parts = _by_fold(data, how)
        scheme = "folds"
    rows = np.concatenate([part.rows for part in parts])
    scores = {
        rival: np.concatenate([part.scores[rival] for part in parts])
        for rival in RIVALS
        if all(rival in part.scores for part in parts)
    }
    chances = {
        rival: np.concatenate([part.chances[rival] for part in parts])
        for rival in scores
        if all(rival in part.chances for part in parts)
    }
    labels, keys, base = data.labels[rows], data.keys[rows], data.base[rows]
    figures = {}
    for population, chosen in (("all", np.ones(len(rows), bool)), ("active_value", data.active[rows])):
        if chosen.any():
            figures[population] = {
                rival: _figures(
                    labels[chosen],
                    score[chosen],
                    chances[rival][chosen] if rival in chances else None,
                    keys[chosen],
                    how,
                )
                for rival, score in scores.items()
            }
    by_base = {
        int(place): {
            rival: {
                "auc": metrics.auc(labels[base == place], score[base == place]),
                "lift": metrics.lift(labels[base == place], score[base == place]),
            }
            for rival, score in scores.items()
        }
        for place in np.unique(base)
    }
    reliability = {rival: metrics.reliability(labels, chance) for rival, chance in chances.items()}
    weights = Counter[str]()
    for part in parts:
        for item, value in part.drivers.items():
            weights[item] += value * len(part.rows) / len(rows)  # type: ignore[assignment]
    drivers = dict(sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])))
    return Judged(scheme, len(rows), int(labels.sum()), figures, by_base, reliability, drivers)


@dataclass(frozen=True)
class _Part:
    """Rows that were judged together."""

    rows: Ints
    scores: dict[str, Floats]
    chances: dict[str, Floats]
    drivers: dict[str, float]


def _by_date(data: Data, how: How, base: int) -> _Part:
    test = np.flatnonzero(data.base == base)
    before_it = base - how.lag
    later, learn = np.flatnonzero(data.base == before_it), np.flatnonzero(data.base <= before_it - how.lag)
    for rows in (test, later, learn):
        _both_kinds(data.labels[rows])
    model = how.scorer(_trees(data, how, learn), ())
    how.progress(f"learned from {len(learn):,} customers, judged on {len(test):,}")
    steps = steps_of(model.by_item(data.matrix[later])[0], data.labels[later], how.least_bin)
    raw, added = model.by_item(data.matrix[test])
    # The rivals need no calibration of their own and learn from that date as well.
    before = np.concatenate([learn, later])
    return _part(data, how, before, test, raw, how.scorer(model.booster, steps).calibrated(raw), model, added)


def _by_fold(data: Data, how: How) -> list[_Part]:
    found, raw = [], np.zeros(len(data.labels))
    folds = [np.flatnonzero(data.fold == fold) for fold in np.unique(data.fold)]
    for test in folds:
        learn = np.setdiff1d(np.arange(len(data.labels)), test)
        _both_kinds(data.labels[test])
        _both_kinds(data.labels[learn])
        model = how.scorer(_trees(data, how, learn), ())
        raw[test], added = model.by_item(data.matrix[test])
        how.progress(f"learned from {len(learn):,} customers, judged on {len(test):,}")
        found.append((learn, test, model, added))
    parts = []
    for learn, test, model, added in found:
        steps = steps_of(raw[learn], data.labels[learn], how.least_bin)
        chances = how.scorer(model.booster, steps).calibrated(raw[test])
        parts.append(_part(data, how, learn, test, raw[test], chances, model, added))
    return parts


def _both_kinds(labels: Ints) -> None:
    if labels.min(initial=1) == labels.max(initial=0) or not len(labels):
        raise ValueError("customers of one date or fold are all of one kind")


def _trees(data: Data, how: How, learn: Ints) -> bytes:
    trees = train(data.matrix[learn], data.labels[learn], how.parameters, how.constraints)
    return bytes(trees.save_raw("ubj"))


def _part(
    data: Data,
    how: How,
    learn: Ints,
    test: Ints,
    raw: Floats,
    chances: Floats,
    model: Scorer,
    added: Floats,
) -> _Part:
    """The scores of all rivals for the rows of a test."""
    chance = np.random.default_rng(metrics.SEED + int(data.base[test].max()))
    scores = {"random": chance.random(len(test)), "model": raw}
    told = {"model": chances}
    if not np.isnan(data.spend[test]).all():
        scores["spend"] = np.nan_to_num(data.spend[test], nan=-1e9)
    if data.groups:
        learned = {term: [names[row] for row in learn] for term, names in data.groups.items()}
        later = {term: [names[row] for row in test] for term, names in data.groups.items()}
        scores["formula"] = formula(learned, data.labels[learn], later, how.smoothing)
        own = formula(learned, data.labels[learn], learned, how.smoothing)
        steps = np.array(steps_of(own, data.labels[learn], how.smoothing, how.smoothing)).T
        place = np.clip(np.searchsorted(steps[0], np.round(scores["formula"], PLACES), "right") - 1, 0, None)
        told["formula"] = steps[1][place]
    regression = EvidenceRegression(data.matrix[learn], data.labels[learn])
    scores["evidence"] = told["evidence"] = regression.probabilities(data.matrix[test])
    scores = {rival: rankdata(score) / len(test) for rival, score in scores.items()}
    drivers = dict(zip(model.items, np.abs(added).mean(axis=0).tolist(), strict=True))
    return _Part(test, scores, told, drivers)


def _figures(
    labels: Ints, scores: Floats, chances: Floats | None, keys: Ints, how: How
) -> dict[str, Interval]:
    def at(figure: Callable[[Ints, Floats], float], values: Floats, rows: Ints) -> float:
        return figure(labels[rows], values[rows])

    wanted: dict[str, Callable[[Ints], float]] = {
        "auc": partial(at, metrics.auc, scores),
        "pr_auc": partial(at, metrics.pr_auc, scores),
        "lift": partial(at, metrics.lift, scores),
        "precision": partial(at, partial(metrics.precision_at, reach=how.reach), scores),
        "recall": partial(at, partial(metrics.recall_at, reach=how.reach), scores),
    }
    if chances is not None:
        wanted["calibration_error"] = partial(at, metrics.calibration_error, chances)
    found = {name: metrics.interval(figure, keys, how.resamples) for name, figure in wanted.items()}
    # An expected profit takes a second: it is given without its interval.
    value = metrics.profit(labels, scores)
    return {**found, "profit": Interval(value, float("nan"), float("nan"))}
