"""How alerts are weighed and capacity is shared out (conf/dispatch.yaml)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import StrictModel, validate
from jobs.kernel.project import Project

PATH = "conf/dispatch.yaml"
Severity = Literal["critical", "high", "medium", "low"]
Share = float


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
    """A way to reach the customer."""

    uses_manager: bool
    contact_from: str = Field(pattern=r"^\d\d:\d\d$")
    contact_to: str = Field(pattern=r"^\d\d:\d\d$")
    zh: str
    en: str


class Teams(StrictModel):
    """Visits a day of each city's team, which serves customers without a manager."""

    daily_visits_default: int = Field(ge=0)
    daily_visits_by_city: dict[str, int] = {}


class DispatchSettings(StrictModel):
    """Everything of conf/dispatch.yaml."""

    priority: Priority
    channels: dict[str, Channel]
    teams: Teams

    @property
    def fingerprint(self) -> str:
        """Changes when any setting does."""
        return fingerprint(self.model_dump())


def load_dispatch(project: Project) -> DispatchSettings:
    """Loads conf/dispatch.yaml.

    Raises:
        ConfigError: With all its problems.
    """
    return validate(project.load(PATH), DispatchSettings)
