"""Monthly bills: the plan's fee and services, charges out of package now and then, spenders in decline."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Floats, Ints, dates, fen, money
from jobs.synthetic.facts import PLANS
from jobs.synthetic.hashing import below, chance, child_keys, normal, uniform
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import MONTH_LENGTHS, MONTH_STARTS, MONTHS

_FEES: Final = np.array([plan.fee for plan in PLANS], dtype=np.float64)
_DECLINING: Final = 0.012
_OVERRUNS: Final = 0.011
_BACK_CHARGES: Final = 0.003
_USUAL_EXTRA: Final = 12.0
"""Most that a month's charges out of package come to, unless there is an overrun."""


class Bill(NamedTuple):
    """The parts of one month's bills, in fen."""

    recurring: Ints
    out_of_package: Ints
    back_charge: Ints


def declines(lines: Lines) -> Floats:
    """Returns what is left of each subscription's usual spend and use in each month (rows: months)."""
    left = np.ones((len(MONTHS), len(lines)))
    falls = chance(lines.keys, "declines", _DECLINING) & ~lines.told
    begins = 1 + below(lines.keys, "decline begins", len(MONTHS) - 1)
    pace = 0.55 + 0.35 * uniform(lines.keys, "pace of decline")
    for month in range(len(MONTHS)):
        steps = np.where(falls, np.clip(month - begins + 1, 0, 3), 0)
        left[month] = pace**steps
    return left


def bills(lines: Lines) -> Iterator[Batch]:
    """Yields the bills of each month."""
    remaining = declines(lines)
    for month in range(len(MONTHS)):
        start, length = MONTH_STARTS[month], MONTH_LENGTHS[month]
        held = np.minimum(lines.life.closed, start + length) - np.maximum(lines.life.joined, start)
        rows = np.flatnonzero(held > 0)
        part = np.clip(held / length, 0.0, 1.0)
        bill = _tell(lines, month, _month(lines, month, part * remaining[month]))
        total = bill.recurring + bill.out_of_package + bill.back_charge
        first_days = np.full(len(rows), start)
        columns = {
            "subscription_id": lines.ids.take(pa.array(rows)),
            "month": dates(first_days),
            "total": money(total[rows]),
            "recurring": money(bill.recurring[rows]),
            "out_of_package": money(bill.out_of_package[rows]),
            "back_charge": money(bill.back_charge[rows]),
        }
        yield Batch("bills", first_days, columns)


def _month(lines: Lines, month: int, part: Floats) -> Bill:
    keys = child_keys(lines.keys, month)
    plan = np.where(lines.life.plan_changed <= MONTH_STARTS[month], lines.life.later_plan, lines.plan)
    beyond_the_fee = np.maximum(lines.spend - _FEES[lines.plan], 0.0)
    usual_extra = np.minimum(0.25 * beyond_the_fee, _USUAL_EXTRA)
    services = (beyond_the_fee - usual_extra) * (1.0 + 0.03 * normal(keys, "services"))
    overrun = chance(keys, "overrun", _OVERRUNS) * (20.0 + 110.0 * uniform(keys, "overrun size") ** 1.5)
    owed_before = chance(keys, "back charge", _BACK_CHARGES) * (5.0 + 50.0 * uniform(keys, "amount owed"))
    return Bill(
        recurring=fen((_FEES[plan] + services) * part),
        out_of_package=fen(usual_extra * (0.4 + 1.2 * uniform(keys, "extra")) * part + overrun),
        back_charge=fen(owed_before),
    )


def _tell(lines: Lines, month: int, bill: Bill) -> Bill:
    """Sets the bills of planted subscriptions exactly."""
    for line, totals in lines.tellings(lambda story: story.monthly_bills):
        bill.recurring[line] = fen(totals[month])
        bill.out_of_package[line] = bill.back_charge[line] = 0
    if month == len(MONTHS) - 1:
        for line, parts in lines.tellings(lambda story: (story.out_of_package, story.back_charge)):
            extra, owed = fen(parts[0]), fen(parts[1])
            bill.out_of_package[line], bill.back_charge[line] = extra, owed
            bill.recurring[line] -= extra + owed
    return bill
