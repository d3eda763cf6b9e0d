"""What a contract expects of a delivery as a whole, and what becomes of a delivery that is otherwise."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.kernel.located_yaml import StrictModel

Breach = Literal["warn", "stop"]


class Check(StrictModel):
    """One expectation.

    Attributes:
        within: How far a delivery may be from the mean of the last four: a share.
        breach: warn says so and goes on; stop ends the run before anything is written.
    """

    within: float = Field(ge=0)
    breach: Breach = "warn"


class Rows(StrictModel):
    """How many rows a delivery has, whatever the others had.

    Attributes:
        least: At least so many.
        most: At most so many.
        breach: See Check.
    """

    least: int | None = Field(default=None, ge=0)
    most: int | None = Field(default=None, ge=0)
    breach: Breach = "warn"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("needs 'least' or 'most'")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError("'least' is more than 'most'")
        return self


class Freshness(StrictModel):
    """The last row of a delivery lies at most the contract's freshness_days before the end of its period."""

    breach: Breach = "warn"


class Reference(StrictModel):
    """A field that names a row of another contract by that contract's key.

    Attributes:
        to: The other contract.
        within: Share of a delivery's rows that may name a row unknown there.
        breach: See Check; quarantine refuses each row that names an unknown one, whatever their share.
    """

    to: str
    within: float = Field(default=0.05, ge=0, le=1)
    breach: Breach | Literal["quarantine"] = "warn"


class Quality(StrictModel):
    """Expectations of every delivery.

    Attributes:
        rows: Bounds of the number of rows; none by default.
        volume: Rows, as a share of the mean of the last four deliveries, the first of all left out. Not
            expected of states unless it is given, since they come whole or as changes.
        nulls: Share of empty values of a field, above that of the last four.
        drift: Of a field's codes, half the sum of the differences of their shares from those in the last
            four; of a number, the difference of its mean from theirs, in their standard deviations.
        freshness: Age of the last row at the end of the period.
    """

    rows: Rows | None = None
    volume: Check = Check(within=0.5)
    nulls: Check = Check(within=0.1)
    drift: Check = Check(within=0.5)
    freshness: Freshness = Freshness()
