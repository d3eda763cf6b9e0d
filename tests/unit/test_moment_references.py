"""A moment as a condition of another one, and rules that hold for a time only."""

from datetime import date

import pytest
from projectcopy import ProjectCopy

from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import ConfigError
from jobs.rulelang.compile import evaluable, truth_array_sql
from jobs.rulelang.verdict import verdict_of

STACKED = """
id: stacked
status: active
title: {zh: 叠加, en: Both}
category: anomaly
cycle: daily
audience: everyone
when:
  all:
    poor: {moment: low_balance}
    falls: {moment: call_drop}
    complained: complaints_30d >= :least
parameters:
  least: {default: 1, unit: count, min: 1, max: 9}
severity: low
urgency_days: 2
plan: recharge
description: {zh: 叠加, en: Both}
"""
IN_BOTH = {
    "subscription_status": "active",
    "value_tier": "mid",
    "voice_change_pct": -60,
    "complaints_30d": 1,
    "city": "扬州",
}
PATH = "rules/moments/stacked.yaml"


@pytest.fixture
def stacked(rule_project: ProjectCopy) -> ProjectCopy:
    rule_project.replace("rules/moments/call_drop.yaml", "cycle: weekly", "cycle: daily")
    return rule_project.write(PATH, STACKED)


def test_a_moment_brings_its_audience_conditions_and_thresholds(stacked: ProjectCopy) -> None:
    rules = stacked.rules()
    rule, low = rules.by_id("stacked"), rules.by_id("low_balance")
    borrowed = {f"low_balance.{name}": one for name, one in low.file.parameters.items()}
    assert borrowed and {**borrowed, "least": rule.file.parameters["least"]} == rule.file.parameters
    poor = {name: 0 for name in ("balance", "balance_days_left", "arrears_amount")}
    for change, expected in (
        ({}, True),
        ({"voice_change_pct": -49}, False),
        ({"value_tier": "low"}, False),
        ({"complaints_30d": 0}, False),
        ({"balance_days_left": 400, "balance": 4_000}, False),
        ({"voice_change_pct": None}, None),
    ):
        row = {**IN_BOTH, **poor, **change}
        assert verdict_of(rule, row).truth is expected, change
        alone = [verdict_of(rules.by_id(name), row).truth for name in ("low_balance", "call_drop")]
        assert expected is not True or alone == [True, True]
    [one], _ = evaluable([rule], {})
    sql = truth_array_sql([one], {})
    # With the thresholds that cities have, and under the name of the moment it comes from.
    assert "CASE `city` WHEN '南京' THEN 4.5" in sql
    names = verdict_of(rule, {**IN_BOTH, **poor}).conditions
    assert {"low_balance.audience", "call_drop.audience", "call_drop.falls", "complained"} < names.keys()


def test_what_another_moment_asks_changes_the_rule(stacked: ProjectCopy) -> None:
    before = stacked.rules().by_id("stacked").fingerprint
    stacked.replace("rules/moments/call_drop.yaml", "<= -50", "<= -55")
    after = stacked.rules().by_id("stacked").fingerprint
    assert after != before
    stacked.replace("rules/moments/call_drop.yaml", "通话下降。", "通话少了。")
    assert stacked.rules().by_id("stacked").fingerprint == after


def test_a_moment_without_parameters_changes_the_rule_too(stacked: ProjectCopy) -> None:
    stacked.replace(PATH, "poor: {moment: low_balance}", "poor: {moment: complaint}")
    before = stacked.rules().by_id("stacked").fingerprint
    stacked.replace("rules/moments/complaint.yaml", "complaints_1d", "complaints_30d")
    assert stacked.rules().by_id("stacked").fingerprint != before


def test_moments_may_name_moments_but_not_in_a_circle(stacked: ProjectCopy) -> None:
    stacked.write("rules/moments/higher.yaml", STACKED.replace("id: stacked", "id: higher").replace(
        "poor: {moment: low_balance}", "all_that: {moment: stacked}"
    ))  # fmt: skip
    names = verdict_of(stacked.rules().by_id("higher"), IN_BOTH).conditions
    assert {"stacked.audience", "stacked.low_balance.audience", "stacked.complained"} < names.keys()
    stacked.replace(PATH, "{moment: low_balance}", "{moment: higher}")
    with pytest.raises(ConfigError) as caught:
        stacked.rules()
    assert {issue.code for issue in caught.value.issues} == {"RULE_CYCLE"}
    assert "moments name each other in a circle: stacked -> higher -> stacked" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{moment: low_balance}",
            "{moment: low_balanc}",
            "RULE_UNKNOWN_REFERENCE moment: there is no rule 'low_balanc' (did you mean 'low_balance'?)",
        ),
        ("{moment: low_balance}", "{moments: low_balance}", "needs exactly one of all, any, not, not moments"),
        ("falls: {moment: call_drop}", "again: {moment: low_balance}", "the moment 'low_balance' is asked twice"),
        ("least: {default: 1", "least: {default: 0", "least: default 0 is not between 1 and 9"),
        ("plan: recharge\n", "plan: recharge\nvalid_from: 2026-06-02\nvalid_to: 2026-06-01\n",
         "'valid_from' is after 'valid_to'"),
        ("plan: recharge\n", "plan: recharge\nvalid_from: soon\n", "valid_from"),
    ],
)  # fmt: skip
def test_mistakes_are_told(stacked: ProjectCopy, old: str, new: str, expected: str) -> None:
    stacked.replace(PATH, old, new)
    with pytest.raises(ConfigError) as caught:
        stacked.rules()
    assert expected in str(caught.value) and PATH in str(caught.value)


def test_a_mistake_in_another_moment_is_told_once_and_there(stacked: ProjectCopy) -> None:
    stacked.replace("rules/moments/call_drop.yaml", "voice_change_pct <= -50", "voice_change_pc <= -50")
    with pytest.raises(ConfigError) as caught:
        stacked.rules()
    [issue] = caught.value.issues
    assert issue.location is not None and issue.location.path == "rules/moments/call_drop.yaml"


@pytest.mark.parametrize(
    ("as_of", "evaluated"),
    [("2026-05-31", False), ("2026-06-01", True), ("2026-06-30", True), ("2026-07-01", False)],
)
def test_a_rule_holds_in_its_time(stacked: ProjectCopy, as_of: str, evaluated: bool) -> None:
    stacked.replace(
        PATH, "plan: recharge\n", "plan: recharge\nvalid_from: 2026-06-01\nvalid_to: 2026-06-30\n"
    )
    found = stacked.rules().of_cycle(CycleKind.daily, date.fromisoformat(as_of))
    assert ("stacked" in [rule.id for rule in found]) is evaluated
    assert "complaint" in [rule.id for rule in found]
