"""When there is no ground for a risk, there is none, with the reason: never a risk of zero."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from jobs.kernel.cycle import CycleKind
from jobs.stages.scores import write_scores
from jobs.stages.view import write_view
from tests.spark.little import SOURCE, Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

LABELS = """
  - contract: churn_labels
    files: churn_labels_{period}.csv
    fields: same
"""
HEADER = "subscription_id,churned_on,kind\n"
AS_OF = date(2026, 5, 31)


def test_labels_that_end_before_the_time_they_are_for_give_no_risk(tmp_path: Path) -> None:
    little = Little(tmp_path, SOURCE + LABELS)
    rows = "".join(f"S{n},C{n},2026-03-01,1340000{n:04},active\n" for n in range(20))
    little.put("subscriptions_202605.csv", "subscription_id,customer_id,updated_on,number,status\n" + rows)
    little.put("data_usage_20260501_1.csv", "subscription_id,used_on,mb\nS1,2026-05-01,3\n")
    little.put("churn_labels_202604.csv", HEADER + "S18,2026-04-10,left\n")

    def risks() -> tuple[list[str], pl.DataFrame]:
        context = little.run()
        cycle = context.configuration.calendar.cycle(CycleKind.monthly, AS_OF)
        write_view(context, cycle)
        write_scores(context, cycle)
        return [line for line in little.said if line.startswith("risk of")], little.table("risk_scores")

    said, found = risks()
    # Of the month end before, those who left until 30 May are needed; half of that time is nothing to go by.
    reason = "churn labels end on 2026-04-10, and those until 2026-05-30 are needed"
    assert said == [f"risk of 2026-05-31: none, {reason}"] and found.height == 0
    little.put("churn_labels_202605.csv", HEADER + "S19,2026-05-20,left\n")
    said, found = risks()
    assert said == [f"risk of 2026-05-31: {found.height} scored from churn since 2026-04-30"]
    assert found.height > 0 and found["risk_probability"].min() > 0
