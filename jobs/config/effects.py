"""How it is told what came of service (conf/effects.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.config.models import Event, event_issues, field_type
from jobs.config.scores import expression_issues
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.located_yaml import Document, Path_, StrictModel, validate
from jobs.kernel.project import Project

FILE = "conf/effects.yaml"


class Value(StrictModel):
    """A number that a contract's rows tell of a customer: the mean over the days looked at.

    Attributes:
        contract: A contract of events or of months.
        of: A number, made of its fields.
        where: Which rows count; all by default.
        change: Less the mean of as many days before the dispatch.
    """

    contract: str
    of: str
    where: str | None = None
    change: bool = False


class MeasuredOutcome(StrictModel):
    """Something that may be otherwise for customers who are served.

    Attributes:
        days: After the dispatch that are looked at.
        better: Whether less or more of it is wanted.
        event: Rows of which one makes it happen, or
        value: what rows come to.
    """

    zh: str
    en: str
    days: int = Field(ge=1, le=366)
    better: Literal["less", "more"]
    event: Event | None = None
    value: Value | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.event is None) == (self.value is None):
            raise ValueError("needs either event or value")
        return self

    @property
    def contract(self) -> str:
        """The contract whose rows tell it."""
        told = self.event or self.value
        assert told is not None
        return told.contract


class Timing(StrictModel):
    """Days from dispatch until the customer was reached: up to which the factor is 1, and from which 0."""

    full_within_days: int = Field(ge=0)
    zero_after_days: int = Field(ge=1)

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.zero_after_days <= self.full_within_days:
            raise ValueError("zero_after_days must lie after full_within_days")
        return self


class Quality(StrictModel):
    """The factor where no customer gave a score."""

    neutral: float = Field(ge=0, le=1)


class Cost(StrictModel):
    """Yuan a customer who was reached, at which the factor is 0."""

    zero_at: float = Field(gt=0)


class Useless(StrictModel):
    """Reports that say that the customer did not need the contact."""

    outcomes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class ServiceValue(StrictModel):
    """How the factors of the service value are made."""

    timing: Timing
    quality: Quality
    cost: Cost
    useless: Useless


class EffectSettings(StrictModel):
    """Everything of conf/effects.yaml.

    Attributes:
        confidence: Of intervals; an effect has a rate of false discovery of at most the rest.
        power: With which the smallest difference told would be seen.
        least: Customers at least in each group.
        outcomes: What is looked at.
        service_value: See ServiceValue.
    """

    confidence: float = Field(ge=0.5, lt=1)
    power: float = Field(ge=0.5, lt=1)
    least: int = Field(ge=2)
    outcomes: dict[str, MeasuredOutcome]
    service_value: ServiceValue


def load_effects(project: Project, contracts: Mapping[str, ExtractContract]) -> EffectSettings:
    """Loads conf/effects.yaml and checks its names and conditions.

    Raises:
        ConfigError: With all its problems.
    """
    document = project.load(FILE)
    settings = validate(document, EffectSettings)
    issues: list[Issue] = []
    for name, outcome in settings.outcomes.items():
        if outcome.event is not None:
            issues += event_issues(document, ("outcomes", name, "event"), outcome.event, contracts)
        if outcome.value is not None:
            issues += _value_issues(document, ("outcomes", name, "value"), outcome.value, contracts)
    feedback = contracts.get("feedback")
    useless = settings.service_value.useless
    known = {
        ("service_value", "useless", "outcomes"): (useless.outcomes, _codes(feedback, "outcome")),
        ("service_value", "useless", "reasons"): (useless.reasons, _codes(feedback, "reason")),
    }
    for place, (given, allowed) in known.items():
        for name in given:
            if name not in allowed:
                message = f"there is no '{name}'{did_you_mean(name, allowed)}; known: {', '.join(allowed)}"
                issues.append(Issue("CONF_UNKNOWN_REFERENCE", message, document.at(*place)))
    if issues:
        raise ConfigError(issues)
    return settings


def _codes(contract: ExtractContract | None, field: str) -> list[str]:
    return list(contract.fields[field].values or ()) if contract is not None else []


def contract_issues(
    document: Document, place: Path_, name: str, contracts: Mapping[str, ExtractContract]
) -> list[Issue]:
    """What is wrong with a contract that something names of whose rows it counts what subscriptions do."""
    known = [one for one, it in contracts.items() if it.grain != "state" and "subscription_id" in it.fields]
    if name in known:
        return []
    hint = did_you_mean(name, known)
    message = f"'{name}' is not a contract of events or months of subscriptions{hint}"
    return [Issue("CONF_UNKNOWN_REFERENCE", message, document.at(*place, "contract"))]


def _value_issues(
    document: Document, place: Path_, value: Value, contracts: Mapping[str, ExtractContract]
) -> list[Issue]:
    if issues := contract_issues(document, place, value.contract, contracts):
        return issues
    types = field_type(contracts[value.contract])
    issues = expression_issues(document, {(*place, "of"): value.of}, types, "integer", "decimal")
    if value.where is not None:
        issues += expression_issues(document, {(*place, "where"): value.where}, types, "boolean")
    return issues
