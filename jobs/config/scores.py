"""The churn-risk formula (conf/risk.yaml) and the health causes (conf/health.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from jobs.contracts.view import CustomerView
from jobs.expressions.check import NameType, type_of
from jobs.expressions.nodes import Name
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.expressions.types import Type
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Document, Path_, StrictModel, validate
from jobs.kernel.project import Project
from jobs.kernel.titles import Title

Dimension = Literal["brand_tariff", "business", "service", "calling_circle"]


class Term(StrictModel):
    """One term of the formula: customers of one group share a churn rate.

    Attributes:
        labels: What groups are called in reasons; others are called by their own name.
    """

    zh: str
    en: str
    dimension: Dimension
    group: str
    labels: dict[str, Title] = {}


class Bands(StrictModel):
    """Least calibrated probability of each band; below mid is low."""

    high: float = Field(gt=0, le=1)
    mid: float = Field(gt=0, le=1)


class RiskSettings(StrictModel):
    """Everything of conf/risk.yaml.

    Attributes:
        label_days: Days after the base date within which leaving counts as churn.
        smoothing: Pseudo-customers at the average rate added to every group (empirical Bayes).
    """

    label_days: int = Field(ge=1, le=366)
    smoothing: int = Field(ge=0)
    bands: Bands
    terms: dict[str, Term]

    @property
    def fingerprint(self) -> str:
        """Changes when any setting does."""
        return fingerprint(self.model_dump())


class Cause(StrictModel):
    """Something that costs health points while it is true."""

    dimension: Dimension
    points: int = Field(ge=1, le=100)
    when: str
    zh: str
    en: str


class HealthSettings(StrictModel):
    """Everything of conf/health.yaml."""

    dimensions: dict[Dimension, Title]
    causes: dict[str, Cause]

    @property
    def fingerprint(self) -> str:
        """Changes when any setting does."""
        return fingerprint(self.model_dump())


def load_risk(project: Project, view: CustomerView) -> RiskSettings:
    """Loads conf/risk.yaml and checks its groups against the view.

    Raises:
        ConfigError: With all its problems.
    """
    document = project.load("conf/risk.yaml")
    settings = validate(document, RiskSettings)
    texts: dict[Path_, str] = {("terms", name, "group"): term.group for name, term in settings.terms.items()}
    _check(document, texts, view, "string")
    return settings


def load_health(project: Project, view: CustomerView) -> HealthSettings:
    """Loads conf/health.yaml and checks its conditions against the view.

    Raises:
        ConfigError: With all its problems.
    """
    document = project.load("conf/health.yaml")
    settings = validate(document, HealthSettings)
    texts: dict[Path_, str] = {
        ("causes", name, "when"): cause.when for name, cause in settings.causes.items()
    }
    _check(document, texts, view, "boolean")
    return settings


def _check(document: Document, texts: Mapping[Path_, str], view: CustomerView, kind: str) -> None:
    if issues := expression_issues(document, texts, item_type(view), kind):
        raise ConfigError(issues)


def item_type(view: CustomerView, *tables: str) -> NameType:
    """What expressions may name: items of the view, on their own or as table.item."""

    def found(name: Name) -> Type:
        if name.table not in (None, *tables) or name.name not in view.items:
            hint = did_you_mean(name.name, view.items)
            raise ExpressionProblem(
                "EXPR_UNKNOWN_NAME", f"'{name}' is not an item of the customer view{hint}"
            )
        return Type(view.items[name.name].type, view.items[name.name].unit)

    return found


def expression_issues(
    document: Document,
    texts: Mapping[Path_, str],
    name_type: NameType,
    *kinds: str,
) -> list[Issue]:
    """What is wrong with expressions in a file of settings.

    Args:
        document: The file they stand in.
        texts: Them, by their places in it.
        name_type: Gives the types of the names they may use.
        kinds: The types each may have.
    """
    issues: list[Issue] = []
    for place, text in texts.items():
        try:
            found = type_of(parse(text), name_type)
        except ExpressionProblem as problem:
            issues.append(Issue(problem.code, str(problem), document.at(*place)))
            continue
        if found.kind not in kinds:
            message = f"is {found.kind}, not {' or '.join(kinds)}"
            issues.append(Issue("EXPR_TYPE", message, document.at(*place)))
    return issues
