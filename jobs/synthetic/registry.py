"""State extracts about customers and their subscriptions, and the labels of those who left."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Ints, constant, dates, digits, ids, words
from jobs.synthetic.facts import (
    CITIES,
    CREDIT_CLASSES,
    GIVEN_NAMES,
    OLD_PLAN,
    OLD_PLAN_DATA_MB,
    PAYMENT_METHODS,
    PLAN_IDS,
    PLANS,
    SURNAMES,
)
from jobs.synthetic.hashing import below, chance, pick, root_keys
from jobs.synthetic.layout import Batch
from jobs.synthetic.life import DISCONNECTED, LEFT
from jobs.synthetic.lines import Lines, first_numbers, star_levels
from jobs.synthetic.people import People
from jobs.synthetic.planting import STORIES
from jobs.synthetic.timeline import FIRST, LAST, NEVER, OPENING, day

_GENDERS: Final = ("male", "female", "unknown")
_STATUSES: Final = ("active", "suspended", "closed")
_STARS: Final = (None, "一星", "二星", "三星", "四星", "五星")
_BRANDS: Final = tuple(plan.brand for plan in PLANS)
_LUNAR_DAYS: Final = (None, *(f"{month:02}-{day_:02}" for month in range(1, 13) for day_ in range(1, 31)))
_FIRST_COUNTY: Final = np.cumsum([0, *(len(city.counties) for city in CITIES[:-1])])
_COUNTIES: Final = tuple(county for city in CITIES for county in city.counties)
_EARLIER_LIFE: Final = 9
"""Slot of the closed subscription that once had the number of the next customer."""


def known_from(people: People, lines: Lines) -> Ints:
    """Returns the day from which each customer is on file: the opening, or the first joining."""
    starts = np.cumsum(people.numbers_held) - people.numbers_held
    return np.maximum(np.minimum.reduceat(lines.life.joined, starts), OPENING)


def registry(people: People, lines: Lines) -> Iterator[Batch]:
    """Yields customers, accounts, subscriptions and churn labels."""
    since = known_from(people, lines)
    yield _customers(people, since, people.county)
    moves = chance(people.keys, "moves", 0.006) & (since == OPENING)
    moved_on = FIRST + below(people.keys, "moving day", LAST - FIRST + 1)
    yield _customers(people, np.where(moves, moved_on, NEVER), np.zeros_like(people.county))
    yield Batch(
        "accounts",
        since,
        {
            "account_id": ids("A", people.number, 7),
            "customer_id": ids("C", people.number, 7),
            "updated_on": dates(since),
            "payment_method": words(PAYMENT_METHODS, pick(people.keys, "payment", (35.0, 20.0, 10.0, 35.0))),
            "credit_class": words(CREDIT_CLASSES, pick(people.keys, "credit", (30.0, 45.0, 18.0, 7.0))),
        },
    )
    yield _subscriptions(people, lines)
    yield _earlier_lives(people)
    yield _churn_labels(lines)


def _customers(people: People, updated_on: Ints, county: Ints) -> Batch:
    rows = np.flatnonzero(updated_on < NEVER)
    keys, city, number = people.keys[rows], people.city[rows], people.number[rows]
    unknown_birth = chance(keys, "birth not known", 0.015) & (people.story[rows] < 0)
    surname, given = below(keys, "surname", len(SURNAMES)), below(keys, "given name", len(GIVEN_NAMES))
    names = np.array(SURNAMES, dtype=object)[surname] + np.array(GIVEN_NAMES, dtype=object)[given]
    told = [None if place < 0 else STORIES[place].lunar_birthday for place in people.story[rows]]
    told_lunar = np.array([0 if one is None else _LUNAR_DAYS.index(one) for one in told], dtype=np.int64)
    keeps_lunar = chance(keys, "keeps the lunar birthday", 0.06) & (people.story[rows] < 0)
    drawn_lunar = 1 + below(keys, "lunar birthday", len(_LUNAR_DAYS) - 1)
    columns = {
        "customer_id": ids("C", number, 7),
        "updated_on": dates(updated_on[rows]),
        "name": pa.array(names, pa.string()),
        "gender": words(_GENDERS, people.gender[rows]),
        "birth_date": dates(np.where(unknown_birth, NEVER, people.born[rows])),
        "lunar_birthday": words(_LUNAR_DAYS, np.where(keeps_lunar, drawn_lunar, told_lunar)),
        "city": words(tuple(place.name for place in CITIES), city),
        "county": words(_COUNTIES, _FIRST_COUNTY[city] + county[rows]),
    }
    return Batch("customers", updated_on[rows], columns)


def _subscriptions(people: People, lines: Lines) -> Batch:
    """Returns a row for each day on which something about a subscription changed."""
    life = lines.life
    begun = np.maximum(life.joined, OPENING)
    last = np.minimum(life.closed, LAST)
    turns = (begun, life.plan_changed, life.suspended_from, life.resumed_on, life.closed)
    seen = [np.flatnonzero((turn >= begun) & (turn <= last)) for turn in turns]
    width = NEVER + 1
    marks = np.unique(np.concatenate([at * width + turn[at] for at, turn in zip(seen, turns, strict=True)]))
    row, on = marks // width, marks % width
    now = life.at(row)
    status = np.where(on >= now.closed, 2, np.where(now.active(on), 0, 1))
    plan = np.where(on >= now.plan_changed, now.later_plan, lines.plan[row])
    keys = lines.keys[row]
    bound = chance(keys, "has a contract", 0.45) & ~lines.told[row]
    ends = np.where(bound, LAST - 200 + below(keys, "contract ends", 600), NEVER)
    for line, told in lines.tellings(lambda story: story.contract_ends):
        ends[row == line] = told
    columns = {
        "subscription_id": lines.ids.take(pa.array(row)),
        "customer_id": ids("C", lines.customer[row], 7),
        "account_id": ids("A", lines.customer[row], 7),
        "updated_on": dates(on),
        "number": digits(lines.number[row]),
        "plan_id": words(PLAN_IDS, plan),
        "brand": words(_BRANDS, plan),
        "status": words(_STATUSES, status),
        "joined_on": dates(now.joined),
        "contract_ends_on": dates(ends),
        "star_level": words(_STARS, star_levels(keys, lines.spend[row])),
        "data_mb": pa.array(np.full(len(row), OLD_PLAN_DATA_MB), mask=plan != OLD_PLAN),
    }
    return Batch("subscriptions", on, columns)


def _earlier_lives(people: People) -> Batch:
    """Returns the closed subscriptions whose number the next customer was given."""
    rows = np.flatnonzero(people.lends_number)
    number, keys = people.number[rows], people.keys[rows]
    closed = day(2025, 1, 1) + below(keys, "end of the earlier life", 200)
    columns = {
        "subscription_id": ids("S", number * 10 + _EARLIER_LIFE, 8),
        "customer_id": ids("C", number, 7),
        "account_id": ids("A", number, 7),
        "updated_on": dates(closed),
        "number": digits(first_numbers(people.seed, number + 1, root_keys(people.seed, number + 1))),
        "plan_id": constant(PLAN_IDS[0], len(rows)),
        "brand": constant(_BRANDS[0], len(rows)),
        "status": constant("closed", len(rows)),
        "joined_on": dates(closed - 400 - below(keys, "length of the earlier life", 2_000)),
    }
    return Batch("subscriptions", np.full(len(rows), OPENING), columns)


def _churn_labels(lines: Lines) -> Batch:
    rows = np.flatnonzero(lines.life.closed <= LAST)
    on = lines.life.closed[rows]
    columns = {
        "subscription_id": lines.ids.take(pa.array(rows)),
        "churned_on": dates(on),
        "kind": words((LEFT, DISCONNECTED), lines.life.disconnected[rows].astype(np.int64)),
    }
    return Batch("churn_labels", on, columns)
