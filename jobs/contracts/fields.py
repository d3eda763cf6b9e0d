"""A field of an extract: its type, its limits, and what kind of personal data it is."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field as Setting
from pydantic import model_validator

from jobs.kernel.located_yaml import StrictModel
from jobs.kernel.units import Unit

OWN_COLUMNS = (
    "alike", "applicable", "available_at", "delivery", "delivery_id", "fault", "file", "line", "part",
    "period", "raw", "reasons", "row_date", "row_day", "run_id",
)  # fmt: skip

FieldType = Literal["string", "integer", "decimal", "date", "timestamp", "boolean"]
Personal = Literal["number", "name", "birth_date", "device"]


class Field(StrictModel):
    """One field of an extract.

    Attributes:
        personal: What kind of personal data it is. A number becomes a keyed pseudonym, everything
            else leaves only its derived parts behind.
        identity: Its clear value is kept in the restricted identity table.
        masked: It is kept as it is, but not shown in listings of refused rows.
        default: What an empty or undelivered number stands for, such as one contact for a row of its own.
    """

    type: FieldType
    zh: str
    en: str
    required: bool = False
    scale: int = Setting(default=2, ge=0, le=10)
    unit: Unit | None = None
    min: float | None = Setting(default=None, allow_inf_nan=False)
    max: float | None = Setting(default=None, allow_inf_nan=False)
    values: tuple[str, ...] | None = Setting(default=None, min_length=1)
    pattern: str | None = None
    personal: Personal | None = None
    identity: bool = False
    masked: bool = False
    default: int | None = None

    @model_validator(mode="after")
    def _scale_of_decimals(self) -> Field:
        if "scale" in self.model_fields_set and self.type != "decimal":
            raise ValueError(f"'scale' goes with type decimal, not with {self.type}")
        return self

    @property
    def kept(self) -> bool:
        """Whether the field (or its pseudonym) is a column of our tables."""
        return self.personal in (None, "number")


def _personal_type(kind: Personal) -> str:
    return "date" if kind == "birth_date" else "string"


def field_problems(name: str, field: Field) -> list[str]:
    """What a field says that does not fit together."""
    found = []
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        found.append(f"'{name}' is no name of small letters, digits and underscores")
    if name in OWN_COLUMNS:
        found.append(f"'{name}' is a column of our own; the names taken are {', '.join(OWN_COLUMNS)}")
    number = field.type in ("integer", "decimal")
    for key in ("min", "max", "default"):
        if getattr(field, key) is not None and not number:
            found.append(f"'{key}' belongs to numbers, not to {field.type}")
    for key in ("values", "pattern"):
        if getattr(field, key) is not None and field.type != "string":
            found.append(f"'{key}' belongs to strings, not to {field.type}")
    if field.personal is not None and field.type != (wanted := _personal_type(field.personal)):
        found.append(f"personal data of the kind {field.personal} is {wanted}, not {field.type}")
    if field.min is not None and field.max is not None and field.min > field.max:
        found.append(f"min {field.min:g} is more than max {field.max:g}")
    if field.pattern is not None:
        try:
            re.compile(field.pattern)
        except re.error as error:
            found.append(f"pattern is not a regular expression: {error}")
        if "(?P" in field.pattern:
            found.append("pattern has a group (?P...), which Spark does not know")
    return found
