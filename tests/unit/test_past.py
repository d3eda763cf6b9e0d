"""Conditions on earlier runs of moments: what they ask, of which runs, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from projectcopy import ProjectCopy

from jobs.kernel.cycle import Cycle, CycleCalendar, CycleKind
from jobs.rulelang.compile import evaluable, truth_array_sql
from jobs.rulelang.conditions import leaves, pasts_of
from jobs.rulelang.past import Past
from jobs.rulelang.ruleset import Rule
from jobs.rulelang.verdict import verdict_of

Issues = Callable[[Callable[[], object]], list[str]]
PATH = "rules/moments/again.yaml"
RULE = """
id: again
status: active
title: {zh: 又一次, en: Again}
category: anomaly
cycle: daily
audience: everyone
when:
  all:
    complained: complaints_30d >= 1
    before: {moment: complaint, QUESTION}
severity: low
urgency_days: 2
plan: recharge
description: {zh: 又一次, en: Again}
"""
EVERY_DAY = CycleCalendar({kind: 1 for kind in CycleKind})
KNOWN = {"subscription_status": "active", "value_tier": "mid", "complaints_30d": 1}


def rule_of(project: ProjectCopy, question: str, moment: str = "complaint") -> Rule:
    text = RULE.replace(
        "moment: complaint, QUESTION", f"moment: {moment}, {question}" if question else f"moment: {moment}"
    )
    return project.write(PATH, text).rules().by_id("again")


def on(kind: CycleKind, day: str) -> Cycle:
    return EVERY_DAY.cycle(kind, date.fromisoformat(day))


@pytest.mark.parametrize(
    ("moment", "question", "past", "text"),
    [
        ("complaint", "times: 2, of_last: 3", Past("complaint", CycleKind.daily, 2, 3, None, True),
         "complaint was true in 2 of its last 3 daily runs"),
        ("complaint", "fired_in_days: 30", Past("complaint", CycleKind.daily, 1, 1, 30, True),
         "complaint fired in the last 30 days"),
        ("call_drop", "", Past("call_drop", CycleKind.weekly), "call_drop was true in its last weekly run"),
        ("again", "times: 1, of_last: 1", Past("again", CycleKind.daily, 1, 1, None, True),
         "again was true in its last daily run"),
    ],
)  # fmt: skip
def test_what_is_asked(rule_project: ProjectCopy, moment: str, question: str, past: Past, text: str) -> None:
    rule = rule_of(rule_project, question, moment)
    assert pasts_of(rule.condition) == {past}
    [leaf] = [leaf for leaf in leaves(rule.condition) if leaf.past is not None]
    assert (leaf.name, leaf.text) == ("before", text)


def test_the_answer_decides_like_any_other_condition(rule_project: ProjectCopy) -> None:
    rule = rule_of(rule_project, "times: 2, of_last: 3")
    for answer in (True, False, None):
        verdict = verdict_of(rule, {**KNOWN, "past_complaint_2_of_3": answer})
        assert (verdict.truth, verdict.conditions["before"]) == (answer, answer)
    [one], _ = evaluable([rule], {})
    assert "past_complaint_2_of_3" in truth_array_sql([one], {})


@pytest.mark.parametrize(
    ("past", "cycle", "runs"),
    [
        # Its own run is not looked at, nor what comes after it.
        (
            Past("x", CycleKind.daily, 1, 3, None, True),
            on(CycleKind.daily, "2026-03-01"),
            "02-28 02-27 02-26",
        ),
        (Past("x", CycleKind.monthly, 1, 2, None, True), on(CycleKind.monthly, "2026-03-31"), "02-28 01-31"),
        (Past("x", CycleKind.weekly, 1, 2), on(CycleKind.daily, "2026-05-31"), "05-31 05-24"),
        (Past("x", CycleKind.weekly, 1, 2), on(CycleKind.daily, "2026-05-30"), "05-24 05-17"),
        (Past("x", CycleKind.daily, 1, 2), on(CycleKind.monthly, "2026-05-31"), "05-31 05-30"),
        (Past("x", CycleKind.daily, 1, 2, 30, True), on(CycleKind.daily, "2026-05-31"), ""),
    ],
)
def test_the_runs_that_are_looked_at(past: Past, cycle: Cycle, runs: str) -> None:
    assert " ".join(f"{day:%m-%d}" for day in past.runs(cycle, EVERY_DAY)) == runs


def test_a_run_that_is_dispatched_later_is_not_known_yet() -> None:
    calendar = CycleCalendar({CycleKind.daily: 1, CycleKind.weekly: 2, CycleKind.monthly: 3})
    sunday = calendar.cycle(CycleKind.daily, date(2026, 5, 31))
    assert Past("x", CycleKind.weekly).runs(sunday, calendar) == (date(2026, 5, 24),)
    monday = calendar.cycle(CycleKind.daily, date(2026, 6, 1))
    assert Past("x", CycleKind.weekly).runs(monday, calendar) == (date(2026, 5, 31),)
    assert Past("x", CycleKind.monthly).runs(monday, calendar) == (date(2026, 4, 30),)


def test_a_source_that_delivers_once_has_no_earlier_runs() -> None:
    calendar = CycleCalendar({kind: 1 for kind in CycleKind}, snapshot=date(2026, 5, 31))
    cycle = calendar.cycle(CycleKind.daily, date(2026, 5, 31))
    assert Past("x", CycleKind.daily, 1, 2, None, True).runs(cycle, calendar) == ()
    assert Past("x", CycleKind.monthly, 1, 2).runs(cycle, calendar) == (date(2026, 5, 31),)


def test_the_days_on_which_it_may_have_fired() -> None:
    cycle = on(CycleKind.daily, "2026-03-02")
    assert Past("x", CycleKind.daily, 1, 1, 2, True).days(cycle) == (date(2026, 2, 28), date(2026, 3, 1))
    assert Past("x", CycleKind.weekly, 1, 1, 2).days(cycle) == (date(2026, 3, 1), date(2026, 3, 2))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("times: 2", "'before': 'times' and 'of_last' go together"),
        ("times: 4, of_last: 3", "'before': 'times' is more than 'of_last'"),
        ("times: 1, of_last: 1, fired_in_days: 3", "'before': asks one thing: 'times' and 'of_last', or 'fired_in_days'"),
        ("times: 0, of_last: 1", "'times': Input should be greater than or equal to 1, not 0"),
        ("of_last: 61, times: 1", "'of_last': Input should be less than or equal to 60, not 61"),
        ("fired_in_days: soon", "'fired_in_days': Input should be a valid integer, unable to parse string as an "
         "integer, not 'soon'"),
    ],
)  # fmt: skip
def test_questions_that_mean_nothing(
    rule_project: ProjectCopy, issues_of: Issues, question: str, expected: str
) -> None:
    [issue] = issues_of(lambda: rule_of(rule_project, question))
    assert issue.startswith(f"{PATH}:11:") and issue.endswith(f" YAML_BAD_VALUE {expected}")


def test_unknown_keys_and_moments_are_told(rule_project: ProjectCopy, issues_of: Issues) -> None:
    assert issues_of(lambda: rule_of(rule_project, "fired_in_dys: 3")) == [
        f"{PATH}:11:33 YAML_UNKNOWN_KEY 'fired_in_dys' is not known here (did you mean 'fired_in_days'?); "
        "allowed: fired_in_days, moment, of_last, times"
    ]
    assert issues_of(lambda: rule_of(rule_project, "fired_in_days: 3", "complain")) == [
        f"{PATH}:8:1 RULE_UNKNOWN_REFERENCE moment: there is no rule 'complain' (did you mean 'complaint'?)"
    ]


def test_cycles_that_ask_each_other_are_refused(rule_project: ProjectCopy, issues_of: Issues) -> None:
    """A daily rule may ask a weekly moment, but then no weekly rule a daily one."""
    rule_of(rule_project, "", "call_drop")
    other = "rules/moments/call_drop.yaml"
    rule_project.replace(other, "    falls:", "    low: {moment: low_balance}\n    falls:")
    assert issues_of(rule_project.rules) == [
        "rules/moments RULE_CYCLE daily and weekly cycles ask each other, so none can come first: "
        "again asks call_drop; call_drop asks low_balance"
    ]


def test_of_one_date_the_cycle_that_is_asked_comes_first(rule_project: ProjectCopy) -> None:
    due = EVERY_DAY.due(date(2026, 6, 1))
    kinds = lambda: [[str(cycle.kind) for cycle in group] for group in rule_project.rules().in_order(due)]  # noqa: E731
    assert kinds() == [["daily", "weekly", "monthly"]]
    rule_of(rule_project, "", "call_drop")
    assert kinds() == [["weekly", "monthly"], ["daily"]]


def test_what_another_moment_asks_of_the_past_is_asked_with_it(rule_project: ProjectCopy) -> None:
    rule_of(rule_project, "fired_in_days: 9")
    text = (rule_project.root / PATH).read_text("utf-8")
    rule_project.write(
        "rules/moments/stacked.yaml",
        text.replace("id: again", "id: stacked").replace(
            "moment: complaint, fired_in_days: 9", "moment: again"
        ),
    )
    [past] = pasts_of(rule_project.rules().by_id("stacked").condition)
    assert past == Past("complaint", CycleKind.daily, 1, 1, 9, True)
