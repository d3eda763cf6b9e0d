"""Counter-based random draws: a value depends on (seed, who, stream) alone, not on how many others are drawn.

A key is a 64-bit hash that names somebody or something. Draws from a key are told apart by the stream's name,
so that adding a stream changes no other, and customer 7 is the same person among 2,000 and 200,000 customers.
"""

import hashlib
from functools import cache
from typing import Final

import numpy as np

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MOST: Final = 40
"""Largest count that ``poisson`` returns."""


def root_keys(seed: int, numbers: Ints) -> Keys:
    """Returns the keys of numbered customers."""
    return _mix(np.asarray(numbers).astype(np.uint64) * _GOLDEN ^ _named(f"seed {seed}"))


def child_keys(keys: Keys, numbers: Ints | int) -> Keys:
    """Returns the keys of numbered parts (a subscription, a day, a call) of what ``keys`` names."""
    return _mix(keys + (np.atleast_1d(numbers).astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def uniform(keys: Keys, stream: str) -> Floats:
    """Draws from [0, 1)."""
    return (_mix(keys ^ _named(stream)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(keys: Keys, stream: str, limit: Ints | int) -> Ints:
    """Draws a whole number from 0 to ``limit`` - 1."""
    return np.asarray(uniform(keys, stream) * limit, dtype=np.int64)


def chance(keys: Keys, stream: str, probability: Floats | float) -> Bools:
    """Draws true with a probability."""
    return np.asarray(uniform(keys, stream) < probability)


def normal(keys: Keys, stream: str) -> Floats:
    """Draws from the standard normal distribution."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(keys, stream)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(keys, stream + " angle")))


def pick(keys: Keys, stream: str, weights: tuple[float, ...]) -> Ints:
    """Draws a position with the given weights."""
    edges = np.cumsum(np.array(weights) / sum(weights))[:-1]
    return np.searchsorted(edges, uniform(keys, stream), side="right")


def poisson(keys: Keys, stream: str, rates: Floats) -> Ints:
    """Draws a count with the given mean."""
    drawn = uniform(keys, stream)
    counts = np.zeros(drawn.shape, dtype=np.int64)
    term = np.exp(-rates)
    reached = term.copy()
    for k in range(1, _MOST + 1):
        more = drawn >= reached
        if not more.any():
            break
        counts += more
        term *= rates / k
        reached += term
    return counts


@cache
def _named(stream: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "big"))


def _mix(values: Keys) -> Keys:
    """Spreads every bit over the whole number (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
