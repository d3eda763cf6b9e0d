"""State extracts around the customers: plans, segments, managers, do-not-disturb settings."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    """Yields tariff plans, number segments, managers and their absences."""
    opening = np.full(len(PLANS), OPENING)
    plans = {
        "plan_id": pa.array([plan.plan_id for plan in PLANS]),
        "updated_on": dates(opening),
        "plan_name": pa.array([plan.name for plan in PLANS]),
        "brand": pa.array([plan.brand for plan in PLANS]),
        "monthly_fee": money(np.array([plan.fee * 100 for plan in PLANS])),
        "data_mb": pa.array([plan.data_mb for plan in PLANS]),
        "voice_minutes": pa.array([plan.voice_minutes for plan in PLANS]),
        "withdrawn_on": dates(np.array([plan.withdrawn_on or NEVER for plan in PLANS])),
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
    teams = (customers - 1) // _SPANS + 1
    yield _managers(seed, teams)
    yield _absences(seed, teams)


def _staff(teams: Ints) -> tuple[Ints, Ints]:
    """City of each manager, and the number within the city."""
    return np.repeat(np.arange(len(CITIES)), teams), np.concatenate([np.arange(team) for team in teams])


def _managers(seed: int, teams: Ints) -> Batch:
    city, place = _staff(teams)
    number = city * 1_000 + place
    opening = np.full(len(city), OPENING)
    columns = {
        "manager_id": ids("M", number, 5),
        "updated_on": dates(opening),
        "city": words(tuple(place.name for place in CITIES), city),
        "daily_visits": pa.array(4 + pick(root_keys(seed, number), "visits", (4.0, 3.0, 2.0, 1.0, 1.0))),
    }
    return Batch("managers", opening, columns)


def _absences(seed: int, teams: Ints) -> Batch:
    """Some managers are away in the last days, most of them with a colleague of the city who stands in."""
    city, place = _staff(teams)
    keys = root_keys(seed, city * 1_000 + place)
    away = np.flatnonzero(chance(keys, "away", 0.3))
    city, place, keys = city[away], place[away], keys[away]
    first = LAST - below(keys, "away since", 14)
    entered = first - 3 - below(keys, "asked for leave", 10)
    kind = pick(keys, "why away", (7.0, 2.0, 1.0))
    colleague = (place + 1) % teams[city]
    alone = (colleague == place) | ~chance(keys, "stand-in", 0.7)
    number = city * 1_000 + place
    # Some leave is cancelled again, two days after it was asked for.
    cancelled = np.flatnonzero(chance(keys, "cancels leave", 0.15))
    rows = np.concatenate([np.arange(len(keys)), cancelled])
    updated = np.concatenate([entered, entered[cancelled] + 2])
    columns = {
        "manager_id": ids("M", number[rows], 5),
        "from_date": dates(first[rows]),
        "updated_on": dates(updated),
        "to_date": dates((first + below(keys, "away for", 14))[rows]),
        "status": words(("planned", "cancelled"), (np.arange(len(rows)) >= len(keys)).astype(np.int64)),
        "kind": words(("leave", "training", "other"), kind[rows]),
        "daily_visits": pa.array(np.where(kind == 1, 2, 0)[rows]),
        "stand_in_manager_id": pc.if_else(
            pa.array(alone[rows]), None, ids("M", (city * 1_000 + colleague)[rows], 5)
        ),
    }
    return Batch("manager_leave", updated, columns)


def care_of(people: People, since: Ints) -> Iterator[Batch]:
    """Yields manager assignments, do-not-disturb settings and consents.

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
    yield _quiet_hours(people, since)
    yield _consents(people, since)


def _consents(people: People, since: Ints) -> Batch:
    """What some customers said to being contacted; a few take back what they had granted."""
    keys = people.keys
    asked = np.flatnonzero(chance(keys, "was asked", 0.08) & (people.story == NO_STORY))
    keys = keys[asked]
    asked_on = np.maximum(since[asked], LAST - 20 - below(keys, "asked on", 150))
    refuses = chance(keys, "refuses", 0.5)
    changed = np.flatnonzero(~refuses & chance(keys, "takes back", 0.3))
    rows = np.concatenate([np.arange(len(keys)), changed])
    taken_back = np.minimum(asked_on + 1 + below(keys, "takes back after", 15), LAST)
    updated = np.concatenate([asked_on, taken_back[changed]])
    answer = np.concatenate([refuses.astype(np.int64), np.full(len(changed), 2)])
    endless = ~chance(keys, "for a time", 0.2)
    columns = {
        "customer_id": ids("C", people.number[asked][rows], 7),
        "channel": words(("any", "call", "sms"), pick(keys, "which channel", (1.0, 4.0, 2.0))[rows]),
        "purpose": words(("service", "marketing", "reminder"), pick(keys, "for what", (4.0, 4.0, 1.0))[rows]),
        "updated_on": dates(updated),
        "status": words(("granted", "denied", "withdrawn"), answer),
        "to_date": dates(np.where(endless, NEVER, asked_on + 365)[rows]),
        "obtained_through": words(("counter", "app"), pick(keys, "said by", (1.0, 1.0))[rows]),
        "terms_version": words(("2024-01", "2025-06"), pick(keys, "terms", (1.0, 3.0))[rows]),
    }
    return Batch("consents", updated, columns)


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


def _quiet_hours(people: People, since: Ints) -> Batch:
    """Hours of the day at which some do not want to be disturbed; some wish it no longer after a while."""
    chosen = np.flatnonzero(chance(people.keys, "quiet hours", 0.05))
    keys = people.keys[chosen]
    kind = pick(keys, "which hours", (4.0, 3.0, 2.0, 1.0))
    asked = np.maximum(since[chosen], LAST - below(keys, "hours since", 120))
    ended = np.flatnonzero(chance(keys, "ends the hours", 0.1) & (asked < LAST - 10))
    rows = np.concatenate([np.arange(len(chosen)), ended])
    updated = np.concatenate([asked, asked[ended] + 10])
    is_end = pa.array(np.arange(len(rows)) >= len(chosen))
    # At night, over noon, at work, and all day but for the late evening.
    starts, ends = ("20:00", "12:00", "08:30", "21:30"), ("10:00", "14:00", "18:30", "20:30")
    columns = {
        "customer_id": ids("C", people.number[chosen][rows], 7),
        "updated_on": dates(updated),
        "quiet_from": pc.if_else(is_end, None, words(starts, kind[rows])),
        "quiet_to": pc.if_else(is_end, None, words(ends, kind[rows])),
    }
    return Batch("quiet_hours", updated, columns)


def _settings(people: People, rows: Ints, updated: Ints, first: Ints, last: Ints) -> Batch:
    columns = {
        "customer_id": ids("C", people.number[rows], 7),
        "updated_on": dates(updated[rows]),
        "from_date": dates(first[rows]),
        "to_date": dates(last[rows]),
    }
    return Batch("do_not_disturb", updated[rows], columns)
