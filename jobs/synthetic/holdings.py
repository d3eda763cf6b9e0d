"""What a subscription holds: services started and ended, and the handsets seen on its number."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.arrays import Ints, dates, digits, words
from jobs.synthetic.facts import FAMILIES, HANDSETS, MODELS, SERVICES
from jobs.synthetic.hashing import below, chance, child_keys
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines
from jobs.synthetic.story import Terminal
from jobs.synthetic.timeline import FIRST, LAST, OPENING, day

_EARLIEST: Final = day(2023, 1, 1)
_CHANGES: Final = 0.035
"""Chance that a service of one family is started or ended within the six months."""

_NEW_HANDSETS: Final = 0.22
_COUNTED: Final = 0.3
"""Share of subscriptions whose number of handsets the operator counts."""

_HELD: Final = np.array([service.held for service in SERVICES])
_ACTIONS: Final = ("start", "end")
_PLAIN_SERVICE: Final = FAMILIES.index("caller_id")
_PLAIN_HANDSET: Final = (Terminal(day(2024, 6, 15), MODELS[0]),)
_SERIALS: Final = 10**7


def holdings(lines: Lines) -> Iterator[Batch]:
    """Yields service subscriptions and terminals."""
    yield _services(lines)
    yield _terminals(lines)


def _services(lines: Lines) -> Batch:
    """Returns what was held early on, one change of some, and what stories set."""
    keys = child_keys(child_keys(lines.keys, 40)[:, None], np.arange(len(SERVICES)))
    told, joined = lines.told[:, None], lines.life.joined[:, None]
    held = np.where(told, np.arange(len(SERVICES)) == _PLAIN_SERVICE, chance(keys, "held", _HELD))
    first = np.maximum(joined, _EARLIEST)
    since = first + below(keys, "held since", np.maximum(OPENING - first, 1))
    changed_on = FIRST + below(keys, "changed on", LAST - FIRST + 1)
    changes = chance(keys, "changes", _CHANGES) & ~told & (changed_on > since)
    line, service = np.nonzero(held)
    lots: list[tuple[Ints, ...]] = [(line, service, since[line, service], np.zeros_like(line))]
    line, service = np.nonzero(changes)
    on = changed_on[line, service]
    active = lines.life.at(line).active(on)
    lots.append((line[active], service[active], on[active], held[line, service][active].astype(np.int64)))
    orders = [
        (line, FAMILIES.index(order.family), order.day, _ACTIONS.index(order.action))
        for line, placed in lines.tellings(lambda story: story.services)
        for order in placed
    ]
    lots.append(_columns(orders, 4))
    line, service, on, action = (np.concatenate(parts) for parts in zip(*lots, strict=True))
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "service_id": words(tuple(item.service_id for item in SERVICES), service),
        "family": words(FAMILIES, service),
        "action": words(_ACTIONS, action),
        "occurred_on": dates(on),
    }
    return Batch("service_subscriptions", on, columns)


def _terminals(lines: Lines) -> Batch:
    """Returns each subscription's first handset, a second one of some, and what stories set."""
    keys = child_keys(lines.keys, 41)
    first_on = np.maximum(lines.life.joined, _EARLIEST + below(keys, "first seen", OPENING - _EARLIEST))
    model = below(keys, "model", len(MODELS))
    rows = np.flatnonzero(~lines.told)
    used_before = np.where(lines.life.joined > OPENING, 0, below(keys, "used before", 3))
    counted = np.where(chance(keys, "counted", _COUNTED), 1 + used_before, 0)
    lots: list[tuple[Ints, ...]] = [(rows, first_on[rows], model[rows], counted[rows])]
    changed_on = FIRST + below(keys, "new handset on", LAST - FIRST + 1)
    changes = chance(keys, "new handset", _NEW_HANDSETS) & (changed_on > first_on) & ~lines.told
    rows = np.flatnonzero(changes & lines.life.active(changed_on))
    later = (model + 1 + below(keys, "next model", len(MODELS) - 1)) % len(MODELS)
    lots.append((rows, changed_on[rows], later[rows], np.where(counted[rows] > 0, counted[rows] + 1, 0)))
    seen = [
        (line, terminal.day, MODELS.index(terminal.model), terminal.models_used or 0)
        for line, terminals in lines.tellings(lambda story: story.terminals or _PLAIN_HANDSET)
        for terminal in terminals
    ]
    lots.append(_columns(seen, 4))
    line, on, model, used = (np.concatenate(parts) for parts in zip(*lots, strict=True))
    type_codes = np.array([int(handset.type_code) for handset in HANDSETS])
    imei = type_codes[model] * _SERIALS + below(child_keys(keys[line], on), "serial number", _SERIALS)
    columns = {
        "subscription_id": lines.ids.take(pa.array(line)),
        "first_seen_on": dates(on),
        "model": words(MODELS, model),
        "vendor": words(tuple(handset.vendor for handset in HANDSETS), model),
        "imei": digits(imei),
        "network_generation": words(tuple(handset.generation for handset in HANDSETS), model),
        "models_used": pa.array(used, mask=used == 0),
    }
    return Batch("terminals", on, columns)


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> tuple[Ints, ...]:
    """Turns rows of numbers into columns, also when there are none."""
    return tuple(np.array(rows, dtype=np.int64).reshape(-1, width).T)
