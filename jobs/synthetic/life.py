"""The course of a subscription's life: joining, change of plan, arrears and suspension, leaving."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.synthetic.arrays import Bools, Floats, Ints, Keys
from jobs.synthetic.facts import PLANS, RESTLESS_PREFIXES, SOLD_PLANS
from jobs.synthetic.hashing import below, chance, child_keys, uniform
from jobs.synthetic.timeline import FIRST, LAST, MONTH_LENGTHS, MONTH_STARTS, NEVER, OPENING, day

LEFT: Final = "left"
DISCONNECTED: Final = "disconnected"

_DEAR: Final = np.array([plan.fee >= 128 for plan in PLANS])
_YOUNG: Final = np.array([plan.brand == "动感地带" for plan in PLANS])
_CARD: Final = np.array([plan.brand == "神州行" for plan in PLANS])
_MONTHLY_HAZARD: Final = 0.0092
_GRACE_DAYS: Final = 25
"""From the first day in arrears to the suspension."""

_CUT_OFF_DAYS: Final = 30
"""From the suspension to the disconnection."""


@dataclass(frozen=True)
class Life:
    """Days of one subscription's life each; ``NEVER`` for what does not happen."""

    joined: Ints
    closed: Ints
    disconnected: Bools
    plan_changed: Ints
    later_plan: Ints
    owes_from: Ints
    paid_on: Ints
    suspension_due: Ints
    suspended_from: Ints
    resumed_on: Ints

    def held(self, days: Ints | int) -> Bools:
        """Whether the subscription is in the network on a day."""
        return (self.joined <= days) & (days < self.closed)

    def active(self, days: Ints | int) -> Bools:
        """Whether the subscription is in the network and not suspended on a day."""
        return self.held(days) & ~((self.suspended_from <= days) & (days < self.resumed_on))

    def at(self, lines: Ints) -> "Life":
        """Returns the lives of some subscriptions, in the order asked for."""
        return Life(**{name: values[lines] for name, values in vars(self).items()})


def live(
    keys: Keys, told: Bools, borrowed: Bools, plan: Ints, off_net: Floats, segment: Ints, grievance: Floats
) -> Life:
    """Draws the lives of subscriptions.

    Args:
        keys: Keys of the subscriptions.
        told: Whether a story is told of the subscription; its life is then calm.
        borrowed: Whether the number is a recycled one, so that the subscription joined lately.
        plan: Positions of the tariff plans.
        off_net: Share of contacts on rival networks.
        segment: First three digits of the numbers.
        grievance: How much the customer has to complain of; 1 is usual.
    """
    joined = _joining(keys, told, borrowed)
    left = _leaving(keys, joined, _appeal(plan, off_net, segment, grievance))
    left[told] = NEVER
    owes_from, paid_on = _arrears(keys, joined, told)
    due = np.where(owes_from < NEVER, owes_from + _GRACE_DAYS, NEVER)
    never_paid = (owes_from < NEVER) & (paid_on == NEVER)
    cut_off = np.where(never_paid, due + _CUT_OFF_DAYS, NEVER)
    closed = np.minimum(left, cut_off)
    suspended = (paid_on > due) & (due < closed)
    changes = chance(keys, "changes plan", 0.025) & ~told
    changed = MONTH_STARTS[1 + below(keys, "month of change", 5)]
    changes &= (changed > joined) & (changed < closed)
    step = np.where(chance(keys, "larger plan", 0.55), 1, -1)
    return Life(
        joined=joined,
        closed=closed,
        disconnected=(cut_off < left),
        plan_changed=np.where(changes, changed, NEVER),
        later_plan=np.where(changes, np.clip(plan + step, 0, len(SOLD_PLANS) - 1), plan),
        owes_from=owes_from,
        paid_on=paid_on,
        suspension_due=due,
        suspended_from=np.where(suspended, due, NEVER),
        resumed_on=np.where(suspended, paid_on, NEVER),
    )


def _joining(keys: Keys, told: Bools, borrowed: Bools) -> Ints:
    earliest = day(2002, 1, 1)
    tenure = np.asarray(20 - 1_500 * np.log(1.0 - uniform(keys, "tenure")), dtype=np.int64)
    before = np.maximum(OPENING - tenure - 300 * told, earliest)
    lately = (chance(keys, "joins lately", 0.1) & ~told) | borrowed
    return np.where(lately, FIRST + below(keys, "joining", LAST - FIRST + 1), before)


def _appeal(plan: Ints, off_net: Floats, segment: Ints, grievance: Floats) -> Floats:
    """Returns how many times the usual hazard of leaving a subscription has."""
    score = 0.8 * _DEAR[plan] + 0.5 * _YOUNG[plan] + 0.2 * _CARD[plan] + 2.0 * (off_net - 0.32)
    score += 0.6 * np.isin(segment, RESTLESS_PREFIXES)
    return np.asarray(np.exp(score) * (0.45 + 0.75 * grievance))


def _leaving(keys: Keys, joined: Ints, appeal: Floats) -> Ints:
    left = np.full(len(keys), NEVER)
    for month in range(len(MONTH_LENGTHS)):
        key = child_keys(keys, month)
        on = MONTH_STARTS[month] + below(key, "day of leaving", MONTH_LENGTHS[month])
        leaves = chance(key, "leaves", np.minimum(_MONTHLY_HAZARD * appeal, 0.5)) & (on > joined + 15)
        left = np.where(leaves & (left == NEVER), on, left)
    return left


def _arrears(keys: Keys, joined: Ints, told: Bools) -> tuple[Ints, Ints]:
    """Returns when arrears begin and when they are paid: mostly in time, else after suspension or never."""
    since = OPENING - 50 + below(keys, "arrears begin", LAST - OPENING + 51)
    falls = chance(keys, "falls into arrears", 0.1) & (since > joined + 30) & ~told
    outcome = uniform(keys, "arrears end")
    in_time = since + 3 + below(keys, "pays in time", 20)
    late = since + _GRACE_DAYS + 2 + below(keys, "pays late", 19)
    paid = np.select([outcome < 0.55, outcome < 0.77], [in_time, late], NEVER)
    return np.where(falls, since, NEVER), np.where(falls, paid, NEVER)
