"""Balances that fall with the spend and rise with each recharge, arrears before suspension, and payments."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Bools, Floats, Ints, dates, fen, ids, money, rank_in_group, words
from jobs.synthetic.facts import PAYMENT_CHANNELS, RECHARGES
from jobs.synthetic.hashing import chance, child_keys, pick, uniform
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.timeline import EVENT_DAYS, EVENTS_FROM, FIRST, LAST, NEVER, SNAPSHOTS

_THREE_MONTHS: Final = 92
_LONG_IN_ARREARS: Final = 0.0012
_RECHARGES: Final = np.array(RECHARGES, dtype=np.float64)


class Purse(NamedTuple):
    """How each subscription's balance runs: it falls from recharge to floor within a cycle of days."""

    recharge: Floats
    cycle: Floats
    phase: Floats
    floor: Floats
    arrears: Ints
    long_in_arrears: Bools


def accounting(lines: Lines) -> Iterator[Batch]:
    """Yields balances and payments."""
    purse = _purse(lines)
    for snapshot in SNAPSHOTS:
        yield _balances(lines, purse, snapshot)
    yield _payments(lines, purse)


def _purse(lines: Lines) -> Purse:
    keys = lines.keys
    recharge = _RECHARGES[np.minimum(np.searchsorted(_RECHARGES, lines.spend * 0.8), len(_RECHARGES) - 1)]
    careful = chance(keys, "recharges early", 0.45) | lines.told
    floor_days = np.where(careful, 5.0 + 9.0 * uniform(keys, "floor"), 0.8 + 5.0 * uniform(keys, "floor"))
    return Purse(
        recharge=recharge,
        cycle=np.maximum(recharge / (lines.spend / 30), 5.0),
        phase=uniform(keys, "phase"),
        floor=floor_days * lines.spend / 30,
        arrears=fen(np.maximum(lines.spend * (0.3 + uniform(keys, "amount in arrears")), 3.0)),
        long_in_arrears=chance(keys, "long in arrears", _LONG_IN_ARREARS) & ~lines.told,
    )


def _arrears(lines: Lines, purse: Purse, on: int) -> Ints:
    life = lines.life
    owes = ((life.owes_from <= on) & (on < life.paid_on)) | (purse.long_in_arrears & life.held(on))
    return np.where(owes, purse.arrears, 0)


def _balances(lines: Lines, purse: Purse, on: int) -> Batch:
    gone = (on - FIRST) / purse.cycle + purse.phase
    balance = fen(purse.recharge * (1 - (gone - np.floor(gone))) + purse.floor)
    arrears = _arrears(lines, purse, on)
    before = _arrears(lines, purse, on - _THREE_MONTHS)
    balance = np.where(arrears > 0, -arrears, balance)
    due = np.where((arrears > 0) & ~purse.long_in_arrears, lines.life.suspension_due, NEVER)
    for line, course in lines.tellings(lambda story: story.balances):
        for state in (state for state in course if state.since <= on):
            balance[line], arrears[line] = fen(state.balance), fen(state.arrears)
            before[line], due[line] = fen(state.arrears_3m_ago), state.suspends_on or NEVER
    rows = np.flatnonzero(lines.life.held(on))
    days = np.full(len(rows), on)
    columns = {
        "subscription_id": lines.ids.take(pa.array(rows)),
        "balance_date": dates(days),
        "balance": money(balance[rows]),
        "arrears": money(arrears[rows]),
        "arrears_3m_ago": money(before[rows]),
        "suspends_on": dates(due[rows]),
    }
    return Batch("balances", days, columns)


def _payments(lines: Lines, purse: Purse) -> Batch:
    """Returns the recharges and the payments that end arrears, of the days at event grain."""
    days = EVENTS_FROM - 1 - FIRST + np.arange(EVENT_DAYS + 1)
    cycles = np.floor(days / purse.cycle[:, None] + purse.phase[:, None])
    line, at = np.nonzero(np.diff(cycles, axis=1))
    on = EVENTS_FROM + at
    then = lines.life.at(line)
    usual = then.active(on) & ~((then.owes_from <= on) & (on < then.paid_on))
    line, on, amount = line[usual], on[usual], fen(purse.recharge[line[usual]])
    paid_on = lines.life.paid_on
    settled = np.flatnonzero((paid_on >= EVENTS_FROM) & (paid_on <= LAST) & lines.life.held(paid_on))
    line = np.concatenate([line, settled])
    on = np.concatenate([on, paid_on[settled]])
    amount = np.concatenate([amount, purse.arrears[settled]])
    order = np.lexsort((amount, on, line))
    line, on, amount = line[order], on[order], amount[order]
    keys = child_keys(lines.keys[line], on)
    columns = {
        "payment_id": _payment_ids(lines, line, on),
        "subscription_id": lines.ids.take(pa.array(line)),
        "paid_on": dates(on),
        "amount": money(amount),
        "channel": words(PAYMENT_CHANNELS, pick(keys, "channel", (20.0, 12.0, 8.0, 60.0))),
    }
    return Batch("payments", on, columns)


def _payment_ids(lines: Lines, line: Ints, on: Ints) -> pa.Array:
    """Returns ids made of subscription, day, and whether it is the day's second payment."""
    day = on - EVENTS_FROM
    subscription = (lines.customer * 10 + lines.slot)[line]
    return ids("Y", (subscription * 100 + day) * 2 + rank_in_group(line * 100 + day), 11)
