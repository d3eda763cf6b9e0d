"""Measures service quality in a month, and tells what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.service_measures import CUSTOMERS, Counted, ServiceMeasure
from jobs.domain.service_measures import amounts, counted, measured
from jobs.domain.view import known_at
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle, month_end, month_start
from jobs.kernel.errors import CycleError, Issue
from jobs.stages.context import RunContext
from jobs.stages.samples import at_date, now_of
from jobs.stages.snapshot import supply_at
from jobs.storage.warehouse import settled

TABLE = "service_measures"
IN_NETWORK = "subscription_status IN ('active', 'suspended')"


@dataclass(frozen=True)
class MeasuredMonth:
    """What was measured in a month.

    Attributes:
        month: Its last day.
        rows: Rows of the table service_measures.
        untold: Why a measure could not be taken, by measure.
    """

    month: date
    rows: list[dict[str, Any]]
    untold: dict[str, str]


def measure_month(context: RunContext, month: date) -> MeasuredMonth:
    """Measures a month whose monthly cycle has been run, and writes what it comes to.

    Raises:
        CycleError: When there is no view of its end, or nothing can be measured.
    """
    started, mark = context.clock(), context.configuration.service_measures.fingerprint
    settings, table = context.configuration.service_measures, context.table(TABLE)
    last, now = month_end(month), now_of(context)
    customers = _customers(context, last)
    untold = {}
    frames = []
    for name, measure in settings.measures.items():
        why = _why_untold(context, measure, last, now)
        if why is not None:
            untold[name] = why
            continue
        frames.append(_measured(context, name, measure, last, now, customers))
    if not frames:
        raise CycleError(Issue("TABLE_MISSING", f"nothing can be measured: {'; '.join(untold.values())}"))
    found = settled(reduce(DataFrame.unionByName, frames))
    before = context.warehouse.read_or_empty(table)
    for column, months in (("change_on_quarter", 3), ("change_on_year", 12)):
        then = before.where(f"month = last_day(add_months({literal(last)}, -{months}))")
        then = then.select("measure", "area", "place", F.col("value").alias("then"))
        found = found.join(then, ["measure", "area", "place"], "left")
        found = found.withColumn(column, F.expr("cast(value - then AS DECIMAL(38,4))")).drop("then")
    written = context.warehouse.replace(found, table, {"month": [last]})
    result = "complete" if written.changed else "unchanged"
    context.log_cycle("service_measures", at_date(context, last), started, result, written.rows, mark)
    rows = context.warehouse.read(table).where(f"month = {literal(last)}").orderBy("measure", "area", "place")
    return MeasuredMonth(last, [row.asDict() for row in rows.collect()], untold)


def _customers(context: RunContext, last: date) -> DataFrame:
    """subscription_id, the areas, and whether it was held, at the end of a month as it is known best.

    Raises:
        CycleError: When there is no view of that date.
    """
    here = context.warehouse.read_or_empty(context.view_table).where(f"as_of = {literal(last)}")
    cutoff = here.agg(F.max("cutoff")).collect()[0][0]
    if cutoff is None:
        message = f"no view of {last} has been built; the measures need whoever was in the network then"
        raise CycleError(Issue("TABLE_MISSING", message))
    areas = context.configuration.service_measures.areas
    held = f"coalesce({IN_NETWORK}, FALSE) AS held"
    return settled(here.where(f"cutoff = {literal(cutoff)}").selectExpr("subscription_id", *areas, held))


def _why_untold(context: RunContext, measure: ServiceMeasure, last: date, now: Cycle) -> str | None:
    for one in measure.counted:
        if one.contract not in context.source.contracts:
            return f"the source delivers no {one.contract}"
        before, after = one.near.days if one.near is not None else (0, 0)
        first = month_start(last) + timedelta(days=min(0, before))
        until = last + timedelta(days=max(0, after))
        told = supply_at(context, now).delivered[one.contract]
        # What has not been told, or has not happened yet, must not count as not having happened.
        if told.data_until is None or told.data_until < until:
            return f"{one.contract} end on {told.data_until}, and those until {until} are needed"
        if told.data_from is None or told.data_from > first:
            return f"{one.contract} begin on {told.data_from}, and those from {first} are needed"
        if holes := [gap for gap in told.gaps if gap[0] <= until and gap[1] >= first]:
            return f"{one.contract} from {holes[0][0]} to {holes[0][1]} are missing"
    return None


def _measured(
    context: RunContext, name: str, measure: ServiceMeasure, last: date, now: Cycle, customers: DataFrame
) -> DataFrame:
    areas = context.configuration.service_measures.areas
    first = month_start(last)
    parted = customers.drop("held")

    def summed(of: Counted) -> DataFrame:
        rows = context.warehouse.read(context.source.contracts[of.contract].clean_table())
        mine = counted(known_at(rows, now), of, first, last, measure.by)
        return amounts(mine, parted, areas, measure.by)

    if measure.per == CUSTOMERS:
        held = customers.where("held").selectExpr("subscription_id", "1 AS amount")
        per = amounts(held, parted, areas, ())
    else:
        assert isinstance(measure.per, Counted)
        per = summed(measure.per)
    return measured(name, measure, summed(measure.of), per, last)
