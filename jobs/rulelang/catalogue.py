"""The catalogue of moments: all rules and their service plans as one Markdown page, made from their files."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.kernel.markdown import grid
from jobs.rulelang.conditions import Condition, Leaf
from jobs.rulelang.model import Parameter, Plan
from jobs.rulelang.ruleset import Rule, RuleSet

PATH = "docs/moments.md"
_KINDS = {"all": "all of / 全部满足", "any": "any of / 任一满足", "not": "not all of / 不同时满足"}


def catalogue(rules: RuleSet) -> str:
    """The page as text."""
    lines = ["# Moments / 关键时刻", "", "Made by `make docs` from rules/; do not edit.", ""]
    lines += grid(
        ("moment", "中文", "English", "category", "cycle", "audience", "plan", "status"),
        [
            (
                f"[{rule.id}](#{rule.id})", rule.file.title.zh, rule.file.title.en, rule.file.category,
                str(rule.file.cycle), rule.file.audience, rule.file.plan or "", rule.file.status,
            )
            for rule in rules.rules
        ],
    )  # fmt: skip
    for rule in rules.rules:
        lines += _rule(rule, rules)
    lines += ["## Service plans / 服务方案", ""]
    for name, plan in sorted(rules.plans.items()):
        lines += _plan(name, plan)
    return "\n".join(lines).rstrip() + "\n"


def _rule(rule: Rule, rules: RuleSet) -> list[str]:
    file, audience = rule.file, rules.audiences[rule.file.audience]
    lines = [f'<a id="{rule.id}"></a>', "", f"## {rule.id}: {file.title.zh} / {file.title.en}", ""]
    lines += [f"{file.category}, {file.cycle}; {audience.zh} / {audience.en} (`{audience.where}`).", ""]
    lines += ["Fires when / 触发条件:", "", *_condition(rule.condition, 0), ""]
    if file.parameters:
        head = ("parameter", "default", "by city", "bounds", "unit", "why")
        lines += grid(head, [_parameter(name, one) for name, one in file.parameters.items()])
    lines += [f"- {fact}" for fact in _facts(rule)]
    lines += [f"- 文本: {file.description.zh}", f"- Text: {file.description.en}", ""]
    return lines


def _condition(condition: Condition, depth: int) -> Iterator[str]:
    head = "  " * depth + "- " + (f"**{condition.name}**: " if condition.name else "")
    if isinstance(condition, Leaf):
        yield f"{head}`{condition.text}`"
        return
    yield head + _KINDS[condition.kind]
    for member in condition.members:
        yield from _condition(member, depth + 1)


def _parameter(name: str, one: Parameter) -> tuple[str, ...]:
    others = ", ".join(f"{key} {value}" for key, value in one.values_by.items())
    return f"`:{name}`", str(one.default), others, f"{one.min} to {one.max}", one.unit or "", one.why


def _facts(rule: Rule) -> Iterator[str]:
    """What is done once the condition is true."""
    file = rule.file
    if rule.is_exempt:
        yield "keeps the customer from being contacted, except for rules that ignore it"
        return
    first = "fire too" if file.on_first_run == "fire" else "are only noted"
    yield f"fires {file.fire}" + (
        "" if file.fire == "while_true" else f"; on the first run those already inside {first}"
    )
    if file.again_when is not None:
        yield f"while it is true, fires again when `{file.again_when}`"
    if file.steps is not None:
        further = f", then every {file.steps.every}" if file.steps.every else ""
        yield f"steps of `{file.steps.of}`: {', '.join(map(str, file.steps.at))}{further}"
    yield f"severity {file.severity}; worth serving for {file.urgency_days} days"
    yield f"plan [{file.plan}](#plan-{file.plan})"
    if file.cooldown_days:
        yield f"not again for {file.cooldown_days} days after it was dispatched"
    if file.pending_while_true:
        yield "waits only while it is true"
    if file.pending_while is not None:
        yield f"waits only while `{file.pending_while}`"
    if file.serve_in_days is not None:
        yield f"to be served on the day told by `{file.serve_in_days}`"
    if file.inhibits:
        yield f"mutes {', '.join(file.inhibits)}"
    if file.service_owed:
        yield "owed: reaches the control group and passes contact caps"
    if rule.file.control is False:
        yield "reaches the control group"
    if file.ignores_exempt:
        yield f"not stopped by {', '.join(file.ignores_exempt)}"


def _plan(name: str, plan: Plan) -> list[str]:
    lines = [f'<a id="plan-{name}"></a>', "", f"### {name}: {plan.zh} / {plan.en}", ""]
    channels = " or else ".join(plan.channels)
    purpose = "" if plan.purpose == "service" else f" ({plan.purpose})"
    lines += [f"{plan.aim.zh} / {plan.aim.en}. By {channels}{purpose}, about {plan.effort_minutes} minutes."]
    lines += [""]
    lines += [f"{number}. {step.zh} / {step.en}" for number, step in enumerate(plan.steps, start=1)]
    return [*lines, ""]
