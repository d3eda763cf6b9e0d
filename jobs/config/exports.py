"""Who may be given what when alerts are exported (conf/exports.yaml)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.kernel.located_yaml import StrictModel, validate
from jobs.kernel.project import Project

PATH = "conf/exports.yaml"


class Role(StrictModel):
    """Somebody alerts are exported for.

    Attributes:
        numbers: How a phone number is given: masked (not at all), pseudonym, or clear.
        issues: Whether what they get is acted on: the date then counts as issued.
    """

    zh: str
    en: str
    numbers: Literal["masked", "pseudonym", "clear"]
    issues: bool = True


class ExportSettings(StrictModel):
    """All roles by name."""

    roles: dict[str, Role] = Field(min_length=1)


def load_exports(project: Project) -> ExportSettings:
    """Loads the roles.

    Raises:
        ConfigError: With all problems of the file.
    """
    return validate(project.load(PATH), ExportSettings)
