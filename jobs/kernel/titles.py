"""Names for people, in Chinese and in English."""

from __future__ import annotations

from pydantic import Field

from jobs.kernel.located_yaml import StrictModel


class Title(StrictModel):
    """A name in both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
