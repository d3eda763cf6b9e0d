"""Calls, data and messages day by day from April on, with the monthly totals that follow from them."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Floats, Ints, Keys, dates, digits, moments, words
from jobs.synthetic.circles import OUTSIDERS, Circles, make_circles
from jobs.synthetic.facts import OWN_PREFIXES, RIVAL_PREFIXES
from jobs.synthetic.habits import (
    DATA_DAYS,
    DAYS,
    MESSAGES_A_DAY,
    ROAMING_ABROAD,
    ROAMING_CALLS,
    ROAMING_DATA_DAYS,
    ROAMING_PART,
    call_seconds,
    data_mb_a_month,
    habits,
    spread,
    times,
)
from jobs.synthetic.hashing import below, chance, child_keys, poisson, uniform
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.monthly import MonthlyTotals, estimated
from jobs.synthetic.timeline import EVENT_DAYS, EVENTS_FROM, LAST, MONTH_LENGTHS, MONTH_STARTS

_MAY: Final = int(MONTH_STARTS[5])
_FREE: Final = -1
"""Marks days on which a story leaves the use to chance."""

_DIRECTIONS: Final = ("out", "in")


def usage(lines: Lines) -> Iterator[Batch]:
    """Yields voice, data and message use, and the monthly totals of all three."""
    circles, habit = make_circles(lines), habits(lines)
    totals = MonthlyTotals(lines)
    day_keys = child_keys(child_keys(lines.keys, 0)[:, None], DAYS)
    yield _voice(lines, circles, habit, day_keys, totals)
    yield _data(lines, habit, day_keys, totals)
    yield _messages(lines, circles, habit, day_keys, totals)
    yield from estimated(lines, circles)
    yield from totals.batches()


def _voice(lines: Lines, circles: Circles, habit: Floats, day_keys: Keys, totals: MonthlyTotals) -> Batch:
    told = _told_calls(lines)
    drawn = poisson(day_keys, "calls", lines.call_rate[:, None] * habit)
    counts = np.where(told == _FREE, drawn, told > 0)
    line, at, rank = spread(counts)
    keys = child_keys(day_keys[line, at], rank)
    seconds = np.where(told[line, at] == _FREE, call_seconds(keys), told[line, at])
    contact = _told_contacts(lines)[line, at]
    numbers = np.where(contact == _FREE, circles.someone(keys, line), contact)
    roaming = chance(keys, "roaming", ROAMING_CALLS)
    totals.add_calls(line, at, seconds, numbers, roaming)
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "started_at": moments(DAYS[at], times(keys, rank, counts[line, at])),
        "direction": words(_DIRECTIONS, below(keys, "direction", 2)),
        "counterpart": digits(numbers),
        "duration_s": pa.array(seconds),
        "roaming": pa.array(roaming),
    }
    return Batch("voice_usage", DAYS[at], columns)


def _data(lines: Lines, habit: Floats, day_keys: Keys, totals: MonthlyTotals) -> Batch:
    told = _told_data(lines)
    a_day = (data_mb_a_month(lines) / (30 * DATA_DAYS))[:, None]
    drawn = np.rint(a_day * (0.4 + 1.2 * uniform(day_keys, "data volume")) * habit).astype(np.int64)
    volume = np.where(chance(day_keys, "data used", DATA_DAYS), drawn, 0)
    volume = np.where(told == _FREE, volume, told)
    told_abroad = _told_abroad(lines)
    volume = np.maximum(volume, told_abroad)
    line, at = np.nonzero(volume)
    mb = volume[line, at]
    roaming = chance(day_keys[line, at], "data roaming", ROAMING_DATA_DAYS)
    roaming_mb = np.where(roaming, np.asarray(mb * ROAMING_PART, dtype=np.int64), 0)
    abroad = roaming & chance(day_keys[line, at], "data abroad", ROAMING_ABROAD)
    abroad_mb = np.where(lines.told[line], told_abroad[line, at], np.where(abroad, roaming_mb, 0))
    roaming_mb = np.maximum(roaming_mb, abroad_mb)
    totals.add_data(line, at, mb, roaming_mb)
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "used_on": dates(DAYS[at]),
        "mb": pa.array(mb),
        "roaming_mb": pa.array(roaming_mb),
        "abroad_mb": pa.array(abroad_mb),
    }
    return Batch("data_usage", DAYS[at], columns)


def _messages(lines: Lines, circles: Circles, habit: Floats, day_keys: Keys, totals: MonthlyTotals) -> Batch:
    counts = poisson(day_keys, "messages", MESSAGES_A_DAY * habit)
    line, at, rank = spread(counts)
    keys = child_keys(day_keys[line, at], 1_000 + rank)
    totals.add_messages(line, at)
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "sent_at": moments(DAYS[at], times(keys, rank, counts[line, at])),
        "direction": words(_DIRECTIONS, below(keys, "direction", 2)),
        "counterpart": digits(circles.someone(keys, line)),
    }
    return Batch("message_usage", DAYS[at], columns)


def _told_calls(lines: Lines) -> Ints:
    """Returns call seconds by line and day as stories set them."""
    told = np.full((len(lines), EVENT_DAYS), _FREE)
    for line, spells in lines.tellings(lambda story: story.calls):
        for spell in spells:
            first, last = spell.first - EVENTS_FROM, spell.last - EVENTS_FROM
            told[line, first : last + 1] = _evenly(spell.seconds, last - first + 1)
    return told


def _told_contacts(lines: Lines) -> Ints:
    """Returns the numbers that stories' calls go to, by line and day, in turn."""
    told = np.full((len(lines), EVENT_DAYS), _FREE)
    for line, spells in lines.tellings(lambda story: story.calls):
        for first, last, _, own, rivals in spells:
            if own + rivals:
                prefixes = np.repeat((OWN_PREFIXES[0], RIVAL_PREFIXES[0]), (own, rivals))
                numbers = prefixes * OUTSIDERS + np.arange(own + rivals)
                turns = np.arange(last - first + 1) % (own + rivals)
                told[line, first - EVENTS_FROM : last - EVENTS_FROM + 1] = numbers[turns]
    return told


def _told_data(lines: Lines) -> Ints:
    """Returns megabytes by line and day as stories set them: all there is, or what May holds."""
    told = np.full((len(lines), EVENT_DAYS), _FREE)
    for line, days in lines.tellings(lambda story: story.only_data):
        told[line] = 0
        for on, mb in days:
            told[line, on - EVENTS_FROM] = mb
    for line, (before, in_all) in lines.tellings(lambda story: story.data_mb):
        told[line, _MAY - EVENTS_FROM : -1] = _evenly(before, int(MONTH_LENGTHS[5]) - 1)
        told[line, LAST - EVENTS_FROM] = in_all - before
    return told


def _told_abroad(lines: Lines) -> Ints:
    """Returns megabytes in other countries by line and day as stories set them."""
    told = np.zeros((len(lines), EVENT_DAYS), dtype=np.int64)
    for line, days in lines.tellings(lambda story: story.abroad_mb):
        for on, mb in days:
            told[line, on - EVENTS_FROM] = mb
    return told


def _evenly(total: int, days: int) -> Ints:
    """Shares a total out over days, the remainder over the first of them.

    >>> _evenly(7, 3).tolist()
    [3, 2, 2]
    """
    each, rest = divmod(total, days)
    return each + (np.arange(days) < rest).astype(np.int64)
