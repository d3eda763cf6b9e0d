"""A week of the province day by day: everything holds each day, and the checks would see it if it did not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from tests.soak.month import Month

pytestmark = [pytest.mark.spark, pytest.mark.slow]

FIRST, LAST = date(2026, 5, 26), date(2026, 6, 1)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """Six days with a daily cycle, and a first of a month that is a Monday."""
    month = Month(tmp_path_factory.mktemp("week"), 1000, print)
    month.prepare()
    month.run(FIRST, LAST)
    return month


def test_everything_holds_every_day(week: Month) -> None:
    assert week.broken == []
    alerts = week.table("alerts")
    assert set(alerts["dispatch_date"]) == {date(2026, 5, day) for day in range(26, 32)} | {LAST}
    assert set(alerts["dispatch_cycle"]) == {"daily", "weekly", "monthly"}
    assert set(alerts["status"]) == {"dispatched", "control", "overflow", "suppressed"}
    # What managers reported has come back: as tasks, and as customers who are left alone.
    states = set(week.table("tasks")["state"])
    assert {"unprocessed", "processing", "processed", "rejected"} <= states
    assert {"cap", "exempt", "inhibited", "feedback"} <= set(alerts["status_reason"])


Change = Callable[[pl.DataFrame], pl.DataFrame]


def _status(old: str, new: str, reason: str | None = None) -> Change:
    """The first alert of the last date with a status, and maybe a reason, has another one."""

    def change(alerts: pl.DataFrame) -> pl.DataFrame:
        rows = alerts.filter(
            (pl.col("dispatch_date") == LAST)
            & (pl.col("status") == old)
            & (pl.lit(reason is None) | (pl.col("status_reason") == reason))
        )
        one = rows.sort("alert_id")["alert_id"][0]
        here = (pl.col("alert_id") == one) & (pl.col("dispatch_date") == LAST)
        return alerts.with_columns(
            pl.when(here).then(pl.lit(new)).otherwise(pl.col("status")).alias("status")
        )

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_status("overflow", "dispatched"), "visits of"),
        (_status("suppressed", "dispatched", "exempt"), "who is exempt"),
        (_status("suppressed", "dispatched", "feedback"), "refused lately|the plain reading"),
        (_status("suppressed", "dispatched", "cap"), "against call|the plain reading"),
        (_status("control", "dispatched"), "is dispatched"),
        (_status("dispatched", "control"), "is control"),
        (_status("dispatched", "overflow"), "the plain reading"),
        (lambda alerts: pl.concat([alerts, alerts.tail(1)]), "twice"),
        (lambda alerts: alerts.filter(pl.col("dispatch_date") < LAST), "no candidates"),
    ],
)
def test_what_does_not_hold_is_seen(week: Month, change: Change, words: str) -> None:
    honest = week.look(week.table("alerts"), LAST)
    assert honest.broken() == []
    assert any(_matches(words, text) for text in week.look(change(week.table("alerts")), LAST).broken())


def _matches(words: str, text: str) -> bool:
    return any(one in text for one in words.split("|"))
