"""Rules that inherit from templates: what they get, what stays theirs, and where problems are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from projectcopy import ProjectCopy

from jobs.kernel.project import Project
from jobs.rulelang.ruleset import Rule, RuleSet
from jobs.stages.context import configure

Issues = Callable[[Callable[[], object]], list[str]]
TEMPLATE = """
category: anomaly
cycle: weekly
audience: mid_high
when:
  all:
    falls: voice_minutes_change_pct_7d <= -:drop_pct
parameters:
  drop_pct: {default: 70, unit: percent, min: 20, max: 100, why: A quiet week is common}
fire: on_entry
severity: medium
urgency_days: 5
plan: retention_talk
description: {zh: 下降, en: Falling}
"""
RULE = """
id: quiet_line
inherits: falling
title: {zh: 安静, en: Quiet}
severity: high
parameters:
  drop_pct: {default: 50}
description: {en: Very quiet}
"""


def rules_of(project: Project) -> RuleSet:
    return configure(project).rules


@pytest.fixture
def with_template(project_copy: ProjectCopy) -> ProjectCopy:
    project_copy.write("rules/templates/falling.yaml", TEMPLATE)
    return project_copy


def rule_of(project: ProjectCopy, text: str) -> Rule:
    project.write("rules/moments/quiet_line.yaml", text)
    return rules_of(Project(project.root)).by_id("quiet_line")


def test_a_rule_has_what_its_template_says_and_it_does_not(with_template: ProjectCopy) -> None:
    file = rule_of(with_template, RULE).file
    assert (str(file.cycle), file.audience, file.severity, file.urgency_days) == (
        "weekly",
        "mid_high",
        "high",
        5,
    )
    assert (file.description.zh, file.description.en) == ("下降", "Very quiet")
    one = file.parameters["drop_pct"]
    assert (one.default, one.max, one.why) == (50, 100, "A quiet week is common")


def test_it_is_the_rule_that_would_say_all_of_it_itself(with_template: ProjectCopy) -> None:
    inherited = rule_of(with_template, "id: quiet_line\ninherits: falling\ntitle: {zh: 安静, en: Quiet}\n")
    written = rule_of(with_template, "id: quiet_line\ntitle: {zh: 安静, en: Quiet}\n" + TEMPLATE)
    assert inherited.file.model_dump() == written.file.model_dump()
    assert inherited.fingerprint == written.fingerprint


def test_a_condition_of_its_own_takes_the_place_of_the_inherited_one(with_template: ProjectCopy) -> None:
    own = "when:\n  any:\n    idle: voice_minutes_7d < :drop_pct * 1\n"
    text = RULE.replace("parameters:", own + "parameters:").replace(
        "{default: 50}", "{default: 50, unit: minute}"
    )
    rule = rule_of(with_template, text)
    assert list(rule.file.when) == ["any"]


def test_problems_are_told_where_they_stand(with_template: ProjectCopy, issues_of: Issues) -> None:
    """In the template, or in the rule; once, however many rules inherit it."""
    with_template.write("rules/moments/quiet_line.yaml", RULE.replace("severity: high", "severity: hihg"))
    with_template.write("rules/moments/other_line.yaml", RULE.replace("quiet_line", "other_line"))
    with_template.write("rules/templates/falling.yaml", TEMPLATE.replace("weekly", "wekly"))
    assert issues_of(lambda: rules_of(Project(with_template.root))) == [
        "rules/moments/quiet_line.yaml:5:1 YAML_BAD_VALUE 'severity': Input should be 'critical', 'high', "
        "'medium' or 'low', not 'hihg' (did you mean 'high'?)",
        "rules/templates/falling.yaml:3:1 YAML_BAD_VALUE 'cycle': Input should be 'daily', 'weekly' or 'monthly', "
        "not 'wekly'",
    ]


@pytest.mark.parametrize(
    ("template", "rule", "expected"),
    [
        (TEMPLATE, RULE.replace("falling", "fallng"),
         "rules/moments/quiet_line.yaml:3:1 RULE_UNKNOWN_REFERENCE inherits: there is no template 'fallng' in "
         "rules/templates (did you mean 'falling'?)"),
        (TEMPLATE + "id: x\n", RULE,
         "rules/templates/falling.yaml:15:1 YAML_UNKNOWN_KEY 'id' is each rule's own; a template has none"),
        ("- a\n", RULE,
         "rules/templates/falling.yaml:1:1 YAML_BAD_VALUE needs the keys of a rule that its rules have in common"),
        (TEMPLATE.replace("voice_minutes_change_pct_7d", "voice_minutes_chang_pct_7d"), RULE,
         "rules/templates/falling.yaml:7:5 RULE_UNKNOWN_ITEM falls: 'voice_minutes_chang_pct_7d' is not an item of "
         "the customer view (did you mean 'voice_minutes_change_pct_7d'?)"),
    ],
)  # fmt: skip
def test_a_bad_template(
    with_template: ProjectCopy, issues_of: Issues, template: str, rule: str, expected: str
) -> None:
    with_template.write("rules/templates/falling.yaml", template)
    with_template.write("rules/moments/quiet_line.yaml", rule)
    assert issues_of(lambda: rules_of(Project(with_template.root))) == [expected]


def test_a_template_that_nobody_inherits_disturbs_nobody(with_template: ProjectCopy) -> None:
    before = [rule.fingerprint for rule in rules_of(Project(with_template.root)).rules]
    (with_template.root / "rules/templates/falling.yaml").unlink()
    assert [rule.fingerprint for rule in rules_of(Project(with_template.root)).rules] == before
