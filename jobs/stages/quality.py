"""Deliveries as a whole: what their contracts expect of them, by figures of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from jobs.kernel.errors import Issue
from jobs.stages.context import RunContext
from jobs.stages.delivery import Delivery
from jobs.stages.expectations import Expectation, Validator, expectations_of
from jobs.stages.judge import Batch
from jobs.stages.periods import period_end
from jobs.stages.refusals import react
from jobs.storage.frames import frame_of

TABLE = "quality_results"
DOCS = "data_docs"
EARLIER = 4
# Of fewer rows shares tell little.
LEAST_ROWS = 100
# So many deviations a number moves that was always the same and now always is another.
OTHER_CONSTANT = 1_000.0


@dataclass(frozen=True)
class Figures:
    """What is known of a delivery that is compared: rows that were accepted, and their profile."""

    rows: int
    profile: Mapping[str, Decimal]


class QualityCheck:
    """The checks of a run's deliveries and what they found.

    Attributes:
        stops: Breaches of expectations whose contract says stop.
    """

    def __init__(self, context: RunContext, known: Sequence[Mapping[str, Any]]) -> None:
        self.stops: list[Issue] = []
        self._context = context
        self._known = known
        self._validator = Validator()
        self._results: list[tuple[Any, ...]] = []

    def check(self, batch: Batch) -> None:
        """Checks each delivery of a contract and tells what is not as expected."""
        deliveries = [one for one in batch.deliveries if not one.is_second]
        figures = [_figures(batch, one, self._known) for one in deliveries]
        expected = expectations_of(batch.contract)
        outcome = self._validator.failed(batch.contract, expected, figures)
        for delivery, found, unmet in zip(deliveries, figures, outcome, strict=True):
            for one in expected:
                observed = found.get(one.column)
                self._results.append(_result(self._context, delivery, one, observed, one not in unmet))
            for one in unmet:
                message = _sentence(one, found[one.column])
                react(self._context, delivery, message, one.breach, self.stops)

    def write(self) -> None:
        """Keeps the results, and writes them as static pages into a local warehouse.

        A delivery that is looked at again, after a kill or a stop, has one set of results: the newest.
        """
        if not self._results:
            return
        table, warehouse = self._context.table(TABLE), self._context.warehouse
        rows = frame_of(self._context.spark, self._results, table.ddl).coalesce(1)
        looked_at = sorted({result[0] for result in self._results})
        warehouse.replace_changed(rows, table, {"delivery_id": looked_at})
        if "://" not in warehouse.path:
            self._validator.write_docs(Path(warehouse.path) / DOCS)


def _figures(batch: Batch, delivery: Delivery, known: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """A delivery's figures by the names of expectations; None where there is nothing to compare with."""
    counts = batch.counts[delivery.delivery_id]
    now = Figures(counts.accepted, counts.profile)
    earlier = _earlier(batch, delivery, known)
    before = earlier[-EARLIER:]
    # The first of all often brings the years before it too, and tells nothing of a usual volume.
    usual = earlier[1:][-EARLIER:]
    last, end = counts.last, period_end(delivery.period)
    volume = sum(one.rows for one in usual)
    enough = now.rows >= LEAST_ROWS and sum(one.rows for one in before) >= LEAST_ROWS
    found: dict[str, float | None] = {
        "rows": float(now.rows),
        "volume": now.rows * len(usual) / volume if volume >= LEAST_ROWS * len(usual) > 0 else None,
        "freshness": float(max(0, (end - last).days)) if last is not None and end is not None else None,
    }
    for one in expectations_of(batch.contract):
        if one.check == "references":
            unknown = now.profile.get(f"unknown:{one.field}")
            found[one.column] = float(unknown / now.rows) if unknown is not None and now.rows else None
        elif one.check in ("nulls", "drift") and one.field is not None:
            if not enough:
                found[one.column] = None
            elif one.check == "nulls":
                found[one.column] = _null_change(one.field, now, before)
            else:
                codes = batch.contract.fields[one.field].values
                moved = _mean_change if codes is None else partial(_codes_change, codes)
                found[one.column] = moved(one.field, now, before)
    return found


def _earlier(batch: Batch, delivery: Delivery, known: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """The deliveries of the same part and kind of period before this one."""
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
    return [found[period] for period in periods]


def _null_change(field: str, now: Figures, before: Sequence[Figures]) -> float | None:
    name = f"nulls:{field}"
    told = [one for one in before if name in one.profile and one.rows]
    if name not in now.profile or not told:
        return None
    usual = sum((one.profile[name] for one in told), Decimal(0)) / sum(one.rows for one in told)
    return float(now.profile[name] / now.rows - usual)


def _codes_change(codes: Sequence[str], field: str, now: Figures, before: Sequence[Figures]) -> float | None:
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
    # A number that has always been the same is measured by what it varies now.
    deviation = (usual[1] or mine[1]).sqrt()
    if not deviation:
        return OTHER_CONSTANT if difference else 0.0
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
        case "rows":
            bounds = [f"at least {one.least:,.0f}"] if one.least is not None else []
            bounds += [f"at most {one.most:,.0f}"] if one.most is not None else []
            return f"has {found:,.0f} rows; expected {' and '.join(bounds)}"
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
            return f"{one.field} names an unknown one in {found:.1%} of the rows; expected at most {most}"
