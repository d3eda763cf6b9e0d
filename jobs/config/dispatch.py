"""How alerts are weighed and capacity is shared out (conf/dispatch.yaml)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.kernel.errors import ConfigError
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Path_, StrictModel, unknown_names, validate
from jobs.kernel.project import Project

PATH = "conf/dispatch.yaml"
Severity = Literal["critical", "high", "medium", "low"]
Share = float
Yuan = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class RiskFactor(StrictModel):
    """Risk as a factor: probability / full_at, between floor and 1."""

    weight: Share = Field(ge=0, le=10)
    neutral: Share = Field(gt=0, le=1)
    full_at: Share = Field(gt=0, le=1)
    floor: Share = Field(gt=0, le=1)


class ValueFactor(StrictModel):
    """Value as a factor, by value tier."""

    weight: Share = Field(ge=0, le=10)
    neutral: Share = Field(gt=0, le=1)
    by_tier: dict[str, Share]


class SeverityFactor(StrictModel):
    """Severity of the rule as a factor."""

    weight: Share = Field(ge=0, le=10)
    levels: dict[Severity, Share]


class UrgencyFactor(StrictModel):
    """Urgency as a factor: half_after_days / (half_after_days + days the moment may wait)."""

    weight: Share = Field(ge=0, le=10)
    half_after_days: Share = Field(gt=0, le=365)


class Priority(StrictModel):
    """The factors; the priority is their product, each to the power of its weight."""

    risk: RiskFactor
    value: ValueFactor
    severity: SeverityFactor
    urgency: UrgencyFactor


class Channel(StrictModel):
    """A way to reach the customer, at some times of day, at a cost in yuan a contact."""

    uses_manager: bool
    contact_from: Clock
    contact_to: Clock
    cost: Yuan = 0
    zh: str
    en: str

    @model_validator(mode="after")
    def _day_within(self) -> Channel:
        if self.contact_from >= self.contact_to:
            raise ValueError(
                f"contact_to {self.contact_to} is not later than contact_from {self.contact_from}"
            )
        return self


class Teams(StrictModel):
    """Visits a day of each city's team, which serves customers without a manager."""

    daily_visits_default: int = Field(ge=0)
    daily_visits_by_city: dict[str, int] = {}


class ControlGroup(StrictModel):
    """Customers who are left alone for good, so that one sees what becomes of those who are served."""

    share: Share = Field(ge=0, le=0.5)


class Cap(StrictModel):
    """How often a customer may be contacted: so many contacts in days, the date itself included."""

    channel: str
    contacts: int = Field(ge=1)
    days: int = Field(ge=1, le=366)

    @property
    def name(self) -> str:
        """What alerts say that met it."""
        return f"{self.channel}: {self.contacts} in {self.days} days"


class QuietAfter(StrictModel):
    """Days for which a customer is left alone after what a manager reported of a contact; 0: not at all."""

    refused: int = Field(default=0, ge=0, le=366)
    no_need: int = Field(default=0, ge=0, le=366)


class Breaker(StrictModel):
    """When a moment is held because there is far more or nothing of it, against earlier dates of its cycle.

    Attributes:
        dates: How many of the newest earlier dates are looked at.
        least_dates: With fewer, nothing is held.
        most_times: More than so many times the usual number are too many.
        least_alerts: Unless they are within so many of the usual number. None at all are too few where so
            many are usual.
        apart_from: Moments that come for all at once, and are never held.
    """

    dates: int = Field(ge=1, le=60)
    least_dates: int = Field(ge=1, le=60)
    most_times: float = Field(ge=1)
    least_alerts: int = Field(ge=1)
    apart_from: tuple[str, ...] = ()


class DispatchSettings(StrictModel):
    """Everything of conf/dispatch.yaml."""

    priority: Priority
    channels: dict[str, Channel]
    spend_at_most: dict[str, Yuan] = {}
    teams: Teams
    control: ControlGroup
    breaker: Breaker
    caps: tuple[Cap, ...] = ()
    quiet_after: QuietAfter = QuietAfter()

    @property
    def fingerprint(self) -> str:
        """Changes when any setting does."""
        return fingerprint(self.model_dump())


def load_dispatch(project: Project) -> DispatchSettings:
    """Loads conf/dispatch.yaml.

    Raises:
        ConfigError: With all its problems.
    """
    document = project.load(PATH)
    settings = validate(document, DispatchSettings)
    caps: dict[Path_, str] = {
        ("caps", number, "channel"): cap.channel for number, cap in enumerate(settings.caps)
    }
    tiers: dict[Path_, str] = {("spend_at_most", tier): tier for tier in settings.spend_at_most}
    issues = unknown_names(document, "channel", caps, settings.channels)
    issues += unknown_names(document, "value tier", tiers, settings.priority.value.by_tier)
    if issues:
        raise ConfigError(issues)
    return settings
