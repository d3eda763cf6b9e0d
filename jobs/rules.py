"""Job: lists, checks, tests and explains rules, and begins new ones, without Spark."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from jobs.kernel.cycle import CycleKind, parse_date
from jobs.kernel.errors import ConfigError, Issue, KeyMomentsError
from jobs.kernel.project import Project
from jobs.kernel.titles import Title
from jobs.rulelang.bases import template_keys
from jobs.rulelang.cases import FOLDER, Report, load_cases, run_cases
from jobs.rulelang.draft import Wish, draft
from jobs.rulelang.lint import lint
from jobs.rulelang.load import rule_files
from jobs.rulelang.model import RULE_ID, Severity
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.explanation import Explanation, Life, explain

RulesArgument = Annotated[list[str] | None, typer.Argument(help="Rules; all by default.")]
CustomerOption = Annotated[
    str, typer.Option("--customer", help="Id of a customer, or of one of the customer's subscriptions.")
]
RuleArgument = Annotated[str | None, typer.Argument(help="Only this rule; all by default.")]
DateOption = Annotated[
    str | None, typer.Option("--date", help="A date of dispatch, YYYY-MM-DD; the newest by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]

app = c.command_group("Write rules, check and test them, and explain what they say of a customer.")


@app.command("check")
def check_rules(
    source: Annotated[
        str | None, typer.Option("--source", help="With the parameters of this source mapping.")
    ] = None,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Tell every problem of all rules (exit code 2), and what can hardly be meant (1); needs no Spark."""
    problems: list[Issue] = []
    warnings: list[Issue] = []
    count = 0
    try:
        project = Project.find(project_dir)
        rules = configure(project, profile, source).rules
        count = len(rules.rules)
        warnings = lint(rules, rule_files(project))
    except KeyMomentsError as error:
        problems = error.issues
    if as_json:
        told = {
            "problems": [_told(one) for one in problems],
            "warnings": [_told(one) for one in warnings],
        }
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for one in (*problems, *warnings):
            c.err.print(str(one), markup=False)
        if not problems:
            print(f"{count} rules, no problem found, {len(warnings)} to look at again")
    raise typer.Exit(2 if problems else 1 if warnings else 0)


def _told(issue: Issue) -> dict[str, str | int | None]:
    place = issue.location
    return {
        "file": None if place is None else place.path,
        "line": None if place is None else place.line,
        "column": None if place is None else place.column,
        "code": issue.code,
        "message": issue.message,
    }


@app.command("list")
def list_rules(
    chinese: Annotated[bool, typer.Option("--zh", help="Titles in Chinese alone.")] = False,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """List the rules with their cycle, audience, thresholds and plan; needs no Spark."""
    with c.user_errors():
        rules = configure(Project.find(project_dir), profile).rules
    if as_json:
        print(
            json.dumps(
                [rule.file.model_dump(mode="json") for rule in rules.rules], ensure_ascii=False, indent=2
            )
        )
        return
    for rule in rules.rules:
        file = rule.file
        title = file.title.zh if chinese else f"{file.title.zh} / {file.title.en}"
        amounts = ", ".join(f"{name} {one.default}" for name, one in file.parameters.items())
        told = " ".join(filter(None, (file.category, file.cycle, file.audience, file.plan, file.severity)))
        print(f"{rule.id:<26} {file.status:<7} {title} [{told}] {amounts}".rstrip())
    print(f"{len(rules.rules)} rules")


@app.command("new")
def new_rule(
    rule: Annotated[str, typer.Argument(help="Its id, which names the file.")],
    when: Annotated[
        list[str],
        typer.Option(
            "--when", help="An item and a value: 'complaints_30d >= 2'; all of several have to hold."
        ),
    ],
    zh: Annotated[str, typer.Option("--zh", help="Its title in Chinese.")],
    en: Annotated[str, typer.Option("--en", help="Its title in English.")],
    plan: Annotated[str, typer.Option("--plan", help="A plan of rules/plans.yaml.")],
    category: Annotated[
        Literal["first", "anomaly", "special"] | None,
        typer.Option("--category", help="Unless a template says so: anomaly."),
    ] = None,
    cycle: Annotated[
        CycleKind | None, typer.Option("--cycle", help="Unless a template says so: daily.")
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option("--audience", help="A name of rules/audiences.yaml; unless a template says so: active."),
    ] = None,
    severity: Annotated[
        Severity | None, typer.Option("--severity", help="Unless a template says so: medium.")
    ] = None,
    urgency_days: Annotated[
        int | None,
        typer.Option("--urgency-days", min=0, max=62, help="Unless a template says so: 5."),
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="A template of rules/templates that it inherits from.")
    ] = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Write the first file of a rule, as a draft to go on from; needs no Spark."""
    with c.user_errors():
        project = Project.find(project_dir)
        view = configure(project, profile).view
        if not re.fullmatch(RULE_ID, rule):
            message = f"'{rule}' is no id: small letters, digits and _, 3 to 61 of them, a letter first"
            raise ConfigError(Issue("YAML_BAD_VALUE", message))
        path = project.root / "rules" / "moments" / f"{rule}.yaml"
        if rule in rule_files(project) or path.exists():
            raise ConfigError(Issue("RULE_DUPLICATE_ID", f"there is a rule '{rule}' already"))
        title = Title(zh=zh, en=en)
        told = {"category": category, "cycle": cycle, "audience": audience, "severity": severity}
        said = {name for name, value in {**told, "urgency_days": urgency_days}.items() if value is not None}
        inherited = template_keys(project, template) if template is not None else frozenset()
        wish = Wish(
            id=rule,
            title=title,
            category=category or "anomaly",
            cycle=cycle or CycleKind.daily,
            audience=audience or "active",
            when=tuple(when),
            plan=plan,
            severity=severity or "medium",
            urgency_days=5 if urgency_days is None else urgency_days,
            inherits=template,
            inherited=inherited - said,
        )
        path.write_text(draft(wish, view), encoding="utf-8")
        try:
            configure(project, profile)
        except KeyMomentsError:
            path.unlink()
            raise
    print(
        f"{path}: a draft; say why the threshold is what it is, and show it at work in {FOLDER}/{rule}.yaml"
    )


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
        configuration.rules.check_known(rules or ())
    chosen = [case for case in cases if not rules or case.rule in rules]
    report = run_cases(chosen, configuration.rules)
    report.untested = [name for name in report.untested if not rules or name in rules]
    print(_as_json(report)) if as_json else _print(report)
    raise typer.Exit(1 if report.failures else 0)


@app.command("explain")
def explain_rules(
    customer: CustomerOption,
    source: c.SourceOption,
    rule: RuleArgument = None,
    dispatch_date: DateOption = None,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Explain what rules say of a customer on a date, and why alerts were sent or not; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile, source)
        day = None if dispatch_date is None else parse_date(dispatch_date)
        found = explain(configuration, warehouse, customer, rule, day)
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2, default=str))
        return
    for one in found:
        _print_explanation(one)


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
        if one.life is not None and one.life.phase is not None:
            print(f"  state: {_told_of(one.life)}")
        print(f"  alert: {one.sent}")
    print("\nalerts:" if found.alerts else "\nno alert has been written for this subscription")
    for alert in found.alerts:
        reason = f", {alert['status_reason']}" if alert["status_reason"] else ""
        print(f"  {alert['dispatch_date']} {alert['moment_id']}: {alert['status']}{reason}")


def _told_of(life: Life) -> str:
    told = [f"{life.phase} in the run of {life.as_of}, inside since {life.entered_on}"]
    if life.phase == "ended":
        told = [f"ended on {life.ended_on}, inside since {life.entered_on}"]
    elif life.ended_on is not None:
        told.append(f"ended before on {life.ended_on}")
    if life.truth == "unknown":
        told.append("unknown now")
    return ", ".join([*told, *([f"step {life.step}"] if life.step is not None else [])])


if __name__ == "__main__":
    app()
