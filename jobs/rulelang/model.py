"""What stands in rules/*.yaml: the files' form, before anything refers to anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from jobs.kernel.cycle import CycleKind
from jobs.kernel.located_yaml import StrictModel
from jobs.kernel.titles import Title
from jobs.kernel.units import Unit

Category = Literal["first", "anomaly", "special", "reminder", "exempt"]
Status = Literal["draft", "shadow", "active", "retired"]
Fire = Literal["on_entry", "while_true", "each_step"]
Severity = Literal["critical", "high", "medium", "low"]
Name = str
RULE_ID = "[a-z][a-z0-9_]{2,60}"


class Dimension(StrictModel):
    """Other values of a parameter by what an item of the customer says, such as the brand.

    Attributes:
        item: The item, a text.
        values: The values, by what it says.
    """

    item: str
    values: dict[str, Decimal] = Field(min_length=1)


class Parameter(StrictModel):
    """A threshold that analysts and cities may set.

    Attributes:
        by_city: Other values for some cities.
        by: Other values by an item other than the city.
        cities_may_set: The least and the greatest value that a city's office may set in its own file; without
            it none may.
        why: The reason for the default.
    """

    default: Decimal
    unit: Unit | None = None
    min: Decimal
    max: Decimal
    why: str = ""
    by_city: dict[str, Decimal] = {}
    by: Dimension | None = None
    cities_may_set: tuple[Decimal, Decimal] | None = None

    @model_validator(mode="after")
    def _one_dimension(self) -> Self:
        if self.by is not None and (self.by_city or self.cities_may_set):
            raise ValueError("varies by one item only: 'by' does not go with 'by_city' or 'cities_may_set'")
        if self.cities_may_set is not None:
            least, most = self.cities_may_set
            if not self.min <= least <= most <= self.max:
                raise ValueError(f"'cities_may_set' must rise and lie between {self.min} and {self.max}")
        return self

    @property
    def varies_by(self) -> str | None:
        """The item on which the value depends, if any."""
        if self.by is not None:
            return self.by.item
        return "city" if self.by_city else None

    @property
    def values_by(self) -> Mapping[str, Decimal]:
        """The values by what that item says; in all other cases the default holds."""
        return self.by_city if self.by is None else self.by.values


class Steps(StrictModel):
    """Values at which a rule that fires at each step fires again within a month.

    Attributes:
        of: The item that climbs.
        at: The first steps, rising.
        every: Distance of the further steps after the last of at.
    """

    of: str
    at: tuple[int, ...] = Field(min_length=1)
    every: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.at) != sorted(set(self.at)):
            raise ValueError("'at' must rise")
        return self


# What a rule says about its alerts; an exempt rule has none.
_OF_ALERTS = (
    "severity",
    "urgency_days",
    "plan",
    "inhibits",
    "pending_while",
    "pending_while_true",
    "serve_in_days",
    "service_owed",
    "control",
)


class RuleFile(StrictModel):
    """One rule as written.

    Attributes:
        inherits: Name of the template in rules/templates that says what this file does not.
        audience: Name of the audience that the rule looks at.
        valid_from: First as_of on which the rule is evaluated.
        valid_to: Last as_of on which it is.
        fire: on_entry (when the condition becomes true), while_true (every cycle) or each_step.
        on_first_run: What those already inside mean when a rule runs first: baseline or fire.
        cooldown_days: Days after an alert was served, or withheld by control, without the same moment.
        urgency_days: Days the moment may wait; after them it is no longer worth serving.
        plan: Name of the service plan; exempt rules have none.
        inhibits: Weaker rules that this one mutes for the same subscription.
        ignores_exempt: Exempt rules that do not stop this one.
        pending_while_true: A waiting alert is dropped when the condition has ended; otherwise it waits
            until it is no longer valid.
        again_when: A condition on items; a rule that is true already is entered anew when it holds.
        pending_while: A condition on items; a waiting alert is dropped when it no longer holds on the date.
        serve_in_days: Item that tells in how many days after as_of the moment itself comes, such as
            days_to_birthday.
        service_owed: Customers have a right to this service: it reaches the control group too, and whoever
            has been contacted as often as caps allow.
        control: Customers of the control group are left alone, so that the effect can be measured.
    """

    id: str = Field(pattern=f"^{RULE_ID}$")
    # Where a value stands changes nothing of what the rule does, so it is no part of the fingerprint.
    inherits: str | None = Field(default=None, exclude=True)
    status: Status = "draft"
    owner: str = "province"
    title: Title
    category: Category
    cycle: CycleKind
    audience: str
    when: dict[str, Any]
    valid_from: date | None = None
    valid_to: date | None = None
    parameters: dict[Name, Parameter] = {}
    fire: Fire = "on_entry"
    steps: Steps | None = None
    on_first_run: Literal["baseline", "fire"] = "baseline"
    cooldown_days: int = Field(default=0, ge=0, le=366)
    severity: Severity | None = None
    urgency_days: int | None = Field(default=None, ge=0, le=62)
    plan: str | None = None
    inhibits: tuple[str, ...] = ()
    ignores_exempt: tuple[str, ...] = ()
    again_when: str | None = None
    pending_while_true: bool = False
    pending_while: str | None = None
    serve_in_days: str | None = None
    service_owed: bool = False
    control: bool = True
    description: Title

    @model_validator(mode="after")
    def _served_or_exempt(self) -> Self:
        served = [name for name in ("severity", "urgency_days", "plan") if getattr(self, name) is None]
        if self.category != "exempt" and served:
            raise ValueError(f"lacks {', '.join(served)}")
        waits = [name for name in _OF_ALERTS if name in self.model_fields_set]
        if self.category == "exempt" and waits:
            raise ValueError(f"nobody is contacted for an exempt rule: {', '.join(waits)} has no use")
        if self.category == "reminder" and {"service_owed", "control"} & self.model_fields_set:
            raise ValueError("reminders are for all customers: 'service_owed' and 'control' have no use")
        if self.service_owed and "control" in self.model_fields_set:
            raise ValueError("service that is owed is withheld from nobody: 'control' has no use")
        if (self.fire == "each_step") != (self.steps is not None):
            raise ValueError("'steps' and 'fire: each_step' go together")
        if self.valid_from is not None and self.valid_to is not None and self.valid_from > self.valid_to:
            raise ValueError("'valid_from' is after 'valid_to'")
        if self.again_when is not None and self.fire != "on_entry":
            raise ValueError("'again_when' goes with 'fire: on_entry' only")
        return self


class Audience(StrictModel):
    """A named group of subscriptions."""

    zh: str
    en: str
    where: str


class Plan(StrictModel):
    """A service plan: what is done for the customer.

    Attributes:
        channel: By what the customer is reached.
        otherwise: Other channels, in order, for customers who do not want the first.
        purpose: What customers have to let us contact them for; reminders have their own.
    """

    zh: str
    en: str
    aim: Title
    channel: str
    otherwise: tuple[str, ...] = ()
    purpose: Literal["service", "marketing", "survey"] = "service"
    effort_minutes: int = Field(ge=0, le=480)
    steps: tuple[Title, ...] = Field(min_length=1)

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels, in order of preference."""
        return self.channel, *self.otherwise
