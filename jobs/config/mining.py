"""How moments are mined (conf/mining.yaml)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.kernel.cycle import CycleKind
from jobs.kernel.located_yaml import StrictModel, validate
from jobs.kernel.project import Project

FILE = "conf/mining.yaml"


class Search(StrictModel):
    """How far is looked, and what counts as found.

    Attributes:
        cuts: Values at most at which an item is cut.
        conditions: At most that are put together.
        items: The strongest, whose conditions are put together.
        beam: Sets of conditions at most to which one more is added.
        finalists: Kinds at most that the other half of the customers judges.
        least_share: Of all customers in a kind.
        most_share: Of all customers in a kind.
        least_lift: How many times as often as all a kind is lost.
        least_z: Standard deviations beyond what is to be expected, of those lost in a kind, and with each
            further condition of it.
        gain: By which each further condition has to raise the lift.
        most_overlap: Share of the customers of either of two kinds that are of both.
        confidence: With which chance is ruled out.
    """

    cuts: int = Field(ge=1, le=200)
    conditions: int = Field(ge=1, le=4)
    items: int = Field(ge=1, le=200)
    beam: int = Field(ge=1, le=1000)
    finalists: int = Field(ge=1, le=500)
    least_share: float = Field(gt=0, lt=1)
    most_share: float = Field(gt=0, le=1)
    least_lift: float = Field(ge=1)
    least_z: float = Field(ge=0)
    gain: float = Field(ge=1)
    most_overlap: float = Field(gt=0, le=1)
    confidence: float = Field(gt=0.5, lt=1)

    @model_validator(mode="after")
    def _least_below_most(self) -> Self:
        if self.least_share > self.most_share:
            raise ValueError("least_share is above most_share")
        return self


class Proposals(StrictModel):
    """What the drafts of rules say beside their conditions; see RuleFile."""

    most: int = Field(ge=0, le=100)
    category: Literal["first", "anomaly", "special"]
    cycle: CycleKind
    audience: str
    plan: str
    severity: Literal["critical", "high", "medium", "low"]
    urgency_days: int = Field(ge=0, le=62)


class Scorecard(StrictModel):
    """How the causes of health are learned.

    Attributes:
        cuts: Values at most at which an item is cut.
        items: The strongest, whose conditions may become causes.
        steps: Conditions at most on an item.
        least_share: Of all customers who fulfil a condition.
        most_share: Of all customers who fulfil a condition.
        least_z: Standard deviations beyond what is to be expected, of the lost among them.
        penalty: On each weight, in logarithms of odds; more keeps fewer conditions.
        least_weight: Smaller ones are left out.
        folds: Parts of the customers, each judged by what the others teach.
    """

    cuts: int = Field(ge=1, le=200)
    items: int = Field(ge=1, le=300)
    steps: int = Field(ge=1, le=20)
    least_share: float = Field(gt=0, lt=1)
    most_share: float = Field(gt=0, le=1)
    least_z: float = Field(ge=0)
    penalty: float = Field(ge=0)
    least_weight: float = Field(gt=0)
    folds: int = Field(ge=2, le=20)


class MiningSettings(StrictModel):
    """Everything of conf/mining.yaml."""

    search: Search
    proposals: Proposals
    health: Scorecard


def load_mining(project: Project) -> MiningSettings:
    """Loads conf/mining.yaml.

    Raises:
        ConfigError: With all its problems.
    """
    return validate(project.load(FILE), MiningSettings)
