"""State extracts around the customers: plans, segments, managers, do-not-disturb settings."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Ints, dates, ids, money, words
from jobs.synthetic.facts import CITIES, OPERATORS, PLANS
from jobs.synthetic.hashing import below, chance, pick, root_keys
from jobs.synthetic.layout import Batch
from jobs.synthetic.people import People
from jobs.synthetic.planting import NO_STORY, STORIES
from jobs.synthetic.timeline import LAST, NEVER, OPENING

CUSTOMERS_A_MANAGER: Final = 400

_SHARE: Final = np.array([city.share for city in CITIES]) / sum(city.share for city in CITIES)
_SPANS: Final = np.rint(CUSTOMERS_A_MANAGER / _SHARE).astype(np.int64)
"""By city: how many customers of the whole province hold one manager's worth of customers of that city."""


def reference(seed: int, customers: int) -> Iterator[Batch]:
    """Yields tariff plans, number segments and managers."""
    opening = np.full(len(PLANS), OPENING)
    plans = {
        "plan_id": pa.array([plan.plan_id for plan in PLANS]),
        "updated_on": dates(opening),
        "plan_name": pa.array([plan.name for plan in PLANS]),
        "brand": pa.array([plan.brand for plan in PLANS]),
        "monthly_fee": money(np.array([plan.fee * 100 for plan in PLANS])),
        "data_mb": pa.array([plan.data_mb for plan in PLANS]),
        "voice_minutes": pa.array([plan.voice_minutes for plan in PLANS]),
    }
    yield Batch("tariff_plans", opening, plans)
    segments = sorted((prefix, operator) for operator, held in OPERATORS.items() for prefix in held)
    opening = np.full(len(segments), OPENING)
    prefixes = {
        "prefix": pa.array([str(prefix) for prefix, _ in segments]),
        "updated_on": dates(opening),
        "operator": pa.array([operator for _, operator in segments]),
    }
    yield Batch("number_segments", opening, prefixes)
    yield _managers(seed, customers)


def _managers(seed: int, customers: int) -> Batch:
    teams = (customers - 1) // _SPANS + 1
    city = np.repeat(np.arange(len(CITIES)), teams)
    number = city * 1_000 + np.concatenate([np.arange(team) for team in teams])
    opening = np.full(len(city), OPENING)
    columns = {
        "manager_id": ids("M", number, 5),
        "updated_on": dates(opening),
        "city": words(tuple(place.name for place in CITIES), city),
        "daily_visits": pa.array(4 + pick(root_keys(seed, number), "visits", (4.0, 3.0, 2.0, 1.0, 1.0))),
    }
    return Batch("managers", opening, columns)


def care_of(people: People, since: Ints) -> Iterator[Batch]:
    """Yields manager assignments and do-not-disturb settings.

    Args:
        people: The customers.
        since: The day from which each is on file.
    """
    served = np.flatnonzero(people.mid_high | chance(people.keys, "served", 0.5))
    manager = people.city[served] * 1_000 + people.number[served] // _SPANS[people.city[served]]
    assignments = {
        "customer_id": ids("C", people.number[served], 7),
        "updated_on": dates(since[served]),
        "manager_id": ids("M", manager, 5),
    }
    yield Batch("manager_assignments", since[served], assignments)
    yield from _do_not_disturb(people, since)


def _do_not_disturb(people: People, since: Ints) -> Iterator[Batch]:
    """Yields settings that are over, current or yet to come, and rows that end some of the open ones."""
    keys = people.keys
    asked = chance(keys, "do not disturb", 0.02) & (people.story == NO_STORY) & (since == OPENING)
    kind = pick(keys, "kind of quiet", (25.0, 30.0, 25.0, 12.0, 8.0))
    ago = below(keys, "quiet since", 150)
    length = below(keys, "quiet for", 40)
    starts = [LAST - 60 - ago, LAST - ago, LAST - ago, np.full(len(keys), LAST + 1), LAST + 2 + length]
    open_ended = np.full(len(keys), NEVER)
    ends = [starts[0] + length, LAST + 1 + length, open_ended, LAST + 10 + length, LAST + 60 + length]
    first = np.where(asked, np.choose(kind, starts), NEVER)
    last = np.choose(kind, ends)
    updated = np.minimum(first - 1 - below(keys, "asked before", 10), LAST)
    for row in np.flatnonzero(people.story != NO_STORY):
        if (quiet := STORIES[people.story[row]].quiet) is not None:
            first[row], last[row], updated[row] = quiet.first, quiet.last or NEVER, quiet.first - 3
    yield _settings(people, np.flatnonzero(first < NEVER), updated, first, last)
    ended_on = np.minimum(first + 30, LAST)
    ended = asked & (kind == 2) & (ended_on > first) & chance(keys, "ends the quiet", 0.3)
    yield _settings(people, np.flatnonzero(ended), ended_on, first, ended_on)


def _settings(people: People, rows: Ints, updated: Ints, first: Ints, last: Ints) -> Batch:
    columns = {
        "customer_id": ids("C", people.number[rows], 7),
        "updated_on": dates(updated[rows]),
        "from_date": dates(first[rows]),
        "to_date": dates(last[rows]),
    }
    return Batch("do_not_disturb", updated[rows], columns)
