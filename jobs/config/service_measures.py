"""The catalogue of measures of service quality (conf/service_measures.yaml)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.config.effects import contract_issues
from jobs.config.models import field_type
from jobs.config.scores import expression_issues
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.view import CustomerView
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Document, Path_, StrictModel, validate
from jobs.kernel.project import Project

FILE = "conf/service_measures.yaml"
CUSTOMERS = "customers"
PROVINCE = "province"
NAMING = ("customer_id", "number")


class Near(StrictModel):
    """Another row of the contract that has to be there.

    Attributes:
        where: Which rows may be it.
        same: Field in which it is alike.
        days: From how many to how many days after the row; below zero before it.
    """

    where: str
    same: str
    days: tuple[int, int]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.days[0] > self.days[1]:
            raise ValueError("the first of 'days' is after the second")
        return self


class Counted(StrictModel):
    """Rows of a contract in a month, or what they add up to.

    Attributes:
        contract: A contract of events or months of subscriptions.
        where: Which rows count; all by default.
        sum: A number made of a row's fields; each row counts as one by default.
        near: Another row that has to be there for a row to count.
    """

    contract: str
    where: str | None = None
    sum: str | None = None
    near: Near | None = None


class ServiceMeasure(StrictModel):
    """One measure: what is counted, against what.

    Attributes:
        of: What is measured.
        per: What it is measured against: other rows, or the customers in the network at the month's end.
        times: By which the ratio is told: 100 for per cent.
        by: Fields of the contract whose values are measured each.
        better: Whether less or more of it is wanted.
        target: What it should come to at least, or at most.
        owner: Who answers for it.
    """

    zh: str
    en: str
    of: Counted
    per: Counted | Literal["customers"]
    times: Decimal = Field(default=Decimal(1), gt=0)
    by: tuple[str, ...] = ()
    better: Literal["less", "more"]
    target: Decimal | None = None
    owner: str

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The rows it looks at."""
        return (self.of,) if isinstance(self.per, str) else (self.of, self.per)

    @property
    def contracts(self) -> list[str]:
        """The contracts it needs."""
        return sorted({one.contract for one in self.counted})


class ServiceMeasures(StrictModel):
    """Everything of conf/service_measures.yaml.

    Attributes:
        areas: Text items of the view that part the customers.
    """

    areas: tuple[str, ...]
    measures: dict[str, ServiceMeasure]

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        for name, measure in self.measures.items():
            names = [PROVINCE, "subscription_id", *self.areas, *measure.by]
            if len(set(names)) < len(names):
                raise ValueError(
                    f"areas and 'by' of {name} name something twice, or {PROVINCE}, or who it is"
                )
        return self

    def places(self) -> list[str]:
        """Everything by which measures are told."""
        return list(
            dict.fromkeys([PROVINCE, *self.areas, *(one for it in self.measures.values() for one in it.by)])
        )

    @property
    def fingerprint(self) -> str:
        """Changes when any measure does."""
        return fingerprint(self.model_dump(mode="json"))


def load_service_measures(
    project: Project, view: CustomerView, contracts: Mapping[str, ExtractContract]
) -> ServiceMeasures:
    """Loads conf/service_measures.yaml and checks its names and conditions.

    Raises:
        ConfigError: With all its problems.
    """
    document = project.load(FILE)
    settings = validate(document, ServiceMeasures)
    # One that names customers would make a row of each.
    texts = [name for name, item in view.items.items() if item.type == "string" and name not in NAMING]
    issues = [
        Issue(
            "CONF_UNKNOWN_REFERENCE",
            f"'{name}' is not a text item of the customer view{did_you_mean(name, texts)}",
            document.at("areas", at),
        )
        for at, name in enumerate(settings.areas)
        if name not in texts
    ]
    for name, measure in settings.measures.items():
        place: Path_ = ("measures", name)
        for part, counted in zip(("of", "per"), measure.counted, strict=False):
            issues += _counted_issues(document, (*place, part), counted, contracts)
        issues += _by_issues(document, place, measure, contracts)
    if issues:
        raise ConfigError(issues)
    return settings


def _counted_issues(
    document: Document, place: Path_, counted: Counted, contracts: Mapping[str, ExtractContract]
) -> Iterator[Issue]:
    if issues := contract_issues(document, place, counted.contract, contracts):
        yield from issues
        return
    contract = contracts[counted.contract]
    types = field_type(contract)
    conditions: dict[Path_, str] = {}
    if counted.where is not None:
        conditions[*place, "where"] = counted.where
    if counted.near is not None:
        conditions[*place, "near", "where"] = counted.near.where
        if counted.near.same not in contract.fields:
            yield _no_field(document, (*place, "near", "same"), counted.near.same, contract)
    yield from expression_issues(document, conditions, types, "boolean")
    if counted.sum is not None:
        yield from expression_issues(document, {(*place, "sum"): counted.sum}, types, "integer", "decimal")


def _by_issues(
    document: Document, place: Path_, measure: ServiceMeasure, contracts: Mapping[str, ExtractContract]
) -> Iterator[Issue]:
    for at, field in enumerate(measure.by):
        for name in measure.contracts:
            contract = contracts.get(name)
            if contract is not None and (
                field not in contract.fields or contract.fields[field].type != "string"
            ):
                yield _no_field(document, (*place, "by", at), field, contract)


def _no_field(document: Document, place: Path_, name: str, contract: ExtractContract) -> Issue:
    hint = did_you_mean(name, contract.fields)
    message = f"'{name}' is not a text field of {contract.contract}{hint}"
    return Issue("CONF_UNKNOWN_REFERENCE", message, document.at(*place))
