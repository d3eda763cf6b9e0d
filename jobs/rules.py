"""Job: tests rules against their cases, and explains what they say of one subscription, without Spark."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.project import Project
from jobs.rulelang.cases import FOLDER, Report, load_cases, run_cases
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.explanation import Explanation, explain

RulesArgument = Annotated[list[str] | None, typer.Argument(help="Rules; all by default.")]
SubscriptionArgument = Annotated[str, typer.Argument(help="A subscription_id.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="Only this rule.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]

app = c.command_group("Test rules, and explain what they say of a customer.")


@app.command("test")
def test_rules(
    rules: RulesArgument = None,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Hold rules against their cases in rules/tests; exit code 1 when one fails; needs no Spark."""
    with c.user_errors():
        project = Project.find(project_dir)
        configuration = configure(project, profile)
        cases = load_cases(project, configuration.rules, configuration.view)
        known = [rule.id for rule in configuration.rules.rules]
        issues = [
            Issue("RULE_UNKNOWN_REFERENCE", f"there is no rule '{name}'{did_you_mean(name, known)}")
            for name in rules or ()
            if name not in known
        ]
        if issues:
            raise ConfigError(issues)
    chosen = [case for case in cases if not rules or case.rule in rules]
    report = run_cases(chosen, configuration.rules)
    report.untested = [name for name in report.untested if not rules or name in rules]
    print(_as_json(report)) if as_json else _print(report)
    raise typer.Exit(1 if report.failures else 0)


@app.command("explain")
def explain_rules(
    subscription: SubscriptionArgument,
    source: c.SourceOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    rule: RuleOption = None,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Explain what rules say of a subscription in the newest view, and its alerts; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile, source)
        found = explain(configuration, warehouse, subscription, rule)
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False, indent=2, default=str))
        return
    _print_explanation(found)


def _as_json(report: Report) -> str:
    told = {
        "passed": report.passed,
        "failures": [{"place": str(place), "message": message} for place, message in report.failures],
        "unseen": report.unseen,
        "untested": report.untested,
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _print(report: Report) -> None:
    for place, message in report.failures:
        print(f"{place} {message}")
    for rule_id, lacking in report.unseen.items():
        print(f"{rule_id}: no case has seen {', '.join(lacking)}")
    if report.untested:
        print(f"without cases in {FOLDER}: {', '.join(report.untested)}")
    passed = sum(report.passed.values())
    print(f"{passed} cases of {len(report.passed)} rules hold, {len(report.failures)} differences")


def _print_explanation(found: Explanation) -> None:
    dates = f"as of {found.as_of}, known on {found.cutoff}; served on {found.dispatch_date}"
    print(f"{found.subscription_id} {dates}")
    for one in found.rules:
        print(f"\n{one.rule} ({one.cycle}): {one.outcome}")
        print(f"  audience {one.audience}")
        for condition in one.conditions:
            print(f"  {condition.name}: {condition.truth}   {condition.text}   {condition.values}")
        if one.text:
            print(f"  {one.text['zh']}\n  {one.text['en']}")
    print("\nalerts:" if found.alerts else "\nno alert has been written for this subscription")
    for alert in found.alerts:
        reason = f", {alert['status_reason']}" if alert["status_reason"] else ""
        print(f"  {alert['dispatch_date']} {alert['moment_id']}: {alert['status']}{reason}")


if __name__ == "__main__":
    app()
