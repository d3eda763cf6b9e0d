"""Extract contracts (schemas/extracts/*.yaml): what an operator delivers, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field as Setting

from jobs.contracts.columns import Column, Table, ddl_type
from jobs.contracts.fields import Field, FieldType, field_problems
from jobs.contracts.quality import Quality, Reference
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Document, StrictModel, validate
from jobs.kernel.project import Project, collect

FOLDER = "schemas/extracts"
# Whoever has no row in this contract is not in the customer view.
POPULATION = "subscriptions"
# What names a tile: the rows of a subscription and date that became known on one date.
TILE_KEY = ("subscription_id", "row_date", "available_at")
# Fields that name a person, in whatever contract.
PERSON_FIELDS = ("customer_id", "subscription_id", "account_id")
"""The first of them that a row has tells whose it is: accounts may be shared."""

Grain = Literal["event", "month", "state"]
Derivation = Literal[
    "date_of", "hour_of", "operator_of", "off_net_of", "segment_of", "month_day_of", "year_of", "tac_of"
]
BY_PREFIX = ("operator_of", "off_net_of")
SEGMENTS = "number_segments"
"""Derivations that look a number's prefix up, and the contract they look in."""


class Derived(StrictModel):
    """A field made from another on the way in, before personal data is replaced."""

    type: FieldType
    derive: Derivation
    from_: str = Setting(alias="from")
    zh: str
    en: str


class ExtractContract(StrictModel):
    """One kind of delivery.

    Attributes:
        grain: event (a row happened on a date), month (a row sums a month up) or state (a row holds
            from its date on).
        key: Fields that name a row; of rows alike in them the last in delivery order is kept.
        optional_key: Those of the key that may be empty; rows without them are told apart by the others.
        available_after_days: Days after the event date at which a row counts as known, where the
            delivery itself carries no date.
        freshness_days: Age of the newest row beyond which items of this source are unknown.
        partition_unit: Unit of the clean table that a re-opened date replaces: day for sources with
            very many rows, month or year for sparse ones.
        max_bad_share: Share of bad rows up to which a delivery is loaded and the bad rows quarantined;
            beyond it the delivery is refused as a whole.
        late_after_days: Days before the first one of its delivery's period from which a row is late and
            refused; without it no row is.
        references: Fields that name a row of another contract.
        quality: What is expected of a delivery as a whole.
    """

    contract: str = Setting(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Setting(ge=1)
    zh: str
    en: str
    grain: Grain
    key: tuple[str, ...] = Setting(min_length=1)
    optional_key: tuple[str, ...] = ()
    event_date: str | None = None
    effective_date: str | None = None
    month: str | None = None
    available_after_days: int = Setting(ge=0)
    freshness_days: int = Setting(ge=0)
    partition_unit: Literal["day", "month", "year"] = "month"
    max_bad_share: float = Setting(default=0.02, ge=0, le=1)
    late_after_days: int | None = Setting(default=None, ge=0)
    references: dict[str, Reference] = {}
    quality: Quality = Quality()
    fields: dict[str, Field]
    derived: dict[str, Derived] = {}

    @property
    def expects_volume(self) -> bool:
        """Whether deliveries are of much the same size; states come whole or as changes."""
        return self.grain != "state" or "volume" in self.quality.model_fields_set

    @property
    def date_field(self) -> str:
        """The field that dates a row."""
        return self.event_date or self.effective_date or self.month or ""

    @property
    def row_key(self) -> tuple[str, ...]:
        """The fields that name a row of the clean table; states are kept by date."""
        return (*self.key, self.date_field) if self.grain == "state" else self.key

    @property
    def dated_key(self) -> tuple[str, ...]:
        """The row key as rows lie: what names a tile first, and row_date for a field that says the same."""
        field = self.fields.get(self.date_field)
        same = self.date_field if self.grain != "state" and field and field.type == "date" else None
        names = ["row_date" if name == same else name for name in self.row_key]
        return (
            *(name for name in TILE_KEY if name in names),
            *(name for name in names if name not in TILE_KEY),
        )

    @property
    def fills_tiles_alone(self) -> bool:
        """Whether a row is the only one of its subscription and date."""
        return self.dated_key == TILE_KEY[:2]

    @property
    def fingerprint(self) -> str:
        """Changes when anything does that decides how its rows are read."""
        needed = {name: one.to for name, one in self.references.items() if one.breach == "quarantine"}
        return fingerprint([self.model_dump(by_alias=True, exclude={"quality", "references"}), needed])

    @property
    def kept_columns(self) -> tuple[Column, ...]:
        """The contract's columns as they are stored: personal data replaced, derived parts added."""
        fields = [
            Column(
                name, "STRING" if field.personal else ddl_type(field.type, field.scale), field.zh, field.en
            )
            for name, field in self.fields.items()
            if field.kept
        ]
        parts = [Column(name, ddl_type(part.type), part.zh, part.en) for name, part in self.derived.items()]
        return (*fields, *parts)

    @property
    def column_types(self) -> dict[str, FieldType]:
        """Contract type by column name, of fields and derived parts."""
        fields: dict[str, FieldType] = {name: field.type for name, field in self.fields.items()}
        return {**fields, **{name: part.type for name, part in self.derived.items()}}

    @property
    def units(self) -> dict[str, str | None]:
        """Unit by field name."""
        return {name: field.unit for name, field in self.fields.items()}

    def raw_table(self) -> Table:
        """Rows of all active deliveries, partitioned by delivery."""
        lineage = (
            Column("row_date", "DATE", "业务日期", "Business date that places the row in time"),
            Column("available_at", "DATE", "可用日期", "Date from which the row counts as known"),
            Column("delivery_id", "STRING", "交付编号", "Delivery the row came with"),
            Column("line", "BIGINT", "行号", "Physical line of the file where the record starts"),
            Column("period", "STRING", "交付账期", "Period of the delivery"),
            Column("part", "STRING", "交付分片", "Part of the delivery"),
        )
        return Table(
            name=f"raw_{self.contract}",
            columns=(*self.kept_columns, *lineage),
            partition_by=("period", "part"),
        )

    def clean_table(self) -> Table:
        """One row a key and unit, a function of the active raw rows; a unit is what a late row re-opens."""
        extra = (
            Column("row_date", "DATE", "业务日期", "Business date that places the row in time"),
            Column("available_at", "DATE", "可用日期", "Date from which the row counts as known"),
            Column("delivery_id", "STRING", "交付编号", "Delivery the row came with"),
        )
        day = Column("row_day", "DATE", "分区日期", "Partition: the row's date, or the first of its month")
        # As tiles lie, so that they are made of neighbouring rows.
        tiled = self.grain != "state" and TILE_KEY[0] in self.fields
        first = self.dated_key if self.fills_tiles_alone else TILE_KEY if tiled else ()
        return Table(
            name=f"clean_{self.contract}",
            columns=(*self.kept_columns, *extra, day),
            partition_by=("row_day",),
            sort_by=(*first, *(name for name in self.dated_key if name not in first)),
            key=self.row_key,
        )


def load_contracts(project: Project) -> dict[str, ExtractContract]:
    """All extract contracts by name.

    Raises:
        ConfigError: With all problems of all files.
    """

    def read(path: str) -> tuple[Document, ExtractContract]:
        document = project.load(path)
        return document, read_contract(document)

    contracts: dict[str, ExtractContract] = {}
    documents: dict[str, Document] = {}
    issues: list[Issue] = []
    for document, contract in collect(read, project.files(FOLDER)):
        name = contract.contract
        if name in contracts:
            issues.append(Issue("ITEM_DUPLICATE", f"'{name}' is defined twice", document.at("contract")))
        contracts[name] = contract
        documents[name] = document
    for name, contract in contracts.items():
        issues += _bad_references(documents[name], contract, contracts)
    if issues:
        raise ConfigError(issues)
    return contracts


def _bad_references(
    document: Document, contract: ExtractContract, contracts: Mapping[str, ExtractContract]
) -> list[Issue]:
    issues = []
    for field, reference in contract.references.items():
        place = document.at("references", field, "to")
        if reference.to not in contracts:
            message = f"'{reference.to}' is not a contract{did_you_mean(reference.to, contracts)}"
            issues.append(Issue("CONF_UNKNOWN_REFERENCE", message, place))
        elif contract.contract in _referred(reference.to, contracts):
            message = f"'{reference.to}' refers back to '{contract.contract}': neither could be read first"
            issues.append(Issue("CONTRACT_BAD_FIELD", message, place))
        elif field in contract.column_types:
            other = contracts[reference.to]
            mine, theirs = contract.column_types[field], other.column_types.get(other.key[0])
            if theirs is not None and mine != theirs:
                message = f"'{field}' is {mine}, but the key of {reference.to}, {other.key[0]}, is {theirs}"
                issues.append(Issue("CONTRACT_BAD_FIELD", message, place))
    return issues


def _referred(name: str, contracts: Mapping[str, ExtractContract]) -> set[str]:
    """A contract and all that it refers to, directly or not."""
    found: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one in contracts and one not in found:
            found.add(one)
            left += [reference.to for reference in contracts[one].references.values()]
    return found


def contract_named(contracts: Mapping[str, ExtractContract], name: str) -> ExtractContract:
    """The contract that a person named.

    Raises:
        ConfigError: When there is none of that name.
    """
    if name not in contracts:
        message = f"'{name}' is not a contract{did_you_mean(name, contracts)}"
        raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))
    return contracts[name]


def read_contract(document: Document) -> ExtractContract:
    """Reads and checks one contract."""
    contract = validate(document, ExtractContract)
    issues = [
        Issue("CONTRACT_BAD_FIELD", message, document.at(*keys)) for keys, message in _problems(contract)
    ]
    if issues:
        raise ConfigError(issues)
    return contract


def _problems(contract: ExtractContract) -> list[tuple[tuple[str, ...], str]]:
    """What a contract says about fields it does not have, as (place, sentence)."""
    found: list[tuple[tuple[str, ...], str]] = []
    known = {*contract.fields, *contract.derived}
    dates = {"event": contract.event_date, "state": contract.effective_date, "month": contract.month}
    if dates[contract.grain] is None:
        wanted = {"event": "event_date", "state": "effective_date", "month": "month"}[contract.grain]
        found.append((("grain",), f"grain {contract.grain} needs '{wanted}'"))
    elif contract.date_field not in known:
        found.append((("grain",), f"'{contract.date_field}' is not a field"))
    else:
        found += _date_problems(contract)
    found += [(("key",), f"key '{key}' is not a field") for key in contract.key if key not in known]
    found += _empty_key_problems(contract)
    if contract.late_after_days is not None and contract.grain == "state":
        found.append((("late_after_days",), "rows of grain state are never late"))
    found += [
        (("references", name), f"'{name}' is not a field")
        for name in contract.references
        if name not in known
    ]
    for name, part in contract.derived.items():
        if part.from_ not in contract.fields:
            found.append((("derived", name), f"'{part.from_}' is not a field"))
        if name in contract.fields:
            found.append((("derived", name), f"'{name}' is a field already"))
    twice = sorted({key for key in contract.key if contract.key.count(key) > 1})
    found += [(("key",), f"'{key}' stands twice") for key in twice]
    for name, field in contract.fields.items():
        found += [(("fields", name), message) for message in field_problems(name, field)]
        if name in contract.key and not field.kept:
            found.append((("key",), f"'{name}' is personal and is not kept, so it cannot name a row"))
    return found


def _empty_key_problems(contract: ExtractContract) -> list[tuple[tuple[str, ...], str]]:
    """Keys that may be empty unsaid: rows that lack one would all be taken for the same."""
    found: list[tuple[tuple[str, ...], str]] = [
        (("optional_key",), f"'{name}' is not in the key")
        for name in contract.optional_key
        if name not in contract.key
    ]
    for name in contract.key:
        source = contract.derived[name].from_ if name in contract.derived else name
        if source not in contract.fields:
            continue
        required, optional = contract.fields[source].required, name in contract.optional_key
        if required and optional:
            message = f"'{name}' is never empty, so it has no place in 'optional_key'"
            found.append((("fields", source), message))
        elif not required and not optional:
            message = f"'{source}' is in the key, so it must be required, or '{name}' stand in 'optional_key'"
            found.append((("fields", source), message))
    return found


def _date_problems(contract: ExtractContract) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the field that dates a row."""
    kinds = ("event_date", "effective_date", "month")
    dates = [kind for kind in kinds if getattr(contract, kind) is not None]
    found: list[tuple[tuple[str, ...], str]] = [
        ((kind,), f"dates a row besides '{dates[0]}'") for kind in dates[1:]
    ]
    name = contract.date_field
    if contract.column_types[name] != "date":
        found.append(((dates[0],), f"'{name}' is {contract.column_types[name]}, not date"))
    source = contract.derived[name].from_ if name in contract.derived else name
    if source in contract.fields and not contract.fields[source].required:
        found.append((("fields", source), f"'{source}' dates a row, so it must be required"))
    return found
