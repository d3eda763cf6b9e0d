"""The registry of models: what was trained, and which model is in use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from jobs.config.models import ModelSettings
from jobs.expressions.sql import literal
from jobs.kernel.errors import CycleError, Issue, did_you_mean
from jobs.modelling.drift import Spread
from jobs.modelling.features import Feature
from jobs.modelling.trees import Scorer
from jobs.stages.context import RunContext
from jobs.storage.frames import frame_of

MODELS = "models"
PROMOTIONS = "promotions"
PROMOTE = "promote"


@dataclass(frozen=True)
class Trained:
    """A model as the registry keeps it.

    Attributes:
        model_id: Model, the date it was trained as of, and a hash of its trees.
        model: What it foretells.
        trained_as_of: Last date it knew anything of.
        bases: Dates at which customers were taken.
        features: What it looks at.
        spreads: How each was spread among those it has learned from.
        definitions: Fingerprint of what each item meant.
        score_spread: How the raw probability was.
        steps: Calibration.
        metrics: Of customers it has not learned from.
        booster: The trees.
    """

    model_id: str
    model: str
    trained_as_of: date
    bases: tuple[date, ...]
    features: tuple[Feature, ...]
    spreads: tuple[Spread, ...]
    definitions: Mapping[str, str]
    score_spread: Spread
    steps: tuple[tuple[float, float], ...]
    metrics: Mapping[str, float]
    booster: bytes

    def scorer(self, settings: ModelSettings) -> Scorer:
        """The model as it is applied."""
        return Scorer(self.booster, self.features, self.steps, settings.use.reasons)


@dataclass(frozen=True)
class Lineage:
    """What a model was made of, as the registry keeps it beside the model."""

    calibrated_on: date | None
    customers: int
    positive: int
    parameters: Mapping[str, object]
    fingerprint: str
    views: Sequence[str]


def add(context: RunContext, trained: Trained, lineage: Lineage) -> bool:
    """Adds a model; one that stands there already is left as it is.

    Returns:
        Whether it is new.
    """
    if any(one.model_id == trained.model_id for one in trained_models(context)):
        return False
    pairs = zip(trained.features, trained.spreads, strict=True)
    features = [(one.item, one.value, list(how.edges), list(how.shares)) for one, how in pairs]
    names = ("item", "value", "edges", "shares")
    row = {
        "model_id": trained.model_id,
        "model": trained.model,
        "trained_as_of": trained.trained_as_of,
        "bases": list(trained.bases),
        "calibrated_on": lineage.calibrated_on,
        "customers": lineage.customers,
        "positive": lineage.positive,
        "features": [dict(zip(names, one, strict=True)) for one in features],
        "definitions": dict(trained.definitions),
        "score_edges": list(trained.score_spread.edges),
        "score_shares": list(trained.score_spread.shares),
        "steps": [{"raw": raw, "probability": probability} for raw, probability in trained.steps],
        "metrics": dict(trained.metrics),
        "parameters": json.dumps(lineage.parameters, sort_keys=True),
        "fingerprint": lineage.fingerprint,
        "views": list(lineage.views),
        "booster": trained.booster,
        "trained_at": context.clock(),
        "run_id": context.run_id,
    }
    table = context.table(MODELS)
    rows = frame_of(context.spark, [tuple(row[name] for name in table.names)], table.ddl)
    context.warehouse.append(rows, table)
    return True


def trained_models(context: RunContext) -> list[Trained]:
    """All models, in order of training."""
    rows = context.warehouse.read_or_empty(context.table(MODELS)).orderBy("trained_at").collect()
    return [_trained(row.asDict(recursive=True)) for row in rows]


def _trained(row: Mapping[str, Any]) -> Trained:
    return Trained(
        model_id=row["model_id"],
        model=row["model"],
        trained_as_of=row["trained_as_of"],
        bases=tuple(row["bases"]),
        features=tuple(Feature(one["item"], one["value"]) for one in row["features"]),
        spreads=tuple(Spread(tuple(one["edges"]), tuple(one["shares"])) for one in row["features"]),
        definitions=row["definitions"],
        score_spread=Spread(tuple(row["score_edges"]), tuple(row["score_shares"])),
        steps=tuple((one["raw"], one["probability"]) for one in row["steps"]),
        metrics=row["metrics"],
        booster=bytes(row["booster"]),
    )


def find(context: RunContext, model_id: str) -> Trained:
    """A model by its id.

    Raises:
        CycleError: When there is none.
    """
    models = {one.model_id: one for one in trained_models(context)}
    if model_id not in models:
        hint = did_you_mean(model_id, models) or (
            f"; trained are {', '.join(models)}" if models else "; none has been trained"
        )
        raise CycleError(Issue("MODEL_UNKNOWN", f"there is no model '{model_id}'{hint}"))
    return models[model_id]


def _stack(context: RunContext, model: str) -> list[str]:
    """The models that were put in use and not taken back, the one in use last."""
    rows = context.warehouse.read_or_empty(context.table(PROMOTIONS))
    stack: list[str] = []
    for row in rows.where(f"model = {literal(model)}").orderBy("promoted_at").collect():
        if row["action"] == PROMOTE:
            stack.append(row["model_id"])
        else:
            stack = stack[:-1]
    return stack


def in_use(context: RunContext, model: str) -> str | None:
    """The id of the model that is in use, if any."""
    stack = _stack(context, model)
    return stack[-1] if stack else None


def usable(context: RunContext, model: str, as_of: date) -> tuple[Trained | None, str | None]:
    """The model in use that counts on a date: the last one put in use that does not know what came after.

    A date that is run again after a newer model was put in use so has the one it had.

    Returns:
        The model, or None with the reason why there is none; both None when none was ever put in use.
    """
    stack = _stack(context, model)
    models = {one.model_id: one for one in trained_models(context)} if stack else {}
    for model_id in reversed(stack):
        if model_id not in models:
            return None, f"{model_id} is no longer in the table {MODELS}"
        if models[model_id].trained_as_of <= as_of:
            return models[model_id], None
    return None, f"{stack[-1]} knows what came after {as_of}" if stack else None


def promote(context: RunContext, model_id: str, by: str, reason: str) -> Trained:
    """Puts a model in use.

    Raises:
        CycleError: When there is none of that id, or it is in use already.
    """
    trained = find(context, model_id)
    if in_use(context, trained.model) == model_id:
        raise CycleError(Issue("MODEL_IN_USE", f"{model_id} is in use already"))
    _note(context, trained.model, model_id, PROMOTE, by, reason)
    return trained


def rollback(context: RunContext, model: str, by: str, reason: str) -> str | None:
    """Goes back to what was in use before the model that is; None is the formula.

    Raises:
        CycleError: When none is in use.
    """
    stack = _stack(context, model)
    if not stack:
        message = f"no model '{model}' is in use; there is nothing to go back from"
        raise CycleError(Issue("MODEL_UNKNOWN", message))
    before = stack[-2] if len(stack) > 1 else None
    _note(context, model, before, "rollback", by, reason)
    return before


def _note(context: RunContext, model: str, model_id: str | None, action: str, by: str, reason: str) -> None:
    table = context.table(PROMOTIONS)
    row = (model, model_id, action, by, reason, context.clock(), context.run_id)
    context.warehouse.append(frame_of(context.spark, [row], table.ddl), table)
