"""How much a subscription usually calls, texts and surfs, and what becomes of it from day to day."""

from typing import Final

import numpy as np

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys, rank_in_group
from jobs.synthetic.billing import declines
from jobs.synthetic.facts import OLD_PLAN_DATA_MB, PLANS
from jobs.synthetic.hashing import below, chance, normal, uniform
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import EVENT_DAYS, EVENTS_FROM, MONTH_LENGTHS

DAYS: Final = EVENTS_FROM + np.arange(EVENT_DAYS)
MESSAGES_A_DAY: Final = 0.3
DATA_DAYS: Final = 0.74
"""Share of days with mobile data."""

ROAMING_CALLS: Final = 0.015
ROAMING_DATA_DAYS: Final = 0.01
ROAMING_ABROAD: Final = 0.3
"""Share of them that are in other countries."""

ROAMING_PART: Final = 0.25
"""What of a roaming day's data volume is used while roaming."""

_PACKAGES: Final = np.array([OLD_PLAN_DATA_MB if plan.data_mb is None else plan.data_mb for plan in PLANS])
_WITHOUT_PACKAGE_MB: Final = 300
_MEDIAN_CALL_SECONDS: Final = 75.0
_CALL_SPREAD: Final = 0.75
MEAN_CALL_SECONDS: Final = _MEDIAN_CALL_SECONDS * float(np.exp(_CALL_SPREAD**2 / 2))

_AWAY_DAYS: Final = 8
_LEAVERS_FADE_DAYS: Final = 24
_DAY_BEGINS: Final = 7 * 3_600
_DAY_SECONDS: Final = 16 * 3_600


def presence(lines: Lines) -> Bools:
    """Whether each subscription is in the network and not suspended on each day at event grain."""
    life = lines.life
    held = (life.joined[:, None] <= DAYS) & (life.closed[:, None] > DAYS)
    return np.asarray(held & ~((life.suspended_from[:, None] <= DAYS) & (life.resumed_on[:, None] > DAYS)))


def habits(lines: Lines) -> Floats:
    """Returns use on each day relative to the usual: less when away, in decline or about to leave."""
    usual = np.repeat(declines(lines)[4:].T, MONTH_LENGTHS[4:6], axis=1)
    away_from = (EVENTS_FROM + below(lines.keys, "away from", EVENT_DAYS))[:, None]
    away = (chance(lines.keys, "away", 0.02) & ~lines.told)[:, None]
    gone = away & (away_from <= DAYS) & (away_from + _AWAY_DAYS > DAYS)
    leaving = lines.life.closed[:, None] - _LEAVERS_FADE_DAYS <= DAYS
    sundays = np.where((DAYS + 4) % 7 == 0, 0.9, 1.0)
    less = np.where(gone, 0.1, 1.0) * np.where(leaving, 0.5, 1.0) * sundays
    return np.asarray(usual * less * presence(lines))


def data_mb_a_month(lines: Lines) -> Floats:
    """Returns the usual mobile data of a whole month: mostly less than the package, sometimes more."""
    package = np.maximum(_PACKAGES[lines.plan], _WITHOUT_PACKAGE_MB)
    return np.asarray(package * 0.34 * np.exp(0.5 * normal(lines.keys, "data")))


def call_seconds(keys: Keys) -> Ints:
    """Draws the length of calls."""
    drawn = _MEDIAN_CALL_SECONDS * np.exp(_CALL_SPREAD * normal(keys, "call length"))
    return np.asarray(np.clip(drawn, 1.0, 7_200.0), dtype=np.int64)


def spread(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Returns line, day's position and rank within the day of each event, from counts by line and day."""
    line, at = np.nonzero(counts)
    repeated = counts[line, at]
    line, at = np.repeat(line, repeated), np.repeat(at, repeated)
    return line, at, rank_in_group(line * EVENT_DAYS + at)


def times(keys: Keys, rank: Ints, count: Ints) -> Ints:
    """Returns seconds of the day, each event in a part of the day of its own, so that no two are alike."""
    return np.asarray(_DAY_BEGINS + (rank + uniform(keys, "time")) / count * _DAY_SECONDS, dtype=np.int64)
