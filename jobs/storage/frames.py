"""A table's schema as Spark sees it, and frames of rows that the driver holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DataType, StructField, StructType

from jobs.contracts.columns import Table


@cache
def _struct_of(ddl: str) -> StructType:
    struct = StructType.fromDDL(ddl)
    assert isinstance(struct, StructType)
    return struct


def data_type(ddl: str) -> DataType:
    """The Spark type of a DDL type."""
    return _struct_of(f"value {ddl}").fields[0].dataType


def struct_type(table: Table) -> StructType:
    """A table's schema as a Spark type, with its meaning as comments."""
    fields = []
    for column in table.columns:
        kind = data_type(column.type)
        comment = {"comment": f"{column.zh} / {column.en}"} if column.en else {}
        fields.append(StructField(column.name, kind, not column.required, comment))
    return StructType(fields)


def frame_of(spark: SparkSession, rows: Sequence[Sequence[object]], ddl: str) -> DataFrame:
    """Rows that the driver holds, as a frame.

    They are handed over as Arrow. A list of rows stays Python's own: Spark starts a Python process whenever
    the frame is looked at, which takes longer than all else that is done with a few rows.

    Args:
        spark: The session.
        rows: Values in the order of the columns.
        ddl: The columns, without nullability, which Spark cannot know of such rows.
    """
    schema = _struct_of(ddl)
    arrow = to_arrow_schema(schema)
    columns = list(zip(*rows, strict=True)) or [()] * len(schema.fields)
    arrays = [pa.array(values, one.type) for values, one in zip(columns, arrow, strict=True)]
    return spark.createDataFrame(pa.Table.from_arrays(arrays, schema=arrow), schema=schema)
