"""Answers of managers and customers, from files to the counts beside what is mined."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from jobs.stages.questionnaires import namings
from tests.spark.little import SOURCE, Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

MORE = """
  - contract: managers
    files: managers_{period}.csv
    fields: same
  - contract: questionnaires
    files: answers_{period}.csv
    max_bad_share: 1
    fields: same
"""
HEADER = "answer_id,answered_on,asked,manager_id,subscription_id,moment\n"


def test_people_are_counted_once_a_moment_until_the_date(tmp_path: Path) -> None:
    little = Little(tmp_path, SOURCE + MORE)
    little.put(
        "managers_202605.csv",
        "manager_id,updated_on,city,daily_visits\nM1,2026-05-01,南京,9\nM2,2026-05-01,南京,9\n",
    )
    little.put(
        "answers_202605.csv",
        HEADER
        + "A1,2026-05-02,manager,M1,,complaint\n"
        + "A2,2026-05-03,manager,M1,,complaint\n"
        + "A3,2026-05-03,manager,M2,,complaint\n"
        + "A4,2026-05-03,customer,,S1,客户投诉\n"
        + "A5,2026-05-04,passer-by,,S1,complaint\n"
        + "A6,2026-05-29,customer,,S1,birthday\n",
    )
    little.put("data_usage_20260503_1.csv", "subscription_id,used_on,mb\nS1,2026-05-03,1\n")
    context = little.run()
    told = namings(context, date(2026, 5, 20))
    assert sorted((one.asked, one.who, one.words) for one in told) == [
        ("customer", "S1", "客户投诉"), ("manager", "M1", "complaint"), ("manager", "M1", "complaint"),
        ("manager", "M2", "complaint"),
    ]  # fmt: skip
    assert "birthday" in {one.words for one in namings(context, date(2026, 5, 31))}
