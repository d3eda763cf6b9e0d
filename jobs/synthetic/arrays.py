"""Array types, and how numbers become columns of an extract (text ids, dates, times, money)."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Keys: TypeAlias = npt.NDArray[np.uint64]

_EMPTY_FROM: Final = 300_000
"""Day numbers past this one (in the year 2791) are written as an empty field."""


def ids(prefix: str, numbers: Ints, width: int) -> pa.Array:
    """Returns text ids such as ``C0000012``.

    >>> ids("C", np.array([12]), 7).to_pylist()
    ['C0000012']
    """
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "")


def digits(numbers: Ints) -> pa.Array:
    """Returns numbers as text, such as phone numbers."""
    return pc.cast(pa.array(numbers), pa.string())


def dates(days: Ints) -> pa.Array:
    """Returns day numbers as dates; days that never come are null."""
    return pa.array(days.astype(np.int32), mask=days >= _EMPTY_FROM).cast(pa.date32())


def moments(days: Ints, seconds: Ints) -> pa.Array:
    """Returns days and seconds of the day as timestamps."""
    return pa.array((days * 86_400 + seconds).astype("datetime64[s]"))


def money(fen: Ints) -> pa.Array:
    """Returns whole hundredths as decimals with two places.

    >>> money(np.array([1250])).to_pylist()
    [Decimal('12.50')]
    """
    raw = np.empty((len(fen), 2), dtype=np.int64)
    raw[:, 0] = fen
    raw[:, 1] = fen >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(fen), [None, pa.py_buffer(raw)])


def fen(yuan: Floats | float) -> Ints:
    """Returns amounts in whole hundredths."""
    return np.asarray(np.rint(np.asarray(yuan) * 100), dtype=np.int64)


def words(choices: Sequence[str | None], picks: Ints) -> pa.Array:
    """Returns the chosen word of each row."""
    return pa.array(choices, pa.string()).take(pa.array(picks))


def constant(value: str | None, rows: int) -> pa.Array:
    """Returns one text (or nothing at all) for every row."""
    return pa.nulls(rows, pa.string()) if value is None else pa.repeat(pa.scalar(value), rows)


def rank_in_group(groups: Ints) -> Ints:
    """Returns 0, 1, 2 ... within each run of equal, neighbouring values.

    >>> rank_in_group(np.array([4, 4, 9])).tolist()
    [0, 1, 0]
    """
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else groups
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups), dtype=np.int64) - np.repeat(starts, lengths)
