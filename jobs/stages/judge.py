"""Reading and judging new deliveries: typed rows, reasons of bad ones, counts.

Nothing is written here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config.person_text import built_ids
from jobs.config.sources import columns_used, joined_columns
from jobs.contracts.extracts import ExtractContract
from jobs.domain.extract_rows import RowContext, records_of_erased, row_day, typed_rows
from jobs.domain.joined_records import JoinKey, judged_second, with_joined
from jobs.domain.profile import Profile, profile_columns, profile_of
from jobs.expressions.sql import literal
from jobs.kernel.errors import Issue, Location, SourceError
from jobs.stages.context import RunContext
from jobs.stages.delivery import Delivery
from jobs.stages.headers import mapping_for
from jobs.stages.lookups import Lookups, needed_for
from jobs.stages.periods import period_end, period_start
from jobs.stages.whole_files import joined_layout_of, layout_of
from jobs.storage.records import RecordFile, read_records

PARALLEL_CONTRACTS = 3
FEW_RECORDS = 100_000
ACCEPTED = "applicable AND reasons IS NULL"
REFUSED = "applicable AND reasons IS NOT NULL"


@dataclass(frozen=True)
class Counts:
    """What one delivery holds.

    Attributes:
        records: Records in the file.
        not_applicable: Records that are none of the contract, or that are loaded as part of the first
            file's.
        rejected: Records with reasons.
        erased: Those of the not applicable that are of persons who were erased.
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
    erased: int = 0

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
        stones: Tombstones of ids that only rows of erased persons name, as rows of the table erasures.
    """

    contract: ExtractContract
    deliveries: list[Delivery]
    judged: DataFrame
    counts: dict[str, Counts]
    stones: DataFrame | None = None

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
        return told.select(*(name for name in self.judged.columns if name != "delivery"), "_delivery.*")


def judge_deliveries(
    context: RunContext, deliveries: list[Delivery], staying: Sequence[Mapping[str, Any]]
) -> Iterator[Batch]:
    """Reads all deliveries, those that others need first; gives each contract's while the next are read.

    Args:
        context: The run.
        deliveries: What is read.
        staying: Rows of the table deliveries that hold beside them.

    Raises:
        SourceError: When a file has other records than were read.
    """
    by_contract: dict[str, list[Delivery]] = defaultdict(list)
    for one in deliveries:
        by_contract[one.contract].append(one)
    needs = {name: needed_for(context.source.contracts[name]) & set(by_contract) for name in by_contract}
    lookups = Lookups(context, staying)
    batches: dict[str, Future[Batch]] = {}

    def judge(name: str) -> Batch:
        for other in needs[name]:
            batches[other].result()
        batch = _judge(context, by_contract[name], lookups.of(context.source.contracts[name]))
        lookups.add(batch.contract, batch.deliveries, batch.rows.where(ACCEPTED))
        if not any(counts.erased for counts in batch.counts.values()):
            return batch
        return replace(batch, stones=lookups.bury(batch.contract, batch.rows.where("erased")))

    size = {name: sum(one.facts.records for one in mine) for name, mine in by_contract.items()}
    pool = ThreadPoolExecutor(PARALLEL_CONTRACTS)
    try:
        # Of those that wait for as many the largest first, so that small ones are planned beside them.
        for name in sorted(by_contract, key=lambda name: (_depth(name, needs), -size[name], name)):
            batches[name] = pool.submit(judge, name)
        for batch in batches.values():
            yield batch.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _depth(name: str, needs: Mapping[str, set[str]]) -> int:
    """How many contracts must be read one after the other before one can be."""
    return 1 + max((_depth(other, needs) for other in needs[name]), default=-1)


def _judge(context: RunContext, deliveries: list[Delivery], lookups: RowContext) -> Batch:
    contract = context.source.contracts[deliveries[0].contract]
    groups: dict[tuple[Any, ...], list[tuple[int, Delivery]]] = defaultdict(list)
    numbers = {one.delivery_id: number for number, one in enumerate(deliveries)}
    for one in deliveries:
        if not one.is_second:
            second = one.second.facts.header if one.second else ()
            groups[one.mapping_fingerprint, one.facts.header, second].append((numbers[one.delivery_id], one))
    frames = [frame for group in groups.values() for frame in _typed(context, group, numbers, lookups)]
    rows = frames[0]
    for frame in frames[1:]:
        # The records of a second file that are loaded with none of a first one have no typed columns.
        rows = rows.unionByName(frame, allowMissingColumns=True)
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
    referred = [name for name in contract.references if f"unknown__{name}" in rows.columns]
    good = ACCEPTED
    # By unit too, since a set of units is nothing that Spark compiles.
    found = rows.groupBy("delivery", F.when(F.expr(good), row_day(contract)).alias("unit")).agg(
        F.count("*").alias("records"),
        F.expr("count_if(NOT applicable)").alias("not_applicable"),
        F.expr(f"count_if({REFUSED})").alias("rejected"),
        F.expr("count_if(erased)" if "erased" in rows.columns else "0").alias("erased"),
        F.expr(f"min(CASE WHEN {good} THEN row_date END)").alias("first"),
        F.expr(f"max(CASE WHEN {good} THEN row_date END)").alias("last"),
        *profile_columns(contract, context.source.fields_of(contract.contract), referred, good),
    )
    mine: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in found.collect():
        mine[row["delivery"]].append(row.asDict())
    counts = {one.delivery_id: _counts(mine[number]) for number, one in enumerate(deliveries)}
    return Batch(contract, deliveries, rows, counts)


def _counts(units: list[dict[str, Any]]) -> Counts:
    """What a delivery holds, from what its rows of each unit hold."""

    def told(name: str) -> list[Any]:
        return [unit[name] for unit in units if unit[name] is not None]

    return Counts(
        sum(told("records")),
        sum(told("not_applicable")),
        sum(told("rejected")),
        min(told("first"), default=None),
        max(told("last"), default=None),
        tuple(sorted(told("unit"))),
        profile_of(units),
        sum(told("erased")),
    )


def _typed(
    context: RunContext,
    group: list[tuple[int, Delivery]],
    numbers: Mapping[str, int],
    lookups: RowContext,
) -> list[DataFrame]:
    """The records of deliveries that share mapping and header, each told by its number.

    Where they have second files, the records of these that are loaded with none come as a second frame.
    """
    _, first = group[0]
    contract = context.source.contracts[first.contract]
    mapping = mapping_for(first, contract)
    # Compiling code for few rows takes longer than running it.
    few = sum(one.facts.records for _, one in group) < FEW_RECORDS
    spark = context.light if few else context.spark
    files = [RecordFile(number, one.path, one.facts.pieces) for number, one in group]
    header, used = first.facts.header, columns_read(first, contract)
    records = read_records(spark, files, layout_of(first.mapping, contract), len(header), used)
    if mapping.join is None or first.second is None:
        return [typed(records, group, contract, lookups)]
    beside = [(number, one.second) for number, one in group if one.second is not None]
    second_files = [RecordFile(number, one.path, one.facts.pieces) for number, one in beside]
    second_header = first.second.facts.header
    second_used = sorted(second_header.index(name) for name in joined_columns(mapping, contract))
    layout = joined_layout_of(first.mapping, contract)
    second = read_records(spark, second_files, layout, len(second_header), second_used)
    key = JoinKey(
        [header.index(name) for name in mapping.join.on],
        [second_header.index(name) for name in mapping.join.on.values()],
        mapping.null_marks,
    )
    own = ", ".join(f"{number}, {numbers[one.delivery_id]}" for number, one in beside)
    judged = judged_second(records, second, key).withColumn("delivery", F.expr(f"map({own})[file]"))
    if lookups.erased is not None:
        built = built_ids([mapping], context.source.contracts).get(contract.contract, ())
        theirs = records_of_erased(second, lookups, built).withColumn("theirs", F.lit(True))
        told = {
            "erased": F.expr("applicable AND theirs IS NOT NULL"),
            "applicable": F.expr("applicable AND theirs IS NULL"),
            "raw": F.expr("CASE WHEN theirs IS NULL THEN raw END"),
        }
        judged = judged.join(theirs, ["file", "line"], "left").withColumns(told).drop("theirs")
    rows = typed(with_joined(records, second, key), group, contract, lookups)
    return [rows, judged.drop("file")]


def columns_read(delivery: Delivery, contract: ExtractContract) -> list[int]:
    """Which columns of a delivery its fields need, counted from zero, rising."""
    header = delivery.facts.header
    return sorted(header.index(name) for name in columns_used(mapping_for(delivery, contract), contract))


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
    lookups = replace(lookups, earliest=_earliest(group, contract), latest=_latest(group, contract))
    joined = first.second.facts.header if first.second is not None else ()
    rows = typed_rows(records, first.facts.header, mapping_for(first, contract), contract, lookups, joined)
    available = F.expr(f"date_add(row_date, {contract.available_after_days})")
    dated = {number: one.delivered_on for number, one in group if one.delivered_on is not None}
    if dated:
        known = ", ".join(f"{number}, {literal(day)}" for number, day in dated.items())
        available = F.coalesce(F.expr(f"try_element_at(map({known}), file)"), available)
    columns = [name for name in rows.columns if name != "file"]
    return rows.select(F.col("file").alias("delivery"), *columns, available.alias("available_at"))


def _earliest(group: list[tuple[int, Delivery]], contract: ExtractContract) -> dict[int, date]:
    """The first date that a row may have, by delivery; empty where none is late."""
    _, first = group[0]
    limit = first.mapping.late_after_days
    limit = contract.late_after_days if limit is None else limit
    if limit is None or contract.grain == "state":
        return {}
    wait = timedelta(days=limit)
    return {number: period_start(_period(one, contract)) - wait for number, one in group if one.period}


def _latest(group: list[tuple[int, Delivery]], contract: ExtractContract) -> dict[int, date]:
    """The last date that a row may have, by delivery: nothing has happened that is yet to come.

    A day more, as sources cut their days in time zones of their own. States may be told beforehand.
    """
    if contract.grain == "state":
        return {}
    ends = {number: (period_end(_period(one, contract)), one.delivered_on) for number, one in group}
    return {
        number: max(day for day in days if day is not None) + timedelta(days=1)
        for number, days in ends.items()
        if any(days)
    }


def _period(one: Delivery, contract: ExtractContract) -> str:
    """What a delivery speaks for: whatever the day a file of months is named by, it is its month's."""
    return one.period[:6] if contract.grain == "month" else one.period
