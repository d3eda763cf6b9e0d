"""Customers: who they are, where they live, how much they spend and whether they carry a story."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys
from jobs.synthetic.facts import CITIES
from jobs.synthetic.hashing import below, chance, normal, pick, root_keys, uniform
from jobs.synthetic.planting import NO_STORY, STORIES, stories_for
from jobs.synthetic.timeline import day

MID_VALUE: Final = 120.0
"""Mean bill a month from which a customer counts as of mid or high value."""

_CITY_NAMES: Final = tuple(city.name for city in CITIES)
_CITY_SHARES: Final = tuple(city.share for city in CITIES)
_COUNTIES: Final = np.array([len(city.counties) for city in CITIES])
_MEDIAN_SPEND: Final = 37.0
_SPREAD: Final = 0.9


@dataclass(frozen=True)
class People:
    """Customers of one chunk, one entry each."""

    seed: int
    number: Ints
    keys: Keys
    story: Ints
    city: Ints
    county: Ints
    gender: Ints
    born: Ints
    spend: Floats
    numbers_held: Ints
    lends_number: Bools
    """Held, as a second life of the past, the number that now belongs to the next customer."""

    borrows_number: Bools
    """Joined lately and was given a number that somebody else once had."""

    @property
    def mid_high(self) -> Bools:
        """Whether the customer is of mid or high value."""
        return np.asarray(self.spend >= MID_VALUE)


def make_people(seed: int, first: int, last: int) -> People:
    """Makes the customers numbered from ``first`` up to, not including, ``last``."""
    number = np.arange(first, last)
    keys = root_keys(seed, number)
    story = stories_for(seed, number)
    city = pick(keys, "city", _CITY_SHARES)
    spend = np.clip(_MEDIAN_SPEND * np.exp(_SPREAD * normal(keys, "spend")), 18.0, 900.0)
    numbers_held = 1 + chance(keys, "second number", 0.045).astype(np.int64)
    born = _births(keys)
    for position, row in zip(story[story != NO_STORY], np.flatnonzero(story != NO_STORY), strict=True):
        told = STORIES[position]
        city[row] = city[row] if told.city is None else _CITY_NAMES.index(told.city)
        spend[row] = max(told.monthly_bills)
        numbers_held[row] = told.numbers
        born[row] = day(1985, *told.birthday) if told.birthday else born[row]
    return People(
        seed=seed,
        number=number,
        keys=keys,
        story=story,
        city=city,
        county=below(keys, "county", _COUNTIES[city]),
        gender=pick(keys, "gender", (49.0, 48.0, 3.0)),
        born=born,
        spend=spend,
        numbers_held=numbers_held,
        lends_number=_borrows(seed, number + 1),
        borrows_number=_borrows(seed, number),
    )


def _births(keys: Keys) -> Ints:
    youngest, oldest = day(2008, 1, 1), day(1942, 1, 1)
    towards_the_middle = (uniform(keys, "birth") + uniform(keys, "birth too")) / 2
    return np.asarray(oldest + towards_the_middle * (youngest - oldest), dtype=np.int64)


def _borrows(seed: int, number: Ints) -> Bools:
    """Tells who joined with a recycled number; needs nothing but the customer's number."""
    plain = stories_for(seed, number) == NO_STORY
    lately = chance(root_keys(seed, number), "recycled number", 0.005)
    return np.asarray(lately & plain & (number > 0))
