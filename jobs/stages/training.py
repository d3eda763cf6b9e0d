"""Trains a model on customers of earlier dates, calibrates it on later ones, and registers it."""

from __future__ import annotations

import logging
import math
from datetime import date
from itertools import pairwise

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier

from jobs.config.models import Model, Training
from jobs.kernel.errors import CycleError, Issue
from jobs.kernel.ids import hash_of
from jobs.modelling import metrics
from jobs.modelling.arrays import Bools, Floats, Ints
from jobs.modelling.drift import spread_of
from jobs.modelling.evaluation import steps_of
from jobs.modelling.features import directions, items_of
from jobs.modelling.leaks import separation
from jobs.modelling.trees import Scorer, train
from jobs.stages.context import RunContext
from jobs.stages.registry import Lineage, Trained, add
from jobs.stages.samples import FEATURE, Samples, at_date, feature_columns, samples_of


def train_model(context: RunContext, name: str, as_of: date) -> Trained:
    """Trains a model as of a date and registers it; see samples_of for what it learns from.

    Where there are enough base dates the last is kept for the calibration, and the trees learn from those
    whose time had passed by then. Otherwise the raw probabilities that models trained on the other folds give
    the same customers serve for it.

    Raises:
        CycleError: When there is too little to learn from, or an item knows the future.
    """
    started = context.clock()
    settings, view = context.configuration.models, context.configuration.view
    model, training = settings.models[name], settings.training
    samples = samples_of(context, name, as_of)
    refuse_leaks(samples, training.leak_auc)
    constraints = directions(samples.features, model.rising, model.falling)
    calibrating, learning = _split(samples, lag_of(model), training.least_cases)
    learned = [samples.bases[place] for place in np.unique(samples.base_of_row[learning])]
    rows = samples.rows.where(F.col("base").isin(learned))
    booster = _boosted(rows, samples, training, constraints)
    later = not calibrating.all()
    if later:
        scorer = Scorer(booster, samples.features, (), settings.use.reasons)
        raw = scorer.by_item(samples.matrix[calibrating])[0]
    else:
        raw = _out_of_fold(samples, training, constraints)
    labels = samples.labels[calibrating]
    steps = steps_of(raw, labels, training.least_bin)
    scorer = Scorer(booster, samples.features, steps, settings.use.reasons)
    known = samples.matrix[learning]
    trained = Trained(
        model_id=f"{name}-{as_of}-{hash_of(booster.hex(), str(steps))[:8]}",
        model=name,
        trained_as_of=as_of,
        bases=samples.bases,
        features=samples.features,
        spreads=tuple(spread_of(column) for column in known.T),
        definitions={item: view.definition_fingerprint(item) for item in scorer.items},
        score_spread=spread_of(raw),
        steps=steps,
        metrics=_figures(labels, raw, scorer.calibrated(raw)),
        booster=booster,
    )
    lineage = Lineage(
        calibrated_on=samples.bases[-1] if later else None,
        customers=len(samples.labels),
        positive=int(samples.labels.sum()),
        parameters=training.parameters.model_dump(),
        fingerprint=settings.fingerprint_of(name),
        views=samples.marks,
    )
    new = add(context, trained, lineage)
    result = "complete" if new else "unchanged"
    mark = lineage.fingerprint
    context.log_cycle("train", at_date(context, as_of), started, result, 1, mark, trained.model_id)
    return trained


def lag_of(model: Model) -> int:
    """Month ends by which a base lies after another whose time has passed; a day or two do not count."""
    return max(1, math.ceil((model.gap_days + model.days) / 31))


def _split(samples: Samples, lag: int, least: int) -> tuple[Bools, Bools]:
    """The rows that calibrate, and those that are learned from; all of them both where dates are too few."""
    last = len(samples.bases) - 1
    calibrating, learning = samples.base_of_row == last, samples.base_of_row <= last - lag
    for rows in (calibrating, learning):
        positive = int(samples.labels[rows].sum())
        if min(positive, int(rows.sum()) - positive) < least:
            every = np.ones(len(samples.labels), bool)
            return every, every
    return calibrating, learning


def refuse_leaks(samples: Samples, limit: float) -> None:
    """Refuses items that alone separate the positive cases better than anything known beforehand could.

    Raises:
        CycleError: When there are any.
    """
    issues = []
    starts = [*items_of(samples.features).items(), ("", len(samples.features))]
    for (item, start), (_, end) in pairwise(starts):
        found = separation(samples.matrix[:, start:end], samples.labels)
        if not found < limit:
            message = (
                f"'{item}' alone tells the positive cases with an AUC of {found:.3f}; "
                "if it does not know the future, raise training.leak_auc, else name it in leave_out"
            )
            issues.append(Issue("MODEL_LEAK", message))
    if issues:
        raise CycleError(issues)


def _boosted(rows: DataFrame, samples: Samples, training: Training, constraints: tuple[int, ...]) -> bytes:
    """The trees, trained by Spark tasks.

    The rows go to workers by a hash of the subscription and are sorted there, so that neither the order nor
    the partitions of the table matter.
    """
    columns = [f"{FEATURE}{place}" for place in range(len(samples.features))]
    head = ["subscription_id", "base", "label"]
    chosen = rows.selectExpr(*head, *feature_columns(samples.features))
    placed = chosen.repartition(training.workers, "subscription_id")
    placed = placed.sortWithinPartitions("subscription_id", "base").localCheckpoint()
    estimator = SparkXGBClassifier(
        features_col=columns,
        label_col="label",
        num_workers=training.workers,
        tree_method="hist",
        random_state=0,
        verbose=False,
        verbosity=0,
        monotone_constraints=constraints,
        **training.parameters.model_dump(),
    )
    # It tells every round otherwise, on the console.
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    trees = estimator.fit(placed.select("label", *columns)).get_booster()
    # Scoring gives it plain arrays.
    trees.feature_names = trees.feature_types = None
    return bytes(trees.save_raw("ubj"))


def folds_of(samples: Samples, folds: int) -> Ints:
    """The fold of each row: by a hash of the subscription, so that a customer is in one fold at all dates."""
    ids = samples.table["subscription_id"].to_pylist()
    return np.array([int(hash_of("fold", one)[:8], 16) % folds for one in ids])


def _out_of_fold(samples: Samples, training: Training, constraints: tuple[int, ...]) -> Floats:
    """Raw probability of each customer by a model that has not seen him."""
    folds = folds_of(samples, training.folds)
    raw = np.zeros(len(folds))
    parameters = {**training.parameters.model_dump(), "nthread": training.threads}
    for fold in range(training.folds):
        mine = folds == fold
        trees = train(samples.matrix[~mine], samples.labels[~mine], parameters, constraints)
        scorer = Scorer(bytes(trees.save_raw("ubj")), samples.features, (), 1)
        raw[mine] = scorer.by_item(samples.matrix[mine])[0]
    return raw


def _figures(labels: Ints, raw: Floats, probabilities: Floats) -> dict[str, float]:
    found = {
        "auc": metrics.auc(labels, raw),
        "pr_auc": metrics.pr_auc(labels, raw),
        "lift": metrics.lift(labels, raw),
        # Of the customers it was calibrated on: evaluation looks at others.
        "calibration_error": metrics.calibration_error(labels, probabilities),
    }
    return {name: round(value, 6) for name, value in found.items()}
