"""From records of a file to typed rows of a contract, each with all its reasons to be refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config.sources import ExtractMapping, field_expressions
from jobs.contracts.columns import ddl_type
from jobs.contracts.extracts import Derived, ExtractContract, Field
from jobs.domain.privacy import pseudonym
from jobs.expressions.nodes import Call, Name, Node, walk
from jobs.expressions.parse import parse
from jobs.expressions.sql import literal, quote, to_sql

_TRUE = "('true', '1', 'yes', 'y', '是')"
_FALSE = "('false', '0', 'no', 'n', '否')"
_CONVERSIONS = ("number", "date", "parse_date")


@dataclass(frozen=True)
class RowContext:
    """What turning records into rows needs besides the mapping and the contract.

    Attributes:
        key: Key of the pseudonyms.
        operators: Operator by number prefix of three digits.
    """

    key: bytes
    operators: Mapping[str, str]


def typed_rows(
    records: DataFrame,
    header: tuple[str, ...],
    mapping: ExtractMapping,
    contract: ExtractContract,
    context: RowContext,
) -> DataFrame:
    """Types the records of files that share a header.

    Args:
        records: delivery_id, line, raw, undecodable.
        header: Column names of the files.
        mapping: How columns fill fields.
        contract: What the rows must look like.
        context: Keys and look-ups.

    Returns:
        delivery_id, line, raw, applicable, reasons, row_date, the kept columns of the contract, and
        clear__<field> for personal data that belongs into the identity table.
    """
    split = _split(records, header, mapping)
    filled = _filled(split, mapping, contract)
    checked = _checked(filled, mapping, contract)
    return _stored(checked, contract, context)


def _split(records: DataFrame, header: tuple[str, ...], mapping: ExtractMapping) -> DataFrame:
    """Splits records into text columns; what means no value becomes null."""
    contract_columns = {f"c{index}": name for index, name in enumerate(header)}
    schema = ", ".join([*(f"{column} STRING" for column in contract_columns), "_malformed STRING"])
    options = {
        "sep": mapping.delimiter,
        "quote": mapping.quote,
        "escape": mapping.quote,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": "_malformed",
        "maxCharsPerColumn": "-1",
        "multiLine": "true",
    }
    parsed = records.withColumn("_csv", F.from_csv("raw", schema, options))
    marks = ", ".join(literal(mark) for mark in ("", *mapping.null_marks))
    columns = [
        F.expr(f"CASE WHEN _csv.{column} NOT IN ({marks}) THEN _csv.{column} END").alias(f"in__{name}")
        for column, name in contract_columns.items()
    ]
    malformed = F.expr("_csv IS NULL OR _csv._malformed IS NOT NULL OR trim(raw) = ''").alias("malformed")
    return parsed.select("delivery_id", "line", "raw", "undecodable", malformed, *columns)


def _column(name: Name) -> str:
    return quote(f"in__{name.name}")


def _filled(rows: DataFrame, mapping: ExtractMapping, contract: ExtractContract) -> DataFrame:
    """Evaluates the mapping's expressions, as text or as what they give; and which rows apply."""
    expressions = field_expressions(mapping, contract)
    values = [F.expr(to_sql(node, _column)).alias(f"v__{name}") for name, node in expressions.items()]
    failed = [_conversion_failed(node).alias(f"f__{name}") for name, node in expressions.items()]
    where = "TRUE" if mapping.where is None else f"coalesce({to_sql(parse(mapping.where), _column)}, FALSE)"
    applicable = F.expr(f"malformed OR undecodable OR {where}").alias("applicable")
    return rows.select("delivery_id", "line", "raw", "undecodable", "malformed", applicable, *values, *failed)


def _conversion_failed(node: Node) -> Column:
    """Whether some number() or date() in an expression met a text it could not read."""
    failures = []
    for call in walk(node):
        if isinstance(call, Call) and call.function in _CONVERSIONS:
            given, result = to_sql(call.arguments[0], _column), to_sql(call, _column)
            failures.append(f"({given} IS NOT NULL AND {result} IS NULL)")
    return F.expr(" OR ".join(failures) or "FALSE")


def _checked(rows: DataFrame, mapping: ExtractMapping, contract: ExtractContract) -> DataFrame:
    """Casts every field to its type and collects the reasons why a row cannot be loaded."""
    filled = field_expressions(mapping, contract)
    typed = [_field(name, field, name in filled).alias(name) for name, field in contract.fields.items()]
    carried = [f"v__{name}" for name in filled] + [f"f__{name}" for name in filled]
    head = ["delivery_id", "line", "raw", "undecodable", "malformed", "applicable"]
    cast = rows.select(*head, *typed, *carried)
    reasons = [
        F.expr(f"CASE WHEN {condition} THEN {literal(f'{reason}:{name}')} END")
        for name, field in contract.fields.items()
        if name in filled
        for reason, condition in _reasons(name, field)
    ]
    whole = F.expr(
        "CASE WHEN undecodable THEN array('undecodable') WHEN malformed THEN array('malformed') END"
    )
    found = F.coalesce(whole, F.array_compact(F.array(*reasons)))
    fields = list(contract.fields)
    return cast.select("delivery_id", "line", "raw", "applicable", found.alias("reasons"), *fields)


def _field(name: str, field: Field, filled: bool) -> Column:
    empty = F.lit(field.default).cast(ddl_type(field.type, field.scale))
    if not filled:
        return empty
    value = _typed(name, field)
    if field.default is None:
        return value
    # The default stands for an empty value, never for one that could not be read.
    return F.when(F.col(quote(f"v__{name}")).isNull(), empty).otherwise(value)


def _typed(name: str, field: Field) -> Column:
    value = quote(f"v__{name}")
    text = f"cast({value} AS STRING)"
    match field.type:
        case "date":
            # Spark would read '2026' as a date too; ten characters are YYYY-MM-DD.
            sql = f"CASE WHEN length({text}) = 10 THEN try_cast({value} AS DATE) END"
        case "timestamp":
            sql = f"CASE WHEN length({text}) >= 16 THEN try_cast({value} AS TIMESTAMP) END"
        case "boolean":
            lower = f"lower({text})"
            sql = f"CASE WHEN {lower} IN {_TRUE} THEN TRUE WHEN {lower} IN {_FALSE} THEN FALSE END"
        case "integer":
            # A decimal such as 23.0 is a whole number; 23.5 is not and stays null.
            number = f"try_cast({value} AS DECIMAL(28,8))"
            sql = f"CASE WHEN {number} = floor({number}) THEN try_cast({number} AS BIGINT) END"
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


def _stored(rows: DataFrame, contract: ExtractContract, context: RowContext) -> DataFrame:
    """Adds derived parts and the row's date, and replaces personal data."""
    columns: list[Column] = [F.col(name) for name in ("delivery_id", "line", "applicable", "reasons")]
    # Only a refused row needs its original text.
    columns.append(F.expr("CASE WHEN size(reasons) > 0 THEN raw END").alias("raw"))
    day = quote(contract.date_field)
    if contract.grain == "month":
        columns.append(F.expr(f"last_day({day})").alias("row_date"))
    elif contract.date_field in contract.derived:
        columns.append(_derived(contract.derived[contract.date_field], context).alias("row_date"))
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
    columns += [_derived(part, context).alias(name) for name, part in contract.derived.items()]
    return rows.select(*columns)


def _derived(part: Derived, context: RowContext) -> Column:
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
        case "operator_of":
            if not context.operators:
                return F.lit(None).cast("string")
            pairs = ", ".join(f"{literal(k)}, {literal(v)}" for k, v in sorted(context.operators.items()))
            return F.expr(f"try_element_at(map({pairs}), substring({source}, 1, 3))")


def latest_wins(raw: DataFrame, contract: ExtractContract) -> DataFrame:
    """One row a key: of rows alike in it, the one delivered last, then the one further down the file."""
    order = [F.col(name).desc() for name in ("available_at", "period", "part", "delivery_id", "line")]
    window = Window.partitionBy(*contract.row_key).orderBy(*order)
    return raw.withColumn("_rank", F.row_number().over(window)).where("_rank = 1").drop("_rank")


def row_day(contract: ExtractContract) -> Column:
    """The clean table's partition: the row's date, or the first of its month or year."""
    unit = contract.partition_unit
    day = F.col("row_date")
    return day if unit == "day" else F.trunc(day, "month" if unit == "month" else "year")
