"""What a source can supply: which items can have a value, and why the others cannot.

Two kinds of absence are kept apart. An item is unsupplied when the source never delivers what it needs,
or only in too coarse a grain: rules are told so. It is unknown for now when its source is stale, has a gap
or does not reach back far enough: rules count that, and nobody is phoned on last week's balance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.leaves import MEASURE, Moment, split_measure, split_state
from jobs.contracts.view import CustomerView
from jobs.contracts.windows import Window
from jobs.expressions.nodes import Name, Node, is_supplied, names
from jobs.expressions.parse import parse


class ItemStatus(StrEnum):
    """Whether an item can have a value in a cycle, or why not; worst first."""

    not_supplied = "not_supplied"
    too_coarse = "too_coarse"
    stale_input = "stale_input"
    missing_input = "missing_input"
    short_history = "short_history"
    supplied = "supplied"

    @property
    def is_for_ever(self) -> bool:
        """Whether the source itself, not the moment, is the reason."""
        return self in (ItemStatus.not_supplied, ItemStatus.too_coarse)


@dataclass(frozen=True)
class Delivered:
    """What a source delivers under one contract, as known at a cutoff.

    Attributes:
        fields: Contract fields that its mapping fills, with those derived from them.
        data_from: First date its rows speak for; None before the first delivery.
        data_until: Last date its rows speak for.
        gaps: First and last date of each span between them for which a file is missing.
        row_covers_days: Days one row sums up; 1 for events and daily rows.
    """

    fields: frozenset[str]
    data_from: date | None = None
    data_until: date | None = None
    gaps: tuple[tuple[date, date], ...] = ()
    row_covers_days: int = 1


def _is_delivered(tree: Node, fields: frozenset[str]) -> bool:
    """Whether an expression over a contract's fields says anything about what was delivered.

    coalesce(a, 0) + coalesce(b, 0) needs one of its fields: a sum of mere fallbacks is no value.
    """
    used = names(tree)
    some = not used or any(name.name in fields for name in used)
    return some and is_supplied(tree, lambda name: name.name in fields)


@dataclass(frozen=True)
class Supply:
    """What all contracts of a source supply at one as_of.

    Attributes:
        view: The items.
        contracts: All contracts.
        delivered: What is delivered, by contract.
        as_of: Last date looked at.
        once: The source delivers once: what it does not reach back to, it will never supply.
    """

    view: CustomerView
    contracts: Mapping[str, ExtractContract]
    delivered: Mapping[str, Delivered]
    as_of: date
    once: bool = False

    def leaf(self, name: Name) -> ItemStatus:
        """Status of a contract field or a measure over a window."""
        if name.table == MEASURE:
            measure_id, window = split_measure(name)
            measure = self.view.measures[measure_id]
            texts = [text for text in (measure.of, measure.where) if text]
            status = self._status(measure.from_, texts, window)
            delivered = self.delivered.get(measure.from_)
            coarse = measure.by_day and delivered is not None and delivered.row_covers_days > 1
            return ItemStatus.too_coarse if coarse and not status.is_for_ever else status
        field, moment = split_state(name)
        return self._status(name.table or "", [f"`{field}`"], moment=moment)

    def _status(
        self, contract: str, texts: list[str], window: Window | None = None, moment: Moment | None = None
    ) -> ItemStatus:
        delivered = self.delivered.get(contract)
        if delivered is None or not all(_is_delivered(parse(text), delivered.fields) for text in texts):
            return ItemStatus.not_supplied
        if delivered.data_from is None or delivered.data_until is None:
            return ItemStatus.short_history
        start = None if moment is None else moment.date(self.as_of)
        crossed = False
        if window is not None:
            start, end = window.span(self.as_of)
            crossed = any(first <= end and (start is None or last >= start) for first, last in delivered.gaps)
            shortest = [window.before] if window.before and not window.by_month else []
            if start is not None:
                shortest.append((end - start).days + 1)
            if any(days < delivered.row_covers_days for days in shortest):
                return ItemStatus.too_coarse
        if start is not None and start < delivered.data_from:
            return ItemStatus.not_supplied if self.once else ItemStatus.short_history
        if self.is_stale(contract):
            return ItemStatus.stale_input
        return ItemStatus.missing_input if crossed else ItemStatus.supplied

    def is_stale(self, contract: str) -> bool:
        """Whether nothing is known of a contract as freshly as it promises."""
        until = self.delivered[contract].data_until
        limit = timedelta(days=self.contracts[contract].freshness_days)
        return until is None or self.as_of - until > limit

    def statuses(self) -> dict[str, ItemStatus]:
        """Status of every item of the view."""
        found: dict[str, ItemStatus] = {}
        for item, tree in self.view.trees.items():

            def status(name: Name) -> ItemStatus:
                if name.table is not None:
                    return self.leaf(name)
                return found.get(name.name, ItemStatus.supplied)

            if is_supplied(tree, lambda name: status(name) is ItemStatus.supplied):
                found[item] = ItemStatus.supplied
            elif not is_supplied(tree, lambda name: not status(name).is_for_ever):
                found[item] = min((status(name) for name in names(tree)), key=list(ItemStatus).index)
            else:
                waiting = [status(name) for name in names(tree) if not status(name).is_for_ever]
                found[item] = min(waiting, key=list(ItemStatus).index)
        return found
