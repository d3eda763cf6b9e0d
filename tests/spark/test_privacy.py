"""Pseudonyms against Python's own HMAC."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config.person_text import tombstone_of
from jobs.domain.extract_rows import RowContext, records_of_erased
from jobs.domain.moments import hash_of as sql_hash_of
from jobs.domain.privacy import pseudonym
from jobs.kernel.ids import hash_of

pytestmark = pytest.mark.spark


@pytest.mark.parametrize("key", [b"k", b"a key of some length", bytes(range(100))])
def test_pseudonyms_are_hmac_sha256(spark: SparkSession, key: bytes) -> None:
    values = ["13400000001", "", "号码", None]
    rows = spark.createDataFrame([(value,) for value in values], "value STRING")
    expected = [
        (v, None if v is None else hmac.new(key, v.encode(), hashlib.sha256).hexdigest()[:32]) for v in values
    ]
    found = rows.select("value", pseudonym(F.col("value"), key).alias("pseudonym"))
    assert_df_equality(
        found, spark.createDataFrame(expected, "value STRING, pseudonym STRING"), ignore_nullable=True
    )


def test_alert_ids_in_sql_are_those_of_python(spark: SparkSession) -> None:
    rows = [("low_balance", "S1", "2026-05-31"), ("a", "bc", "d"), ("ab", "c", "d"), ("中文", "S", "x:y")]
    frame = spark.createDataFrame(rows, "a STRING, b STRING, c STRING")
    found = frame.select("a", "b", "c", sql_hash_of("a", "b", "c").alias("id"))
    expected = spark.createDataFrame(
        [(*row, hash_of(*row)) for row in rows], "a STRING, b STRING, c STRING, id STRING"
    )
    assert_df_equality(found, expected, ignore_nullable=True)


def test_records_of_the_erased_are_found_by_any_id_in_them(spark: SparkSession) -> None:
    """Of a second file whose first one says nothing of them any more."""
    key = b"key"
    rows = [
        (0, 1, "S1", "x"), (0, 2, "S2", "C1"), (0, 3, None, "A1"), (0, 4, "7", "x"), (0, 5, "S3", "x"),
        (1, 1, "C2", "13400000001"), (1, 2, "S1", "C1"),
    ]  # fmt: skip
    records = spark.createDataFrame(rows, "file INT, line LONG, c0 STRING, c3 STRING")
    # S3 is another's by now; S-7 is made of a column.
    ids = [("subscription_id", "S1", None), ("customer_id", "C1", None), ("subscription_id", "S-7", None)]
    ids.append(("subscription_id", "S3", date(2026, 7, 1)))  # type: ignore[arg-type]
    stones = [(tombstone_of(name, one, key), until) for name, one, until in ids]
    erased = spark.createDataFrame(stones, "tombstone STRING, until DATE")
    found = records_of_erased(records, RowContext(key, {}, erased=erased), [("subscription_id", "S-", "")])
    assert sorted(map(tuple, found.collect())) == [(0, 1), (0, 2), (0, 4), (1, 2)]
