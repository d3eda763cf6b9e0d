"""Learns what costs health points from who was lost, and shows how health is spread."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import yaml

from jobs.config.scores import Cause, HealthSettings
from jobs.contracts.tables import view_table
from jobs.kernel.errors import CycleError, Issue
from jobs.kernel.titles import Title
from jobs.modelling import metrics, scorecard
from jobs.modelling.arrays import Bools, Floats, Ints
from jobs.modelling.features import directions
from jobs.modelling.metrics import Interval
from jobs.modelling.scorecard import Step
from jobs.stages.context import Configuration, RunContext
from jobs.stages.mining import said
from jobs.stages.samples import samples_of
from jobs.stages.training import folds_of, refuse_leaks
from jobs.storage.reader import newest_partition, table_of

QUANTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Learned:
    """What a scorecard of health says of customers it was not learned from.

    Attributes:
        title: What was foretold.
        as_of: Last date anything was known of.
        bases: The dates customers were looked at.
        customers: How many rows, a customer a date.
        lost: To how many of them it happened.
        auc: Of the mean of the dimensions, with its interval over customers.
        lift: Of the tenth of the customers with the worst health.
        by_dimension: AUC of each dimension alone.
        causes: What costs points, learned from all customers: by name, with the step it was made of.
    """

    title: Title
    as_of: date
    bases: tuple[date, ...]
    customers: int
    lost: int
    auc: Interval
    lift: Interval
    by_dimension: dict[str, Interval]
    causes: dict[str, tuple[Cause, Step]]


def learn_health(context: RunContext, name: str, as_of: date) -> Learned:
    """Learns the causes of health from who was lost, as a model of conf/models.yaml says it.

    Raises:
        CycleError: When there is too little to learn from, or an item knows the future.
    """
    configuration = context.configuration
    model, settings = configuration.models.models[name], configuration.mining.health
    samples = samples_of(context, name, as_of)
    refuse_leaks(samples, configuration.models.training.leak_auc)
    items = configuration.view.items
    types = {one.item: items[one.item].type for one in samples.features}
    sides = directions(samples.features, model.rising, model.falling)
    matrix, labels, dates = samples.matrix, samples.labels, samples.base_of_row
    dimension_of = _dimensions(configuration)

    def learned(rows: Bools) -> list[tuple[Step, int]]:
        steps = scorecard.learn(
            matrix[rows], labels[rows], dates[rows], samples.features, types, sides, settings
        )
        return scorecard.points_of(steps, matrix[rows], dimension_of.__getitem__)

    fold = folds_of(samples, settings.folds)
    names = list(configuration.health.dimensions)
    left = np.full((len(labels), len(names)), float(scorecard.FULL))
    for part in range(settings.folds):
        mine = fold == part
        left[mine] = scorecard.health(learned(~mine), matrix[mine], dimension_of.__getitem__, names)
    priced = learned(np.ones(len(labels), bool))
    if not priced:
        message = f"{name}: no item tells the {int(labels.sum()):,} lost customers from the others"
        raise CycleError(Issue("MODEL_NO_DATA", message))
    resamples = configuration.models.evaluation.resamples

    def judged(kind: Callable[[Ints, Floats], float], points: Floats) -> Interval:
        return metrics.interval(lambda rows: kind(labels[rows], -points[rows]), samples.customers, resamples)

    return Learned(
        Title(zh=model.zh, en=model.en),
        as_of,
        samples.bases,
        len(labels),
        int(labels.sum()),
        judged(metrics.auc, scorecard.overall(left)),
        judged(metrics.lift, scorecard.overall(left)),
        {one: judged(metrics.auc, scorecard.overall(left[:, [place]])) for place, one in enumerate(names)},
        dict(_causes(priced, configuration)),
    )


def _dimensions(configuration: Configuration) -> dict[str, str]:
    """The dimension of health that each item speaks for."""
    of_class = configuration.models.dimensions
    return {item: of_class[one.class_] for one in configuration.view.classes for item in one.items}


def _causes(
    priced: list[tuple[Step, int]], configuration: Configuration
) -> Iterator[tuple[str, tuple[Cause, Step]]]:
    dimension_of = _dimensions(configuration)
    used: Counter[str] = Counter()
    for step, points in priced:
        condition = step.condition
        used[condition.item] += 1
        number = used[condition.item]
        cause = Cause(
            dimension=dimension_of[condition.item],
            points=points,
            when=condition.text,
            zh=said(condition, configuration, "zh"),
            en=said(condition, configuration, "en"),
        )
        yield condition.item if number == 1 else f"{condition.item}_{number}", (cause, step)


def health_file(found: Learned, settings: HealthSettings) -> str:
    """The causes as a file in the place of conf/health.yaml."""
    lines = [
        f"# Learned as of {found.as_of} from {found.customers:,} customers, {found.lost:,} of them lost",
        f"# ({found.title.zh} / {found.title.en}). Of customers it was not learned from, the tenth with the",
        f"# worst health was lost {_around(found.lift)} times as often as all; AUC {_around(found.auc)}.",
        "# What stands over a cause is of the customers it was learned from. To be gone over by a person.",
        "dimensions:",
    ]
    for dimension, title in settings.dimensions.items():
        lines.append(f"  {dimension}: {_flow({'zh': title.zh, 'en': title.en})}")
    lines.append("causes:")
    for dimension in settings.dimensions:
        mine = {name: one for name, one in found.causes.items() if one[0].dimension == dimension}
        for name, (cause, step) in mine.items():
            lines.append(f"  # {step.share:.0%} of the customers; lost {step.lift:.2f} times as often as all")
            lines.append(f"  {name}: {_flow(cause.model_dump())}")
    return "\n".join(lines) + "\n"


def _around(one: Interval) -> str:
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"


def _flow(told: dict[str, object]) -> str:
    text: str = yaml.safe_dump(
        told, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000
    )
    return text.strip()


@dataclass(frozen=True)
class Spread:
    """Health in one dimension among some customers.

    Attributes:
        group: Which: a value of the item they are parted by.
        dimension: The dimension.
        customers: How many of them it is known of.
        quantiles: Points that so many per cent of them have at most; see QUANTILES.
        causes: What costs most of them points, with how many it does, the most frequent first.
    """

    group: str
    dimension: str
    customers: int
    quantiles: tuple[float, ...]
    causes: tuple[tuple[str, int], ...]


def spread_by(configuration: Configuration, warehouse: str, item: str) -> tuple[str, list[Spread]]:
    """How health is spread over the values of an item, such as the city, in the newest scores.

    Returns:
        The date of the scores, and the spreads by group and dimension.

    Raises:
        StorageError: When no scores have been written.
    """
    table, view = configuration.tables["health_scores"], view_table(configuration.view)
    partition = newest_partition(warehouse, table, ("as_of", "cutoff"))
    where = [(name, "=", date.fromisoformat(value)) for name, value in partition.items()]
    known = table_of(warehouse, view, where, ["subscription_id", item]).to_pydict()
    groups = dict(zip(known["subscription_id"], known[item], strict=True))
    scores = table_of(warehouse, table, where, table.names).to_pylist()
    points: dict[tuple[str, str], list[int]] = defaultdict(list)
    costing: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in scores:
        group = str(groups.get(row["subscription_id"]) or "-")
        for dimension in configuration.health.dimensions:
            if (value := row[f"health_{dimension}"]) is not None:
                points[group, dimension].append(value)
        for cause in row["causes"] or ():
            costing[group, cause["dimension"]][f"{cause['zh']} / {cause['en']}"] += 1
    return str(partition["as_of"]), [
        Spread(
            group,
            dimension,
            len(values),
            tuple(float(one) for one in np.percentile(values, QUANTILES)),
            tuple(sorted(costing[group, dimension].items(), key=lambda one: (-one[1], one[0]))),
        )
        for (group, dimension), values in sorted(points.items())
    ]
