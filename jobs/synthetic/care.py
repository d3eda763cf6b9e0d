"""Contacts with customer service, complaints and surveys; those about to leave complain more."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys, dates, ids, moments, rank_in_group, words
from jobs.synthetic.facts import COMPLAINT_CATEGORIES, CONTACT_CHANNELS, QUESTIONS, TOPIC_WEIGHTS, TOPICS
from jobs.synthetic.hashing import below, chance, child_keys, pick, uniform
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import EVENTS_FROM, FIRST, LAST, MONTH_LENGTHS, MONTH_STARTS, MONTHS, NEVER

_COMPLAINTS_A_MONTH: Final = 0.006
_LEAVERS_COMPLAIN: Final = 0.22
_CONTACTS: Final = (0.22, 0.10)
"""Chance of a first and of a second contact in a month at event grain; a third of it before."""

_LEAVERS_ASK: Final = 0.15
_DOUBLE_CONTACTS: Final = 0.02
"""Share of rows that stand for two contacts."""

_SURVEYED: Final = 0.004
_STAGES: Final = ("opened", "closed")
_STORY_SLOT: Final = 900
_LEAVERS_SLOT: Final = 990


class Events(NamedTuple):
    """Sparse events: whose, when, the key to draw details from, and a number that makes the id unique."""

    line: Ints
    on: Ints
    keys: Keys
    slot: Ints


def care(lines: Lines) -> Iterator[Batch]:
    """Yields service contacts, complaints and surveys."""
    yield _contacts(lines)
    yield _complaints(lines)
    yield _surveys(lines)


def monthly_events(lines: Lines, kind: int, probability: Floats | float, slots: int = 1) -> Events:
    """Draws events, at most ``slots`` a month; none of subscriptions with a story or not active on the day.

    Args:
        lines: The subscriptions.
        kind: Tells kinds of events apart.
        probability: Of an event by (subscription, slot of the whole time), or one for all.
        slots: Events a month.
    """
    slot = np.arange(len(MONTHS) * slots)
    keys = child_keys(child_keys(lines.keys, kind)[:, None], slot)
    month = slot // slots
    on = MONTH_STARTS[month] + below(keys, "day", MONTH_LENGTHS[month])
    happens = chance(keys, "happens", probability) & ~lines.told[:, None]
    line, at = np.nonzero(happens)
    events = Events(line, on[line, at], keys[line, at], at)
    return select(events, lines.life.at(line).active(events.on))


def select(events: Events, which: Bools) -> Events:
    """Returns some of the events."""
    return Events(events.line[which], events.on[which], events.keys[which], events.slot[which])


def both(first: Events, second: Events) -> Events:
    """Returns two lots of events together."""
    return Events(
        np.concatenate([first.line, second.line]),
        np.concatenate([first.on, second.on]),
        np.concatenate([first.keys, second.keys]),
        np.concatenate([first.slot, second.slot]),
    )


def _before_leaving(lines: Lines, kind: int, probability: float) -> Events:
    """Draws an event in the last weeks of those who leave by choice."""
    keys = child_keys(lines.keys, kind)
    on = lines.life.closed - 3 - below(keys, "days before leaving", 25)
    happens = chance(keys, "before leaving", probability) & ~lines.life.disconnected & ~lines.told
    line = np.flatnonzero(happens & (on >= FIRST) & (on <= LAST) & lines.life.active(on))
    return Events(line, on[line], keys[line], np.full(len(line), _LEAVERS_SLOT))


def told_events(lines: Lines, kind: int, found: list[tuple[int, int]]) -> Events:
    """Returns the events of stories: each a line and a day."""
    line, on = (np.array([pair[part] for pair in found], dtype=np.int64) for part in (0, 1))
    slot = _STORY_SLOT + rank_in_group(line)
    return Events(line, on, child_keys(child_keys(lines.keys[line], kind), slot), slot)


def event_ids(lines: Lines, prefix: str, events: Events) -> pa.Array:
    """Returns an id of each event, no two alike for one prefix."""
    subscription = (lines.customer * 10 + lines.slot)[events.line]
    return ids(prefix, subscription * 1_000 + events.slot, 11)


def two_stages(begun: Ints, ended: Ints) -> tuple[Ints, Ints, Ints]:
    """Returns what begins and, where it has ended by now, ends: its position, stage (0 or 1) and day."""
    known = np.flatnonzero(ended <= LAST)
    row = np.concatenate([np.arange(len(begun)), known])
    stage = np.repeat((0, 1), (len(begun), len(known)))
    return row, stage, np.concatenate([begun, ended[known]])


def _contacts(lines: Lines) -> Batch:
    lately = np.repeat(MONTH_STARTS[: len(MONTHS)] >= EVENTS_FROM, len(_CONTACTS))
    often = np.tile(_CONTACTS, len(MONTHS)) * np.where(lately, 1.0, 0.33)
    usual = monthly_events(lines, 10, often, len(_CONTACTS))
    leaving = _before_leaving(lines, 11, _LEAVERS_ASK)
    told = [(line, it) for line, contacts in lines.tellings(lambda story: story.contacts) for it in contacts]
    events = both(both(usual, leaving), told_events(lines, 12, [(line, it.day) for line, it in told]))
    topic = np.concatenate(
        [
            pick(usual.keys, "topic", TOPIC_WEIGHTS),
            np.full(len(leaving.line), TOPICS.index("port_out")),
            np.array([TOPICS.index(it.topic) for _, it in told], dtype=np.int64),
        ]
    )
    seconds = np.asarray((8 + 13 * uniform(events.keys, "time")) * 3_600, dtype=np.int64)
    double = chance(events.keys, "counted twice", _DOUBLE_CONTACTS) & ~lines.told[events.line]
    channel = pick(events.keys, "channel", (50.0, 15.0, 27.0, 8.0))
    told_channel = np.array([CONTACT_CHANNELS.index(it.channel) if it.channel else -1 for _, it in told], int)
    chosen = np.concatenate([np.full(len(channel) - len(told), -1), told_channel])
    columns = {
        "contact_id": event_ids(lines, "K", events),
        "subscription_id": lines.ids.take(pa.array(events.line)),
        "contacted_at": moments(events.on, seconds),
        "channel": words(CONTACT_CHANNELS, np.where(chosen < 0, channel, chosen)),
        "topic": words(TOPICS, topic),
        "count": pa.array(np.full(len(topic), 2), mask=~double),
    }
    return Batch("service_contacts", events.on, columns)


def _complaints(lines: Lines) -> Batch:
    often = np.minimum(_COMPLAINTS_A_MONTH * lines.grievance, 0.2)[:, None]
    drawn = both(monthly_events(lines, 20, often), _before_leaving(lines, 21, _LEAVERS_COMPLAIN))
    told = [(line, it) for line, opened in lines.tellings(lambda story: story.complaints) for it in opened]
    events = both(drawn, told_events(lines, 22, [(line, it.opened) for line, it in told]))
    slow = chance(drawn.keys, "slow", 0.12)
    days = np.where(slow, 7 + below(drawn.keys, "slow days", 15), below(drawn.keys, "days", 6))
    told_closed = np.array([it.closed or NEVER for _, it in told], dtype=np.int64)
    closed = np.concatenate([drawn.on + days, told_closed])
    row, stage, on = two_stages(events.on, closed)
    category = below(events.keys, "category", len(COMPLAINT_CATEGORIES))
    channel = pick(events.keys, "complaint channel", (70.0, 15.0, 14.0, 1.0))
    columns = {
        "complaint_id": event_ids(lines, "T", events).take(pa.array(row)),
        "subscription_id": lines.ids.take(pa.array(events.line[row])),
        "stage": words(_STAGES, stage),
        "occurred_on": dates(on),
        "category": words(COMPLAINT_CATEGORIES, category[row]),
        "channel": words(CONTACT_CHANNELS, channel[row]),
    }
    return Batch("complaints", on, columns)


def _surveys(lines: Lines) -> Batch:
    asked = monthly_events(lines, 30, _SURVEYED)
    row = np.repeat(np.arange(len(asked.line)), len(QUESTIONS))
    question = np.tile(np.arange(len(QUESTIONS)), len(asked.line))
    keys = child_keys(asked.keys[row], question)
    mood = 8.5 - 1.5 * lines.grievance[asked.line[row]]
    score = np.clip(np.rint(mood + 4 * uniform(keys, "score") - 2), 1, 10).astype(np.int64)
    columns = {
        "subscription_id": lines.ids.take(pa.array(asked.line[row])),
        "answered_on": dates(asked.on[row]),
        "question": words(QUESTIONS, question),
        "score": pa.array(score),
    }
    return Batch("surveys", asked.on[row], columns)
