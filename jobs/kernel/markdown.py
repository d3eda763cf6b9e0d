"""Pieces of the reference pages in docs/."""

from __future__ import annotations

from collections.abc import Iterable


def grid(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines of a Markdown table, with an empty one behind it.

    Example:
        >>> grid(("a", "b"), [("1", "x")])
        ['| a | b |', '|---|---|', '| 1 | x |', '']
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [*lines, ""]
