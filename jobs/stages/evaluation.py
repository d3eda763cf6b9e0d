"""Evaluates a model on customers of earlier dates, beside what it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from jobs.kernel.errors import CycleError, Issue
from jobs.modelling import metrics
from jobs.modelling.evaluation import Data, How, Judged, judge
from jobs.modelling.features import directions
from jobs.modelling.metrics import Interval
from jobs.modelling.trees import Scorer
from jobs.stages.context import RunContext
from jobs.stages.registry import find
from jobs.stages.samples import TERM, Samples, matrix_of, samples_of
from jobs.stages.training import folds_of, lag_of, refuse_leaks


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        model: What is foretold.
        as_of: Last date it knew anything of.
        bases: The base dates.
        judged: The figures.
    """

    model: str
    as_of: date
    bases: tuple[date, ...]
    judged: Judged


def evaluate(context: RunContext, name: str, as_of: date) -> Evaluation:
    """Evaluates a model as it would have been trained on dates up to as_of.

    Raises:
        CycleError: When there is too little to learn from, or an item knows the future.
    """
    settings = context.configuration.models
    model, training = settings.models[name], settings.training
    samples = samples_of(context, name, as_of)
    refuse_leaks(samples, training.leak_auc)

    def scorer(booster: bytes, steps: tuple[tuple[float, float], ...]) -> Scorer:
        return Scorer(booster, samples.features, steps, settings.use.reasons, training.threads)

    how = How(
        parameters={**training.parameters.model_dump(), "nthread": training.threads},
        constraints=directions(samples.features, model.rising, model.falling),
        scorer=scorer,
        smoothing=context.configuration.risk.smoothing,
        least_bin=training.least_bin,
        lag=lag_of(model),
        reach=settings.evaluation.reach,
        resamples=settings.evaluation.resamples,
        progress=context.progress,
    )
    try:
        judged = judge(_data(samples, training.folds), how)
    except ValueError as error:
        raise CycleError(Issue("MODEL_NO_DATA", f"{name}: {error}")) from None
    return Evaluation(name, as_of, samples.bases, judged)


def _data(samples: Samples, folds: int) -> Data:
    table = samples.table
    return Data(
        keys=samples.customers,
        base=samples.base_of_row,
        fold=folds_of(samples, folds),
        matrix=samples.matrix,
        labels=samples.labels,
        active=table["active_value"].to_numpy(zero_copy_only=False),
        spend=table["spend"].to_numpy(zero_copy_only=False),
        groups={term: table[f"{TERM}{term}"].to_pylist() for term in samples.terms},
    )


@dataclass(frozen=True)
class Comparison:
    """Two models on the same customers.

    Attributes:
        base: The date the customers were taken at.
        customers: How many.
        figures: By model and figure.
        gain: What the second has more than the first, by figure, with its interval.
        has_learned: Those of the two that have learned from these customers: they look too good.
    """

    base: date
    customers: int
    figures: Mapping[str, Mapping[str, float]]
    gain: Mapping[str, Interval]
    has_learned: tuple[str, ...]


def compare(context: RunContext, first_id: str, second_id: str, as_of: date) -> Comparison:
    """Holds two models of one kind against the customers of the last base date that has passed by as_of.

    Raises:
        CycleError: When a model is not known, or there are no such customers.
    """
    models = [find(context, model_id) for model_id in (first_id, second_id)]
    if models[0].model != models[1].model:
        message = f"{first_id} foretells {models[0].model}, {second_id} {models[1].model}"
        raise CycleError(Issue("MODEL_UNKNOWN", message))
    # One base: more would take away the items that earlier dates lack.
    samples = samples_of(context, models[0].model, as_of, 1)
    labels = samples.labels
    scores = []
    for one in models:
        matrix = matrix_of(samples.with_features(one.features), len(one.features))
        scores.append(one.scorer(context.configuration.models).by_item(matrix)[0])
    kinds = {"auc": metrics.auc, "pr_auc": metrics.pr_auc, "lift": metrics.lift}
    keys = np.arange(len(labels))
    resamples = context.configuration.models.evaluation.resamples
    gain = {
        name: metrics.interval(
            lambda rows, kind=kind: kind(labels[rows], scores[1][rows]) - kind(labels[rows], scores[0][rows]),  # type: ignore[misc]
            keys,
            resamples,
        )
        for name, kind in kinds.items()
    }
    figures = {
        one.model_id: {name: kind(labels, score) for name, kind in kinds.items()}
        for one, score in zip(models, scores, strict=True)
    }
    base = samples.bases[-1]
    settings = context.configuration.models.models[models[0].model]
    time = timedelta(days=settings.gap_days + settings.days)
    learned = tuple(one.model_id for one in models if max(one.bases) + time > base)
    return Comparison(base, len(labels), figures, gain, learned)
