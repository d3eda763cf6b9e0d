"""Whose an id was when, told by rows in order of time."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.stages.person import Spell, _spells


def day(number: int) -> date:
    return date(2026, 5, number)


@pytest.mark.parametrize(
    ("told", "spells"),
    [
        # Still the person's: all of it goes, so there is no spell that ended.
        ("1A 2A", []),
        ("1B 2B", []),
        ("1A 9B", [(None, 9, 1)]),
        ("1A 3A 9B 12C", [(None, 9, 3)]),
        ("1B 4A 9B", [(4, 9, 4)]),
        ("1A 4B 6A 9B 12A", [(None, 4, 1), (6, 9, 6)]),
        # Two rows of a day: the later holder is told by the day alone.
        ("1A 1B", [(None, 1, 1)]),
    ],
)
def test_spells_end_where_another_holder_begins(told: str, spells: list[tuple[int | None, int, int]]) -> None:
    rows = [(day(int(one[:-1])), one[-1]) for one in told.split()]
    expected = [
        Spell("subscription_id", "S", None if first is None else day(first), day(until), day(called))
        for first, until, called in spells
    ]
    assert list(_spells("subscription_id", "S", "A", rows)) == expected
