"""Rules once they are loaded and checked, and all of them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from jobs.config.holidays import Holidays
from jobs.expressions.nodes import Node, Value
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.rulelang.conditions import Condition, pasts_of
from jobs.rulelang.model import Audience, Plan, RuleFile
from jobs.rulelang.reserved import reserved_values
from jobs.rulelang.templates import Template


@dataclass(frozen=True)
class Rule:
    """A checked rule.

    Attributes:
        file: What its file says.
        condition: Its when part.
        audience: The audience's condition.
        templates: Its description by language.
        again: What makes it a new occurrence while it is true, where its file says so.
        pending: What has to hold for its alerts to wait on, where its file says so.
        fingerprint: Changes when anything that decides its result does.
        origins: What set a parameter's value where the rule's own file did not: by parameter and by city, of
            which '' are all.
    """

    file: RuleFile
    condition: Condition
    audience: Node
    templates: Mapping[str, Template]
    fingerprint: str
    again: Node | None = None
    pending: Node | None = None
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The rule's id, which is the moment's."""
        return self.file.id

    def is_in_use(self, as_of: date) -> bool:
        """Whether cycles that end on a day evaluate it: active or shadow, and in its time."""
        first, last = self.file.valid_from or as_of, self.file.valid_to or as_of
        return self.file.status in ("active", "shadow") and first <= as_of <= last

    @property
    def is_exempt(self) -> bool:
        """Whether it keeps customers from being contacted instead of calling for contact."""
        return self.file.category == "exempt"

    @property
    def is_reminder(self) -> bool:
        """Whether it is for all customers: outside capacity, caps and control."""
        return self.file.category == "reminder"

    @property
    def in_control(self) -> bool:
        """Whether customers of the control group are left alone by it."""
        return self.file.control and not (self.file.service_owed or self.is_reminder or self.is_exempt)


@dataclass(frozen=True)
class RuleSet:
    """All rules, in order of id."""

    rules: tuple[Rule, ...]
    audiences: Mapping[str, Audience]
    plans: Mapping[str, Plan]
    holidays: Holidays

    def reserved(self, as_of: date, dispatch_date: date) -> dict[str, Value]:
        """Values of what rules may name beside items, in the cycle that looks at a day."""
        return reserved_values(self.holidays, as_of, dispatch_date)

    def of_cycle(self, kind: CycleKind, as_of: date) -> tuple[Rule, ...]:
        """The rules that a cycle evaluates: active and shadow ones, in their time."""
        return tuple(rule for rule in self.rules if rule.file.cycle is kind and rule.is_in_use(as_of))

    def in_order(self, cycles: Iterable[Cycle]) -> list[list[Cycle]]:
        """Cycles of one date in groups, of which each asks only of those before it."""
        asks: dict[CycleKind, set[CycleKind]] = defaultdict(set)
        for rule in self.rules:
            asks[rule.file.cycle] |= {past.kind for past in pasts_of(rule.condition)} - {rule.file.cycle}
        left, groups = list(cycles), []
        while left:
            there = {cycle.kind for cycle in left}
            groups.append([cycle for cycle in left if not asks[cycle.kind] & there])
            left = [cycle for cycle in left if cycle not in groups[-1]]
        return groups

    @property
    def fingerprint(self) -> str:
        """Changes when any rule, audience or plan does."""
        plans = {name: plan.model_dump() for name, plan in self.plans.items()}
        festivals = self.holidays.model_dump(mode="json")
        return fingerprint([[rule.fingerprint for rule in self.rules], plans, festivals])

    def check_known(self, rule_ids: Iterable[str]) -> None:
        """Sees to it that there are rules of these ids.

        Raises:
            ConfigError: With every one that there is not.
        """
        known = [rule.id for rule in self.rules]
        unknown = [name for name in rule_ids if name not in known]
        if unknown:
            raise ConfigError(
                Issue("RULE_UNKNOWN_REFERENCE", f"there is no rule '{name}'{did_you_mean(name, known)}")
                for name in unknown
            )

    def by_id(self, rule_id: str) -> Rule:
        """The rule of an id."""
        return next(rule for rule in self.rules if rule.id == rule_id)
