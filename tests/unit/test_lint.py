"""What rules can hardly mean, found without data; and whether a condition can be true, against trying it."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projectcopy import ProjectCopy
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.expressions.evaluate import evaluate
from jobs.expressions.nodes import Call, Literal, Name, Node
from jobs.expressions.parse import parse
from jobs.rulelang.logic import TooManyCasesError, is_possible

RULE = """
id: {id}
status: {status}
title: {{zh: 试, en: Trial}}
category: anomaly
cycle: {cycle}
audience: {audience}
when: {when}
parameters: {parameters}
severity: low
urgency_days: 3
plan: retention_talk
inhibits: {inhibits}
{more}
description: {{zh: 试, en: Trial}}
"""

# Between and beside the numbers that conditions compare with.
NUMBERS = [None, *(Decimal(number) / 2 for number in range(-1, 10))]
TEXTS = [None, "x", "y", "z", "another"]
FLAGS = [None, True, False]


def comparisons() -> st.SearchStrategy[Node]:
    number = st.builds(
        lambda sign, name, value, turned: Call(
            sign, (Literal(value), Name(name)) if turned else (Name(name), Literal(value))
        ),
        st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 4),
        st.booleans(),
    )
    text = st.builds(
        lambda values: Call("in", (Name("s"), *map(Literal, values))),
        st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3),
    )
    unknown = st.builds(lambda name: Call("is_null", (Name(name),)), st.sampled_from(["a", "s", "f"]))
    return number | text | unknown | st.just(Name("f")) | st.builds(Literal, st.booleans())


def conditions() -> st.SearchStrategy[Node]:
    def larger(parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(parts, min_size=2, max_size=3).map(tuple)
        joined = st.builds(Call, st.sampled_from(["and", "or"]), several)
        return joined | st.builds(lambda part: Call("not", (part,)), parts)

    return st.recursive(comparisons(), larger, max_leaves=8)


@settings(max_examples=400, derandomize=True, deadline=None, database=None)
@given(conditions())
def test_what_is_called_impossible_is_true_for_nobody_and_the_other_way_round(condition: Node) -> None:
    rows = ({"a": a, "b": b, "s": s, "f": f} for a, b, s, f in product(NUMBERS, NUMBERS, TEXTS, FLAGS))
    tried = any(evaluate(condition, lambda name, row=row: row[name.name]) is True for row in rows)
    assert is_possible(condition) == tried


def test_a_condition_may_be_too_branched() -> None:
    many = " and ".join(f"(a{n} > 1 or b{n} > 1)" for n in range(20))
    with pytest.raises(TooManyCasesError):
        is_possible(parse(many))


def rule(project: ProjectCopy, id_: str, when: str, **told: str) -> None:
    given_ = {
        "status": "active",
        "cycle": "monthly",
        "audience": "active",
        "parameters": "{}",
        "inhibits": "[]",
        "more": "",
    }
    text = RULE.format(id=id_, when=when, **{**given_, **told})
    (project.root / "rules" / "moments" / f"{id_}.yaml").write_text(text, "utf-8")


def checked(project: ProjectCopy, *options: str) -> Result:
    return CliRunner().invoke(app, ["rules", "check", "--project-dir", str(project.root), *options])


STEPS = "fire: each_step\nsteps: {of: data_package_used_pct, at: [50, 80, 100]}"
AGE = "{years: {default: 60, unit: year, min: 1, max: 99, by_city: {南京: 20}}}"


@pytest.mark.parametrize(
    ("when", "told", "expected"),
    [
        (
            "{all: {some: complaints_30d >= 2, few: complaints_30d < 2}}",
            {},
            "LINT_NEVER_TRUE nobody can meet the rule: what it asks contradicts itself",
        ),
        (
            "{all: {gone: \"subscription_status = 'closed'\"}}",
            {},
            "LINT_NEVER_TRUE nobody can meet the rule: what it asks contradicts itself",
        ),
        (
            "{all: {old: 'age_years >= :years', young: age_years between 50 and 70}}",
            {"parameters": AGE.replace("20", "71")},
            "LINT_NEVER_TRUE nobody can meet the rule in 南京: what it asks contradicts itself",
        ),
        (
            "{any: {there: \"subscription_status in ('active', 'suspended')\", many: complaints_30d > 3}}",
            {},
            "LINT_ALWAYS_TRUE everybody in the audience of whom it is known meets the rule",
        ),
        (
            "{all: {few: complaints_30d <= 1, why: {any: {many: complaints_30d > 1, dear: bill_total_1m > 9}}}}",
            {},
            "LINT_DEAD_CONDITION 'many' can never be met here: the rest contradicts it",
        ),
        (
            "{all: {some: data_package_used_pct < 100}}",
            {"cycle": "daily", "more": STEPS},
            "LINT_UNREACHABLE_STEP step 100 lies beyond what the rule asks",
        ),
    ],
)
def test_what_can_hardly_be_meant(
    when: str, told: dict[str, str], expected: str, project_copy: ProjectCopy
) -> None:
    rule(project_copy, "trial", when, **told)
    done = checked(project_copy)
    assert done.exit_code == 1, done.output
    assert done.stderr.splitlines() == [f"rules/moments/trial.yaml {expected}"]
    # A rule that is put away is nobody's concern.
    rule(project_copy, "trial", when, **{**told, "status": "retired"})
    assert checked(project_copy).exit_code == 0


def test_a_rule_that_names_a_retired_one_is_told(project_copy: ProjectCopy) -> None:
    rule(project_copy, "old", "{all: {many: complaints_30d > 3}}", status="retired")
    rule(project_copy, "trial", "{all: {as_before: {moment: old}, poor: balance < 5}}", inhibits="[old]")
    done = checked(project_copy)
    assert done.exit_code == 1, done.output
    assert done.stderr.splitlines() == [
        "rules/moments/trial.yaml LINT_RETIRED asks 'old', which is retired: what that rule asks holds here all the same",
        "rules/moments/trial.yaml LINT_RETIRED inhibits: 'old' is retired, so nothing comes of it",
    ]
    rule(project_copy, "old", "{all: {many: complaints_30d > 3}}")
    assert "LINT_RETIRED" not in checked(project_copy).stderr


def test_rules_that_are_met_together(project_copy: ProjectCopy) -> None:
    wide, narrow = "{all: {some: complaints_30d >= 2}}", "{all: {more: complaints_30d >= 3}}"
    rule(project_copy, "wide_trial", wide)
    rule(project_copy, "narrow_trial", narrow, audience="mid_high")
    place = "rules/moments/narrow_trial.yaml"
    assert checked(project_copy).stderr.splitlines() == [
        f"{place} LINT_OVERLAP whoever meets it meets 'wide_trial' as well, and neither inhibits the other"
    ]
    rule(project_copy, "narrow_trial", narrow, audience="mid_high", inhibits="[wide_trial]")
    assert checked(project_copy).exit_code == 0
    rule(project_copy, "narrow_trial", narrow, audience="mid_high", cycle="weekly")
    assert checked(project_copy).exit_code == 0
    for first, last in (("2026-01-01", "2026-12-31"), ("2027-01-01", "2027-12-31")):
        which = "wide_trial" if first.startswith("2026") else "narrow_trial"
        rule(project_copy, which, wide, more=f"valid_from: {first}\nvalid_to: {last}")
    assert checked(project_copy).exit_code == 0
    rule(project_copy, "wide_trial", wide)
    rule(project_copy, "narrow_trial", "{all: {least: not complaints_30d < 2}}")
    assert checked(project_copy).stderr.splitlines() == [
        f"{place} LINT_DUPLICATE 'wide_trial' is met by the same customers"
    ]
    told = json.loads(checked(project_copy, "--json").stdout)
    assert told["problems"] == [] and told["warnings"][0] == {
        "file": place,
        "line": 0,
        "column": 0,
        "code": "LINT_DUPLICATE",
        "message": "'wide_trial' is met by the same customers",
    }


def test_problems_come_before_warnings(project_copy: ProjectCopy) -> None:
    rule(project_copy, "trial", "{all: {some: complaint_30d >= 2}}")
    done = checked(project_copy)
    assert done.exit_code == 2 and "RULE_UNKNOWN_ITEM" in done.stderr
    gone = CliRunner().invoke(app, ["rules", "check", "--project-dir", str(project_copy.root / "gone")])
    assert gone.exit_code == 2 and "CONF_MISSING_FILE" in gone.stderr
    told = json.loads(checked(project_copy, "--json").stdout)
    assert [one["code"] for one in told["problems"]] == ["RULE_UNKNOWN_ITEM"] and told["problems"][0][
        "line"
    ] > 0


def test_a_new_rule_leaves_to_its_template_what_that_says(project_copy: ProjectCopy) -> None:
    place = [
        "--zh",
        "首次",
        "--en",
        "First",
        "--plan",
        "welcome_call",
        "--project-dir",
        str(project_copy.root),
    ]

    def new(id_: str, *options: str) -> Result:
        return CliRunner().invoke(
            app, ["rules", "new", id_, "--when", "service_families_ever >= 1", *place, *options]
        )

    assert new("first_of_all", "--template", "first_time").exit_code == 0
    text = (project_copy.root / "rules/moments/first_of_all.yaml").read_text("utf-8")
    assert "\ninherits: first_time\n" in text and "\nstatus: draft" in text and "\nwhen:\n  all:\n" in text
    for inherited in ("category", "fire", "on_first_run"):
        assert f"\n{inherited}:" not in text
    # What is said is said.
    assert new("first_special", "--template", "first_time", "--category", "special").exit_code == 0
    own = (project_copy.root / "rules/moments/first_special.yaml").read_text("utf-8")
    assert "\ncategory: special\n" in own and "\nfire:" not in own
    # Two rules that the same customers meet are told, and no problem is.
    assert checked(project_copy).exit_code == 1
    done = new("first_other", "--template", "first_tim")
    assert done.exit_code == 2 and "did you mean 'first_time'?" in done.stderr
    assert not (project_copy.root / "rules/moments/first_other.yaml").exists()


def test_a_new_rule_is_a_draft_that_fits(project_copy: ProjectCopy) -> None:
    def new(id_: str, *when: str, plan: str = "retention_talk") -> Result:
        titles = ["--zh", '掉话"多', "--en", "Many: dropped"]
        place = ["--project-dir", str(project_copy.root)]
        conditions = [word for one in when for word in ("--when", one)]
        return CliRunner().invoke(app, ["rules", "new", id_, *conditions, *titles, "--plan", plan, *place])

    assert new("many_drops", "dropped_call_share_28d > 2.5").exit_code == 0
    assert new("calls_fall", "voice_minutes_change_pct_28d <= -40").exit_code == 0
    stacked = (
        "contract_state = 'ending'",
        "complaints_30d >= 1",
        "holds_broadband = false",
        "complaints_30d < 9",
    )
    assert new("both_at_once", *stacked).exit_code == 0
    assert new("health_falls", "health_change_1m <= -15", "risk_band = 'high'").exit_code == 0
    assert checked(project_copy).exit_code == 0
    listed = (
        CliRunner().invoke(app, ["rules", "list", "--json", "--project-dir", str(project_copy.root)]).stdout
    )
    found = {one["id"]: one for one in json.loads(listed)}
    drops, fall = found["many_drops"], found["calls_fall"]
    assert (drops["status"], drops["title"]) == ("draft", {"zh": '掉话"多', "en": "Many: dropped"})
    assert drops["when"] == {"all": {"dropped_call_share_28d": "dropped_call_share_28d > :threshold"}}
    assert Decimal(drops["parameters"]["threshold"]["default"]) == Decimal("2.5")
    assert drops["parameters"]["threshold"]["unit"] == "percent"
    assert fall["when"]["all"]["voice_minutes_change_pct_28d"].endswith("<= -:threshold")
    assert Decimal(fall["parameters"]["threshold"]["default"]) == 40
    both = found["both_at_once"]
    assert both["when"]["all"] == {
        "contract_state": "contract_state = 'ending'",
        "complaints_30d": "complaints_30d >= :threshold",
        "holds_broadband": "holds_broadband = false",
        "complaints_30d_2": "complaints_30d < :threshold_2",
    }
    assert {name: Decimal(one["default"]) for name, one in both["parameters"].items()} == {
        "threshold": 1,
        "threshold_2": 9,
    }
    for id_, when, plan, expected in (
        (
            "many_drops",
            "calls_28d > 2",
            "retention_talk",
            "RULE_DUPLICATE_ID there is a rule 'many_drops' already",
        ),
        ("../escaped", "calls_28d > 2", "retention_talk", "YAML_BAD_VALUE '../escaped' is no id"),
        ("other_one", "calls_28 > 2", "retention_talk", "did you mean 'calls_28d'?"),
        ("other_one", "calls_28d + 2", "retention_talk", "is not a comparison of an item with a value"),
        ("other_one", "city = 2", "retention_talk", "EXPR_TYPE when: city is string, not a number"),
        ("other_one", "calls_28d >", "retention_talk", "EXPR_SYNTAX when:"),
        ("other_one", "calls_28d = 'many'", "retention_talk", "calls_28d is integer, not string"),
        ("other_one", "city = true", "retention_talk", "city is string, not boolean"),
        ("other_one", "calls_28d > 2", "retention", "RULE_UNKNOWN_REFERENCE plan: there is no 'retention'"),
    ):
        done = new(id_, when, plan=plan)
        assert done.exit_code == 2 and expected in done.stderr, done.output
    assert not (project_copy.root / "rules" / "moments" / "other_one.yaml").exists()


def test_rules_are_listed(project_copy: ProjectCopy) -> None:
    place = ["--project-dir", str(project_copy.root)]
    lines = CliRunner().invoke(app, ["rules", "list", "--zh", *place]).stdout.splitlines()
    assert lines[-1] == f"{len(lines) - 1} rules" and len(lines) > 30
    [complaint] = [line for line in lines if line.startswith("complaint ")]
    assert complaint.split() == [
        "complaint", "active", "客户投诉", "[anomaly", "daily", "everyone", "complaint_resolution", "critical]",
    ]  # fmt: skip
