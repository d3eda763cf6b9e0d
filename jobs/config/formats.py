"""How delivered files are written (format, encoding, numbers, control files), as a source mapping says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from jobs.kernel.located_yaml import StrictModel


def plain_name(files: str) -> str:
    """The name of files in the folder of extracts, as it was given.

    Raises:
        ValueError: When it leads into another folder, or is none.
    """
    if not files or "/" in files or "\\" in files or files in (".", ".."):
        raise ValueError("must be the name of a file in the folder of extracts")
    return files


def glob_of(files: str) -> str:
    """A file name with placeholders as a glob."""
    escaped = re.sub(r"[\[?]", lambda found: f"[{found[0]}]", files)
    return re.sub(r"(\{\w+\}|\*)+", "*", escaped)


class Control(StrictModel):
    """The small file that an operator writes beside a delivery once it is whole.

    Attributes:
        file: Its name; {file} stands for the delivery's name, {stem} for that without its endings.
        records: Regular expression whose group is the number of records.
        counts_header: Whether that number includes the header.
        md5: Regular expression whose group is the MD5 of the delivery's bytes, in hex.
        sha256: The same for SHA-256.
    """

    file: str
    records: str | None = None
    counts_header: bool = False
    md5: str | None = None
    sha256: str | None = None

    @field_validator("file")
    @classmethod
    def _names_the_delivery(cls, file: str) -> str:
        plain_name(file)
        if not re.search(r"\{(file|stem)\}", file) or re.search(
            r"[{}]", re.sub(r"\{(file|stem)\}", "", file)
        ):
            raise ValueError("must hold {file} or {stem}, and no other placeholder")
        return file

    @field_validator("records", "md5", "sha256")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"is not a regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"has {groups} groups, not one")
        return pattern

    def name_for(self, delivery: str) -> str:
        """Name of the control file of a delivery.

        Example:
            >>> Control(file="{stem}.ctl").name_for("bills_202605.csv.gz")
            'bills_202605.ctl'
        """
        return self.file.replace("{file}", delivery).replace("{stem}", delivery.partition(".")[0])


Reaction = Literal["ignore", "warn", "stop"]


class OnDrift(StrictModel):
    """What to do when the columns of a delivery are not those of the one before.

    Attributes:
        new: Columns that were not there and that no field uses.
        missing: Columns that were there. By default one that a field needs stops the run and others are
            told; with ignore or warn, fields that need not be there are empty without their columns, too.
        retyped: Columns of which half the values are no longer of their field's type.
        moved: Columns in another order.
    """

    new: Reaction = "warn"
    missing: Reaction | None = None
    retyped: Reaction = "warn"
    moved: Reaction = "ignore"


class Format(StrictModel):
    """How a file is written; every setting may be given once for all extracts under defaults.

    Attributes:
        format: csv (delimited text), fixed (columns of so many bytes), jsonl (an object a line) or parquet.
        header: A delimited file starts with the names of its columns.
        columns: These names, in order, of a delimited file without header and of a fixed-width file.
        widths: Bytes of each column of a fixed-width file; blanks around a value are not part of it.
        member: Pattern of the name of the file that is meant in a .zip of several, such as cdr_*.csv.
        multiline: Quoted fields may hold line breaks; such a file is read in one piece.
        null_marks: Texts that mean no value, besides the empty text.
        decimal: The decimal point of numbers.
        thousands: What stands between groups of three digits, if anything.
        time_zone: Of points in time that tell none; that of the network by default.
        max_bad_share: Share of bad rows up to which a delivery is loaded, instead of the contract's.
        late_after_days: Days before its period from which a row is late, instead of the contract's.
        control: The file without which a delivery is left alone, as not yet whole.
        on_drift: What to do when columns come, go, or change.
    """

    format: Literal["csv", "fixed", "jsonl", "parquet"] = "csv"
    encoding: Literal["utf-8", "gbk", "gb18030"] = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', min_length=1, max_length=1)
    header: bool = True
    columns: tuple[str, ...] | None = None
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    member: str = ""
    multiline: bool = False
    null_marks: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    time_zone: str | None = None
    max_bad_share: float | None = Field(default=None, ge=0, le=1)
    late_after_days: int | None = Field(default=None, ge=0)
    control: Control | None = None
    on_drift: OnDrift = OnDrift()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, mark in (("delimiter", self.delimiter), ("quote", self.quote)):
            if not mark.isascii() or mark in "\r\n":
                raise ValueError(f"{name} is not an ASCII character that may stand inside a line")
        if self.delimiter == self.quote:
            raise ValueError("delimiter and quote are the same character")
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same character")
        fixed = self.format == "fixed"
        if (self.columns is not None) != (fixed or (self.format == "csv" and not self.header)):
            raise ValueError(
                "'columns' belongs to 'format: fixed' and to 'header: false', and to no other file"
            )
        if (self.widths is not None) != fixed:
            raise ValueError("'widths' belongs to 'format: fixed', and to no other file")
        if self.widths is not None and len(self.widths) != len(self.columns or ()):
            raise ValueError("'columns' and 'widths' differ in length")
        if self.multiline and self.format != "csv":
            raise ValueError(f"'multiline' means nothing in a file of 'format: {self.format}'")
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            raise ValueError("a name stands twice in 'columns'")
        return self

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (KeyError, ValueError, OSError):
                raise ValueError("is not a time zone such as Asia/Shanghai or UTC") from None
        return zone

    @property
    def numbers_as_written(self) -> bool:
        """Whether numbers stand in files as they stand in the expression language."""
        return self.decimal == "." and not self.thousands


JOINED = "joined"
"""How expressions tell columns of the second file: joined.column."""


class Join(StrictModel):
    """A second file with further columns of the same records, written as the first is.

    Attributes:
        files: Its name; placeholders are what they are in the first file's name.
        on: By column of the first file, the column of this one that holds the same.
        columns: Names of its columns, where the file does not start with them.
        widths: Of fixed columns, in bytes.
        member: Of a .zip of several files the one that is meant.
    """

    files: str
    on: dict[str, str] = Field(min_length=1)
    columns: tuple[str, ...] | None = None
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    member: str = ""

    def name_for(self, parts: Mapping[str, str]) -> str:
        """Name of the file beside a first one, whose name has these parts."""
        return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], self.files)

    @property
    def glob(self) -> str:
        """The file name as a glob."""
        return glob_of(self.files)

    @field_validator("files")
    @classmethod
    def _one_beside_each(cls, files: str) -> str:
        if "*" in files:
            raise ValueError("names one file beside each first one, so it may not hold '*'")
        if re.search(r"[{}]", re.sub(r"\{\w+\}", "", files)):
            raise ValueError("has a brace that belongs to no placeholder")
        return plain_name(files)
