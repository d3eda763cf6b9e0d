"""Reading and judging new deliveries: typed rows, reasons of bad ones, counts; and the refusal of bad files.

Nothing is written here.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.sources import ExtractMapping, columns_used
from jobs.contracts.extracts import ExtractContract
from jobs.domain.extract_rows import RowContext, row_day, typed_rows
from jobs.domain.profile import Profile, profile_columns, profile_of
from jobs.expressions.sql import literal, quote
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.deliveries import Delivery, layout_of
from jobs.storage.records import RecordFile, read_records

SEGMENTS = "number_segments"
SHOWN_BAD_ROWS = 20
PARALLEL_CONTRACTS = 3
ACCEPTED = "applicable AND size(reasons) = 0"


@dataclass(frozen=True)
class Counts:
    """What one delivery holds.

    Attributes:
        records: Records in the file.
        not_applicable: Records that are none of the contract.
        rejected: Records with reasons.
        first: Date of the first accepted row.
        last: Date of the last.
        units: Units of the clean table that accepted rows fall in.
        profile: What the accepted rows look like; see jobs.domain.profile.
    """

    records: int
    not_applicable: int
    rejected: int
    first: date | None
    last: date | None
    units: tuple[date, ...] = ()
    profile: Profile = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """Rows for the raw table."""
        return self.records - self.not_applicable - self.rejected


@dataclass(frozen=True)
class Batch:
    """All new deliveries of one contract, read and judged.

    Attributes:
        contract: The contract.
        deliveries: The deliveries.
        judged: Their records as typed rows, kept; delivery is the place of a row's delivery in deliveries.
        counts: What each holds, by delivery_id.
    """

    contract: ExtractContract
    deliveries: list[Delivery]
    judged: DataFrame
    counts: dict[str, Counts]

    @property
    def rows(self) -> DataFrame:
        """The judged rows with delivery_id, file, period and part, which are not kept with each row."""
        # An array of constants, where a join would cost a job.
        known = ", ".join(
            f"struct({literal(one.delivery_id)} AS delivery_id, {literal(one.name)} AS file, "
            f"{literal(one.period)} AS period, {literal(one.part)} AS part)"
            for one in self.deliveries
        )
        told = self.judged.select("*", F.expr(f"array({known})[delivery]").alias("_delivery"))
        return told.select("*", "_delivery.*").drop("delivery", "_delivery")


def judge_deliveries(context: RunContext, deliveries: list[Delivery]) -> list[Batch]:
    """Reads all deliveries; number segments first, since they tell a counterpart's operator.

    Raises:
        SourceError: When a file has other records than were read.
    """
    by_contract: dict[str, list[Delivery]] = defaultdict(list)
    for one in deliveries:
        by_contract[one.contract].append(one)
    # The largest first, so that small ones are planned while the rows of large ones are read.
    size = {name: sum(one.facts.records for one in mine) for name, mine in by_contract.items()}
    order = sorted(by_contract, key=lambda name: (name != SEGMENTS, -size[name], name))
    operators = known_operators(context)
    batches: list[Batch] = []
    if order and order[0] == SEGMENTS:
        batch = _judge(context, by_contract[order.pop(0)], RowContext(context.keys.pseudonym, {}))
        batches.append(batch)
        accepted = batch.rows.where(ACCEPTED).orderBy("row_date")
        operators |= {
            row["prefix"]: row["operator"] for row in accepted.select("prefix", "operator").collect()
        }
    lookups = RowContext(context.keys.pseudonym, operators)
    with ThreadPoolExecutor(PARALLEL_CONTRACTS) as pool:
        batches += pool.map(lambda name: _judge(context, by_contract[name], lookups), order)
    return batches


def known_operators(context: RunContext) -> dict[str, str]:
    """Operator by number prefix, as loaded."""
    contract = context.configuration.contracts[SEGMENTS]
    rows = context.warehouse.read_or_empty(contract.clean_table()).orderBy("row_date")
    return {row["prefix"]: row["operator"] for row in rows.select("prefix", "operator").collect()}


def _judge(context: RunContext, deliveries: list[Delivery], lookups: RowContext) -> Batch:
    contract = context.source.contracts[deliveries[0].contract]
    groups: dict[tuple[Any, ...], list[tuple[int, Delivery]]] = defaultdict(list)
    for number, one in enumerate(deliveries):
        groups[one.mapping_fingerprint, one.facts.header].append((number, one))
    frames = [_typed(context, group, contract, lookups) for group in groups.values()]
    rows = frames[0]
    for frame in frames[1:]:
        rows = rows.unionByName(frame)
    batch = counted(context, contract, deliveries, rows)
    for one in deliveries:
        found = batch.counts[one.delivery_id].records
        if found != one.facts.records:
            message = f"has {one.facts.records} records but {found} were read"
            raise SourceError(Issue("LEDGER_SUM", message, Location(one.path)))
    read = sum(counts.records for counts in batch.counts.values())
    refused = sum(counts.rejected for counts in batch.counts.values())
    context.progress(f"  {contract.contract}: {read:,} records read, {refused:,} of them refused")
    return batch


def counted(
    context: RunContext, contract: ExtractContract, deliveries: list[Delivery], rows: DataFrame
) -> Batch:
    """Keeps typed rows and counts them by delivery, in one pass."""
    rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    counts = {one.delivery_id: Counts(0, 0, 0, None, None) for one in deliveries}
    good = ACCEPTED
    for row in (
        rows.groupBy("delivery")
        .agg(
            F.count("*").alias("records"),
            F.expr("count_if(NOT applicable)").alias("not_applicable"),
            F.expr("count_if(applicable AND size(reasons) > 0)").alias("rejected"),
            F.expr(f"min(CASE WHEN {good} THEN row_date END)").alias("first"),
            F.expr(f"max(CASE WHEN {good} THEN row_date END)").alias("last"),
            F.collect_set(F.when(F.expr(good), row_day(contract))).alias("units"),
            *profile_columns(contract, context.source.fields_of(contract.contract), good),
        )
        .collect()
    ):
        counts[deliveries[row["delivery"]].delivery_id] = Counts(
            row["records"],
            row["not_applicable"],
            row["rejected"],
            row["first"],
            row["last"],
            tuple(row["units"]),
            profile_of(row.asDict()),
        )
    return Batch(contract, deliveries, rows, counts)


def _typed(
    context: RunContext, group: list[tuple[int, Delivery]], contract: ExtractContract, lookups: RowContext
) -> DataFrame:
    """The records of deliveries that share mapping and header, each told by its number."""
    _, first = group[0]
    files = [RecordFile(number, one.path, one.facts.pieces) for number, one in group]
    width, used = len(first.facts.header), columns_read(first, contract)
    records = read_records(context.spark, files, layout_of(first.mapping, contract), width, used)
    return typed(records, group, contract, lookups)


def columns_read(delivery: Delivery, contract: ExtractContract) -> list[int]:
    """Which columns of a delivery its fields need, counted from zero, rising."""
    header = delivery.facts.header
    return sorted(header.index(name) for name in columns_used(_present(delivery, contract), contract))


def _present(delivery: Delivery, contract: ExtractContract) -> ExtractMapping:
    """A delivery's mapping; optional fields that the file lacks stay null."""
    mapping = delivery.mapping
    if mapping.fields != "same":
        return mapping
    present = {name: quote(name) for name in contract.fields if name in delivery.facts.header}
    return mapping.model_copy(update={"fields": present})


def typed(
    records: DataFrame, group: list[tuple[int, Delivery]], contract: ExtractContract, lookups: RowContext
) -> DataFrame:
    """Records as typed rows with their reasons and the date from which they count as known.

    Args:
        records: Of deliveries that share mapping and header; file is a delivery's number.
        group: The deliveries by number.
        contract: Their contract.
        lookups: Keys and look-ups.
    """
    _, first = group[0]
    rows = typed_rows(records, first.facts.header, _present(first, contract), contract, lookups)
    available = F.expr(f"date_add(row_date, {contract.available_after_days})")
    dated = {number: one.delivered_on for number, one in group if one.delivered_on is not None}
    if dated:
        known = ", ".join(f"{number}, {literal(day)}" for number, day in dated.items())
        available = F.coalesce(F.expr(f"try_element_at(map({known}), file)"), available)
    return rows.withColumn("available_at", available).withColumnRenamed("file", "delivery")


def refuse_bad(context: RunContext, batches: list[Batch]) -> None:
    """Refuses deliveries that have more bad rows than their contract allows.

    Raises:
        SourceError: With the first bad rows of each.
    """
    issues: list[Issue] = []
    for batch in batches:
        for one in batch.deliveries:
            if refusal := refusal_of(context, batch, one):
                issues += [*bad_rows(batch, one), refusal]
    if issues:
        raise SourceError(issues)


def refusal_of(context: RunContext, batch: Batch, delivery: Delivery) -> Issue | None:
    """Why a delivery is refused as a whole, if it is; the nearest limit counts: run, mapping, contract."""
    counts = batch.counts[delivery.delivery_id]
    limits = (context.max_bad_share, delivery.mapping.max_bad_share, batch.contract.max_bad_share)
    limit = next(one for one in limits if one is not None)
    read = counts.records - counts.not_applicable
    if counts.rejected <= limit * read:
        return None
    share = f"{counts.rejected} of {read} rows are bad"
    message = f"{share}, more than the {limit:.1%} allowed; nothing was loaded"
    return Issue("FILE_REFUSED", message, Location(delivery.path))


def bad_rows(batch: Batch, delivery: Delivery) -> list[Issue]:
    """The first bad rows of a delivery, each with all its reasons at their places."""
    bad = batch.rows.where(f"delivery_id = '{delivery.delivery_id}' AND applicable AND size(reasons) > 0")
    issues = []
    for row in bad.select("line", "reasons").orderBy("line").limit(SHOWN_BAD_ROWS).collect():
        for reason in row["reasons"]:
            kind, _, field = reason.partition(":")
            code = "FILE_UNDECODABLE" if kind == "undecodable" else "FILE_BAD_ROW"
            place = Location(delivery.path, row["line"], column_of(delivery, batch.contract, field))
            issues.append(Issue(code, _sentence(kind, field, delivery, batch.contract), place))
    return issues


def column_of(delivery: Delivery, contract: ExtractContract, field: str) -> int:
    """Number of the field's column in the file, counted from one; 1 when several make the field up."""
    mapping = delivery.mapping
    if mapping.fields != "same" and field in mapping.fields:
        narrowed = mapping.model_copy(update={"fields": {field: mapping.fields[field]}, "where": None})
        used = columns_used(narrowed, contract)
        field = used[0] if used else field
    return delivery.facts.header.index(field) + 1 if field in delivery.facts.header else 1


def _sentence(kind: str, field: str, delivery: Delivery, contract: ExtractContract) -> str:
    if kind == "undecodable":
        return f"the row has bytes that are not {delivery.mapping.encoding}"
    if kind == "malformed":
        return f"the row does not have the {len(delivery.facts.header)} fields of the header"
    spec = contract.fields[field]
    match kind:
        case "type":
            return f"{field} is not a valid {spec.type}"
        case "missing":
            return f"{field} is required"
        case "range":
            return f"{field} is {_outside(spec.min, spec.max)}"
        case "set":
            return f"{field} is not one of {', '.join(spec.values or ())}"
        case _:
            return f"{field} does not look like {spec.pattern}"


def _outside(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return f"more than {most:.12g}" if least is None else f"less than {least:.12g}"
    return f"not between {least:.12g} and {most:.12g}"
