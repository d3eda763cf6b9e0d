"""Settings: conf/base.yaml overlaid by conf/<profile>.yaml."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import getitem
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from jobs.expressions.types import Type
from jobs.kernel.cycle import CycleCalendar, CycleKind
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.located_yaml import Document, StrictModel, validate
from jobs.kernel.project import Project

KEY_VARIABLE = "KEYMOMENTS_KEY"
CONTROL_KEY_VARIABLE = "KEYMOMENTS_CONTROL_KEY"


class CycleSetting(StrictModel):
    """When one kind of cycle is due."""

    grace_days: int = Field(ge=0, le=60)
    ends_on: int = Field(default=7, ge=1, le=7)


class Amount(StrictModel):
    """An amount that items use as :name."""

    value: Decimal
    unit: str | None = None
    why: str = ""


class Privacy(StrictModel):
    """Where the keys of pseudonyms and of the control group come from; outside local runs the environment."""

    development_key: str | None = None
    development_control_key: str | None = None


class Settings(StrictModel):
    """Everything of conf/base.yaml and the profile's file."""

    time_zone: str
    cycles: dict[CycleKind, CycleSetting]
    parameters: dict[str, Amount]
    privacy: Privacy = Privacy()
    spark: dict[str, str] = {}

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("is not a time zone such as Asia/Shanghai") from None
        return zone

    @field_validator("cycles")
    @classmethod
    def _all_cycles(cls, cycles: dict[CycleKind, CycleSetting]) -> dict[CycleKind, CycleSetting]:
        if missing := [kind for kind in CycleKind if kind not in cycles]:
            raise ValueError(f"lacks {', '.join(missing)}")
        return cycles

    @property
    def calendar(self) -> CycleCalendar:
        """When cycles are due, without any source's snapshot date."""
        grace = {kind: setting.grace_days for kind, setting in self.cycles.items()}
        return CycleCalendar(grace, self.cycles[CycleKind.weekly].ends_on)

    @property
    def parameter_types(self) -> dict[str, Type]:
        """Types of the amounts."""
        return {name: Type("decimal", amount.unit) for name, amount in self.parameters.items()}


@dataclass(frozen=True)
class Keys:
    """Secrets of a run; never printed.

    Attributes:
        pseudonym: Key of the pseudonyms of numbers.
        control: Key by which customers fall into the control group.
    """

    pseudonym: bytes
    control: bytes

    def __repr__(self) -> str:
        return "Keys(***)"


def load_settings(project: Project, profile: str = "local") -> Settings:
    """Loads the settings of a profile.

    Raises:
        ConfigError: When a file is missing or wrong.
    """
    base = project.load("conf/base.yaml")
    relative = f"conf/{profile}.yaml"
    if not (project.root / relative).is_file():
        known = [path.removeprefix("conf/").removesuffix(".yaml") for path in project.files("conf")]
        message = f"there is no profile '{profile}'{did_you_mean(profile, known)}"
        raise ConfigError(Issue("CONF_MISSING_FILE", message))
    overlay = project.load(relative)
    data = _merged(base.data, overlay.data)
    # What a mapping of both files lacks is told of the base.
    changed = {
        keys: place
        for keys, place in overlay.places.items()
        if keys not in base.places or not isinstance(reduce(getitem, keys, data), dict)
    }
    return validate(Document(base.path, data, {**base.places, **changed}), Settings)


def load_keys(settings: Settings, profile: str) -> Keys:
    """The keys of a run.

    Raises:
        ConfigError: When a development key stands in another profile than local, or a key is not set.
    """
    privacy = settings.privacy
    wanted = (
        (KEY_VARIABLE, privacy.development_key, "the key of pseudonyms"),
        (CONTROL_KEY_VARIABLE, privacy.development_control_key, "the key of the control group"),
    )
    if profile != "local" and any(development is not None for _, development, _ in wanted):
        message = f"a development key stands in conf/{profile}.yaml; only the local profile may have one"
        raise ConfigError(Issue("CONF_UNSAFE_KEY", message))
    keys = [os.environ.get(variable) or development or "" for variable, development, _ in wanted]
    if not all(keys):
        lacking = [
            f"set {variable} to {what}"
            for (variable, _, what), key in zip(wanted, keys, strict=True)
            if not key
        ]
        raise ConfigError([Issue("CONF_UNSAFE_KEY", message) for message in lacking])
    pseudonym, control = (key.encode("utf-8") for key in keys)
    return Keys(pseudonym, control)


def _merged(base: Any, overlay: Any) -> Any:
    if isinstance(base, dict) and isinstance(overlay, dict):
        return {key: _merged(base.get(key), overlay.get(key, base.get(key))) for key in {**base, **overlay}}
    return overlay
