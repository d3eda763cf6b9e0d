"""Tells what came of service: effects against the control group, and the value of service by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import functions as F

from jobs.config.effects import EffectSettings, MeasuredOutcome
from jobs.domain import effects as domain
from jobs.domain.dispatch import DISPATCHED
from jobs.domain.view import known_at
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue
from jobs.modelling.effects import Effect, Sample, adjusted, means, shares, verdict
from jobs.stages.context import RunContext
from jobs.stages.samples import not_told, now_of
from jobs.stages.tasks import reports_known
from jobs.storage.frames import frame_of
from jobs.storage.ledger import LedgerRow
from jobs.storage.warehouse import settled

EFFECTS, VALUES = "effects", "service_values"
TOO_FEW = "too_few"
Row = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What is told of a range of dates.

    Attributes:
        effects: Rows of the table effects.
        values: Rows of the table service_values.
        untold: Why nothing is told, by outcome.
    """

    effects: list[Row]
    values: list[Row]
    untold: dict[str, str]


def write_effects(context: RunContext, first: date, last: date) -> Told:
    """Writes the tables effects and service_values of a range of dispatch dates, by all that is known now.

    Args:
        context: The run.
        first: First date of dispatch.
        last: Last date of dispatch.

    Raises:
        CycleError: When no alert was dispatched on any of the dates.
    """
    started = context.clock()
    alerts = context.warehouse.read_or_empty(context.table("alerts"))
    inside = alerts.where(f"dispatch_date BETWEEN {literal(first)} AND {literal(last)}")
    dates = sorted(row[0] for row in inside.select("dispatch_date").distinct().collect())
    if not dates:
        message = f"no date from {first} to {last} has been dispatched"
        raise CycleError(Issue("CYCLE_BAD_DATE", message))
    now = now_of(context)
    untold, found = _effects(context, dates, now)
    span = {"first_date": first, "last_date": last}
    effects = [span | row | {"run_id": context.run_id} for row in found]
    values = [span | row | {"run_id": context.run_id} for row in _values(context, dates, now)]
    for name, rows in ((EFFECTS, effects), (VALUES, values)):
        table = context.table(name)
        data = [tuple(row.get(column) for column in table.names) for row in rows]
        place = {column: [day] for column, day in span.items()}
        context.warehouse.replace(frame_of(context.spark, data, table.ddl), table, place)
    context.log(
        LedgerRow(
            stage="effects",
            result="complete",
            started_at=started,
            finished_at=context.clock(),
            source=context.source.name,
            dispatch_date=last,
            rows_out=len(effects) + len(values),
            message="; ".join(f"{name}: {why}" for name, why in untold.items()) or None,
        )
    )
    return Told(effects, values, untold)


def _effects(context: RunContext, dates: Sequence[date], now: Cycle) -> tuple[dict[str, str], list[Row]]:
    settings = context.configuration.effects
    always = [rule.id for rule in context.configuration.rules.rules if rule.file.service_owed]
    alerts = context.warehouse.read(context.table("alerts"))
    among = settled(domain.cohort(alerts, dates[0], dates[-1], always))
    untold: dict[str, str] = {}
    frames, told_on = {}, {}
    for name, outcome in settings.outcomes.items():
        why = {day: _why_untold(context, outcome, day, now) for day in dates}
        told = [day for day in dates if why[day] is None]
        if not told:
            untold[name] = str(why[dates[0]])
            continue
        rows = context.warehouse.read(context.source.contracts[outcome.contract].clean_table())
        mine = among.where(F.col("dispatch_date").isin(told))
        frames[name] = domain.measured(mine, known_at(rows, now), outcome)
        told_on[name] = len(told)
    if not frames:
        return untold, []
    samples: dict[tuple[str, str, str], dict[bool, Sample]] = defaultdict(dict)
    for row in domain.sums(among, frames).collect():
        sample = Sample(row["count"], float(row["total"]), float(row["squares"]))
        samples[row["outcome"], row["by"], row["name"]][row["served"]] = sample
    return untold, _judged(settings, samples, told_on)


def _why_untold(context: RunContext, outcome: MeasuredOutcome, day: date, now: Cycle) -> str | None:
    if outcome.contract not in context.source.contracts:
        return f"the source delivers no {outcome.contract}"
    last = day + timedelta(days=outcome.days)
    return not_told(context, outcome.contract, day, last, now)


def _judged(
    settings: EffectSettings,
    samples: dict[tuple[str, str, str], dict[bool, Sample]],
    dates: dict[str, int],
) -> list[Row]:
    """Rows of the table effects; those of one outcome and kind of group are judged together."""
    none = Sample(0, 0.0, 0.0)
    families: dict[tuple[str, str], list[tuple[Row, Effect]]] = defaultdict(list)
    found: list[Row] = []
    for (outcome, by, name), groups in sorted(samples.items()):
        served, control = groups.get(True, none), groups.get(False, none)
        row: Row = {
            "outcome": outcome,
            "by": by,
            "name": name,
            "dates": dates[outcome],
            "served": served.count,
            "control": control.count,
            "served_mean": _decimal(served.mean) if served.count else None,
            "control_mean": _decimal(control.mean) if control.count else None,
            "verdict": TOO_FEW,
        }
        found.append(row)
        if min(served.count, control.count) >= settings.least:
            compare = shares if settings.outcomes[outcome].event is not None else means
            effect = compare(served, control, settings.confidence, settings.power)
            families[outcome, by].append((row, effect))
    for (outcome, _), family in families.items():
        rates = adjusted([effect.p_value for _, effect in family])
        for (row, effect), rate in zip(family, rates, strict=True):
            row |= {
                "difference": _decimal(effect.difference),
                "lower": _decimal(effect.lower),
                "upper": _decimal(effect.upper),
                "p_value": _decimal(effect.p_value, 8),
                "false_discovery": _decimal(rate, 8),
                "smallest": _decimal(effect.smallest),
                "verdict": verdict(effect, rate, settings.outcomes[outcome].better, settings.confidence),
            }
    return found


def _values(context: RunContext, dates: Sequence[date], now: Cycle) -> list[Row]:
    settings = context.configuration.effects
    alerts = context.warehouse.read(context.table("alerts")).where(f"status = {literal(DISPATCHED)}")
    alerts = alerts.where(F.col("dispatch_date").isin(list(dates)))
    channels = context.configuration.dispatch.channels
    counted = domain.service_sums(alerts, reports_known(context, now), settings, channels, now.as_of)
    return sorted(
        (_value(row.asDict(), settings) for row in counted.collect()),
        key=lambda row: (row["by"], row["name"]),
    )


def _value(row: Row, settings: EffectSettings) -> Row:
    """A row of the table service_values; the value is the product of the factors as they are told."""
    value = settings.service_value
    score = row["score_sum"] / row["scores"] if row["scores"] else None
    found = {
        **row,
        "cost": _decimal(float(row["cost"]), 2),
        "mean_score": None if score is None else _decimal(score, 4),
        "quality": _decimal(value.quality.neutral if score is None else score / 10),
    }
    if row["reached"]:
        each = float(row["cost"]) / row["reached"]
        factors = {
            "timing": float(row["timing"]) / row["reached"],
            "efficiency": row["connected"] / row["contacts"],
            "need_match": 1 - row["useless"] / row["reached"],
            "cost_factor": max(0.0, 1 - each / value.cost.zero_at),
        }
        found |= {name: _decimal(factor) for name, factor in factors.items()}
        product = found["quality"]
        for name in factors:
            product *= found[name]
        found["service_value"] = round(product, 6)
    return found


def _decimal(number: float, places: int = 6) -> Decimal:
    return Decimal(f"{number:.{places}f}")
