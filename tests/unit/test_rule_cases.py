"""Rules held against the cases in rules/tests, and explained for one subscription."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result
from deltalake import write_deltalake
from projectcopy import ProjectCopy
from typer.testing import CliRunner

from jobs.cli import app
from jobs.kernel.project import Project
from jobs.rulelang.cases import load_cases, run_cases
from jobs.stages.context import configure
from jobs.stages.explanation import explain

SOURCE = "conf/sources/synthetic.yaml"


def test_all_rules_have_cases_that_hold_and_see_each_condition(project: Project) -> None:
    configuration = configure(project)
    cases = load_cases(project, configuration.rules, configuration.view)
    report = run_cases(cases, configuration.rules)
    assert report.failures == [] and report.unseen == {} and report.untested == []
    assert set(report.passed) == {rule.id for rule in configuration.rules.rules}
    outcomes = {(case.rule, case.file.expect) for case in cases}
    assert outcomes == {(rule, one) for rule in report.passed for one in ("fires", "silent", "unknown")}
    texts = {case.rule for case in cases if case.file.zh is not None and case.file.en is not None}
    assert texts == set(report.passed)


def run(project_copy: ProjectCopy, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["rules", "test", *arguments, "--project-dir", str(project_copy.root)])


def test_a_rule_that_changes_fails_its_cases(project_copy: ProjectCopy) -> None:
    assert run(project_copy).exit_code == 0
    project_copy.replace("rules/moments/package_overrun.yaml", "default: 30", "default: 25")
    project_copy.replace("rules/moments/package_overrun.yaml", "账单共", "账单为")
    done = run(project_copy, "package_overrun")
    assert done.exit_code == 1
    place = "rules/tests/package_overrun.yaml"
    assert done.stdout.splitlines() == [
        f"{place}:4:5 package_overrun, thirty yuan over: zh is '上月套餐外及补收费用30.00元，账单为118.00元。', "
        "expected '上月套餐外及补收费用30.00元，账单共118.00元。'",
        f"{place}:9:5 package_overrun, just below: expected silent, is fires (audience true; overrun true)",
        "package_overrun: no case has seen overrun false",
        "1 cases of 1 rules hold, 2 differences",
    ]
    told = json.loads(run(project_copy, "--json").stdout)
    assert [one["place"] for one in told["failures"]] == [f"{place}:4:5", f"{place}:9:5"]


def test_what_no_case_has_seen_is_told(project_copy: ProjectCopy) -> None:
    (project_copy.root / "rules/tests/low_balance.yaml").unlink()
    text = "rule: new_handset\ncases:\n  - {name: a, given: {terminal_age_days: 0}, expect: unknown, met: [recent]}\n"
    project_copy.write("rules/tests/new_handset.yaml", text)
    done = run(project_copy)
    assert done.exit_code == 0
    assert (
        "new_handset: no case has seen recent false, recent unknown, not_the_first true, not_the_first false"
        in done.stdout
    )
    assert "without cases in rules/tests: low_balance\n" in done.stdout


def test_all_mistakes_of_a_file_are_told_at_their_places(project_copy: ProjectCopy) -> None:
    project_copy.write(
        "rules/tests/new_handset.yaml",
        "rule: new_handset\ngiven: {terminal_age_day: 1}\ncases:\n"
        "  - name: a\n    given: {terminal_age_days: yesterday, terminal_model: 4}\n    expect: fires\n    met: [recnt]\n",
    )
    project_copy.write("rules/tests/other.yaml", "rule: new_hanset\ncases: [{name: a, expect: fire}]\n")
    project_copy.write("rules/tests/third.yaml", "rule: new_hanset\ncases: [{name: a, expect: fires}]\n")
    done = run(project_copy)
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "rules/tests/new_handset.yaml:2:9 RULE_UNKNOWN_ITEM 'terminal_age_day' is not an item of the customer view "
        "(did you mean 'terminal_age_days'?)",
        "rules/tests/new_handset.yaml:5:13 YAML_BAD_VALUE 'terminal_age_days' is integer, not 'yesterday'",
        "rules/tests/new_handset.yaml:5:43 YAML_BAD_VALUE 'terminal_model' is string, not 4",
        "rules/tests/new_handset.yaml:7:5 RULE_UNKNOWN_REFERENCE 'recnt' is not a condition of new_handset "
        "(did you mean 'recent'?)",
        "rules/tests/other.yaml:2:19 YAML_BAD_VALUE 'expect': Input should be 'fires', 'silent' or 'unknown', not 'fire' (did you mean 'fires'?)",
        "rules/tests/third.yaml:1:1 RULE_UNKNOWN_REFERENCE there is no rule 'new_hanset' (did you mean 'new_handset'?)",
    ]
    done = run(project_copy, "new_hanset")
    assert done.exit_code == 2


AS_OF, BEFORE = date(2026, 5, 31), date(2026, 5, 20)
# Of the newest run: result, whether it was the first, and truth, phase, entered_on, ended_on and step.
RUNS: dict[str, tuple[str, bool, tuple[Any, ...] | None]] = {
    "low_balance": ("evaluated", False, ("true", "re-entered", AS_OF, BEFORE, None)),
    "complaint": ("evaluated", False, ("true", "continuing", date(2026, 5, 28), None, None)),
    "data_package_use": ("evaluated", False, ("true", "continuing", date(2026, 5, 9), None, 80)),
    "do_not_disturb": ("evaluated", False, ("true", "continuing", date(2026, 5, 9), None, None)),
    "contract_lapse": ("evaluated", True, ("true", "entered", AS_OF, None, None)),
    "new_handset": ("evaluated", False, None),
    "arrears_before_suspension": (
        "evaluated",
        False,
        ("unknown", "continuing", date(2026, 5, 9), None, None),
    ),
    "leave_signal": ("evaluated", False, ("false", "ended", date(2026, 5, 2), date(2026, 5, 9), None)),
    "weekly_call_drop": ("not_supplied", False, None),
}


def warehouse_of(folder: Path) -> str:
    here = {
        "as_of": [BEFORE, AS_OF],
        "cutoff": [date(2026, 5, 21), date(2026, 6, 1)],
        "subscription_id": ["S1"] * 2,
    }
    view = {
        "customer_id": ["C1"] * 2, "subscription_status": ["active"] * 2, "value_tier": ["mid"] * 2,
        "city": ["南京"] * 2, "balance": [Decimal("99.50"), Decimal("9.50")],
        "balance_days_left": [Decimal("33.0"), Decimal("3.0")], "arrears_amount": [Decimal("0.00")] * 2,
    }  # fmt: skip
    write_deltalake(str(folder / "customer_view"), pa.table(here | view), partition_by=["as_of", "cutoff"])
    write_deltalake(str(folder / "risk_scores"), pa.table(here | {"risk_score": [Decimal("8.2100")] * 2}))
    write_deltalake(str(folder / "health_scores"), pa.table(here | {"health_service": [70, 70]}))
    alerts = {
        "dispatch_date": [date(2026, 5, 19), date(2026, 6, 1)], "subscription_id": ["S1"] * 2,
        "moment_id": ["low_balance"] * 2, "status": ["dispatched", "suppressed"], "status_reason": [None, "cooldown"],
    }  # fmt: skip
    write_deltalake(str(folder / "alerts"), pa.table(alerts))
    weekly = ("weekly_call_drop",)
    cycles = {name: "weekly" if name in weekly else "daily" for name in RUNS}
    runs = [
        {"cycle": cycles[name], "as_of": AS_OF, "moment_id": name, "result": result, "first_run": first}
        for name, (result, first, _) in RUNS.items()
    ]
    names = ("truth", "phase", "entered_on", "ended_on", "step")
    states = [
        {"cycle": cycles[name], "as_of": AS_OF, "moment_id": name, "subscription_id": "S1"}
        | dict(zip(names, state, strict=True))
        for name, (_, _, state) in RUNS.items()
        if state is not None
    ]
    runs.append(runs[0] | {"as_of": BEFORE})
    states.append(
        states[0] | {"as_of": BEFORE, "truth": "false", "phase": "ended", "entered_on": date(2026, 5, 18)}
    )
    write_deltalake(str(folder / "rule_evaluations"), pa.Table.from_pylist(runs))
    write_deltalake(str(folder / "moment_state"), pa.Table.from_pylist(states))
    return str(folder)


def test_why_an_alert_was_sent_or_not(tmp_path: Path) -> None:
    configuration = configure(Project.find(), "local", SOURCE)
    [found] = explain(configuration, warehouse_of(tmp_path), "S1")
    told = {one.rule: one.sent for one in found.rules if one.rule in RUNS or one.rule == "birthday"}
    assert told == {
        "low_balance": "suppressed, cooldown",
        "complaint": "it fired when it was entered, on 2026-05-28",
        "data_package_use": "no step has been reached since that of 80",
        "do_not_disturb": "it exempts from others and sends nothing itself",
        "contract_lapse": "the rule's first run only notes who is inside",
        "new_handset": "it was not met",
        "arrears_before_suspension": "it was unknown, which ends nothing and fires nothing",
        "leave_signal": "it was not met",
        "weekly_call_drop": "the source does not supply what the rule needs",
        "birthday": "the rule has not run",
    }
    # On an earlier date: what was known and had been written then.
    [found] = explain(configuration, str(tmp_path), "C1", "low_balance", date(2026, 5, 21))
    [fact] = found.rules
    assert (found.as_of, fact.outcome, fact.sent) == (BEFORE, "silent", "it was not met")
    assert fact.life is not None and (fact.life.phase, fact.life.ended_on) == ("ended", BEFORE)
    assert [alert["dispatch_date"] for alert in found.alerts] == [date(2026, 5, 19)]


def test_a_subscription_is_explained(tmp_path: Path) -> None:
    warehouse = warehouse_of(tmp_path)

    def explained(*arguments: str) -> Result:
        given = ["rules", "explain", *arguments, "--source", SOURCE, "--warehouse", warehouse]
        return CliRunner().invoke(app, given)

    assert explained("low_balance", "--customer", "S1").stdout.splitlines() == [
        "S1 as of 2026-05-31, known on 2026-06-01; served on 2026-06-01",
        "",
        "low_balance (daily): fires",
        "  audience true",
        "  runs_out_soon: true   balance_days_left < :days_left   balance_days_left = 3.0, :days_left = 4 (南京)",
        "  not_in_arrears: true   arrears_amount = 0   arrears_amount = 0.00",
        "  余额9.50元，按日均消费约够用3.0天。",
        "  Balance 9.50 yuan, at the usual spend enough for about 3.0 days.",
        "  state: re-entered in the run of 2026-05-31, inside since 2026-05-31, ended before on 2026-05-20",
        "  alert: suppressed, cooldown",
        "",
        "alerts:",
        "  2026-05-19 low_balance: dispatched",
        "  2026-06-01 low_balance: suppressed, cooldown",
    ]
    # All subscriptions of a customer, and all rules.
    [everything] = json.loads(explained("--customer", "C1", "--json").stdout)
    assert everything["subscription_id"] == "S1"
    assert {one["rule"]: one["outcome"] for one in everything["rules"]}["birthday"] == "unknown"
    assert len(everything["rules"]) == len(configure(Project.find()).rules.rules)
    for wrong, message in (
        (
            ["--customer", "C2"],
            "CUSTOMER_UNKNOWN the view of 2026-05-31 knows no subscription and no customer 'C2'",
        ),
        (
            ["--customer", "S1", "--date", "2026-05-07"],
            "TABLE_MISSING no view is known on 2026-05-07; the nearest are of 2026-05-21, 2026-06-01",
        ),
        (
            ["low_balanc", "--customer", "S1"],
            "RULE_UNKNOWN_REFERENCE there is no rule 'low_balanc' (did you mean 'low_balance'?)",
        ),
    ):
        done = explained(*wrong)
        assert (done.exit_code, done.stderr.strip()) == (2, message)


@pytest.mark.parametrize("folder", ["nothing"])
def test_without_a_view_nothing_is_explained(tmp_path: Path, folder: str) -> None:
    given = [
        "rules",
        "explain",
        "--customer",
        "S1",
        "--source",
        SOURCE,
        "--warehouse",
        str(tmp_path / folder),
    ]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2 and done.stderr.startswith(
        "TABLE_MISSING table 'customer_view' has not been written"
    )
