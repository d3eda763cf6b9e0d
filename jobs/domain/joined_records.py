"""Records that an operator splits over two files: the second's columns beside the first's, none lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.domain.extract_rows import text_sql

UNMATCHED, REPEATED = "unmatched", "repeated"


@dataclass(frozen=True)
class JoinKey:
    """How records of two files find each other.

    Attributes:
        first: Places of the key's columns in the first file, counted from zero.
        second: The same in the second file.
        null_marks: What means no value; a record without a key finds no other.
    """

    first: Sequence[int]
    second: Sequence[int]
    null_marks: Sequence[str]

    @property
    def names(self) -> list[str]:
        """Names of the key's columns."""
        return [f"key{number}" for number in range(len(self.first))]

    def columns(self, places: Sequence[int]) -> dict[str, Column]:
        """The key's columns, of a file in which they have these places."""
        texts = [F.expr(text_sql(f"c{place}", self.null_marks)) for place in places]
        return dict(zip(self.names, texts, strict=True))


def with_joined(first: DataFrame, second: DataFrame, key: JoinKey) -> DataFrame:
    """Records of first files with the columns of their second ones as j0, j1 ...; null where none is found.

    The original text is that of both records, a line each.

    Of records of one key in the second file that counts which stands last.

    Args:
        first: Records, as read.
        second: Records of the second files, each with the number of its first file.
        key: How they find each other.
    """
    columns = [name for name in second.columns if name not in ("file", "line", "fault", "raw")]
    held = _ranked(second, key).where("fault IS NULL AND place = 1")
    text = F.col("raw").alias("beside")
    held = held.select("file", *key.names, text, *(F.col(name).alias(f"j{name[1:]}") for name in columns))
    kept = [*(name for name in first.columns if name != "raw"), *(f"j{name[1:]}" for name in columns)]
    # Either record may be why the row is refused.
    both = F.concat_ws("\n", "raw", "beside").alias("raw")
    keyed = first.withColumns(key.columns(key.first))
    return keyed.join(held, ["file", *key.names], "left").select(*kept, both)


def judged_second(first: DataFrame, second: DataFrame, key: JoinKey) -> DataFrame:
    """What becomes of the records of second files.

    Returns:
        file, line, raw, applicable, reasons. A record that stands beside one of the first file is loaded as
        part of that, and is no row of its own; of the others each has its reason.
    """
    known = first.where("fault IS NULL").withColumns(key.columns(key.first)).select("file", *key.names)
    known = known.distinct().withColumn("known", F.lit(True))
    found = _ranked(second, key).join(known, ["file", *key.names], "left")
    # Records without a key are no repetitions of each other.
    repeated = " AND ".join(["place > 1", *(f"{name} IS NOT NULL" for name in key.names)])
    reasons = f"""CASE WHEN fault IS NOT NULL THEN array(fault) ELSE array_compact(array(
        CASE WHEN known IS NULL THEN '{UNMATCHED}' END, CASE WHEN {repeated} THEN '{REPEATED}' END)) END"""
    told = found.select("file", "line", "raw", F.expr(reasons).alias("reasons"))
    refused = F.expr("size(reasons) > 0")
    return told.withColumns({"applicable": refused, "raw": F.when(refused, F.col("raw"))})


def _ranked(second: DataFrame, key: JoinKey) -> DataFrame:
    """The records with their key and their place among those of one key, the last being the first."""
    keyed = second.withColumns(key.columns(key.second))
    order = Window.partitionBy("file", *key.names).orderBy(F.expr("fault IS NOT NULL"), F.desc("line"))
    return keyed.withColumn("place", F.row_number().over(order))
