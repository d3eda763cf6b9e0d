"""Health scores: 100 points in each of four dimensions, less those of every cause that is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config.scores import Cause, HealthSettings
from jobs.contracts.supply import ItemStatus
from jobs.expressions.nodes import is_supplied
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, to_sql

_CAUSES = "ARRAY<STRUCT<cause: STRING, dimension: STRING, points: INT, zh: STRING, en: STRING>>"


@dataclass(frozen=True)
class Before:
    """Customers as they were, to be held against what they are now.

    Attributes:
        view: subscription_id and items.
        statuses: Status of the items then.
    """

    view: DataFrame
    statuses: Mapping[str, ItemStatus]


def health_scores(
    view: DataFrame,
    settings: HealthSettings,
    statuses: Mapping[str, ItemStatus],
    before: Before | None = None,
) -> DataFrame:
    """Scores every row of a view.

    Args:
        view: as_of, cutoff, subscription_id and items.
        settings: Dimensions and causes.
        statuses: Status of the items; causes that the source does not supply are left out.
        before: The same customers as they were; without it no change is known.

    Returns:
        as_of, cutoff, subscription_id, health_<dimension> (0-100, null where no cause of the dimension
        is known), health_mean (of the known ones), health_change_1m (the mean of how much each dimension
        known at both times has changed, by the causes that both can tell) and causes, dearest first.
    """
    supplied = _supplied(settings, statuses)
    names = [f"health_{dimension}" for dimension in settings.dimensions]
    scores = _scores(supplied, settings, "health_")
    dearest_first = sorted(supplied.items(), key=lambda pair: (-pair[1].points, pair[0]))
    found = ", ".join(_found(name, cause) for name, cause in dearest_first)
    causes = F.expr(f"cast(array_compact(array({found})) AS {_CAUSES})").alias("causes")
    head = ["as_of", "cutoff", "subscription_id"]
    change = F.lit(None).cast("bigint")
    told: list[Column] = [*scores, causes]
    if before is not None:
        then = _supplied(settings, before.statuses)
        both = {name: cause for name, cause in supplied.items() if name in then}
        told += _scores(both, settings, "now_")
        earlier = before.view.select("subscription_id", *_scores(both, settings, "then_"))
        change = _mean([f"now_{dimension} - then_{dimension}" for dimension in settings.dimensions])
    rows = view.select(*head, *told)
    if before is not None:
        rows = rows.join(earlier, "subscription_id", "left")
    mean = _mean(names).alias("health_mean")
    return rows.select(*head, *names, mean, change.alias("health_change_1m"), "causes")


def _supplied(settings: HealthSettings, statuses: Mapping[str, ItemStatus]) -> dict[str, Cause]:
    """The causes that a source supplies."""
    return {
        name: cause
        for name, cause in settings.causes.items()
        if is_supplied(parse(cause.when), lambda one: statuses[one.name] is ItemStatus.supplied)
    }


def _scores(causes: Mapping[str, Cause], settings: HealthSettings, prefix: str) -> list[Column]:
    """A column a dimension, by some causes."""
    return [
        _score([one for one in causes.values() if one.dimension == dimension]).alias(f"{prefix}{dimension}")
        for dimension in settings.dimensions
    ]


def _mean(numbers: Sequence[str]) -> Column:
    """The mean of the numbers that are known, rounded half away from nothing; null where none is."""
    total = " + ".join(f"coalesce({one}, 0)" for one in numbers)
    known = " + ".join(f"cast(({one}) IS NOT NULL AS INT)" for one in numbers)
    return F.expr(f"cast(round(({total}) / nullif({known}, 0)) AS BIGINT)")


def _score(causes: list[Cause]) -> Column:
    if not causes:
        return F.lit(None).cast("bigint")
    conditions = [to_sql(parse(cause.when)) for cause in causes]
    lost = " + ".join(
        f"CASE WHEN {condition} THEN {cause.points} ELSE 0 END"
        for condition, cause in zip(conditions, causes, strict=True)
    )
    known = " OR ".join(f"({condition}) IS NOT NULL" for condition in conditions)
    return F.expr(f"CASE WHEN {known} THEN cast(greatest(100 - ({lost}), 0) AS BIGINT) END")


def _found(name: str, cause: Cause) -> str:
    texts = ", ".join(literal(part) for part in (name, cause.dimension))
    names = ", ".join(literal(part) for part in (cause.zh, cause.en))
    return f"CASE WHEN {to_sql(parse(cause.when))} THEN struct({texts}, {cause.points}, {names}) END"
