"""Rules: what is refused and where, what a source can decide, and the SQL that comes of them."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from projectcopy import RULE_TYPES, ProjectCopy

from jobs.contracts.supply import ItemStatus
from jobs.contracts.view import CustomerView
from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import CODES, ConfigError
from jobs.kernel.project import Project
from jobs.rulelang.compile import (
    EvaluableRule,
    conditions_met_sql,
    description_sql,
    evaluable,
    evidence_sql,
    highest_step_sql,
    items_needed,
    step_sql,
    truth_array_sql,
)
from jobs.rulelang.conditions import Group, Leaf, leaves
from jobs.rulelang.load import load_rules
from jobs.rulelang.model import Steps
from jobs.rulelang.templates import Placeholder, read_template, template_sql

Issues = Callable[[Callable[[], object]], list[str]]
BAD = sorted((Path(__file__).parents[1] / "data" / "bad_rules").glob("*.yaml"))
RULE = "rules/moments/bad_rule.yaml"
RESERVED = {"as_of": "DATE'2026-05-31'", "dispatch_date": "DATE'2026-06-01'"}
# A rule file names no window (measure is not part of its language), and what it names are items.
NOT_OF_RULES = {"EXPR_BAD_WINDOW", "EXPR_UNKNOWN_NAME"}


# --- one bad file a code -----------------------------------------------------


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_a_bad_rule_raises_the_code_it_is_named_for(rule_project: ProjectCopy, path: Path) -> None:
    rule_project.write(RULE, path.read_text(encoding="utf-8"))
    with pytest.raises(ConfigError) as caught:
        rule_project.rules()
    assert caught.value.codes == [path.stem]
    [issue] = caught.value.issues
    assert issue.location.path == RULE
    assert issue.location.line > 0
    assert issue.location.column > 0


def test_there_is_a_bad_rule_for_every_code_of_rules() -> None:
    wanted = {code for code in CODES if code.startswith(("RULE_", "EXPR_", "YAML_"))} - NOT_OF_RULES
    assert {path.stem for path in BAD} == wanted


BASE = (Path(__file__).parents[1] / "data" / "bad_rules" / "RULE_BAD_PARAMETER.yaml").read_text(
    encoding="utf-8"
)
GOOD = BASE.replace("default: 1000", "default: 10")
WHEN = "    falls: balance < :least\n"


def test_the_base_of_the_bad_rules_is_good(rule_project: ProjectCopy) -> None:
    rule_project.write(RULE, GOOD)
    assert rule_project.rules().by_id("bad_rule").file.plan == "recharge"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("balance < :least", "balanc < :least",
         ["9:5 RULE_UNKNOWN_ITEM falls: 'balanc' is not an item of the customer view (did you mean 'balance'?)"]),
        ("balance < :least", "balance < :lest",
         ["9:5 RULE_BAD_PARAMETER :lest is not a parameter of this rule (did you mean 'least'?)",
          "11:3 RULE_BAD_PARAMETER 'least' is not used"]),
        ("balance < :least", "voice_minutes_7d < :least",
         ["9:5 EXPR_UNIT falls: a comparison mixes the units minute and yuan"]),
        ("balance < :least", "balance + :least", ["9:5 EXPR_TYPE falls: is decimal, not a condition"]),
        ("balance < :least", "measure(balance, '7d') < :least",
         ["9:5 EXPR_NOT_ALLOWED falls: 'measure' cannot be used here"]),
        ("balance < :least", "balances.balance < :least",
         ["9:5 RULE_UNKNOWN_ITEM falls: 'balances.balance' is not an item of the customer view "
          "(did you mean 'balance'?)"]),
        ("default: 10", "default: 0.5",
         ["11:3 RULE_BAD_PARAMETER least: default 0.5 is not between 1 and 100"]),
        ("max: 100", "max: 100, by_city: {南京: 101, 苏州: 100, 无锡: 0}",
         ["11:3 RULE_BAD_PARAMETER least: 南京 101 is not between 1 and 100",
          "11:3 RULE_BAD_PARAMETER least: 无锡 0 is not between 1 and 100"]),
        ("severity: low", "pending_while: balanc >= 1\nseverity: low",
         ["12:1 RULE_UNKNOWN_ITEM pending_while: 'balanc' is not an item of the customer view (did you mean "
          "'balance'?)"]),
        ("severity: low", "pending_while: balance + 1\nseverity: low",
         ["12:1 EXPR_TYPE pending_while: is decimal, not a condition"]),
        ("category: anomaly", "category: exempt\npending_while: balance >= 1",
         ["1:1 YAML_BAD_VALUE 'document': nobody is contacted for an exempt rule: severity, urgency_days, plan, "
          "pending_while has no use"]),
        ("category: anomaly", "category: reminder\nservice_owed: true",
         ["1:1 YAML_BAD_VALUE 'document': reminders are for all customers: 'service_owed' and 'control' have no use"]),
        ("severity: low", "severity: low\nservice_owed: true\ncontrol: false",
         ["1:1 YAML_BAD_VALUE 'document': service that is owed is withheld from nobody: 'control' has no use"]),
        ("plan: recharge", "plan: recharge\ninhibits: [complaint]",
         ["15:1 RULE_INHIBITS_OWED inhibits: 'complaint' is owed to customers, and 'bad_rule' is not"]),
        ("audience: everyone", "audience: everybody",
         ["6:1 RULE_UNKNOWN_REFERENCE audience: there is no 'everybody' (did you mean 'everyone'?)"]),
        ("audience: everyone", "audience: mid_hihg",
         ["6:1 RULE_UNKNOWN_REFERENCE audience: there is no 'mid_hihg' (did you mean 'mid_high'?)"]),
        ("plan: recharge", "plan: recharge\ninhibits: [low_balanc]",
         ["15:1 RULE_UNKNOWN_REFERENCE inhibits: there is no 'low_balanc' (did you mean 'low_balance'?)"]),
        ("plan: recharge", "plan: recharge\nignores_exempt: [low_balance]",
         ["15:1 RULE_UNKNOWN_REFERENCE ignores_exempt: there is no 'low_balance'"]),
        ("plan: recharge\n", "", ["1:1 YAML_BAD_VALUE 'document': lacks plan"]),
        ("plan: recharge", "plan: recharge\nfire: each_step",
         ["1:1 YAML_BAD_VALUE 'document': 'steps' and 'fire: each_step' go together"]),
        ("plan: recharge", "plan: recharge\nfire: each_step\nsteps: {of: data_pct, at: [80]}",
         ["16:9 RULE_UNKNOWN_ITEM 'data_pct' is not an item of the customer view "
          "(did you mean 'data_used_pct'?)"]),
        ("plan: recharge", "plan: recharge\nfire: each_step\nsteps: {of: data_used_pct, at: [80, 80]}",
         ["16:1 YAML_BAD_VALUE 'steps': 'at' must rise"]),
        ("plan: recharge", "plan: recharge\nserve_in_days: days_to_birthdy",
         ["15:1 RULE_UNKNOWN_ITEM 'days_to_birthdy' is not an item of the customer view "
          "(did you mean 'days_to_birthday'?)"]),
        ("id: bad_rule", "id: other_rule",
         ["1:1 RULE_DUPLICATE_ID a rule 'other_rule' belongs into a file other_rule.yaml"]),
        ("余额{balance:.2f}元", "余额{balanc:.2f}元",
         ["16:3 RULE_BAD_TEMPLATE '{balanc}' is not an item of the customer view (did you mean 'balance'?)"]),
        ("余额{balance:.2f}元", "余额{city:.2f}元",
         ["16:3 RULE_BAD_TEMPLATE '{city}' is string, not a number"]),
        ("余额{balance:.2f}元。", "余额{balance",
         ["16:3 RULE_BAD_TEMPLATE '{balance' is not a placeholder of the form {name}, {name:.2f} or "
          "{name|abs:.0f}"]),
        (WHEN, WHEN + "    b: 3\n", ["10:5 YAML_BAD_VALUE 'b' needs an expression, not 3"]),
        (WHEN, WHEN + "    b:\n      any: {falls: balance > 1}\n",
         ["7:1 YAML_DUPLICATE_KEY the condition 'falls' is named twice"]),
        (WHEN, WHEN + "".join(f"    c{n}: balance > {n}\n" for n in range(60)),
         ["7:1 YAML_BAD_VALUE has more than 60 conditions"]),
        ("severity: low", "severity: lowest",
         ["12:1 YAML_BAD_VALUE 'severity': Input should be 'critical', 'high', 'medium' or 'low', not 'lowest' (did you mean 'low'?)"]),
        ("urgency_days: 2", "urgncy_days: 2\nurgency_days: 2",
         ["13:1 YAML_UNKNOWN_KEY 'urgncy_days' is not known here (did you mean 'urgency_days'?); allowed: "
          "again_when, audience, category, control, cooldown_days, cycle, description, fire, id, ignores_exempt, inherits, inhibits, "
          "on_first_run, owner, parameters, pending_while, pending_while_true, plan, serve_in_days, service_owed, severity, status, steps, "
          "title, urgency_days, valid_from, valid_to, when"]),
    ],
)  # fmt: skip
def test_exact_words(
    rule_project: ProjectCopy, issues_of: Issues, old: str, new: str, expected: list[str]
) -> None:
    assert old in GOOD
    rule_project.write(RULE, GOOD.replace(old, new, 1))
    assert issues_of(rule_project.rules) == [f"{RULE}:{line}" for line in expected]


SIMPLE = GOOD.replace("balance < :least", "balance < 10").replace(
    "parameters:\n  least: {default: 10, unit: yuan, min: 1, max: 100}\n", ""
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  all:\n", "  al:\n", "7:1 YAML_BAD_VALUE needs exactly one of all, any, not, not al (did you mean 'all'?)"),
        ("    falls: balance < 10\n", "    falls: balance < 10\n  any:\n    b: balance > 1\n",
         "7:1 YAML_BAD_VALUE needs exactly one of all, any, not, not all, any"),
        ("  all:\n    falls: balance < 10\n", "  all: balance < 10\n",
         "8:3 YAML_BAD_VALUE 'all' needs named conditions, such as 'falls: bill_total_1m < 10'"),
        ("  all:\n    falls: balance < 10\n", "  all: {}\n",
         "8:3 YAML_BAD_VALUE 'all' needs named conditions, such as 'falls: bill_total_1m < 10'"),
        ("when:\n  all:\n    falls: balance < 10\n", "when: {}\n",
         "7:1 YAML_BAD_VALUE needs exactly one of all, any, not"),
    ],
)  # fmt: skip
def test_a_when_without_form(
    rule_project: ProjectCopy, issues_of: Issues, old: str, new: str, expected: str
) -> None:
    assert old in SIMPLE
    rule_project.write(RULE, SIMPLE.replace(old, new, 1))
    assert issues_of(rule_project.rules) == [f"{RULE}:{expected}"]


def test_two_files_of_one_id_are_both_named(rule_project: ProjectCopy, issues_of: Issues) -> None:
    rule_project.write(RULE, GOOD.replace("id: bad_rule", "id: low_balance"))
    assert issues_of(rule_project.rules) == [
        f"{RULE}:1:1 RULE_DUPLICATE_ID a rule 'low_balance' belongs into a file low_balance.yaml",
        f"rules/moments/low_balance.yaml:1:1 RULE_DUPLICATE_ID 'low_balance' is also the id of {RULE}",
    ]


def test_problems_of_all_files_are_found_together(rule_project: ProjectCopy, issues_of: Issues) -> None:
    rule_project.replace("rules/moments/complaint.yaml", "complaints_1d >= 1", "complaint_1d >= 1")
    rule_project.replace("rules/moments/low_balance.yaml", "plan: recharge", "plan: rechrge")
    rule_project.replace("rules/reminders/data_use.yaml", "cycle: daily", "cycle: dialy")
    rule_project.replace("rules/plans.yaml", "effort_minutes: 0", "effort_minutes: -1")
    rule_project.replace("rules/audiences.yaml", "value_tier in", "value_tir in")
    found = [tuple(line.split()[:2]) for line in issues_of(rule_project.rules)]
    assert [(place.split(":")[0], code) for place, code in found] == [
        ("rules/audiences.yaml", "RULE_UNKNOWN_ITEM"),
        ("rules/moments/complaint.yaml", "RULE_UNKNOWN_ITEM"),
        ("rules/moments/low_balance.yaml", "RULE_UNKNOWN_REFERENCE"),
        ("rules/plans.yaml", "YAML_BAD_VALUE"),
        ("rules/reminders/data_use.yaml", "YAML_BAD_VALUE"),
    ]


def test_a_condition_that_cannot_be_parsed_is_one_problem(
    rule_project: ProjectCopy, issues_of: Issues
) -> None:
    rule_project.write(RULE, GOOD.replace("balance < :least", "balance < :least and"))
    [line] = issues_of(rule_project.rules)
    assert line.startswith(f"{RULE}:9:5 EXPR_SYNTAX falls: cannot be parsed")


def test_a_wrong_audience_has_its_line(rule_project: ProjectCopy, issues_of: Issues) -> None:
    rule_project.replace("rules/audiences.yaml", "value_tier in", "value_tir in")
    [line] = issues_of(rule_project.rules)
    assert line.startswith("rules/audiences.yaml:8:3 RULE_UNKNOWN_ITEM ")


def test_an_audience_has_no_parameters(rule_project: ProjectCopy, issues_of: Issues) -> None:
    rule_project.replace("rules/audiences.yaml", "value_tier in", "balance > :x and value_tier in")
    assert issues_of(rule_project.rules)


@pytest.mark.parametrize("text", ["- everyone\n", "everyone\n"])
def test_audiences_are_a_mapping(rule_project: ProjectCopy, issues_of: Issues, text: str) -> None:
    rule_project.write("rules/audiences.yaml", text)
    assert issues_of(rule_project.rules)


# --- loading -----------------------------------------------------------------


def test_rules_are_in_order_of_id_and_by_cycle(rule_project: ProjectCopy) -> None:
    rules = rule_project.rules()
    assert [rule.id for rule in rules.rules] == [
        "call_drop", "complaint", "data_use", "do_not_disturb", "low_balance"
    ]  # fmt: skip
    assert [rule.id for rule in rules.of_cycle(CycleKind.daily, date(2026, 5, 31))] == [
        "complaint", "data_use", "do_not_disturb", "low_balance"
    ]  # fmt: skip
    assert rules.of_cycle(CycleKind.weekly, date(2026, 5, 31)) == ()  # its only rule is a draft
    assert [rule.id for rule in rules.rules if rule.is_exempt] == ["do_not_disturb"]


def test_the_projects_own_rules_load(project: Project, view: CustomerView) -> None:
    rules = load_rules(project, view.types)
    files = [*project.files("rules/moments"), *project.files("rules/reminders")]
    assert sorted(rule.id for rule in rules.rules) == sorted(
        path.rsplit("/", 1)[1].removesuffix(".yaml") for path in files
    )


def test_overrides_replace_the_default_and_the_cities(rule_project: ProjectCopy) -> None:
    parameter = rule_project.rules({"low_balance": {"days_left": Decimal(7)}}).by_id("low_balance").file
    assert parameter.parameters["days_left"].default == 7
    assert parameter.parameters["days_left"].by_city == {}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"low_balanc": {"days_left": Decimal(7)}},
         "RULE_UNKNOWN_REFERENCE rule_parameters: no rule 'low_balanc' (did you mean 'low_balance'?)"),
        ({"low_balance": {"days_lef": Decimal(7)}},
         "rules/moments/low_balance.yaml:11:1 RULE_BAD_PARAMETER rule_parameters: low_balance has no parameter "
         "'days_lef' (did you mean 'days_left'?)"),
        ({"low_balance": {"days_left": Decimal(16)}},
         "rules/moments/low_balance.yaml:12:3 RULE_BAD_PARAMETER days_left: default 16 is not between 1 and 15"),
    ],
)  # fmt: skip
def test_wrong_overrides(
    rule_project: ProjectCopy, issues_of: Issues, overrides: dict[str, dict[str, Decimal]], expected: str
) -> None:
    assert issues_of(lambda: rule_project.rules(overrides)) == [expected]


def test_fingerprints_change_with_what_decides_the_result(rule_project: ProjectCopy) -> None:
    before = rule_project.rules()
    assert rule_project.rules().fingerprint == before.fingerprint
    rule_project.replace("rules/audiences.yaml", "'mid', 'high'", "'high'")
    after = rule_project.rules()
    changed = [rule.id for rule in after.rules if rule.fingerprint != before.by_id(rule.id).fingerprint]
    assert changed == ["call_drop", "low_balance"]
    assert after.fingerprint != before.fingerprint
    overridden = rule_project.rules({"complaint": {"many": Decimal(4)}})
    assert overridden.by_id("complaint").fingerprint != after.by_id("complaint").fingerprint


# --- what a source can decide ------------------------------------------------


def chosen(
    rule_project: ProjectCopy, rule: str, **statuses: str
) -> tuple[list[EvaluableRule], dict[str, tuple[str, ...]]]:
    rules = [rule_project.rules().by_id(rule)]
    return evaluable(rules, {name: ItemStatus(status) for name, status in statuses.items()})


def test_all_is_decided_when_all_is_supplied(rule_project: ProjectCopy) -> None:
    [one], lacking = chosen(rule_project, "complaint")
    assert lacking == {}
    assert one.left_out == ()
    assert [leaf.name for leaf in leaves(one.condition)] == ["today", "many", "calls"]


@pytest.mark.parametrize("status", ["not_supplied", "too_coarse"])
def test_a_branch_of_any_is_left_out(rule_project: ProjectCopy, status: str) -> None:
    [one], lacking = chosen(rule_project, "complaint", complaints_1d=status)
    assert lacking == {}
    assert one.left_out == ("today",)
    [two], _ = chosen(rule_project, "complaint", voice_minutes_7d=status)
    assert two.left_out == ("many", "calls")
    assert isinstance(two.condition, Group)
    assert [leaf.name for leaf in leaves(two.condition)] == ["today"]


def test_no_branch_of_any_left_is_not_supplied(rule_project: ProjectCopy) -> None:
    found, lacking = chosen(
        rule_project, "complaint", complaints_1d="not_supplied", complaints_30d="too_coarse"
    )
    assert found == []
    assert lacking == {"complaint": ("complaints_1d", "complaints_30d")}


def test_a_branch_of_all_takes_the_rule_with_it(rule_project: ProjectCopy) -> None:
    assert chosen(rule_project, "low_balance", arrears_amount="not_supplied") == (
        [], {"low_balance": ("arrears_amount",)}
    )  # fmt: skip


def test_an_audience_must_be_supplied(rule_project: ProjectCopy) -> None:
    assert chosen(rule_project, "low_balance", value_tier="not_supplied") == (
        [], {"low_balance": ("value_tier",)}
    )  # fmt: skip


@pytest.mark.parametrize("status", ["stale_input", "short_history"])
def test_what_is_unknown_for_now_is_still_asked(rule_project: ProjectCopy, status: str) -> None:
    [one], lacking = chosen(rule_project, "low_balance", arrears_amount=status)
    assert (one.left_out, lacking) == ((), {})


def test_ordinals_count_evaluable_rules_only(rule_project: ProjectCopy) -> None:
    rules = rule_project.rules().of_cycle(CycleKind.daily, date(2026, 5, 31))
    found, lacking = evaluable(rules, {"data_used_pct": ItemStatus.not_supplied})
    assert [(one.ordinal, one.rule.id) for one in found] == [
        (0, "complaint"), (1, "do_not_disturb"), (2, "low_balance")
    ]  # fmt: skip
    assert list(lacking) == ["data_use"]


# --- SQL ---------------------------------------------------------------------

DAYS = "CASE `city` WHEN '南京' THEN 4.5BD WHEN '苏州' THEN 2BD ELSE 3BD END"
MID_HIGH = "((`subscription_status` = 'active') AND (`value_tier` IN ('mid', 'high')))"


def test_truth_of_a_rule_with_cities(rule_project: ProjectCopy) -> None:
    found, _ = chosen(rule_project, "low_balance")
    rule = f"({MID_HIGH} AND ((`balance_days_left` < {DAYS}) AND (`arrears_amount` = 0)))"
    assert truth_array_sql(found, RESERVED) == (
        f"array_remove(array(element_at(array(0, 1, 2), 1 + coalesce(cast({rule} AS INT), 2))), 0)"
    )


def test_truth_of_nested_groups_and_reserved_dates(rule_project: ProjectCopy) -> None:
    rules = rule_project.rules()
    found, _ = evaluable([rules.by_id("complaint"), rules.by_id("do_not_disturb")], {})
    everyone = "(`subscription_status` IN ('active', 'suspended'))"
    first = (
        f"({everyone} AND ((`complaints_1d` >= 1) OR ((`complaints_30d` >= 3BD) AND "
        "(NOT ((`voice_minutes_7d` > 0))))))"
    )
    second = f"({everyone} AND ((`dnd_from` <= DATE'2026-06-01')))"
    assert truth_array_sql(found, RESERVED) == (
        f"array_remove(array(element_at(array(0, 1, 2), 1 + coalesce(cast({first} AS INT), 2)), "
        f"element_at(array(0, 11, 12), 1 + coalesce(cast({second} AS INT), 2))), 0)"
    )


def test_no_rules_give_empty_sql() -> None:
    assert truth_array_sql([], RESERVED) == "cast(array() AS ARRAY<INT>)"
    assert step_sql([]) == "cast(NULL AS INT)"
    assert description_sql([], "zh") == "NULL"


def test_evidence_holds_value_threshold_and_unit(rule_project: ProjectCopy) -> None:
    found, _ = chosen(rule_project, "low_balance")
    assert evidence_sql(found, RULE_TYPES, RESERVED) == (
        "CASE `ordinal` WHEN 0 THEN cast(array("
        f"struct('runs_out_soon', cast(`balance_days_left` AS STRING), cast({DAYS} AS STRING), 'day'), "
        "struct('not_in_arrears', cast(`arrears_amount` AS STRING), '0', 'yuan')) "
        "AS ARRAY<STRUCT<name: STRING, value: STRING, threshold: STRING, unit: STRING>>) END"
    )


def test_conditions_met(rule_project: ProjectCopy) -> None:
    found, _ = chosen(rule_project, "low_balance")
    assert conditions_met_sql(found, RESERVED) == (
        f"CASE `ordinal` WHEN 0 THEN array_compact(array(CASE WHEN (`balance_days_left` < {DAYS}) THEN "
        "'runs_out_soon' END, CASE WHEN (`arrears_amount` = 0) THEN 'not_in_arrears' END)) END"
    )


def test_descriptions(rule_project: ProjectCopy) -> None:
    found, _ = chosen(rule_project, "low_balance")
    assert description_sql(found, "zh") == (
        "CASE `ordinal` WHEN 0 THEN concat('余额', "
        "coalesce(cast(try_cast(round(`balance`, 2) AS DECIMAL(18,2)) AS STRING), '未知'), '元，约可用', "
        "coalesce(cast(try_cast(round(`balance_days_left`, 1) AS DECIMAL(18,1)) AS STRING), '未知'), '天。') END"
    )


def test_steps(rule_project: ProjectCopy) -> None:
    found, _ = evaluable(rule_project.rules().of_cycle(CycleKind.daily, date(2026, 5, 31)), {})
    assert step_sql(found) == (
        "CASE `ordinal` WHEN 1 THEN cast(CASE WHEN `data_used_pct` >= 100 THEN 100 + 50 * "
        "cast(floor((`data_used_pct` - 100) / 50) AS INT) WHEN `data_used_pct` >= 100 THEN 100 "
        "WHEN `data_used_pct` >= 80 THEN 80 END AS INT) END"
    )
    assert highest_step_sql(Steps(of="x", at=(5, 10))) == (
        "cast(CASE WHEN `x` >= 10 THEN 10 WHEN `x` >= 5 THEN 5 END AS INT)"
    )


def test_items_needed(rule_project: ProjectCopy) -> None:
    found, _ = chosen(rule_project, "low_balance")
    assert items_needed(found) == [
        "arrears_amount", "balance", "balance_days_left", "city", "subscription_status", "value_tier"
    ]  # fmt: skip
    left, _ = chosen(rule_project, "complaint", voice_minutes_7d="not_supplied")
    assert items_needed(left) == ["complaints_1d", "subscription_status", "voice_change_pct"]
    steps, _ = chosen(rule_project, "data_use")
    assert items_needed(steps) == ["data_used_pct", "subscription_status"]


# --- templates ---------------------------------------------------------------


def test_templates_are_read() -> None:
    assert read_template("a{b}c{d|abs:.0f}{e:.2f}") == (
        "a", Placeholder("b"), "c", Placeholder("d", True, 0), Placeholder("e", False, 2)
    )  # fmt: skip
    assert read_template("plain") == ("plain",)
    assert read_template("") == ()


@pytest.mark.parametrize(
    "text", ["{", "}", "{a", "a}", "{a:2}", "{a:.5f}", "{a|up}", "{}", "{a b}", "{{a}}", "{a!r}"]
)
def test_other_braces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a placeholder of the form"):
        read_template(text)


def test_template_sql() -> None:
    assert template_sql(read_template("it's {a|abs:.0f} and {b}"), "en") == (
        "concat('it\\'s ', coalesce(cast(try_cast(round(abs(`a`), 0) AS DECIMAL(18,0)) AS STRING), 'unknown'), "
        "' and ', coalesce(cast(`b` AS STRING), 'unknown'))"
    )
    assert template_sql((), "zh") == "''"


def test_a_leaf_keeps_its_text(rule_project: ProjectCopy) -> None:
    first = next(leaves(rule_project.rules().by_id("call_drop").condition))
    assert isinstance(first, Leaf)
    assert (first.name, first.text) == ("falls", "voice_change_pct <= -50")
