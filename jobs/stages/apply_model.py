"""Applies the churn model in use to a cycle, unless something speaks against it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
from pyspark.sql import DataFrame
from xgboost.core import XGBoostError

from jobs.contracts.supply import ItemStatus, Supply
from jobs.domain.risk import DRIVERS
from jobs.expressions.sql import quote
from jobs.kernel.cycle import Cycle
from jobs.modelling.arrays import Floats
from jobs.modelling.drift import Spread, noise, stability
from jobs.modelling.reasons import Wording, reasons_of
from jobs.modelling.trees import PLACES, Scorer
from jobs.stages.context import RunContext
from jobs.stages.registry import Trained, usable
from jobs.stages.samples import feature_columns, matrix_of
from jobs.stages.view import view_of
from jobs.storage.frames import frame_of

CHURN = "churn"
SCORE = "(score)"
# So many tell the index to about 0.001.
SAMPLE = 20_000
ROWS_PER_TASK = 25_000
BATCH_SCHEMA = (
    f"subscription_id STRING, risk_probability DECIMAL(18,6), drivers {DRIVERS}, "
    "reasons_zh ARRAY<STRING>, reasons_en ARRAY<STRING>"
)


@dataclass(frozen=True)
class Applied:
    """What the model in use says of a cycle.

    Attributes:
        model_id: The model; None when the formula counts.
        scores: subscription_id, risk_probability, drivers, reasons_zh, reasons_en; None when it does.
        fallback: Why the model in use does not count; None when it does, or none is in use.
    """

    model_id: str | None = None
    scores: DataFrame | None = None
    fallback: str | None = None


def apply_model(context: RunContext, cycle: Cycle, supply: Supply) -> Applied:
    """Scores the view of a cycle by the model in use, and notes how far its customers have drifted."""
    trained, fallback = usable(context, CHURN, cycle.as_of)
    partition = {"as_of": [cycle.as_of], "cutoff": [cycle.cutoff]}
    table = context.table("model_drift")
    if trained is None:
        if context.warehouse.may_hold(table, partition):
            context.warehouse.replace(context.warehouse.none_of(table), table, partition)
        return Applied(fallback=fallback)
    fallback = _why_not(context, cycle, supply, trained)
    drift = [] if fallback else _drift(context, cycle, trained)
    rows = [(cycle.as_of, cycle.cutoff, trained.model_id, *one) for one in drift]
    context.warehouse.replace(frame_of(context.spark, rows, table.ddl), table, partition)
    if drift:
        warned = [f"{name} {psi:.2f}" for name, psi, verdict in drift if verdict != "ok"]
        if warned:
            context.progress(f"drift of {cycle.as_of} from {trained.model_id}: {', '.join(warned)}")
        stopped = [f"{psi:.2f}" for name, psi, verdict in drift if verdict == "stop"]
        if stopped:
            fallback = f"{trained.model_id} has drifted: the stability index of its score is {stopped[0]}"
    if fallback is not None:
        return Applied(fallback=fallback)
    scores = scored_by(context, view_of(context, cycle), _size(context, cycle), trained)
    return Applied(trained.model_id, scores)


def _size(context: RunContext, cycle: Cycle) -> int:
    """Rows of the view of a cycle."""
    known = context.built_views.get((cycle.as_of, cycle.cutoff))
    return known[1] if known is not None else view_of(context, cycle).count()


def _why_not(context: RunContext, cycle: Cycle, supply: Supply, trained: Trained) -> str | None:
    age = (cycle.as_of - trained.trained_as_of).days
    most = context.configuration.models.use.max_age_days
    if age > most:
        return f"{trained.model_id} is {age} days old; {most} are the most"
    try:
        used = trained.scorer(context.configuration.models).used_items
    except XGBoostError:
        return f"the trees of {trained.model_id} cannot be read by this version of xgboost"
    statuses, view = supply.statuses(), context.configuration.view
    lacking = [item for item in used if statuses.get(item) is not ItemStatus.supplied]
    if lacking:
        return f"{trained.model_id} needs {', '.join(lacking)}, not supplied on {cycle.as_of}"
    changed = [one for one in used if view.definition_fingerprint(one) != trained.definitions.get(one)]
    if changed:
        return f"{trained.model_id} has learned another meaning of {', '.join(changed)}"
    return None


def _drift(context: RunContext, cycle: Cycle, trained: Trained) -> list[tuple[str, Decimal, str]]:
    """The stability index of every feature and the score, with its verdict."""
    use = context.configuration.models.use
    view = view_of(context, cycle)
    rows = _size(context, cycle)
    # Those it has learned from were active.
    view = view.where("coalesce(subscription_status, 'active') = 'active'")
    if rows > SAMPLE:
        view = view.where(f"pmod(xxhash64('drift', subscription_id), {rows}) < {SAMPLE}")
    matrix = matrix_of(view.selectExpr(*feature_columns(trained.features)).toArrow(), len(trained.features))
    names = [one.name for one in trained.features]
    if not len(matrix):
        return []

    def shift(was: Spread, values: Floats) -> float:
        """The index less what chance alone makes of so few."""
        return max(0.0, stability(was, values) - noise(was, len(values)))

    found = [
        (name, shift(was, values), False)
        for name, was, values in zip(names, trained.spreads, matrix.T, strict=True)
    ]
    raw, _ = trained.scorer(context.configuration.models).by_item(matrix)
    found.append((SCORE, shift(trained.score_spread, raw), True))

    def verdict(psi: float, stops: bool) -> str:
        if stops and psi >= use.psi_stop:
            return "stop"
        return "warn" if psi >= use.psi_warn else "ok"

    return [(name, Decimal(f"{psi:.6f}"), verdict(psi, stops)) for name, psi, stops in found]


def scored_by(context: RunContext, view: DataFrame, rows: int, trained: Trained) -> DataFrame:
    """The model's scores of the rows of a view, in one pass."""
    catalogue, settings = context.configuration.view, context.configuration.models
    classes = {item: one.class_ for one in catalogue.classes for item in one.items}
    wording = {
        item: Wording(
            catalogue.items[item].zh,
            catalogue.items[item].en,
            settings.dimensions[classes[item]],
            catalogue.items[item].type,
            catalogue.items[item].unit,
            {code: (title.zh, title.en) for code, title in catalogue.items[item].labels.items()},
        )
        for item in dict.fromkeys(one.item for one in trained.features)
    }
    chosen = view.selectExpr(quote("subscription_id"), *feature_columns(trained.features))
    # Explaining a customer takes longer than reading him: a file is shared out among tasks.
    chosen = chosen.repartition(max(1, math.ceil(rows / ROWS_PER_TASK)))
    return chosen.mapInArrow(_scoring(trained.scorer(settings), wording), BATCH_SCHEMA)


def _scoring(
    scorer: Scorer, wording: dict[str, Wording]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The work of a task; it carries the trees with it."""

    def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield _score(batch, scorer, wording)

    return score


def _score(batch: pa.RecordBatch, scorer: Scorer, wording: dict[str, Wording]) -> pa.RecordBatch:
    matrix = matrix_of(batch, len(scorer.features))
    raw, added = scorer.by_item(matrix)
    places, log_odds = scorer.top(added)
    told = reasons_of(scorer, wording, matrix, places)
    drivers = [
        [
            {
                "item": scorer.items[place],
                "dimension": wording[scorer.items[place]].dimension,
                "log_odds": Decimal(f"{value:.{PLACES}f}"),
            }
            for place, value in zip(row, values, strict=True)
            if place >= 0
        ]
        for row, values in zip(places.tolist(), log_odds.tolist(), strict=True)
    ]
    kind = pa.list_(
        pa.struct([("item", pa.string()), ("dimension", pa.string()), ("log_odds", pa.decimal128(18, 6))])
    )
    probability = [Decimal(f"{one:.{PLACES}f}") for one in scorer.calibrated(raw).tolist()]
    texts = pa.list_(pa.string())
    return pa.RecordBatch.from_arrays(
        [
            batch.column("subscription_id"),
            pa.array(probability, pa.decimal128(18, 6)),
            pa.array(drivers, kind),
            pa.array([zh for zh, _ in told], texts),
            pa.array([en for _, en in told], texts),
        ],
        ["subscription_id", "risk_probability", "drivers", "reasons_zh", "reasons_en"],
    )
