"""Which moments a date holds back because they are far from usual, and how they are let pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame

from jobs.domain.breaker import Unusual, unusual
from jobs.expressions.sql import literal
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import CycleError, Issue, did_you_mean
from jobs.stages.context import RunContext
from jobs.stages.moments import in_cycles
from jobs.storage.frames import frame_of

# Eight monthly cycles lie within it.
_LOOKS_BACK = timedelta(days=300)


def held_moments(context: RunContext, moments: DataFrame, due: Sequence[Cycle]) -> list[Unusual]:
    """What is unusual on a date and has not been released.

    Args:
        context: The run.
        moments: Rows of the table moments that are due on the date.
        due: The cycles that are.
    """
    limits = context.configuration.dispatch.breaker
    evaluations = context.warehouse.read_or_empty(context.table("rule_evaluations"))
    dates: dict[str, list[tuple[str, date]]] = defaultdict(list)
    for cycle in due:
        since = cycle.as_of - _LOOKS_BACK
        earlier = evaluations.where(
            f"cycle = '{cycle.kind}' AND as_of < {literal(cycle.as_of)} AND as_of >= {literal(since)} "
            "AND result = 'evaluated' AND NOT first_run"
        )
        for moment, as_of in earlier.select("moment_id", "as_of").orderBy("as_of", ascending=False).collect():
            if len(dates[moment]) < limits.dates:
                dates[moment].append((str(cycle.kind), as_of))
    compared = {moment: past for moment, past in dates.items() if len(past) >= limits.least_dates}
    if not compared:
        return []
    pairs = sorted({pair for past in compared.values() for pair in past})
    history = context.warehouse.read(context.table("moments")).where(in_cycles(pairs))
    # A rule that is not in use any more has none, and that is as it should be.
    rules = [rule for cycle in due for rule in context.configuration.rules.of_cycle(cycle.kind, cycle.as_of)]
    known = {rule.id for rule in rules if rule.file.status == "active" and not rule.is_exempt}
    on: dict[date, dict[tuple[str, str | None], int]] = defaultdict(dict)
    for day, moment, city, count in _counted(history, "as_of"):
        on[day][moment, city] = count
    now = {(moment, city): count for _, moment, city, count in _counted(moments, "dispatch_date")}
    past = {moment: [on[day] for _, day in days] for moment, days in compared.items() if moment in known}
    found = unusual(now, past, limits)
    released = _released(context, due[0].dispatch_date)
    return [one for one in found if one.moment not in released]


def _counted(moments: DataFrame, by: str) -> list[tuple[date, str, str | None, int]]:
    rows = moments.where("NOT shadow").groupBy(by, "moment_id", "city").count()
    return [tuple(row) for row in rows.collect()]


def _released(context: RunContext, dispatch_date: date) -> set[str]:
    rows = context.warehouse.read_or_empty(context.table("releases"))
    return {
        row[0]
        for row in rows.where(f"dispatch_date = {literal(dispatch_date)}").select("moment_id").collect()
    }


def held_issues(held: Sequence[Unusual], dispatch_date: date) -> list[Issue]:
    """What a person is told of moments that are held."""
    return [
        Issue(
            "ALERTS_HELD",
            f"{one.moment} of {dispatch_date}: {one}; look at it, then let it pass by "
            f"'keymoments release {one.moment} --dispatch-date {dispatch_date} --by NAME --reason TEXT ...'",
        )
        for one in held
    ]


def release_moment(context: RunContext, moment: str, dispatch_date: date, by: str, reason: str) -> None:
    """Lets a moment pass on a date; the date is to be dispatched again.

    Raises:
        CycleError: When nothing of it is held on the date.
    """
    due = context.configuration.calendar.due(dispatch_date)
    moments = context.warehouse.read_or_empty(context.table("moments"))
    moments = moments.where(in_cycles((c.kind, c.as_of) for c in due))
    held = [one.moment for one in held_moments(context, moments, due)]
    if moment not in held:
        hint = did_you_mean(moment, held) or (
            f"; held are {', '.join(held)}" if held else "; nothing is held"
        )
        raise CycleError(Issue("CYCLE_NOT_HELD", f"'{moment}' is not held on {dispatch_date}{hint}"))
    row = (dispatch_date, moment, by, reason, context.clock(), context.run_id)
    table = context.table("releases")
    schema = ", ".join(f"{column.name} {column.type}" for column in table.columns)
    context.warehouse.append(frame_of(context.spark, [row], schema), table)
