"""Thresholds that differ: by city, by what a city's office sets for itself, or by another item."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from projectcopy import ProjectCopy

from jobs.rulelang.compile import items_named, parameter_sql
from jobs.rulelang.lint import lint
from jobs.rulelang.load import rule_files
from jobs.rulelang.verdict import override_of, parameter_of

RULE = "rules/moments/low_balance.yaml"
OFFICE = "rules/cities/suzhou.yaml"
Issues = Callable[[Callable[[], object]], list[str]]


@pytest.fixture
def offices(rule_project: ProjectCopy) -> ProjectCopy:
    """Cities may set how many days of balance are few, and 苏州 does."""
    rule_project.replace(RULE, "max: 15,", "max: 15, cities_may_set: [2, 5],")
    return rule_project.write(OFFICE, office("{low_balance: {days_left: 5}}"))


def office(parameters: str, city: str = "苏州") -> str:
    return f"city: {city}\nowner: office\nparameters: {parameters}\n"


def test_what_an_office_sets_holds_in_its_city_before_what_the_province_sets_for_it(
    offices: ProjectCopy,
) -> None:
    rule = offices.rules().by_id("low_balance")
    found = {
        city: (
            parameter_of(rule, "days_left", {"city": city}),
            override_of(rule, "days_left", {"city": city}),
        )
        for city in ("苏州", "南京", "无锡", None)
    }
    assert found == {
        "苏州": (Decimal(5), f"苏州, {OFFICE}"),
        "南京": (Decimal("4.5"), "南京"),
        "无锡": (Decimal(3), None),
        None: (Decimal(3), None),
    }
    sql = "CASE `city` WHEN '南京' THEN 4.5BD WHEN '苏州' THEN 5BD ELSE 3BD END"
    assert parameter_sql(rule.file.parameters)("days_left") == sql


def test_a_change_of_an_office_is_a_change_of_the_rule(offices: ProjectCopy) -> None:
    before = offices.rules().by_id("low_balance").fingerprint
    offices.write(OFFICE, office("{low_balance: {days_left: 4}}"))
    assert offices.rules().by_id("low_balance").fingerprint != before


def test_what_the_source_sets_holds_everywhere(offices: ProjectCopy) -> None:
    rule = offices.rules({"low_balance": {"days_left": Decimal(7)}}).by_id("low_balance")
    for city in ("苏州", "无锡"):
        assert parameter_of(rule, "days_left", {"city": city}) == 7
        assert override_of(rule, "days_left", {"city": city}) == "rule_parameters"


def test_all_that_is_wrong_with_the_files_of_offices_is_told(offices: ProjectCopy, issues_of: Issues) -> None:
    wrong = "{low_balance: {days_left: 6, day_left: 3}, complaint: {least: 2}, low_balanc: {days_left: 3}}"
    offices.write("rules/cities/nanjing.yaml", office(wrong, "南京"))
    offices.write("rules/cities/twice.yaml", office("{}", "苏州"))
    offices.write("rules/cities/wuxi.yaml", "city: 无锡\nparameters: {low_balance: {days_left: few}}\n")
    [parameter] = offices.project.load("rules/moments/complaint.yaml").data["parameters"]
    offices.replace("rules/cities/nanjing.yaml", "{least: 2}", f"{{{parameter}: 2}}")
    told = [line.removeprefix("rules/cities/") for line in issues_of(offices.rules)]
    assert sorted(line.split(" ", 1)[1] for line in told) == sorted(
        [
            "YAML_MISSING_KEY 'owner' is missing",
            "YAML_BAD_VALUE 'days_left': Input should be a valid decimal, not 'few'",
            f"RULE_DUPLICATE_ID '苏州' has a file already: {OFFICE}",
            "RULE_BAD_PARAMETER days_left of low_balance: 6 is not between 2 and 5, which cities may set",
            "RULE_BAD_PARAMETER low_balance has no parameter 'day_left' (did you mean 'days_left'?)",
            f"RULE_BAD_PARAMETER {parameter} of complaint is the province's: its rule does not say 'cities_may_set'",
            "RULE_UNKNOWN_REFERENCE there is no rule 'low_balanc' (did you mean 'low_balance'?)",
        ]
    )
    assert any(line.startswith("twice.yaml:1:") for line in told)
    assert all(line.split(":")[1].isdigit() for line in told)


def test_a_threshold_may_depend_on_another_item(rule_project: ProjectCopy) -> None:
    text = (rule_project.root / RULE).read_text(encoding="utf-8")
    cities = text[text.index(", by_city: {") : text.index("}}") + 1]
    rule_project.replace(RULE, cities, ", by: {item: value_tier, values: {high: 10}}")
    rule = rule_project.rules().by_id("low_balance")
    assert (
        parameter_sql(rule.file.parameters)("days_left")
        == "CASE `value_tier` WHEN 'high' THEN 10BD ELSE 3BD END"
    )
    assert parameter_of(rule, "days_left", {"value_tier": "high", "city": "苏州"}) == 10
    assert parameter_of(rule, "days_left", {"city": "苏州"}) == 3
    assert "value_tier" in items_named(rule, rule.condition)
    # Beyond what is asked of high value alone.
    rule_project.replace(RULE, "runs_out_soon: balance_days_left < :days_left",
                         "runs_out_soon: balance_days_left < :days_left and balance_days_left > 4")  # fmt: skip
    told = [
        issue.message
        for issue in lint(rule_project.rules(), rule_files(rule_project.project))
        if issue.code == "LINT_NEVER_TRUE"
    ]
    assert told == ["nobody can meet the rule: what it asks contradicts itself"]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("by: {item: value_tier, values: {high: 10}}, cities_may_set: [2, 5]", "varies by one item only"),
        ("cities_may_set: [5, 2]", "'cities_may_set' must rise and lie between 1 and 15"),
        ("cities_may_set: [0, 2]", "'cities_may_set' must rise and lie between 1 and 15"),
        ("by: {item: value_tier, values: {}}", "at least 1 item"),
        ("by: {item: balance, values: {high: 10}}", "'by' needs an item that is a text, not 'balance'"),
        ("by: {item: brand, values: {high: 10}}", "'by' needs an item that is a text, not 'brand'"),
        ("by: {item: value_tier, values: {high: 99}}", "days_left: high 99 is not between 1 and 15"),
    ],
)
def test_dimensions_are_checked(
    rule_project: ProjectCopy, issues_of: Issues, new: str, expected: str
) -> None:
    text = (rule_project.root / RULE).read_text(encoding="utf-8")
    cities = text[text.index(", by_city: {") : text.index("}}") + 1]
    rule_project.replace(RULE, cities, f", {new}")
    assert any(expected in line for line in issues_of(rule_project.rules)), issues_of(rule_project.rules)
