"""What tells that a text could not be read, as SQL text."""

import pytest

from jobs.domain.extract_rows import _failure
from jobs.expressions.parse import parse


def unread(column: str) -> str:
    return f"(`in__{column}` IS NOT NULL AND try_cast(`in__{column}` AS DECIMAL(28,8)) IS NULL)"


@pytest.mark.parametrize(
    ("expression", "failure"),
    [
        ("A", None),
        ("case when KIND = 'M' then A else B end", None),
        ("number(A)", unread("A")),
        ("number(A) + number(B)", f"{unread('A')} OR {unread('B')}"),
        ("coalesce(number(A), 0)", unread("A")),
        # A guard holds: only the branch that is taken can fail.
        (
            "case when KIND = 'M' then number(A) end",
            f"CASE WHEN (`in__KIND` = 'M') THEN {unread('A')} ELSE FALSE END",
        ),
        ("if(KIND = 'M', 0, number(A))", f"CASE WHEN (`in__KIND` = 'M') THEN FALSE ELSE {unread('A')} END"),
        # Conditions are looked at in order.
        (
            "case when number(A) > 1 then 'x' when number(B) > 1 then 'y' end",
            f"CASE WHEN (try_cast(`in__A` AS DECIMAL(28,8)) > 1) THEN {unread('A')} "
            f"WHEN (try_cast(`in__B` AS DECIMAL(28,8)) > 1) THEN {unread('A')} OR {unread('B')} "
            f"ELSE {unread('A')} OR {unread('B')} END",
        ),
    ],
)
def test_a_text_that_cannot_be_read_fails_only_where_it_is_needed(
    expression: str, failure: str | None
) -> None:
    assert _failure(parse(expression)) == failure
