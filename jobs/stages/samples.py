"""What models learn from: customers as they were at earlier dates, and what they did afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.models import LATER, Event, Model, Training
from jobs.contracts.supply import ItemStatus, Supply
from jobs.domain.risk import usable_terms
from jobs.domain.view import known_at
from jobs.expressions.nodes import Name, Node, names, substitute
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, quote, to_sql
from jobs.kernel.cycle import Cycle, CycleKind, last_complete_month, month_end, month_start
from jobs.kernel.errors import ConfigError, CycleError, Issue, did_you_mean
from jobs.modelling.features import Feature, features_of
from jobs.stages.context import RunContext
from jobs.stages.coverage import told_daily
from jobs.stages.delivery_ledger import known_deliveries
from jobs.stages.snapshot import supply_at
from jobs.stages.view import view_of, write_view
from jobs.storage.warehouse import settled

FEATURE = "f"
"""Features are columns f0, f1, ...: their own names may hold any character."""

TERM = "term "
GRAINS = 1_000_000
QUIET_DAYS = 7


@dataclass(frozen=True)
class Samples:
    """Customers at base dates, with what they did in the time after.

    Attributes:
        rows: The view's columns with base, label (0 or 1), active_value, spend and the groups of the
            formula's terms; as many rows as one machine holds, at rest.
        features: What the features are.
        bases: The base dates, rising.
        terms: The formula's terms that can be told at all of them.
        marks: Fingerprint of the view at each base.
    """

    rows: DataFrame
    features: tuple[Feature, ...]
    bases: tuple[date, ...]
    terms: tuple[str, ...]
    marks: tuple[str, ...]

    @cached_property
    def table(self) -> pa.Table:
        """What is known of the rows and their features f0, f1, ..., in the order of base and subscription."""
        return self.with_features(self.features)

    def with_features(self, features: Sequence[Feature]) -> pa.Table:
        """The same rows with other features."""
        head = ["subscription_id", "base", "label", "active_value", "spend"]
        head += [quote(f"{TERM}{term}") for term in self.terms]
        return self.told(*head, *feature_columns(features))

    def told(self, *columns: str) -> pa.Table:
        """Columns of the rows as SQL, subscription_id and base among them, in the order of both."""
        chosen = self.rows.selectExpr(*columns)
        return chosen.toArrow().sort_by([("base", "ascending"), ("subscription_id", "ascending")])

    @cached_property
    def matrix(self) -> npt.NDArray[np.float32]:
        """The features, NaN where unknown."""
        return matrix_of(self.table, len(self.features))

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """What the customers did."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.int64)

    @cached_property
    def customers(self) -> npt.NDArray[np.int64]:
        """The number of each row's subscription: equal on all of its dates."""
        return np.unique(np.asarray(self.table["subscription_id"].to_pylist()), return_inverse=True)[1]

    @cached_property
    def base_of_row(self) -> npt.NDArray[np.int64]:
        """Place in bases of each row's base."""
        places = {base: place for place, base in enumerate(self.bases)}
        return np.array([places[base] for base in self.table["base"].to_pylist()])


def matrix_of(table: pa.Table | pa.RecordBatch, count: int) -> npt.NDArray[np.float32]:
    """The features of a table of Arrow, NaN where unknown."""
    columns = [table.column(f"{FEATURE}{place}").to_numpy(zero_copy_only=False) for place in range(count)]
    return np.column_stack(columns).astype(np.float32)


def feature_columns(features: Sequence[Feature]) -> list[str]:
    """The features as SQL over the view."""
    return [f"{one.sql} AS {FEATURE}{place}" for place, one in enumerate(features)]


def at_date(context: RunContext, as_of: date) -> Cycle:
    """A date with what is known at its end, as daily cycles know it."""
    grace = context.configuration.settings.calendar.grace_days[CycleKind.daily]
    return Cycle(CycleKind.daily, as_of, as_of + timedelta(days=grace))


def now_of(context: RunContext) -> Cycle:
    """The last date of what has been delivered, all of it known: for what is looked at afterwards."""
    ends = [row["covers_to"] for row in known_deliveries(context) if row["covers_to"] is not None]
    if not ends:
        message = f"nothing has been delivered to {context.warehouse.path}"
        raise CycleError(Issue("TABLE_MISSING", message))
    return at_date(context, max(ends))


def samples_of(context: RunContext, name: str, as_of: date, most_bases: int | None = None) -> Samples:
    """The samples of a model, as known on a date.

    Args:
        context: The run.
        name: The model.
        as_of: Last date anything is known of.
        most_bases: Base dates at most; as many as conf/models.yaml says by default.

    Raises:
        ConfigError: When there is no such model.
        CycleError: When there is too little to learn from.
    """
    settings = context.configuration.models
    if name not in settings.models:
        hint = did_you_mean(name, settings.models)
        message = f"there is no model '{name}' in conf/models.yaml{hint}"
        raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))
    model, training = settings.models[name], settings.training
    now = at_date(context, as_of)
    bases = _bases(context, model, now, most_bases or training.bases)
    supplies = [supply_at(context, base) for base in bases]
    items = _items(context, model, supplies)
    terms = _terms(context, supplies)
    for base in bases:
        write_view(context, base)
    built = [context.built_views[base.as_of, base.cutoff] for base in bases]
    share = min(1.0, training.max_rows / max(1, sum(rows for _, rows in built)))
    frames = [_labelled(context, model, base, now, share, terms) for base in bases]
    rows = settled(reduce(DataFrame.unionByName, frames))
    positive, others = _check_cases(name, rows, bases, training)
    types = {item: context.configuration.view.items[item].type for item in items}
    rows = rows.where("label IS NOT NULL")
    features = features_of(types, _values(rows, types, training.max_values))
    if not features:
        raise CycleError(Issue("MODEL_NO_DATA", f"{name}: no item is supplied at {bases[0].as_of}"))
    context.progress(
        f"{name}: {positive + others:,} customers of {len(bases)} dates, {positive:,} positive, "
        f"{len(features)} features"
    )
    return Samples(
        rows,
        features,
        tuple(base.as_of for base in bases),
        tuple(terms),
        tuple(mark for mark, _ in built),
    )


def _check_cases(name: str, rows: DataFrame, bases: Sequence[Cycle], training: Training) -> tuple[int, int]:
    """Counts positive cases and others, of which there have to be enough, and few of unknown outcome.

    Raises:
        CycleError: When not. Who is lost is known by one sign of many, who is not by all of them: were those
            left out of whom something is unknown, the rest would look worse than they are.
    """
    counts = rows.groupBy("base").agg(
        F.count("*"), F.count("label"), F.coalesce(F.sum("label"), F.lit(0)).cast("int")
    )
    found = {row[0]: (row[1], row[2], row[3]) for row in counts.collect()}
    issues = []
    for base in bases:
        size, known, _ = found.get(base.as_of, (0, 0, 0))
        unknown = 1 - known / size if size else 1.0
        if unknown > training.most_unknown:
            what = f"the outcome of {unknown:.1%} of the customers of {base.as_of} is not known"
            issues.append(
                Issue("MODEL_NO_DATA", f"{name}: {what}; at most {training.most_unknown:.1%} may be")
            )
    positive = sum(one for _, _, one in found.values())
    others = sum(known for _, known, _ in found.values()) - positive
    if not issues and min(positive, others) < training.least_cases:
        told = f"{positive} positive cases and {others} others since {bases[0].as_of}"
        issues.append(
            Issue("MODEL_NO_DATA", f"{name}: {told}; at least {training.least_cases} of each are needed")
        )
    if issues:
        raise CycleError(issues)
    return positive, others


def _bases(context: RunContext, model: Model, now: Cycle, most: int) -> list[Cycle]:
    """The dates that are learned from: month ends, or the snapshot, whose time has passed by now.

    Raises:
        CycleError: When there is none.
    """
    calendar, training = context.configuration.calendar, context.configuration.models.training
    matured = now.as_of - timedelta(days=model.gap_days + model.days)
    end = calendar.snapshot or month_end(last_complete_month(matured))
    found: list[Cycle] = []
    newest: set[str] = set()
    reason = f"no base date has passed {model.gap_days + model.days} days before {now.as_of}"
    while end <= matured and len(found) < most:
        base = at_date(context, end)
        supply = supply_at(context, base)
        if supply.delivered["subscriptions"].data_from is None:
            reason = reason if newest else f"nothing is known of {end}, and {reason}"
            break
        why = _why_not(context, model, base, now, supply)
        items = _supplied(supply)
        if why is None and found and len(items & newest) < training.least_items * len(newest):
            break
        if why is None:
            newest = newest or items
            found.insert(0, base)
        elif found:
            break
        else:
            # Whoever left lately may not be told yet: an earlier date serves as well.
            reason = why
        if calendar.snapshot is not None:
            break
        end = month_start(end) - timedelta(days=1)
    if not found:
        raise CycleError(Issue("MODEL_NO_DATA", reason))
    return found


def _why_not(context: RunContext, model: Model, base: Cycle, now: Cycle, supply: Supply) -> str | None:
    """Why a date cannot be a base, if so."""
    last = base.as_of + timedelta(days=model.gap_days + model.days)
    for outcome in model.target:
        if outcome.contract is not None:
            why = not_told(context, outcome.contract, base.as_of, last, now)
        else:
            before, after = outcome.items
            end = _supplied(supply_at(context, _end_of(last, now)))
            lacking = [f"{item} on {base.as_of}" for item in sorted(before - _supplied(supply))]
            lacking += [f"{item} on {last}" for item in sorted(after - end)]
            why = f"the target needs {', '.join(lacking)}, not supplied" if lacking else None
        if why is not None:
            return why
    return None


def _end_of(last: date, now: Cycle) -> Cycle:
    """The end of a time, as known now."""
    return Cycle(CycleKind.daily, last, now.cutoff)


def not_told(context: RunContext, contract: str, begin: date, last: date, now: Cycle) -> str | None:
    """Why the rows of a contract do not tell what happened in a time, if so."""
    outcome = supply_at(context, now).delivered.get(contract)
    if outcome is None or outcome.data_from is None or outcome.data_until is None:
        return f"the source delivers no {contract}"
    # Where few have an event, its last date lies before the end of what is told, unless each day has a file.
    by_day = told_daily(known_deliveries(context), context.source, contract)
    if outcome.data_until < last - timedelta(days=0 if by_day else QUIET_DAYS):
        return f"{contract} end on {outcome.data_until}, and those until {last} are needed"
    # A source that delivers once may give one date for all.
    once = context.configuration.calendar.snapshot is not None
    if not once and outcome.data_from > begin + timedelta(days=QUIET_DAYS):
        return f"{contract} begin on {outcome.data_from}, and those from {begin} are needed"
    return None


def _supplied(supply: Supply) -> set[str]:
    return {item for item, status in supply.statuses().items() if status is ItemStatus.supplied}


def _items(context: RunContext, model: Model, supplies: Sequence[Supply]) -> list[str]:
    """The items that a model may use: known at every base, so that null never tells the date."""
    usable = set.intersection(*map(_supplied, supplies)) - set(model.leave_out)
    return [item for item in context.configuration.view.items if item in usable]


def _terms(context: RunContext, supplies: Sequence[Supply]) -> dict[str, str]:
    """Groups of the formula's terms that can be told at every base, as SQL."""
    settings = context.configuration.risk
    usable = [usable_terms(settings, supply.statuses()) for supply in supplies]
    names = [name for name in settings.terms if all(name in one for one in usable)]
    return {name: to_sql(parse(settings.terms[name].group)) for name in names}


def _labelled(
    context: RunContext, model: Model, base: Cycle, now: Cycle, share: float, terms: dict[str, str]
) -> DataFrame:
    """Who was active at a base, with label: whether the target came to pass within the days after the gap.

    Null is unknown. Who had it within the gap, or something that is kept apart, is left out. If many are
    thinned, then by the subscription, so that the shares of both classes stay as they are.
    """
    last = base.as_of + timedelta(days=model.gap_days + model.days)
    begin = base.as_of + timedelta(days=model.gap_days)

    def who(event: Event) -> DataFrame:
        rows = context.warehouse.read(context.source.contracts[event.contract].clean_table())
        within = f"row_date > {literal(base.as_of)} AND row_date <= {literal(last)}"
        found = known_at(rows, now).where(within).where(to_sql(parse(event.where)))
        return found.groupBy("subscription_id").agg(F.min("row_date").alias("on"))

    evaluation = context.configuration.models.evaluation
    groups = [f"coalesce({sql}, 'unknown') AS {quote(TERM + name)}" for name, sql in terms.items()]
    view = view_of(context, base).where("coalesce(subscription_status, 'active') = 'active'")
    view = view.where(f"pmod(xxhash64(subscription_id), {GRAINS}) < {round(share * GRAINS)}")
    view = view.selectExpr(
        "*",
        f"{literal(base.as_of)} AS base",
        f"coalesce({to_sql(parse(evaluation.active_value))}, false) AS active_value",
        f"cast({quote(evaluation.spend)} AS DOUBLE) AS spend",
        *groups,
    )
    columns = view.columns
    if model.apart is not None and model.apart.contract in context.source.contracts:
        view = view.join(who(model.apart), "subscription_id", "left_anti")
    hits = []
    for place, outcome in enumerate(model.target):
        if outcome.event is not None:
            on = f"on {place}"
            view = view.join(who(outcome.event).withColumnRenamed("on", on), "subscription_id", "left")
            view = view.where(f"{quote(on)} IS NULL OR {quote(on)} > {literal(begin)}")
            hits.append(f"{quote(on)} IS NOT NULL")
    changes = [parse(outcome.later) for outcome in model.target if outcome.later is not None]
    if changes:
        view = view.join(_at_end(context, changes, _end_of(last, now)), "subscription_id", "left")
        hits += [f"({to_sql(substitute(tree, _end_column))})" for tree in changes]
    # Of whom an item is unknown at the base, nothing could be told, whatever came of him.
    before = sorted(set().union(*(outcome.items[0] for outcome in model.target)))
    view = view.where(" AND ".join(f"{quote(item)} IS NOT NULL" for item in before) or "TRUE")
    # OR of SQL: true when one is, unknown when none is and one is unknown.
    rows = view.withColumn("label", F.expr(" OR ".join(hits)).cast("int"))
    return rows.select(*columns, "label")


def _end_column(node: Node) -> Node | None:
    """A later item as the column that _at_end gives."""
    return Name(f"{LATER} {node.name}") if isinstance(node, Name) and node.table == LATER else None


def _at_end(context: RunContext, changes: Sequence[Node], end: Cycle) -> DataFrame:
    """subscription_id and the later items of changes, from the view at the end of the time."""
    items = sorted({name.name for tree in changes for name in names(tree) if name.table == LATER})
    write_view(context, end)
    columns = [F.col(quote(item)).alias(f"{LATER} {item}") for item in items]
    return view_of(context, end).select("subscription_id", *columns)


def _values(rows: DataFrame, types: Mapping[str, str], most: int) -> dict[str, list[str]]:
    """The values of text items that have few."""
    texts = [item for item, kind in types.items() if kind == "string"]
    if not texts:
        return {}
    sets = [F.slice(F.array_sort(F.collect_set(quote(item))), 1, most + 1).alias(item) for item in texts]
    found = rows.agg(*sets).collect()[0]
    return {item: found[item] for item in texts if 1 < len(found[item]) <= most}
