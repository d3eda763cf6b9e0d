"""The catalogue of items: the customer view as one Markdown page, with who uses what."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.lineage import Origin, origins_of, personal_parts
from jobs.contracts.view import CustomerView, Item, Score
from jobs.kernel.markdown import grid
from jobs.rulelang.uses import Uses

PATH = "docs/customer-view.md"
_INTRODUCTION = (
    "Made by `make docs` from schemas/customer_view/; do not edit. The view has one row a subscription,",
    "as_of and cutoff; `keymoments items` searches and shows its items. Null means unknown: not told, no row",
    "in the window, or a source that is stale, does not reach back far enough, or is not supplied.",
    "*0 if none* marks measures that are zero where a delivered source has no row.",
)
_HEAD = ("item", "中文", "English", "type", "value", "from", "personal", "example", "used by")


def item_catalogue(view: CustomerView, contracts: Mapping[str, ExtractContract], uses: Uses) -> str:
    """The page as text.

    Args:
        view: The items.
        contracts: The extracts they come from.
        uses: Who uses each.
    """
    lines = ["# Customer view / 统一客户视图", "", *_INTRODUCTION, ""]
    for one in view.classes:
        lines += [f"## {one.number} {one.zh} / {one.en}", ""]
        known: dict[str, Item | Score] = {**one.items, **one.scores}
        rows = []
        for name, item in known.items():
            origins = origins_of(view, name)
            told = "; ".join(dict.fromkeys(map(origin_text, origins)))
            value = f"`{item.value}`" if isinstance(item, Item) else f"table `{item.table}`"
            personal = ", ".join(personal_parts(origins, contracts))
            example = "" if item.example is None else str(item.example)
            users = ", ".join(uses.get(name, []))
            rows.append(
                (f"`{name}`", item.zh, item.en, type_text(item), value, told, personal, example, users)
            )
        lines += grid(_HEAD, rows)
    return "\n".join(lines).rstrip() + "\n"


def type_text(item: Item | Score) -> str:
    """Type and unit of an item."""
    return f"{item.type} ({item.unit})" if item.unit else item.type


def origin_text(origin: Origin) -> str:
    """An origin in short.

    Example:
        >>> origin_text(Origin("bills", ("total",), "bill_total", "1m"))
        'bills.total over 1m'
        >>> origin_text(Origin("complaints", (), "complaints_opened", "30d", zero=True))
        'complaints over 30d, 0 if none'
    """
    what = ", ".join(f"{origin.contract}.{field}" for field in origin.fields) or origin.contract
    window = f" over {origin.window}" if origin.window else ""
    moment = f" {origin.moment}" if origin.moment else ""
    return what + window + moment + (", 0 if none" if origin.zero else "")
