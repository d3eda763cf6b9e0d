"""The customer view in plain Python, a subscription at a time, from the rows of the clean tables.

Slow and simple: every measure looks at all rows of its subscription. What it shares with the product is
the catalogue of items and the reading of expressions, nothing of how Spark adds them up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.leaves import split_measure, split_state
from jobs.contracts.view import CustomerView, Measure
from jobs.expressions.evaluate import evaluate
from jobs.expressions.nodes import Name, Node
from jobs.expressions.parse import parse

Row = Mapping[str, Any]


@cache
def parsed(text: str) -> Node:
    """A measure's expression; each is read for thousands of subscriptions."""
    return parse(text)


class NaiveView:
    """Gives the items of a subscription, as of a date and known at a cutoff."""

    def __init__(
        self,
        view: CustomerView,
        contracts: Mapping[str, ExtractContract],
        rows: Mapping[str, Iterable[Row]],
        amounts: Mapping[str, Any],
        as_of: date,
        cutoff: date,
    ) -> None:
        self.view, self.contracts, self.amounts, self.as_of = view, contracts, amounts, as_of
        self.by_key: dict[str, dict[Any, list[Row]]] = {}
        self.begins: dict[str, date] = {}
        self.stale: set[str] = set()
        for name, all_rows in rows.items():
            contract = contracts[name]
            known = [row for row in all_rows if row["row_date"] <= as_of and row["available_at"] <= cutoff]
            key = contract.key[0] if contract.grain == "state" else "subscription_id"
            grouped: dict[Any, list[Row]] = defaultdict(list)
            for row in known:
                grouped[row[key]].append(row)
            self.by_key[name] = grouped
            days = [row["row_date"] for row in known]
            if days:
                first = min(days)
                self.begins[name] = first.replace(day=1) if contract.grain == "month" else first
                if (as_of - max(days)).days > contract.freshness_days:
                    self.stale.add(name)

    def subscriptions(self) -> list[str]:
        """Those in the network."""
        found = []
        for subscription in self.by_key["subscriptions"]:
            state = self._state("subscriptions", subscription, self.as_of)
            if state["status"] != "closed" and (state["joined_on"] or self.as_of) <= self.as_of:
                found.append(subscription)
        return found

    def items(self, subscription: str) -> dict[str, Any]:
        """All items of a subscription, rounded as they are declared."""
        found: dict[str, Any] = {"as_of": self.as_of}

        def value(name: Name) -> Any:
            if name.table is None:
                return found[name.name]
            if name.table == "measure":
                return self._measure(subscription, name)
            contract = self.contracts[name.table]
            if name.table not in self.by_key or name.table in self.stale:
                return None
            field, moment = split_state(name)
            day = self.as_of if moment is None else moment.date(self.as_of)
            if day < self.begins.get(name.table, day):
                return None
            then = self._state("subscriptions", subscription, day)
            key = subscription if contract.key[0] == "subscription_id" else then.get(contract.key[0])
            return self._state(name.table, key, day).get(field)

        for item_id, tree in self.view.trees.items():
            item = self.view.items[item_id]
            result = evaluate(tree, value, lambda name: self.amounts[name])
            if item.type == "decimal" and result is not None:
                result = _rounded(_rounded(Decimal(result), 10), item.scale)
            if item.type == "integer" and result is not None:
                result = int(result)
            found[item_id] = result
        del found["as_of"]
        return found

    def _state(self, contract: str, key: Any, day: date) -> Row:
        rows = [row for row in self.by_key[contract].get(key, []) if row["row_date"] <= day]
        return max(rows, key=lambda row: row["row_date"], default={})

    def _measure(self, subscription: str, name: Name) -> Any:
        measure_id, window = split_measure(name)
        measure = self.view.measures[measure_id]
        start, end = window.span(self.as_of)
        source = measure.from_
        if source not in self.begins or source in self.stale:
            return None
        if start is not None and start < self.begins[source]:
            return None
        rows = self.by_key[source].get(subscription, [])
        inside = [
            row for row in rows if row["row_date"] <= end and (start is None or row["row_date"] >= start)
        ]
        result = self._aggregate(measure, inside, bool(rows))
        return 0 if result is None and measure.missing == "zero" else result

    def _aggregate(self, measure: Measure, rows: list[Row], any_row: bool) -> Any:
        condition = None if measure.where is None else parsed(measure.where)
        chosen = [
            row
            for row in rows
            if condition is None or evaluate(condition, lambda name: row[name.name]) is True  # noqa: B023
        ]
        if measure.aggregate == "count":
            return len(chosen) if rows else None
        tree = parsed(measure.of or "null")
        pairs = [(row, evaluate(tree, lambda name: row[name.name])) for row in chosen]  # noqa: B023
        values = [value for _, value in pairs if value is not None]
        match measure.aggregate:
            case "distinct":
                return len({str(value) for value in values}) if any_row else None
            case "sum":
                return sum(values[1:], values[0]) if values else None
            case "mean":
                return sum(map(Decimal, values), Decimal(0)) / len(values) if values else None
            case "min" | "max":
                return (min if measure.aggregate == "min" else max)(values, default=None)
            case _:
                order = self.contracts[measure.from_].row_key
                told = [(row, value) for row, value in pairs if value is not None]
                last = max(
                    told, key=lambda one: (one[0]["row_date"], [str(one[0][k]) for k in order]), default=None
                )
                return None if last is None else last[1]


def _rounded(value: Decimal, scale: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
