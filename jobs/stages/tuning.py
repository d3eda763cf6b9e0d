"""How many would meet a rule at each value of one of its parameters, for analysts who set thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pyspark.sql import functions as F

from jobs.expressions.sql import NameSql, literal, to_sql
from jobs.kernel.cycle import Cycle
from jobs.kernel.errors import ConfigError, CycleError, Issue, did_you_mean
from jobs.rulelang.compile import EvaluableRule, evaluable, named, parameter_sql
from jobs.rulelang.conditions import condition_sql
from jobs.rulelang.model import Parameter
from jobs.rulelang.reserved import reserved_sql
from jobs.rulelang.ruleset import Rule, RuleSet
from jobs.stages.context import RunContext
from jobs.stages.moments import statuses_at
from jobs.stages.past import past_runs, with_past
from jobs.stages.view import check_standing, scored_view_of

STEPS = 60
SHOWN = 12


@dataclass(frozen=True)
class Curve:
    """Who meets a rule at values of a parameter, on one date.

    Attributes:
        rule: The rule.
        parameter: The parameter that is moved; all others stay as they are.
        unit: Its unit.
        as_of: The date of the view.
        values: The values, rising.
        default: The value the rule has now.
        by_city: The values that cities have instead.
        audience: Subscriptions in the audience, by city; '' is all cities.
        met: Those for whom the rule is true, by city, for each value.
    """

    rule: str
    parameter: str
    unit: str | None
    as_of: date
    values: tuple[Decimal, ...]
    default: Decimal
    by_city: Mapping[str, Decimal]
    audience: Mapping[str, int]
    met: Mapping[str, tuple[int, ...]]

    @property
    def cities(self) -> list[str]:
        """All cities together, then each."""
        return sorted(self.audience)

    def now(self, city: str) -> Decimal:
        """The value in use in a city."""
        return self.by_city.get(city, self.default)

    def rate(self, value: Decimal, city: str) -> float:
        """Share of a city's audience that meets the rule at a value."""
        count = self.met[city][self.values.index(value)]
        return count / self.audience[city] if self.audience[city] else 0.0

    @property
    def rate_now(self) -> float:
        """Share of the whole audience that meets the rule with the value that each city has."""
        cities = [city for city in self.cities if city]
        met = sum(self.met[city][self.values.index(self.now(city))] for city in cities)
        return met / self.audience[""] if self.audience[""] else 0.0

    def suggested(self, target: float, city: str) -> Decimal | None:
        """The value at which most, but no more than a share of the audience, meet the rule.

        Of values with the same rate the one nearest to what is in use. None where none keeps below, or
        nobody meets the rule at any value.
        """
        fitting = [value for value in self.values if self.rate(value, city) <= target]
        best = max((self.rate(value, city) for value in fitting), default=0.0)
        alike = [value for value in fitting if self.rate(value, city) == best]
        return min(alike, key=lambda value: abs(value - self.now(city))) if best else None

    def shown(self, also: Decimal | None) -> list[Decimal]:
        """Some of the values, evenly spread, with the one in use and another."""
        step = max(1, len(self.values) // SHOWN)
        some = {*self.values[::step], self.values[-1], self.default}
        return sorted(some if also is None else {*some, also})


def chosen_parameter(rules: RuleSet, rule_id: str, parameter: str | None) -> str:
    """The parameter a user means.

    Raises:
        ConfigError: When there is no such rule or parameter, or it is not clear which is meant.
    """
    rules.check_known([rule_id])
    names = list(rules.by_id(rule_id).file.parameters)
    if parameter is None and len(names) == 1:
        return names[0]
    if parameter not in names:
        told = f"it has {', '.join(names)}" if names else "it has none"
        what = "which parameter? give --parameter" if parameter is None else f"no parameter '{parameter}'"
        hint = did_you_mean(parameter or "", names)
        raise ConfigError(Issue("RULE_BAD_PARAMETER", f"{rule_id}: {what}{hint}; {told}"))
    return parameter


def curve_of(context: RunContext, rule_id: str, parameter: str, as_of: date | None = None) -> Curve:
    """Counts who meets a rule at each value, in one pass over the view.

    Whether it is true counts, not whether it would fire: who met it the day before is in it too.

    Args:
        context: The run.
        rule_id: A rule that the source can decide.
        parameter: The parameter to move.
        as_of: The date of the view; the newest on which a cycle of the rule ends by default.

    Raises:
        ConfigError: When the source cannot decide the rule.
        CycleError: When there is no view of such a date.
    """
    rule = context.configuration.rules.by_id(rule_id)
    cycle = _cycle(context, rule, as_of)
    check_standing(context, cycle)
    asked = past_runs(context, cycle, [rule])
    found, lacking = evaluable([rule], {**statuses_at(context, cycle), **asked.statuses})
    if not found:
        message = f"{rule_id} lacks {', '.join(lacking[rule_id])}, which this source does not supply"
        raise ConfigError(Issue("RULE_UNKNOWN_ITEM", message))
    moved = rule.file.parameters[parameter]
    if moved.by is not None:
        message = f"{parameter} of {rule_id} depends on {moved.by.item}; only what cities set can be tuned"
        raise ConfigError(Issue("RULE_BAD_PARAMETER", message))
    values = values_of(moved)
    values_now = context.configuration.rules.reserved(cycle.as_of, cycle.dispatch_date)
    name_sql = named(reserved_sql(values_now))
    view = with_past(context, scored_view_of(context, cycle), asked)
    audience = view.where(to_sql(rule.audience, name_sql))
    truths = [F.expr(_truth_sql(found[0], rule, parameter, value, name_sql)) for value in values]
    counts = [F.count_if(truth).alias(f"v{place}") for place, truth in enumerate(truths)]
    rows = audience.groupBy(F.coalesce("city", F.lit("-")).alias("city")).agg(
        F.count("*").alias("n"), *counts
    )
    people: dict[str, int] = {"": 0}
    met: dict[str, tuple[int, ...]] = {"": (0,) * len(values)}
    for row in rows.orderBy("city").collect():
        people[row["city"]] = row["n"]
        met[row["city"]] = tuple(row[f"v{place}"] for place in range(len(values)))
    people[""] = sum(people.values())
    met[""] = tuple(map(sum, zip(*met.values(), strict=True)))
    return Curve(
        rule_id, parameter, moved.unit, cycle.as_of, values, moved.default, moved.by_city, people, met
    )


def values_of(parameter: Parameter) -> tuple[Decimal, ...]:
    """Values from the parameter's least to its greatest, those in use among them; whole where it is whole.

    Example:
        >>> one = Parameter(default=Decimal(30), min=Decimal(5), max=Decimal(95))
        >>> found = values_of(one)
        >>> found[:3], found[-1], len(found)
        ((Decimal('5'), Decimal('7'), Decimal('8')), Decimal('95'), 61)
    """
    used = (parameter.min, parameter.max, parameter.default, *parameter.by_city.values())
    digits = Decimal(1) if all(value == value.to_integral_value() for value in used) else Decimal("0.01")
    width = parameter.max - parameter.min
    steps = (parameter.min + width * place / (STEPS - 1) for place in range(STEPS))
    rounded = {step.quantize(digits) for step in steps}
    return tuple(sorted({*(one for one in rounded if parameter.min <= one <= parameter.max), *used}))


def _truth_sql(one: EvaluableRule, rule: Rule, parameter: str, value: Decimal, name_sql: NameSql) -> str:
    others = parameter_sql(rule.file.parameters)
    return condition_sql(
        one.condition,
        name_sql,
        lambda name: literal(value) if name == parameter else others(name),
    )


def _cycle(context: RunContext, rule: Rule, as_of: date | None) -> Cycle:
    calendar, kind = context.configuration.calendar, rule.file.cycle
    places = context.warehouse.read(context.view_table).select("as_of", "cutoff").distinct().collect()
    built: Sequence[date] = sorted(
        row["as_of"]
        for row in places
        if calendar.ends(kind, row["as_of"]) and calendar.cycle(kind, row["as_of"]).cutoff == row["cutoff"]
    )
    if as_of is None and built:
        as_of = built[-1]
    if as_of not in built or as_of is None:
        some = f"; there are {', '.join(map(str, built[-5:]))}" if built else ""
        message = f"no view of a {kind} cycle{'' if as_of is None else f' of {as_of}'} has been built{some}"
        raise CycleError(Issue("TABLE_MISSING", message))
    return calendar.cycle(kind, as_of)
