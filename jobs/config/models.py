"""Models of what customers will do (conf/models.yaml): targets, training, use and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from jobs.config.scores import Dimension, expression_issues, item_type
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.view import CustomerView
from jobs.expressions.check import NameType
from jobs.expressions.nodes import Name, names
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.expressions.types import Type
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Document, Path_, StrictModel, unknown_names, validate
from jobs.kernel.project import Project

FILE = "conf/models.yaml"
LATER = "later"


class Parameters(StrictModel):
    """Parameters of the trees, named as xgboost names them."""

    n_estimators: int = Field(ge=1, le=5000)
    learning_rate: float = Field(gt=0, le=1)
    max_depth: int = Field(ge=1, le=12)
    min_child_weight: float = Field(ge=0)
    subsample: float = Field(gt=0, le=1)
    colsample_bytree: float = Field(gt=0, le=1)
    reg_lambda: float = Field(ge=0)


class Training(StrictModel):
    """How models learn.

    Attributes:
        bases: Month ends at most that are learned from.
        least_items: Share of the newest base's items that an earlier one must be supplied with to count.
        max_rows: Of all bases together.
        least_cases: Of fewer positive cases, or fewer others, nothing is learned.
        most_unknown: Share of a base's customers at most whose outcome may be unknown.
        least_bin: Customers at least in a step of the calibration.
        folds: By a hash of the subscription, where one base has to serve for learning and calibrating.
        max_values: Text items with more values are not used.
        workers: Spark tasks that train together, a thread (spark.task.cpus) each.
        threads: Threads of the driver, which trains the models of folds and of evaluations.
        leak_auc: An item that alone separates better than this is refused.
    """

    bases: int = Field(ge=1, le=60)
    least_items: float = Field(ge=0, le=1)
    max_rows: int = Field(ge=1000)
    least_cases: int = Field(ge=2)
    most_unknown: float = Field(ge=0, lt=1)
    least_bin: int = Field(ge=1)
    folds: int = Field(ge=2, le=20)
    max_values: int = Field(ge=1, le=100)
    workers: int = Field(ge=1)
    threads: int = Field(ge=1)
    leak_auc: float = Field(gt=0.5, le=1)
    parameters: Parameters


class Use(StrictModel):
    """When a model is trusted, and how many reasons it gives.

    Attributes:
        max_age_days: From the date it was trained as of.
        psi_warn: Population stability index of an item or the score that is told.
        psi_stop: Of the score, from which the formula takes over.
    """

    max_age_days: int = Field(ge=1)
    psi_warn: float = Field(gt=0)
    psi_stop: float = Field(gt=0)
    reasons: int = Field(ge=1, le=10)

    @model_validator(mode="after")
    def _warns_before_it_stops(self) -> Self:
        if self.psi_warn > self.psi_stop:
            raise ValueError("psi_warn is above psi_stop")
        return self


class Evaluation(StrictModel):
    """How models are judged.

    Attributes:
        reach: Share of customers that people can look after within the label days.
        resamples: Of the bootstrap.
        active_value: Condition on the view: customers that are judged on their own as well.
        spend: Item of the baseline that calls whoever spends most.
    """

    reach: float = Field(gt=0, lt=1)
    resamples: int = Field(ge=20, le=10_000)
    active_value: str
    spend: str


class Event(StrictModel):
    """Rows of a contract that make a subscription a positive case, or set it apart."""

    contract: str
    where: str


class Outcome(StrictModel):
    """One way in which what is foretold comes to pass: by rows of a contract, or by a change of items.

    Attributes:
        contract: Rows of this contract, dated within the time,
        where: that fulfil this condition.
        later: Condition on items at the base date and, as later.item, on those at the end of the time.
    """

    contract: str | None = None
    where: str | None = None
    later: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.contract is None) != (self.where is None) or (self.contract is None) == (self.later is None):
            raise ValueError("needs either contract and where, or later")
        return self

    @property
    def event(self) -> Event | None:
        """The rows that make it come to pass, if it does by rows."""
        if self.contract is None or self.where is None:
            return None
        return Event(contract=self.contract, where=self.where)

    @property
    def items(self) -> tuple[set[str], set[str]]:
        """The items it looks at, at the base date and at the end of the time."""
        found = names(parse(self.later)) if self.later is not None else []
        now, end = ({one.name for one in found if one.table == table} for table in (None, LATER))
        return now, end


class Model(StrictModel):
    """One thing that is foretold.

    Attributes:
        days: Length of the time in which it may happen.
        gap_days: Days between the base date and that time.
        target: It is positive when one of these comes to pass, and unknown when none does and one is unknown.
        apart: Who has this within the time is left out.
        rising: Items with which the probability may only rise.
        falling: Items with which it may only fall.
        leave_out: Items that are not used.
    """

    zh: str
    en: str
    days: int = Field(ge=1, le=366)
    gap_days: int = Field(ge=0, le=366)
    target: tuple[Outcome, ...]
    apart: Event | None = None
    rising: tuple[str, ...] = ()
    falling: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if not self.target:
            raise ValueError("needs at least one target")
        if both := sorted({*self.rising} & {*self.falling}):
            raise ValueError(f"cannot both rise and fall with {', '.join(both)}")
        return self


class ModelSettings(StrictModel):
    """Everything of conf/models.yaml."""

    training: Training
    use: Use
    evaluation: Evaluation
    dimensions: dict[str, Dimension]
    models: dict[str, Model]

    def fingerprint_of(self, model: str) -> str:
        """Changes when anything does that a trained model depends on."""
        return fingerprint([self.training.model_dump(), self.models[model].model_dump()])


def load_models(
    project: Project, view: CustomerView, contracts: Mapping[str, ExtractContract]
) -> ModelSettings:
    """Loads conf/models.yaml and checks its names and conditions.

    Raises:
        ConfigError: With all its problems.
    """
    document = project.load(FILE)
    settings = validate(document, ModelSettings)
    issues = _unknown_items(document, settings, view) + _unknown_classes(document, settings, view)
    for name, model in settings.models.items():
        if model.apart is not None:
            issues += event_issues(document, ("models", name, "apart"), model.apart, contracts)
        for at, outcome in enumerate(model.target):
            where = ("models", name, "target", at)
            if outcome.event is not None:
                issues += event_issues(document, where, outcome.event, contracts)
            if outcome.later is not None:
                later: dict[Path_, str] = {(*where, "later"): outcome.later}
                issues += expression_issues(document, later, item_type(view, LATER), "boolean")
    texts: dict[Path_, str] = {("evaluation", "active_value"): settings.evaluation.active_value}
    issues += expression_issues(document, texts, item_type(view), "boolean")
    if issues:
        raise ConfigError(issues)
    return settings


def _unknown_items(document: Document, settings: ModelSettings, view: CustomerView) -> list[Issue]:
    places: dict[Path_, str] = {
        ("models", name, part, at): item
        for name, model in settings.models.items()
        for part in ("rising", "falling", "leave_out")
        for at, item in enumerate(getattr(model, part))
    }
    places["evaluation", "spend"] = settings.evaluation.spend
    return [
        Issue(
            "CONF_UNKNOWN_REFERENCE",
            f"'{item}' is not an item of the customer view{did_you_mean(item, view.items)}",
            document.at(*place),
        )
        for place, item in places.items()
        if item not in view.items
    ]


def _unknown_classes(document: Document, settings: ModelSettings, view: CustomerView) -> list[Issue]:
    classes = [one.class_ for one in view.classes]
    issues = unknown_names(
        document, "class", {("dimensions", name): name for name in settings.dimensions}, classes
    )
    lacking = [name for name in classes if name not in settings.dimensions]
    if lacking:
        message = f"lacks the classes {', '.join(lacking)}"
        issues.append(Issue("YAML_MISSING_KEY", message, document.at("dimensions")))
    return issues


def event_issues(
    document: Document, place: Path_, event: Event, contracts: Mapping[str, ExtractContract]
) -> list[Issue]:
    """What is wrong with an event that a file of settings names."""
    contract = contracts.get(event.contract)
    if contract is None or contract.grain != "event" or "subscription_id" not in contract.fields:
        events = [name for name, one in contracts.items() if one.grain == "event"]
        message = f"'{event.contract}' is not a contract of events{did_you_mean(event.contract, events)}"
        return [Issue("CONF_UNKNOWN_REFERENCE", message, document.at(*place, "contract"))]
    where: dict[Path_, str] = {(*place, "where"): event.where}
    return expression_issues(document, where, field_type(contract), "boolean")


def field_type(contract: ExtractContract) -> NameType:
    """What expressions over a contract's rows may name: its fields."""

    def field(name: Name) -> Type:
        if name.table is not None or name.name not in contract.fields:
            hint = did_you_mean(name.name, contract.fields)
            raise ExpressionProblem(
                "EXPR_UNKNOWN_NAME", f"'{name}' is not a field of {contract.contract}{hint}"
            )
        return Type(contract.fields[name.name].type, contract.fields[name.name].unit)

    return field
