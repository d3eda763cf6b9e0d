"""Units of measure; one that is not listed is a slip of the pen, since nothing could be compared with it."""

from __future__ import annotations

from typing import Literal

Unit = Literal[
    "count", "yuan", "percent", "point", "second", "minute", "day", "year", "mb", "mbps", "character"
]
