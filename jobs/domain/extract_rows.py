"""From records of a file to typed rows of a contract, each with all its reasons to be refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config.formats import JOINED
from jobs.config.sources import ExtractMapping, field_expressions
from jobs.contracts.columns import ddl_type
from jobs.contracts.extracts import PERSON_FIELDS, Derived, ExtractContract
from jobs.contracts.fields import Field
from jobs.domain.privacy import pseudonym, tombstone
from jobs.expressions.nodes import Call, Name, Node
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, quote, to_sql

WHERE = "where"
"""Stands for the mapping's condition in reasons."""

_TRUE = "('true', '1', 'yes', 'y', '是')"
_FALSE = "('false', '0', 'no', 'n', '否')"
_CONVERSIONS = ("number", "parse_number", "date", "parse_date")
_TELLS_ZONE = "(Z|UTC|[+-][0-9]{2}:?[0-9]{2})$"


@dataclass(frozen=True)
class RowContext:
    """What turning records into rows needs besides the mapping and the contract.

    Attributes:
        key: Key of the pseudonyms.
        operators: Operator by number prefix of three digits.
        keys: By field that refers to another contract, the keys of the other, as the column key.
        erased: Tombstones of persons who were erased, as the column tombstone, each with the date (until)
            from which the id is another's, if it is; their rows do not apply.
        earliest: By file, the first date that a row of it may have; earlier ones are late.
        latest: By file, the last date that a row of it may have; later ones lie in the future.
    """

    key: bytes
    operators: Mapping[str, str]
    keys: Mapping[str, DataFrame] = dataclasses.field(default_factory=dict)
    erased: DataFrame | None = None
    earliest: Mapping[int, date] = dataclasses.field(default_factory=dict)
    latest: Mapping[int, date] = dataclasses.field(default_factory=dict)


def typed_rows(
    records: DataFrame,
    header: tuple[str, ...],
    mapping: ExtractMapping,
    contract: ExtractContract,
    context: RowContext,
    joined_header: tuple[str, ...] = (),
) -> DataFrame:
    """Types the records of files that share a header.

    Args:
        records: file, line, raw, fault (null, undecodable or malformed), and the texts of the columns
            in use as c0, c1 ..., those of a second file as j0, j1 ...
        header: Column names of the files.
        mapping: How columns fill fields.
        contract: What the rows must look like.
        context: Keys and look-ups.
        joined_header: Column names of the second files.

    Returns:
        file, line, raw (of refused rows), applicable, reasons (null when there are none), row_date, the kept
        columns of the contract, unknown__<field> for fields that refer to another contract,
        clear__<field> for personal data that belongs into the identity table, and, where somebody was erased,
        erased: whether a row does not apply because it is theirs.
    """
    columns = [(f"c{index}", _column(Name(name))) for index, name in enumerate(header)]
    columns += [(f"j{index}", _column(Name(name, JOINED))) for index, name in enumerate(joined_header)]
    texts = _texts(records, columns, mapping.null_marks)
    filled = _filled(texts, mapping, contract)
    checked = _checked(filled, mapping, contract)
    return _placed(_stored(checked, mapping, contract, context), contract, context)


def _texts(records: DataFrame, columns: Sequence[tuple[str, str]], marks: Sequence[str]) -> DataFrame:
    """The columns by name."""
    known = set(records.columns)
    named = [f"{text_sql(column, marks)} AS {name}" for column, name in columns if column in known]
    return records.select("file", "line", "raw", "fault", *map(F.expr, named))


def text_sql(column: str, null_marks: Sequence[str]) -> str:
    """SQL of a text column in which what means no value is null."""
    marks = ", ".join(literal(mark) for mark in dict.fromkeys(("", *map(str.strip, null_marks))))
    return f"CASE WHEN {column} NOT IN ({marks}) THEN {column} END"


def _column(name: Name) -> str:
    return quote(f"in__{name.name}" if name.table is None else f"joined__{name.name}")


def _filled(rows: DataFrame, mapping: ExtractMapping, contract: ExtractContract) -> DataFrame:
    """Evaluates the mapping's expressions, as text or as what they give; and which rows apply."""
    expressions = field_expressions(mapping, contract)
    values = [F.expr(to_sql(node, _column)).alias(f"v__{name}") for name, node in expressions.items()]
    failed = [F.expr(_failure(node) or "FALSE").alias(f"f__{name}") for name, node in expressions.items()]
    where, unread = "TRUE", "FALSE"
    if mapping.where is not None:
        condition = parse(mapping.where)
        where, unread = f"coalesce({to_sql(condition, _column)}, FALSE)", _failure(condition) or "FALSE"
    # A row of which nobody can say whether it applies is not passed over in silence.
    applicable = F.expr(f"fault IS NOT NULL OR {where} OR {unread}").alias("applicable")
    failed.append(F.expr(unread).alias(f"f__{WHERE}"))
    return rows.select("file", "line", "raw", "fault", applicable, *values, *failed)


def _failure(node: Node) -> str | None:
    """SQL that tells whether some number() or date() met a text it could not read; None where none is used.

    Of a case or if only the conditions that were looked at and the branch that was taken count.
    """
    if not isinstance(node, Call):
        return None
    if node.function in ("case", "if"):
        *pairs, default = node.arguments
        looked_at: list[str | None] = []
        branches = []
        for condition, value in zip(pairs[::2], pairs[1::2], strict=True):
            looked_at.append(_failure(condition))
            branches.append((to_sql(condition, _column), _any([*looked_at, _failure(value)])))
        otherwise = _any([*looked_at, _failure(default)])
        if otherwise is None and all(found is None for _, found in branches):
            return None
        whens = " ".join(f"WHEN {condition} THEN {found or 'FALSE'}" for condition, found in branches)
        return f"CASE {whens} ELSE {otherwise or 'FALSE'} END"
    own = None
    if node.function in _CONVERSIONS:
        own = f"({to_sql(node.arguments[0], _column)} IS NOT NULL AND {to_sql(node, _column)} IS NULL)"
    return _any([*map(_failure, node.arguments), own])


def _any(conditions: list[str | None]) -> str | None:
    found = [condition for condition in conditions if condition is not None]
    return " OR ".join(found) if found else None


def _checked(rows: DataFrame, mapping: ExtractMapping, contract: ExtractContract) -> DataFrame:
    """Casts every field to its type and collects the reasons why a row cannot be loaded."""
    filled = field_expressions(mapping, contract)
    zone = mapping.time_zone
    typed = [_field(name, field, name in filled, zone).alias(name) for name, field in contract.fields.items()]
    carried = [f"v__{name}" for name in filled] + [f"f__{name}" for name in [*filled, WHERE]]
    head = ["file", "line", "raw", "fault", "applicable"]
    cast = rows.select(*head, *typed, *carried)
    conditions = [
        (f"{reason}:{name}", condition)
        for name, field in contract.fields.items()
        if name in filled
        for reason, condition in _reasons(name, field)
    ]
    conditions.append((f"type:{WHERE}", quote(f"f__{WHERE}")))
    # Only a bad row pays for the list of its reasons, which Spark cannot compile; a good one has none.
    bad = " OR ".join(f"({condition})" for _, condition in conditions)
    found = ", ".join(f"CASE WHEN {condition} THEN {literal(reason)} END" for reason, condition in conditions)
    reasons = F.expr(
        f"CASE WHEN fault IS NOT NULL THEN array(fault) WHEN {bad} THEN array_compact(array({found})) END"
    )
    fields = list(contract.fields)
    return cast.select("file", "line", "raw", "applicable", reasons.alias("reasons"), *fields)


def _field(name: str, field: Field, filled: bool, zone: str | None) -> Column:
    empty = F.lit(field.default).cast(ddl_type(field.type, field.scale))
    if not filled:
        return empty
    value = _typed(name, field, zone)
    if field.default is None:
        return value
    # The default stands for an empty value, never for one that could not be read.
    return F.when(F.col(quote(f"v__{name}")).isNull(), empty).otherwise(value)


def _typed(name: str, field: Field, zone: str | None) -> Column:
    value = quote(f"v__{name}")
    text = f"cast({value} AS STRING)"
    match field.type:
        case "date":
            # Spark would read '2026' or '2026-05-1 ' as a date too; only what it writes itself is one.
            day = f"try_cast({value} AS DATE)"
            sql = f"CASE WHEN cast({day} AS STRING) = {text} THEN {day} END"
        case "timestamp":
            moment = value
            if zone is not None:
                told = f"{text} RLIKE {literal(_TELLS_ZONE)}"
                moment = f"CASE WHEN {told} THEN {text} ELSE concat({text}, {literal(' ' + zone)}) END"
            sql = f"CASE WHEN length({text}) >= 16 THEN try_cast({moment} AS TIMESTAMP) END"
        case "boolean":
            lower = f"lower({text})"
            sql = f"CASE WHEN {lower} IN {_TRUE} THEN TRUE WHEN {lower} IN {_FALSE} THEN FALSE END"
        case "integer":
            # A decimal such as 23.0 is a whole number too; 23.5 is not and stays null. As a double a number
            # keeps what lies behind the last decimal, and of 1.00000000000000000001 its text does.
            number, about = f"try_cast({value} AS DECIMAL(38,18))", f"try_cast({value} AS DOUBLE)"
            broken = f"{text} RLIKE '^[^eE]*[.][0-9]*[1-9]'"
            is_whole = f"{number} = floor({number}) AND {number} = {about} AND NOT {broken}"
            whole = f"CASE WHEN {is_whole} THEN try_cast({number} AS BIGINT) END"
            sql = f"coalesce(try_cast({text} AS BIGINT), {whole})"
        case "decimal":
            sql = f"try_cast({value} AS {ddl_type('decimal', field.scale)})"
        case _:
            sql = text
    return F.expr(sql)


def _reasons(name: str, field: Field) -> list[tuple[str, str]]:
    column, value = quote(name), quote(f"v__{name}")
    found = [("type", f"({value} IS NOT NULL AND {column} IS NULL) OR {quote(f'f__{name}')}")]
    if field.required:
        found.append(("missing", f"{value} IS NULL AND NOT {quote(f'f__{name}')}"))
    if field.min is not None:
        found.append(("range", f"{column} < {field.min!r}"))
    if field.max is not None:
        found.append(("range", f"{column} > {field.max!r}"))
    if field.values is not None:
        found.append(("set", f"{column} NOT IN ({', '.join(literal(one) for one in field.values)})"))
    if field.pattern is not None:
        found.append(("pattern", f"NOT {column} RLIKE {literal(field.pattern)}"))
    return found


def _stored(
    rows: DataFrame, mapping: ExtractMapping, contract: ExtractContract, context: RowContext
) -> DataFrame:
    """Adds derived parts and the row's date, and replaces personal data."""
    columns: list[Column] = [F.col(name) for name in ("file", "line", "applicable", "reasons", "raw")]
    day = quote(contract.date_field)
    if contract.grain == "month":
        columns.append(F.expr(f"last_day({day})").alias("row_date"))
    elif contract.date_field in contract.derived:
        columns.append(_derived(contract.derived[contract.date_field], context, None).alias("row_date"))
    else:
        columns.append(F.expr(day).alias("row_date"))
    for name, field in contract.fields.items():
        if field.personal == "number":
            columns.append(pseudonym(F.col(quote(name)), context.key).alias(name))
        elif field.kept:
            month = contract.grain == "month" and name == contract.date_field
            columns.append((F.expr(f"trunc({day}, 'MM')") if month else F.col(quote(name))).alias(name))
        if field.personal and (field.personal != "number" or field.identity):
            columns.append(F.col(quote(name)).cast("string").alias(f"clear__{name}"))
    for name, part in contract.derived.items():
        derived = mapping.derives(part)
        value = _derived(part, context, mapping.own_operator) if derived else F.lit(None)
        columns.append(value.cast(ddl_type(part.type)).alias(name))
    return rows.select(*columns)


def _derived(part: Derived, context: RowContext, own_operator: str | None) -> Column:
    source = quote(part.from_)
    match part.derive:
        case "date_of":
            return F.expr(f"cast({source} AS DATE)")
        case "segment_of":
            return F.expr(f"substring({source}, 1, 3)")
        case "month_day_of":
            return F.expr(f"date_format({source}, 'MM-dd')")
        case "year_of":
            return F.expr(f"cast(year({source}) AS BIGINT)")
        case "tac_of":
            return F.expr(f"substring({source}, 1, 8)")
        case "hour_of":
            return F.expr(f"cast(hour({source}) AS BIGINT)")
        case "operator_of":
            return F.expr(_operator_of(source, context))
        case "off_net_of":
            return F.expr(f"{_operator_of(source, context)} <> {literal(own_operator or '')}")


def _operator_of(number: str, context: RowContext) -> str:
    """SQL of the operator to whom a number's prefix belongs; null when no prefix is known."""
    if not context.operators:
        return "cast(NULL AS STRING)"
    pairs = ", ".join(f"{literal(k)}, {literal(v)}" for k, v in sorted(context.operators.items()))
    return f"try_element_at(map({pairs}), substring({number}, 1, 3))"


def _placed(rows: DataFrame, contract: ExtractContract, context: RowContext) -> DataFrame:
    """Adds what its own columns do not tell of a row: that it is late, or names what is unknown or erased."""
    found: list[tuple[str, str]] = []
    name = contract.date_field
    told_by = contract.derived[name].from_ if name in contract.derived else name
    bounds = (("late", "<", context.earliest), ("future", ">", context.latest))
    for reason, beyond, days in bounds:
        if days:
            known = ", ".join(f"{number}, {literal(day)}" for number, day in days.items())
            found.append((f"{reason}:{told_by}", f"row_date {beyond} try_element_at(map({known}), file)"))
    columns = [F.col(name) for name in rows.columns if name not in ("reasons", "raw", "applicable")]
    applicable = "applicable"
    whose = [name for name in PERSON_FIELDS if name in contract.fields]
    if context.erased is not None and whose:
        # The first id that a row has tells whose it is.
        stones = [
            F.when(F.col(name).isNotNull(), tombstone(F.lit(name), F.col(name), context.key))
            for name in whose
        ]
        rows = rows.withColumn("_owner", F.coalesce(*stones))
        rows = rows.join(
            context.erased.withColumnRenamed("tombstone", "_stone"),
            F.col("_owner") == F.col("_stone"),
            "left",
        )
        theirs = "(_stone IS NOT NULL AND (until IS NULL OR row_date IS NULL OR row_date < until))"
        columns.append(F.expr(f"{applicable} AND {theirs}").alias("erased"))
        applicable += f" AND NOT {theirs}"
    for name, keys in context.keys.items():
        key = f"key__{name}"
        rows = rows.join(keys.withColumnRenamed("key", key), F.col(quote(name)) == F.col(key), "left")
        unknown = f"{quote(name)} IS NOT NULL AND {key} IS NULL"
        columns.append(F.expr(unknown).alias(f"unknown__{name}"))
        if contract.references[name].breach == "quarantine":
            found.append((f"reference:{name}", unknown))
    reasons = "reasons"
    for reason, condition in found:
        had = f"coalesce({reasons}, cast(array() AS ARRAY<STRING>))"
        reasons = f"CASE WHEN {condition} THEN array_append({had}, {literal(reason)}) ELSE {reasons} END"
    # Only a refused row needs its original text.
    raw = f"CASE WHEN {applicable} AND ({reasons}) IS NOT NULL THEN raw END"
    told = {"applicable": applicable, "reasons": reasons, "raw": raw}
    return rows.select(*columns, *(F.expr(sql).alias(name) for name, sql in told.items()))


def records_of_erased(
    records: DataFrame, context: RowContext, built: Iterable[tuple[str, str, str]] = ()
) -> DataFrame:
    """Records that cannot be typed and have an id of a person who was erased in one of their columns.

    Args:
        records: Records, as read.
        context: Tombstones and the key.
        built: Fields of ids with the texts that the mapping puts before and after a column to make them.

    Returns:
        file and line of each. What is another's by now counts for nobody, since nothing tells of when it is.
    """
    cells = F.array(*(F.col(name) for name in records.columns if name.startswith("c")))
    found = records.select("file", "line", F.explode(cells).alias("cell")).where("cell IS NOT NULL")
    made = sorted({*((name, "", "") for name in PERSON_FIELDS), *built})
    ids = ((name, F.concat(F.lit(before), F.col("cell"), F.lit(after))) for name, before, after in made)
    stones = F.array(*(tombstone(F.lit(name), one, context.key) for name, one in ids))
    told = found.select("file", "line", F.explode(stones).alias("tombstone"))
    assert context.erased is not None
    return (
        told.join(context.erased.where("until IS NULL"), "tombstone", "left_semi")
        .select("file", "line")
        .distinct()
    )


def latest_wins(rows: DataFrame, contract: ExtractContract, buckets: int = 1) -> DataFrame:
    """One row a key and unit: of rows alike in it the last delivered, then the one further down its file.

    With it goes the number of those alike (alike), by which the sum of rows can be checked. The rows of a
    unit (row_day) come together in so many tasks, so that each writes few files.

    Args:
        rows: Typed rows with delivery (its number in the order of delivery), line and row_day.
        contract: Gives the key.
        buckets: Tasks that share a unit.
    """
    bucket = F.expr(f"pmod(xxhash64({', '.join(quote(name) for name in contract.row_key)}), {buckets})")
    unit = ["row_day"] if buckets == 1 else ["row_day", "_bucket"]
    gathered = rows.withColumn("_bucket", bucket).repartition(*unit)
    # The last of those alike has their number as its own: one look at each row tells both.
    # In the order in which most clean rows lie, so that they need not be sorted again.
    alike = Window.partitionBy(*unit, *contract.dated_key).orderBy("delivery", "line")
    placed = gathered.withColumns({"alike": F.row_number().over(alike), "_next": F.lead("line").over(alike)})
    return placed.where("_next IS NULL").drop("_next", "_bucket")


def row_day(contract: ExtractContract) -> Column:
    """The clean table's partition: the row's date, or the first of its month or year."""
    unit = contract.partition_unit
    day = F.col("row_date")
    return day if unit == "day" else F.trunc(day, "month" if unit == "month" else "year")
