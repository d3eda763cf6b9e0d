"""Trains a model on customers of earlier dates, calibrates it on later ones, and registers it."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier

from jobs.config.models import Training
from jobs.kernel.errors import CycleError, Issue
from jobs.kernel.ids import hash_of
from jobs.modelling import metrics
from jobs.modelling.drift import spread_of
from jobs.modelling.evaluation import steps_of
from jobs.modelling.features import directions
from jobs.modelling.trees import Scorer, train
from jobs.stages.context import RunContext
from jobs.stages.registry import Lineage, Trained, add
from jobs.stages.samples import FEATURE, Samples, at_date, samples_of

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


def train_model(context: RunContext, name: str, as_of: date) -> Trained:
    """Trains a model as of a date and registers it; see samples_of for what it learns from.

    With two base dates or more the last is kept for the calibration. With one, the raw probabilities that
    models trained on the other folds give its customers serve for it.

    Raises:
        CycleError: When there is too little to learn from, or an item knows the future.
    """
    started = context.clock()
    settings = context.configuration.models
    model, training = settings.models[name], settings.training
    samples = samples_of(context, name, as_of)
    refuse_leaks(samples, training.leak_auc)
    context.progress(
        f"{name}: {len(samples.labels):,} customers of {len(samples.bases)} dates, "
        f"{samples.labels.sum():,} positive, {len(samples.features)} features"
    )
    constraints = directions(samples.features, model.rising, model.falling)
    last = samples.base_of_row == len(samples.bases) - 1
    later = len(samples.bases) > 1 and min(samples.labels[last].sum(), samples.labels[~last].sum()) > 0
    learned = samples.rows.where(F.col("base") < F.lit(samples.bases[-1])) if later else samples.rows
    booster = _boosted(learned, samples, training, constraints)
    if later:
        raw = Scorer(booster, samples.features, (), settings.use.reasons).by_item(samples.matrix[last])[0]
        labels = samples.labels[last]
    else:
        raw, labels = _out_of_fold(samples, training, constraints), samples.labels
    steps = steps_of(raw, labels, context.configuration.risk.smoothing)
    scorer = Scorer(booster, samples.features, steps, settings.use.reasons)
    known = samples.matrix[~last] if later else samples.matrix
    trained = Trained(
        model_id=f"{name}-{as_of}-{hash_of(booster.hex(), str(steps))[:8]}",
        model=name,
        trained_as_of=as_of,
        bases=samples.bases,
        features=samples.features,
        spreads=tuple(spread_of(column) for column in known.T),
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


def refuse_leaks(samples: Samples, limit: float) -> None:
    """Refuses items that alone separate the positive cases better than anything known beforehand could.

    Raises:
        CycleError: When there are any.
    """
    issues = []
    for place, feature in enumerate(samples.features):
        values = samples.matrix[:, place]
        # Unknown on its own side: that a value is there can give the future away as well.
        filled = np.where(np.isnan(values), np.float32(-1e30), values)
        above = metrics.auc(samples.labels, filled)
        found = max(above, 1 - above)
        if found >= limit:
            message = (
                f"'{feature.name}' alone tells the positive cases with an AUC of {found:.3f}; "
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
    chosen = rows.select("subscription_id", "base", "label", *columns)
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
