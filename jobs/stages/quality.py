"""Deliveries as a whole: against the last four of their kind, and against the rows they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts.extracts import ExtractContract
from jobs.expressions.sql import quote
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.deliveries import Delivery, period_end
from jobs.stages.expectations import Expectation, Validator, expectations_of
from jobs.stages.judge import ACCEPTED, Batch

TABLE = "quality_results"
DOCS = "data_docs"
EARLIER = 4
# Of fewer rows shares tell little.
LEAST_ROWS = 100


@dataclass(frozen=True)
class Figures:
    """What is known of a delivery that is compared: rows that were accepted, and their profile."""

    rows: int
    profile: Mapping[str, Decimal]


def check_quality(
    context: RunContext, batches: Sequence[Batch], known: Iterable[Mapping[str, Any]]
) -> Validator | None:
    """Checks every new delivery as a whole, keeps what was found, and says what is not as expected.

    Returns:
        What can write the outcome as pages (see write_pages); None when there was nothing to check.

    Raises:
        SourceError: When a delivery breaches an expectation whose contract says stop.
    """
    if not batches:
        return None
    rows = list(known)
    unknown = _unknown_shares(context, batches)
    validator = Validator()
    results: list[tuple[Any, ...]] = []
    stops: list[Issue] = []
    for batch in batches:
        figures = [_figures(batch, one, rows, unknown) for one in batch.deliveries]
        for delivery, found, unmet in zip(
            batch.deliveries, figures, validator.failed(batch.contract, figures), strict=True
        ):
            for one in expectations_of(batch.contract):
                results.append(_result(context, delivery, one, found.get(one.column), one not in unmet))
            for one in unmet:
                issue = Issue("FILE_UNEXPECTED", _sentence(one, found[one.column]), Location(delivery.path))
                if one.breach == "stop":
                    stops.append(issue)
                else:
                    context.progress(f"  {delivery.name} {issue.message}")
    table = context.table(TABLE)
    context.warehouse.append(context.spark.createDataFrame(results, table.ddl), table)
    if stops:
        write_pages(context, validator)
        raise SourceError(stops)
    return validator


def write_pages(context: RunContext, validator: Validator | None) -> None:
    """Writes the outcome of the checks, if there were any, as static pages into a local warehouse."""
    if validator is not None and "://" not in context.warehouse.path:
        validator.write_docs(Path(context.warehouse.path) / DOCS)


def _figures(
    batch: Batch,
    delivery: Delivery,
    known: Sequence[Mapping[str, Any]],
    unknown: Mapping[tuple[str, str], float],
) -> dict[str, float | None]:
    """A delivery's figures by the names of expectations; None where there is nothing to compare with."""
    counts = batch.counts[delivery.delivery_id]
    now = Figures(counts.accepted, counts.profile)
    before = _earlier(batch, delivery, known)
    last, end = counts.last, period_end(delivery.period)
    total = sum(one.rows for one in before)
    enough = now.rows >= LEAST_ROWS and total >= LEAST_ROWS
    found: dict[str, float | None] = {
        "volume": now.rows * len(before) / total if total >= LEAST_ROWS * len(before) > 0 else None,
        "freshness": float(max(0, (end - last).days)) if last is not None and end is not None else None,
    }
    for one in expectations_of(batch.contract):
        if one.check == "references":
            found[one.column] = unknown.get((delivery.delivery_id, one.field or ""))
        elif one.check in ("nulls", "drift") and one.field is not None:
            compare = _null_change if one.check == "nulls" else _drift
            found[one.column] = compare(batch.contract, one.field, now, before) if enough else None
    return found


def _earlier(batch: Batch, delivery: Delivery, known: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """The last four deliveries of the same part and kind of period, before this one."""
    found: dict[str, Figures] = {
        row["period"]: Figures(row["rows_read"] - row["rows_quarantined"], row["profile"] or {})
        for row in known
        if row["contract"] == delivery.contract and row["part"] == delivery.part and row["status"] == "active"
    }
    for one in batch.deliveries:
        if one.part == delivery.part:
            counts = batch.counts[one.delivery_id]
            found[one.period] = Figures(counts.accepted, counts.profile)
    periods = sorted(p for p in found if len(p) == len(delivery.period) and p < delivery.period)
    return [found[period] for period in periods[-EARLIER:]]


def _null_change(_: ExtractContract, field: str, now: Figures, before: Sequence[Figures]) -> float | None:
    name = f"nulls:{field}"
    told = [one for one in before if name in one.profile and one.rows]
    if name not in now.profile or not told:
        return None
    usual = sum((one.profile[name] for one in told), Decimal(0)) / sum(one.rows for one in told)
    return float(now.profile[name] / now.rows - usual)


def _drift(contract: ExtractContract, field: str, now: Figures, before: Sequence[Figures]) -> float | None:
    codes = contract.fields[field].values
    if codes is None:
        return _mean_change(field, now, before)
    names = [f"code:{field}={code}" for code in codes]
    mine = [now.profile.get(name, Decimal(0)) for name in names]
    usual = [sum((one.profile.get(name, Decimal(0)) for one in before), Decimal(0)) for name in names]
    if not sum(mine) or not sum(usual):
        return None
    shares = zip(mine, usual, strict=True)
    return float(sum(abs(a / sum(mine) - b / sum(usual)) for a, b in shares) / 2)


def _mean_change(field: str, now: Figures, before: Sequence[Figures]) -> float | None:
    mine, usual = _moments(field, [now]), _moments(field, before)
    if mine is None or usual is None:
        return None
    difference = abs(mine[0] - usual[0])
    deviation = usual[1].sqrt()
    if not deviation:
        return 0.0 if not difference else None
    return float(difference / deviation)


def _moments(field: str, figures: Sequence[Figures]) -> tuple[Decimal, Decimal] | None:
    """Mean and variance of a number over some deliveries."""
    told = [one for one in figures if f"sum:{field}" in one.profile]
    rows = sum((one.rows - one.profile.get(f"nulls:{field}", Decimal(0)) for one in told), Decimal(0))
    if not rows:
        return None
    mean = sum((one.profile[f"sum:{field}"] for one in told), Decimal(0)) / rows
    squares = sum((one.profile[f"squares:{field}"] for one in told), Decimal(0)) / rows
    return mean, max(Decimal(0), squares - mean * mean)


def _unknown_shares(context: RunContext, batches: Sequence[Batch]) -> dict[tuple[str, str], float]:
    """Share of the different values of a delivery's field that its reference does not know."""
    new = {batch.contract.contract: batch for batch in batches}
    used: list[DataFrame] = []
    names: list[tuple[str, str]] = []
    targets: dict[str, int] = {}
    for batch in batches:
        supplied = context.source.fields_of(batch.contract.contract)
        for field, reference in batch.contract.references.items():
            if reference.to not in context.source.contracts or field not in supplied:
                continue
            # Numbers instead of names: millions of rows carry them.
            to = targets.setdefault(reference.to, len(targets))
            place = F.expr(f"{len(names)} + delivery").alias("place")
            names += [(one.delivery_id, field) for one in batch.deliveries]
            rows = batch.judged.where(ACCEPTED).where(F.col(quote(field)).isNotNull())
            used.append(rows.select(F.lit(to).alias("to"), place, F.col(quote(field)).alias("value")))
    if not used:
        return {}
    known = [_known_keys(context, name, number, new.get(name)) for name, number in targets.items()]
    there = reduce(DataFrame.unionByName, known).distinct().withColumn("known", F.lit(1))
    found = reduce(DataFrame.unionByName, used).distinct().join(there, ["to", "value"], "left")
    shares = found.groupBy("place").agg(F.count("*").alias("values"), F.count("known").alias("known"))
    return {names[row["place"]]: 1 - row["known"] / row["values"] for row in shares.collect()}


def _known_keys(context: RunContext, name: str, number: int, batch: Batch | None) -> DataFrame:
    contract = context.configuration.contracts[name]
    key = F.col(quote(contract.key[0])).alias("value")
    rows = context.warehouse.read_or_empty(contract.clean_table()).select(key)
    if batch is not None:
        rows = rows.unionByName(batch.judged.where(ACCEPTED).select(key))
    return rows.select(F.lit(number).alias("to"), "value")


def _result(
    context: RunContext, delivery: Delivery, one: Expectation, observed: float | None, success: bool
) -> tuple[Any, ...]:
    def number(value: float | None) -> Decimal | None:
        return None if value is None else Decimal(f"{value:.8f}")

    return (
        delivery.delivery_id,
        delivery.contract,
        delivery.name,
        one.check,
        one.field,
        number(observed),
        number(one.least),
        number(one.most),
        success,
        one.breach,
        context.run_id,
    )


def _sentence(one: Expectation, observed: float | None) -> str:
    found = 0.0 if observed is None else observed
    most = "any" if one.most is None else f"{one.most:.0%}"
    match one.check:
        case "volume":
            return (
                f"has {found:.0%} of the mean rows of the last {EARLIER}; expected {one.least:.0%} to {most}"
            )
        case "freshness":
            return f"ends {found:.0f} days before its period; expected at most {one.most:.0f}"
        case "nulls":
            return f"{one.field} is empty in {found:.1%} more of the rows than usual; expected at most {most}"
        case "drift":
            return f"{one.field} differs by {found:.2f} from what is usual; expected at most {one.most:.2f}"
        case _:
            return f"{one.field}: {found:.1%} of its different values are unknown; expected at most {most}"
