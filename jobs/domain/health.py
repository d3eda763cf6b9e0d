"""Health scores: 100 points in each of four dimensions, less those of every cause that is true."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config.scores import Cause, HealthSettings
from jobs.contracts.supply import ItemStatus
from jobs.expressions.nodes import is_supplied
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, to_sql

_CAUSES = "ARRAY<STRUCT<cause: STRING, dimension: STRING, points: INT, zh: STRING, en: STRING>>"


def health_scores(view: DataFrame, settings: HealthSettings, statuses: Mapping[str, ItemStatus]) -> DataFrame:
    """Scores every row of a view.

    Args:
        view: as_of, cutoff, subscription_id and items.
        settings: Dimensions and causes.
        statuses: Status of the items; causes that the source does not supply are left out.

    Returns:
        as_of, cutoff, subscription_id, health_<dimension> (0-100, null where no cause of the dimension
        is known) and causes, dearest first.
    """
    supplied = {
        name: cause
        for name, cause in settings.causes.items()
        if is_supplied(parse(cause.when), lambda one: statuses[one.name] is ItemStatus.supplied)
    }
    scores = [
        _score([one for one in supplied.values() if one.dimension == dimension]).alias(f"health_{dimension}")
        for dimension in settings.dimensions
    ]
    dearest_first = sorted(supplied.items(), key=lambda pair: (-pair[1].points, pair[0]))
    found = ", ".join(_found(name, cause) for name, cause in dearest_first)
    causes = F.expr(f"cast(array_compact(array({found})) AS {_CAUSES})").alias("causes")
    return view.select("as_of", "cutoff", "subscription_id", *scores, causes)


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
