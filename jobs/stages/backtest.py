"""What rules would have sent on past dates, by the very stages that send; and what came of it.

A backtest identifies moments and dispatches in a branch of the warehouse: its own tables begin with the
history before the first date, so that rules which are as they were give the alerts that were given.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from itertools import chain
from tempfile import TemporaryDirectory

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.models import Model
from jobs.domain.view import known_at
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, to_sql
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import CycleError, HeldError
from jobs.stages.context import RunContext
from jobs.stages.dispatch import dispatch
from jobs.stages.moments import identify_moments
from jobs.stages.samples import at_date, not_told
from jobs.stages.view import check_standing, view_of
from jobs.storage.branch import Branch

BY_CYCLE = ("moment_state", "moments", "rule_evaluations")
BY_DATE = ("alerts", "tasks", "current_moments")


@dataclass(frozen=True)
class Outcome:
    """How often something came to pass after a moment.

    Attributes:
        cases: Moments whose time after has passed.
        hits: Those after which it came to pass.
        base_share: Share of all active subscriptions, on the same dates, to whom it happened.
    """

    cases: int
    hits: int
    base_share: float

    @property
    def share(self) -> float:
        """Precision: share of the cases that are hits."""
        return self.hits / self.cases

    @property
    def lift(self) -> float | None:
        """The share against that of everybody; None where it happened to nobody."""
        return self.share / self.base_share if self.base_share else None


@dataclass
class MomentFigures:
    """What one rule would have given.

    Attributes:
        moment_id: The rule.
        cycle: Its cycle.
        evaluated: Cycles in which it was evaluated: in use, in its time, and supplied.
        fired: Moments, also of shadow rules.
        by_status: Alerts by the status of the last date on which they stand.
        by_city: Moments by city.
        calls: Visits it leads, on channels that take a manager's time.
        outcomes: By model of conf/models.yaml whose target is told by rows.
    """

    moment_id: str
    cycle: str
    evaluated: int = 0
    fired: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    by_city: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    outcomes: dict[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True)
class Backtest:
    """What rules would have given over dates.

    Attributes:
        dates: The dates of dispatch.
        moments: By rule, those that fired most first.
        not_supplied: Items lacking, by rule that the source cannot decide.
        calls: Visits given out on channels that take a manager's time, by date.
        waiting: Such visits that found no capacity, by date.
        held: Dates on which moments were held because they were unusual, as they were here let stand.
        untold: Why an outcome could not be looked at, by model.
    """

    dates: tuple[date, ...]
    moments: dict[str, MomentFigures]
    not_supplied: dict[str, tuple[str, ...]]
    calls: dict[date, int]
    waiting: dict[date, int]
    held: tuple[date, ...]
    untold: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """Customers of one moment under two sets of rules; each counts once a range of dates.

    Attributes:
        gained: Subscriptions that only the new rules give the moment.
        lost: Those that only the old ones do.
        kept: Those that both do.
        one_gained: One of the gained, to be looked at.
        one_lost: One of the lost.
    """

    gained: int
    lost: int
    kept: int
    one_gained: str | None
    one_lost: str | None


class Simulation:
    """A branch in which dates have been dispatched anew."""

    def __init__(self, context: RunContext, dates: Sequence[date], folder: str) -> None:
        """Dispatches the dates.

        Args:
            context: The run, with the rules that are tried.
            dates: Dates of dispatch whose views and scores have been written, rising.
            folder: Where the branch may write.

        Raises:
            CycleError: When a view of the dates has not been built, or not by the definitions of now.
        """
        self.dates = tuple(dates)
        branch = Branch(context.warehouse, folder, {*BY_CYCLE, *BY_DATE})
        self.context = replace(context, warehouse=branch, _log_rows=[])
        self.held: list[date] = []
        self.not_supplied: dict[str, tuple[str, ...]] = {}
        self.evaluated: Counter[str] = Counter()
        self._check_views()
        self._take_over(branch)
        for day in self.dates:
            for cycle in chain.from_iterable(context.configuration.rules.in_order(self.due(day))):
                lacking = identify_moments(self.context, cycle).not_supplied
                self.not_supplied |= lacking
                rules = self.context.configuration.rules.of_cycle(cycle.kind, cycle.as_of)
                self.evaluated.update(rule.id for rule in rules if rule.id not in lacking)
            try:
                dispatch(self.context, day)
            except HeldError:
                self.held.append(day)

    def due(self, day: date) -> list[Cycle]:
        """The cycles of a date."""
        return self.context.configuration.calendar.due(day)

    def _check_views(self) -> None:
        issues = []
        for day in self.dates:
            for as_of in dict.fromkeys(cycle.as_of for cycle in self.due(day)):
                cycle = next(one for one in self.due(day) if one.as_of == as_of)
                try:
                    check_standing(self.context, cycle)
                except CycleError as error:
                    issues += error.issues
        if issues:
            raise CycleError(issues)

    def _take_over(self, branch: Branch) -> None:
        first = self.dates[0]
        grace = self.context.configuration.calendar.grace_days
        later = [
            f"(cycle = '{kind}' AND as_of >= {literal(first - timedelta(days=grace[kind]))})"
            for kind in CycleKind
        ]
        for name in BY_CYCLE:
            branch.take_over(self.context.table(name), " OR ".join(later))
        for name in BY_DATE:
            branch.take_over(self.context.table(name), f"dispatch_date >= {literal(first)}")

    @cached_property
    def moments(self) -> DataFrame:
        """Moments that fired on the dates, but those that only keep others away."""
        rows = self.context.warehouse.read_or_empty(self.context.table("moments"))
        return rows.where(f"dispatch_date >= {literal(self.dates[0])}").where("category <> 'exempt'")

    @cached_property
    def alerts(self) -> DataFrame:
        """Alerts of the dates."""
        rows = self.context.warehouse.read_or_empty(self.context.table("alerts"))
        return rows.where(f"dispatch_date >= {literal(self.dates[0])}")

    def figures(self) -> Backtest:
        """Counts what the rules gave, and what came after."""
        found: dict[str, MomentFigures] = {}
        rules = [rule for rule in self.context.configuration.rules.rules if not rule.is_exempt]
        for rule in rules:
            found[rule.id] = MomentFigures(rule.id, str(rule.file.cycle), self.evaluated[rule.id])
        for row in self.moments.groupBy("moment_id", "city").count().collect():
            one = found[row["moment_id"]]
            one.fired += row["count"]
            one.by_city[row["city"] or ""] = row["count"]
        last = self.alerts.groupBy("moment_id", "alert_id").agg(
            F.max_by("status", "dispatch_date").alias("status")
        )
        for row in last.groupBy("moment_id", "status").count().orderBy("status").collect():
            # An alert of a rule that is no more may still wait.
            if row["moment_id"] in found:
                found[row["moment_id"]].by_status[row["status"]] = row["count"]
        calls: dict[date, int] = dict.fromkeys(self.dates, 0)
        waiting: dict[date, int] = dict.fromkeys(self.dates, 0)
        channels = [
            name for name, one in self.context.configuration.dispatch.channels.items() if one.uses_manager
        ]
        leads = self.alerts.where("visit_lead").where(F.col("channel").isin(channels))
        for row in leads.groupBy("dispatch_date", "moment_id", "status").count().collect():
            if row["status"] == "dispatched":
                calls[row["dispatch_date"]] += row["count"]
                if row["moment_id"] in found:
                    found[row["moment_id"]].calls += row["count"]
            elif row["status"] == "overflow":
                waiting[row["dispatch_date"]] += row["count"]
        untold = self._outcomes(found)
        order = sorted(found.values(), key=lambda one: (-one.fired, one.moment_id))
        return Backtest(
            self.dates,
            {one.moment_id: one for one in order},
            self.not_supplied,
            calls,
            waiting,
            tuple(self.held),
            untold,
        )

    def _outcomes(self, found: dict[str, MomentFigures]) -> dict[str, str]:
        """Adds what came after the moments; returns why something could not be told."""
        untold = {}
        for name, model in self.context.configuration.models.models.items():
            if any(outcome.event is None for outcome in model.target):
                continue
            days = {cycle.as_of: cycle for day in self.dates for cycle in self.due(day)}
            why = {as_of: self._why_untold(model, as_of) for as_of in days}
            told = [cycle for as_of, cycle in days.items() if why[as_of] is None]
            if not told:
                untold[name] = next(reason for reason in why.values() if reason is not None)
                continue
            self._outcome(name, model, told, found)
        return untold

    @cached_property
    def _now(self) -> Cycle:
        """All that is known, whenever it was learnt: what came of moments is looked at afterwards."""
        newest = self.context.warehouse.read(self.context.view_table).agg(F.max("as_of")).collect()[0][0]
        return at_date(self.context, newest)

    def _why_untold(self, model: Model, as_of: date) -> str | None:
        last = as_of + timedelta(days=model.days)
        contracts = [outcome.contract for outcome in model.target if outcome.contract is not None]
        reasons = (not_told(self.context, one, as_of, last, self._now) for one in contracts)
        return next((reason for reason in reasons if reason is not None), None)

    def _outcome(
        self, name: str, model: Model, cycles: Sequence[Cycle], found: dict[str, MomentFigures]
    ) -> None:
        context, now = self.context, self._now
        events = []
        for outcome in model.target:
            assert outcome.event is not None
            rows = context.warehouse.read(context.source.contracts[outcome.event.contract].clean_table())
            events.append(known_at(rows, now).where(to_sql(parse(outcome.event.where))))
        happened = events[0].select("subscription_id", "row_date")
        for one in events[1:]:
            happened = happened.unionByName(one.select("subscription_id", "row_date"))

        def counted(rows: DataFrame) -> dict[tuple[str, date], int]:
            return {(row[0], row[1]): row[2] for row in rows.groupBy("moment_id", "as_of").count().collect()}

        def with_event(rows: DataFrame) -> DataFrame:
            first, last = "on.row_date > it.as_of", f"on.row_date <= date_add(it.as_of, {model.days})"
            same = "on.subscription_id = it.subscription_id"
            return rows.alias("it").join(
                happened.alias("on"), F.expr(f"{same} AND {first} AND {last}"), "left_semi"
            )

        everybody = [
            view_of(context, cycle)
            .where("coalesce(subscription_status, 'active') = 'active'")
            .selectExpr("'' AS moment_id", "as_of", "subscription_id")
            for cycle in cycles
        ]
        base_rows = everybody[0]
        for rows in everybody[1:]:
            base_rows = base_rows.unionByName(rows)
        base, base_hits = counted(base_rows), counted(with_event(base_rows))
        shares = {as_of: base_hits.get(("", as_of), 0) / count for (_, as_of), count in base.items()}
        on = [cycle.as_of for cycle in cycles]
        mine = self.moments.where(F.col("as_of").isin(on)).select("moment_id", "as_of", "subscription_id")
        cases, hits = counted(mine), counted(with_event(mine))
        expected: dict[str, float] = defaultdict(float)
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for (moment, as_of), count in cases.items():
            sums[moment][0] += count
            sums[moment][1] += hits.get((moment, as_of), 0)
            expected[moment] += count * shares.get(as_of, 0.0)
        for moment, (count, hit) in sums.items():
            found[moment].outcomes[name] = Outcome(count, hit, expected[moment] / count)


@contextmanager
def simulated(context: RunContext, dates: Sequence[date]) -> Iterator[Simulation]:
    """Dispatches dates in a branch that is gone afterwards.

    Args:
        context: The run, with the rules that are tried.
        dates: Dates of dispatch whose views and scores have been written, rising.
    """
    with TemporaryDirectory(prefix="keymoments-backtest-") as folder:
        yield Simulation(context, dates, folder)


def differences(old: Simulation, new: Simulation, sent: bool) -> dict[str, Difference]:
    """Compares whom two simulations give moments.

    Args:
        old: Under the rules as they are.
        new: Under the rules as they may be.
        sent: Count only those who would have been served.

    Returns:
        By moment, those that gave anybody anything.
    """

    def given(one: Simulation, mark: str) -> DataFrame:
        rows = one.alerts.where("status = 'dispatched'") if sent else one.moments
        return rows.select("moment_id", "subscription_id").distinct().withColumn(mark, F.lit(True))

    both = given(old, "old").join(given(new, "new"), ["moment_id", "subscription_id"], "full")
    verdict = F.when(F.col("old").isNull(), "gained").when(F.col("new").isNull(), "lost").otherwise("kept")
    grouped = both.groupBy("moment_id", verdict.alias("verdict")).agg(
        F.count("*").alias("count"), F.expr("min(subscription_id)").alias("one")
    )
    counts: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for row in grouped.collect():
        counts[row["moment_id"]][row["verdict"]] = (row["count"], row["one"])

    def difference(one: dict[str, tuple[int, str]]) -> Difference:
        gained, lost, kept = (one.get(verdict, (0, None)) for verdict in ("gained", "lost", "kept"))
        return Difference(gained[0], lost[0], kept[0], gained[1], lost[1])

    return {moment: difference(one) for moment, one in sorted(counts.items())}
