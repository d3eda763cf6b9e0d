"""What a cycle may know: rows that come after its cutoff are not seen by it, only by later cycles."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from jobs.kernel.cycle import Cycle, CycleKind
from jobs.stages.view import write_view
from tests.spark.little import HEADER, SOURCE, Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DATED = SOURCE.replace("data_usage_{period}_{sequence}.csv", "data_usage_{period}_{delivered}.csv")


def test_a_row_delivered_after_the_cutoff_is_not_known(tmp_path: Path) -> None:
    little = Little(tmp_path, DATED)
    # The source has been there for the whole of the window.
    little.put("data_usage_20260501_20260502.csv", HEADER + "S1,2026-05-01,1\n")
    little.put("data_usage_20260528_20260529.csv", HEADER + "S1,2026-05-28,10\n")
    # It happened before as_of, and was told after its cutoff.
    little.put("data_usage_20260529_20260602.csv", HEADER + "S1,2026-05-29,500\n")
    for day in (30, 31):
        little.put(f"data_usage_202605{day}_20260531.csv", HEADER)
    little.put("data_usage_20260601_20260602.csv", HEADER)
    context = little.run()
    found = {}
    for as_of in (date(2026, 5, 30), date(2026, 6, 1)):
        cycle = context.configuration.calendar.cycle(CycleKind.daily, as_of)
        assert cycle == Cycle(CycleKind.daily, as_of, cycle.dispatch_date)
        write_view(context, cycle)
        view = little.table("customer_view").filter(pl.col("as_of") == as_of)
        found[as_of] = view["data_mb_7d"].to_list()
    assert found == {date(2026, 5, 30): [10], date(2026, 6, 1): [510]}
