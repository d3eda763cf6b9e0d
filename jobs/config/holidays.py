"""The calendar of festivals (conf/holidays.yaml): which is the next, and in how many days."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import Field, model_validator

from jobs.kernel.located_yaml import StrictModel, validate
from jobs.kernel.project import Project
from jobs.kernel.titles import Title

PATH = "conf/holidays.yaml"


class Holiday(StrictModel):
    """A festival; on: the day itself in each year."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    on: tuple[date, ...] = Field(min_length=1)


class Holidays(StrictModel):
    """All festivals by name."""

    festivals: dict[str, Holiday]

    @model_validator(mode="after")
    def _same_years(self) -> Self:
        for name, one in self.festivals.items():
            if lacking := sorted(self.years - {on.year for on in one.on}):
                raise ValueError(f"'{name}' lacks {', '.join(map(str, lacking))}, which others have")
        return self

    def next_after(self, day: date) -> tuple[date, str] | None:
        """The first festival on or after a day, and its name; None outside the years of the calendar.

        Example:
            >>> spring = Holiday(zh="春节", en="Spring Festival", on=(date(2026, 2, 17),))
            >>> Holidays(festivals={"spring": spring}).next_after(date(2026, 2, 14))
            (datetime.date(2026, 2, 17), 'spring')
        """
        if day.year not in self.years:
            return None
        coming = [(on, name) for name, one in self.festivals.items() for on in one.on if on >= day]
        return min(coming, default=None)

    @property
    def years(self) -> set[int]:
        """The years of which the calendar knows."""
        return {on.year for one in self.festivals.values() for on in one.on}

    @property
    def labels(self) -> dict[str, Title]:
        """What the festivals are called in texts."""
        return {name: Title(zh=one.zh, en=one.en) for name, one in self.festivals.items()}


NO_HOLIDAYS = Holidays(festivals={})


def load_holidays(project: Project) -> Holidays:
    """Loads the calendar.

    Raises:
        ConfigError: With all problems of the file.
    """
    return validate(project.load(PATH), Holidays)
