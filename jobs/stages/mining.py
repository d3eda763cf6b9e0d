"""Mines moments: which customers were lost more often than others, and what rules would find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from jobs.contracts.supply import ItemStatus
from jobs.expressions.sql import literal, quote
from jobs.kernel.titles import Title
from jobs.modelling.conditions import Condition, plain
from jobs.modelling.mining import Cases, Kind, Mined, mine
from jobs.rulelang.compile import EvaluableRule, evaluable, predicate_sql
from jobs.rulelang.conditions import pasts_of
from jobs.rulelang.draft import Wish, draft
from jobs.rulelang.reserved import reserved_sql
from jobs.stages.context import Configuration, RunContext
from jobs.stages.samples import Samples, at_date, samples_of
from jobs.stages.snapshot import supply_at
from jobs.stages.training import folds_of, refuse_leaks

MOMENT = "moment "
ID_LENGTH = 60


@dataclass(frozen=True)
class Mining:
    """What was mined, of what.

    Attributes:
        model: The model of conf/models.yaml whose target is what happened to the lost.
        title: Its title.
        as_of: Last date anything was known of.
        bases: The dates customers were looked at.
        customers: How many rows, a customer a date.
        lost: To how many of them it happened.
        mined: What was found.
        untold: Rules that could not be looked at: they need earlier runs, or what the source does not supply.
    """

    model: str
    title: Title
    as_of: date
    bases: tuple[date, ...]
    customers: int
    lost: int
    mined: Mined
    untold: tuple[str, ...]


def mine_moments(context: RunContext, name: str, as_of: date) -> Mining:
    """Mines what tells the lost customers from the others, as known on a date.

    Raises:
        CycleError: When there is too little to learn from, or an item knows the future.
    """
    configuration = context.configuration
    model = configuration.models.models[name]
    samples = samples_of(context, name, as_of)
    refuse_leaks(samples, configuration.models.training.leak_auc)
    rules, untold = _rules(context, samples)
    city = "city" if "city" in samples.rows.columns else "NULL"
    columns = ["subscription_id", "base", f"coalesce(cast({city} AS STRING), '') AS city"]
    columns += [f"coalesce({_applies(context, samples, one)}, false) AS {_column(one)}" for one in rules]
    table = samples.told(*columns)
    items = configuration.view.items
    cases = Cases(
        matrix=samples.matrix,
        features=samples.features,
        types={one.item: items[one.item].type for one in samples.features},
        labels=samples.labels,
        date=samples.base_of_row,
        city=table["city"].to_pylist(),
        customer=samples.customers,
        # Whole customers: those of one date would tell of themselves on another.
        searched=folds_of(samples, 2) == 0,
        moments={one.rule.id: table[f"{MOMENT}{one.rule.id}"].to_numpy() for one in rules},
    )
    return Mining(
        name,
        Title(zh=model.zh, en=model.en),
        as_of,
        samples.bases,
        len(samples.labels),
        int(samples.labels.sum()),
        mine(cases, configuration.mining.search),
        untold,
    )


def _column(one: EvaluableRule) -> str:
    return quote(f"{MOMENT}{one.rule.id}")


def _rules(context: RunContext, samples: Samples) -> tuple[list[EvaluableRule], tuple[str, ...]]:
    """The rules in use that the views at all bases decide, and the ids of the others."""
    view = context.configuration.view
    statuses: dict[str, ItemStatus] = dict.fromkeys(view.scores, ItemStatus.not_supplied)
    for base in samples.bases:
        for item, status in supply_at(context, at_date(context, base)).statuses().items():
            # What one date cannot tell would count as not applying there.
            if status is not ItemStatus.supplied:
                statuses[item] = ItemStatus.not_supplied
    used = [rule for rule in context.configuration.rules.rules if rule.file.status in ("active", "shadow")]
    asked = [rule for rule in used if not rule.is_exempt]
    found, _ = evaluable([rule for rule in asked if not pasts_of(rule.condition)], statuses)
    # One without some of its conditions is another rule.
    whole = [one for one in found if not one.left_out]
    return whole, tuple(sorted({rule.id for rule in asked} - {one.rule.id for one in whole}))


def _applies(context: RunContext, samples: Samples, one: EvaluableRule) -> str:
    """SQL of whether a rule is true at a row's base."""
    rules = context.configuration.rules
    cases = []
    for base in samples.bases:
        values = rules.reserved(base, at_date(context, base).dispatch_date)
        cases.append(f"WHEN {literal(base)} THEN {predicate_sql(one, reserved_sql(values))}")
    return f"CASE base {' '.join(cases)} END"


def proposals(found: Mining, configuration: Configuration) -> dict[str, str]:
    """Drafts of rules for the confirmed kinds, by id: texts of files."""
    settings = configuration.mining.proposals
    confirmed = [one for one in found.mined.kinds if one.verdict == "confirmed"]
    taken = {rule.id for rule in configuration.rules.rules}
    drafts: dict[str, str] = {}
    for one in confirmed[: settings.most]:
        name = _free_id(one, {*taken, *drafts})
        times = f"{one.judged.lift:.1f}"
        wish = Wish(
            id=name,
            title=Title(zh=_named(one, configuration, "zh"), en=_named(one, configuration, "en")),
            category=settings.category,
            cycle=settings.cycle,
            audience=settings.audience,
            when=tuple(condition.text for condition in one.conditions),
            plan=settings.plan,
            severity=settings.severity,
            urgency_days=settings.urgency_days,
            why=f"Mined as of {found.as_of}: {found.title.en} {times} times as often as all",
            remarks=tuple(_remarks(one, found)),
        )
        drafts[name] = draft(wish, configuration.view)
    return drafts


def _free_id(one: Kind, taken: set[str]) -> str:
    name = "_".join(("mined", *(condition.item for condition in one.conditions)))[:ID_LENGTH].rstrip("_")
    number = 2
    free = name
    while free in taken:
        free = f"{name[: ID_LENGTH - 3]}_{number}"
        number += 1
    return free


def _named(one: Kind, configuration: Configuration, language: str) -> str:
    parts = [said(condition, configuration, language) for condition in one.conditions]
    return ("、" if language == "zh" else "; ").join(parts)


def said(condition: Condition, configuration: Configuration, language: str) -> str:
    """A condition in words."""
    item = configuration.view.items[condition.item]
    name = item.zh if language == "zh" else item.en
    if isinstance(condition.value, str):
        label = item.labels.get(condition.value)
        value = condition.value if label is None else label.zh if language == "zh" else label.en
        return f"{name} = {value}"
    if isinstance(condition.value, bool):
        yes, no = ("是", "否") if language == "zh" else ("yes", "no")
        return f"{name}: {yes if condition.value else no}"
    return f"{name} {condition.sign} {plain(condition.value)}"


def _remarks(one: Kind, found: Mining) -> Iterator[str]:
    judged, around = one.judged, one.judged.interval
    yield f"Mined as of {found.as_of}: {found.title.zh} / {found.title.en}. A proposal, to be gone over."
    yield (
        f"Of {judged.size:,} cases (a customer at a month end) it was not found on {judged.rate:.1%} were "
        f"lost, where {judged.expected / judged.size:.1%}"
    )
    yield (
        f"were to be expected: {judged.lift:.2f} times ({around.low:.2f} to {around.high:.2f}, with 95 % "
        f"confidence); as much by chance with {max(one.chance, 1e-9):.2g}."
    )
    if nearest := nearest_moment(one.moments):
        yield f"To {nearest[1]:.0%} of them {nearest[0]} applies already."


def nearest_moment(moments: Mapping[str, float]) -> tuple[str, float] | None:
    """The moment that applies to most of a kind's customers, with their share."""
    name = max(moments, key=lambda one: (moments[one], one), default=None)
    return None if name is None or not moments[name] else (name, moments[name])
