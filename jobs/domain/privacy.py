"""Keyed pseudonyms: HMAC-SHA-256 (RFC 2104) as a Spark expression, so that no value leaves the executors."""

from __future__ import annotations

import hashlib

from pyspark.sql import Column
from pyspark.sql import functions as F

_BLOCK = 64


def pseudonym(value: Column, key: bytes) -> Column:
    """A keyed pseudonym of a text: the first 32 hex digits of its HMAC-SHA-256; null stays null.

    Args:
        value: A string column.
        key: The secret key.
    """
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner = F.lit(bytearray(byte ^ 0x36 for byte in block))
    outer = F.lit(bytearray(byte ^ 0x5C for byte in block))
    digest = F.unhex(F.sha2(F.concat(inner, value.cast("binary")), 256))
    return F.substring(F.sha2(F.concat(outer, digest), 256), 1, 32)


def tombstone(field: Column, value: Column, key: bytes) -> Column:
    """What is kept of an id of a person who was erased: a keyed hash that is no pseudonym of a number.

    Args:
        field: What the id names, such as customer_id.
        value: The id.
        key: The secret key.
    """
    return pseudonym(F.concat(F.lit("erased:"), field, F.lit(":"), value), key)
