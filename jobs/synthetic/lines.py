"""Subscriptions: number, plan, habits, and the course of each one's life (joined, suspended, left).

Leaving has causes: a high tariff, a brand, many contacts on rival networks, a restless number segment, and
the grievance that also makes people complain. A risk model can find them again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys, ids, rank_in_group
from jobs.synthetic.facts import OWN_PREFIXES, PLAN_IDS, SENIOR_PLAN, SOLD_PLANS
from jobs.synthetic.hashing import below, chance, child_keys, normal, pick, uniform
from jobs.synthetic.life import Life, live
from jobs.synthetic.people import People
from jobs.synthetic.planting import NO_STORY, STORIES
from jobs.synthetic.story import Story
from jobs.synthetic.timeline import NEVER

T = TypeVar("T")

_FEES: Final = np.array([plan.fee for plan in SOLD_PLANS])
_PREFIXES: Final = np.array(OWN_PREFIXES)
_SLOTS: Final = 3
_NUMBERS: Final = 100_000_000


@dataclass(frozen=True)
class Lines:
    """Subscriptions of one chunk, one entry each, in the order of customers and slots."""

    seed: int
    keys: Keys
    row: Ints
    """Position of the holder in the chunk's people."""

    customer: Ints
    slot: Ints
    story: Ints
    number: Ints
    plan: Ints
    spend: Floats
    call_rate: Floats
    off_net: Floats
    grievance: Floats
    life: Life
    ids: pa.Array

    def __len__(self) -> int:
        """Returns how many subscriptions there are."""
        return len(self.keys)

    @property
    def told(self) -> Bools:
        """Whether the subscription carries a story, and so nothing but what the story sets."""
        return np.asarray(self.story != NO_STORY)

    def tellings(self, sets: Callable[[Story], T | None]) -> Iterator[tuple[int, T]]:
        """Yields the subscriptions whose story sets something, with what it sets."""
        for line in np.flatnonzero(self.told):
            value = sets(STORIES[self.story[line]])
            if value:
                yield int(line), value


def make_lines(people: People) -> Lines:
    """Makes the subscriptions of customers."""
    row = np.repeat(np.arange(len(people.keys)), people.numbers_held)
    slot = rank_in_group(row)
    keys = child_keys(people.keys[row], slot)
    story = people.story[row]
    told = story != NO_STORY
    lesser = np.where((slot > 0) & ~told, 0.4 + 0.5 * uniform(keys, "lesser number"), 1.0)
    spend = np.maximum(people.spend[row] * lesser, 18.0)
    plan = _plans(keys, spend)
    segment = _segments(keys)
    grievance = np.where(told, 0.0, np.exp(0.9 * normal(keys, "grievance") - 0.4))
    off_net = np.clip(0.32 + 0.16 * normal(keys, "off-net"), 0.02, 0.9)
    borrowed = people.borrows_number[row] & (slot == 0)
    lines = Lines(
        seed=people.seed,
        keys=keys,
        row=row,
        customer=people.number[row],
        slot=slot,
        story=story,
        number=numbers_of(people.seed, people.number[row], slot, segment),
        plan=plan,
        spend=spend,
        call_rate=np.clip(
            0.93 * (spend / 60) ** 0.9 * np.exp(0.3 * normal(keys, "talks") - 0.045), 0.08, 6.0
        ),
        off_net=off_net,
        grievance=grievance,
        life=live(keys, told, borrowed, plan, off_net, segment, grievance),
        ids=ids("S", people.number[row] * 10 + slot, 8),
    )
    for line, plan_id in lines.tellings(lambda story: story.plan):
        lines.plan[line] = PLAN_IDS.index(plan_id)
    for line, joined in lines.tellings(lambda story: story.joined):
        lines.life.joined[line] = joined
    for line, change in lines.tellings(lambda story: story.plan_change):
        lines.life.plan_changed[line] = change.day
        lines.life.later_plan[line] = PLAN_IDS.index(change.plan)
    for line, suspension in lines.tellings(lambda story: story.suspension):
        lines.life.suspended_from[line] = suspension.first
        lines.life.resumed_on[line] = suspension.resumed or NEVER
    return lines


def first_numbers(seed: int, customers: Ints, keys: Keys) -> Ints:
    """Returns the first number of customers, whether or not they are of this province's size."""
    slot = np.zeros(len(customers), dtype=np.int64)
    return numbers_of(seed, customers, slot, _segments(child_keys(keys, 0)))


def numbers_of(seed: int, customers: Ints, slot: Ints, segment: Ints) -> Ints:
    """Returns phone numbers, no two alike, since the last eight digits are a permutation of all slots."""
    order = customers * _SLOTS + slot
    return segment * _NUMBERS + (order * 61_803_399 + 12_345_678 + seed * 7_654_321) % _NUMBERS


def _segments(keys: Keys) -> Ints:
    return _PREFIXES[below(keys, "number segment", len(_PREFIXES))]


def _plans(keys: Keys, spend: Floats) -> Ints:
    """Returns the dearest plan within the spend, for some people the one below it; a few senior cards."""
    plan = np.searchsorted(_FEES, spend, side="right") - 1
    plan = np.maximum(plan - chance(keys, "smaller plan", 0.3), 0)
    senior = (spend < 38) & chance(keys, "senior plan", 0.06)
    plan = np.where((plan == SENIOR_PLAN) & ~senior, SENIOR_PLAN - 1, plan)
    return np.asarray(np.where(senior, SENIOR_PLAN, plan), dtype=np.int64)


def star_levels(keys: Keys, spend: Floats) -> Ints:
    """Returns the operator's star level, 0 (none) to 5."""
    level = np.searchsorted((40.0, 70.0, 120.0, 200.0, 320.0), spend)
    return np.asarray(np.maximum(level - pick(keys, "star", (7.0, 3.0)), 0))
