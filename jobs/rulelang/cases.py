"""Tests of rules (rules/tests/<rule>.yaml): given items, whether the rule is true, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from jobs.contracts.view import CustomerView, Item, Score
from jobs.kernel.errors import ConfigError, Issue, Location, did_you_mean
from jobs.kernel.located_yaml import Document, StrictModel, validate
from jobs.kernel.project import Project
from jobs.rulelang.conditions import leaves
from jobs.rulelang.load import LANGUAGES
from jobs.rulelang.ruleset import RuleSet
from jobs.rulelang.verdict import OUTCOMES, Truth, text_of, verdict_of, word_of

FOLDER = "rules/tests"
# Days are always known.
_DATES = {"as_of": date(2026, 5, 31), "dispatch_date": date(2026, 6, 1)}


class CaseFile(StrictModel):
    """One case as written.

    Attributes:
        name: What it shows.
        as_of: Last day the cycle looks at, where it is not the file's.
        given: Values of items, besides those of the whole file; null for unknown. What a condition asks of
            the past stands under the condition's name.
        expect: fires, silent or unknown.
        met: The conditions that are true, if told.
        zh: The Chinese text, if told.
        en: The English text, if told.
    """

    name: str
    as_of: date | None = None
    given: dict[str, Any] = {}
    expect: Literal["fires", "silent", "unknown"]
    met: tuple[str, ...] | None = None
    zh: str | None = None
    en: str | None = None


class RuleCases(StrictModel):
    """The cases of one rule.

    Attributes:
        rule: The rule.
        as_of: Last day the cycle looks at.
        given: Values of items in all cases; all others are unknown.
        cases: The cases.
    """

    rule: str
    as_of: date = date(2026, 5, 31)
    given: dict[str, Any] = {}
    cases: tuple[CaseFile, ...]


@dataclass(frozen=True)
class Case:
    """A checked case.

    Attributes:
        rule: The rule's id.
        row: Values of items, and of what is reserved.
        file: What its file says.
        place: Where that stands.
    """

    rule: str
    row: Mapping[str, Any]
    file: CaseFile
    place: Location


@dataclass
class Report:
    """What became of the cases.

    Attributes:
        passed: How many hold, by rule.
        failures: What is otherwise, each at its place.
        unseen: Conditions that no case has seen 'true', 'false' or 'unknown', by rule.
        untested: Rules without cases.
    """

    passed: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[Location, str]] = field(default_factory=list)
    unseen: dict[str, list[str]] = field(default_factory=dict)
    untested: list[str] = field(default_factory=list)


def load_cases(project: Project, rules: RuleSet, view: CustomerView) -> list[Case]:
    """Reads rules/tests.

    Raises:
        ConfigError: With all problems of all files.
    """
    found: list[Case] = []
    issues: list[Issue] = []
    known = {rule.id: rule for rule in rules.rules}
    for path in project.files(FOLDER):
        document = project.load(path)
        try:
            written = validate(document, RuleCases)
        except ConfigError as error:
            issues += error.issues
            continue
        if written.rule not in known:
            message = f"there is no rule '{written.rule}'{did_you_mean(written.rule, known)}"
            issues.append(Issue("RULE_UNKNOWN_REFERENCE", message, document.at("rule")))
            continue
        conditions = list(leaves(known[written.rule].condition))
        named = {leaf.name for leaf in conditions}
        past = {leaf.name: leaf.past.name for leaf in conditions if leaf.past is not None}
        shared, wrong = _row(written.given, view, past, document, ("given",))
        issues += wrong
        for index, case in enumerate(written.cases):
            row, wrong = _row(case.given, view, past, document, ("cases", index, "given"))
            issues += wrong
            for name in case.met or ():
                if name not in named:
                    message = f"'{name}' is not a condition of {written.rule}{did_you_mean(name, named)}"
                    place = document.at("cases", index, "met")
                    issues.append(Issue("RULE_UNKNOWN_REFERENCE", message, place))
            place = document.at("cases", index)
            day = case.as_of or written.as_of
            reserved = rules.reserved(day, day + timedelta(days=1))
            found.append(Case(written.rule, {**shared, **row, **reserved}, case, place))
    if issues:
        raise ConfigError(issues)
    return found


def _row(
    given: Mapping[str, Any],
    view: CustomerView,
    past: Mapping[str, str],
    document: Document,
    at: tuple[str | int, ...],
) -> tuple[dict[str, Any], list[Issue]]:
    """Values as the view would hold them, and answers of conditions on the past, by the column of each."""
    known: dict[str, Item | Score] = {**view.items, **view.scores}
    row: dict[str, Any] = {}
    issues = []
    for name, value in given.items():
        place = document.at(*at, name)
        if name in past and isinstance(value, bool | None):
            row[past[name]] = value
            continue
        if name not in known:
            message = f"'{name}' is not an item of the customer view{did_you_mean(name, known)}"
            issues.append(Issue("RULE_UNKNOWN_ITEM", message, place))
            continue
        try:
            row[name] = _held(value, known[name])
        except (ValueError, InvalidOperation):
            message = f"'{name}' is {known[name].type}, not {value!r}"
            issues.append(Issue("YAML_BAD_VALUE", message, place))
    return row, issues


def _held(value: Any, item: Item | Score) -> Any:
    """A value as the item's type; ValueError when it is none."""
    if value is None:
        return None
    match item.type:
        case "decimal" if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return Decimal(str(value)).quantize(Decimal(1).scaleb(-item.scale))
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "date" if isinstance(value, date):
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "string" if isinstance(value, str):
            return value
    raise ValueError(value)


def run_cases(cases: list[Case], rules: RuleSet) -> Report:
    """Holds the cases against their rules in plain Python."""
    report = Report()
    known = {rule.id: rule for rule in rules.rules}
    seen: dict[str, set[tuple[str, Truth]]] = {}
    for case in cases:
        rule = known[case.rule]
        verdict = verdict_of(rule, case.row)
        seen.setdefault(case.rule, set()).update(verdict.conditions.items())
        wrong = []
        if (outcome := OUTCOMES[verdict.truth]) != case.file.expect:
            told = ", ".join(f"{name} {word_of(truth)}" for name, truth in verdict.conditions.items())
            wrong.append(
                f"expected {case.file.expect}, is {outcome} (audience {word_of(verdict.audience)}; {told})"
            )
        if case.file.met is not None and set(case.file.met) != set(verdict.met):
            wrong.append(f"expected true: {_list(case.file.met)}; true are: {_list(verdict.met)}")
        for language in LANGUAGES:
            expected = getattr(case.file, language)
            text = text_of(rule.templates[language], case.row, language)
            if expected is not None and expected != text:
                wrong.append(f"{language} is {text!r}, expected {expected!r}")
        report.failures += [(case.place, f"{case.rule}, {case.file.name}: {one}") for one in wrong]
        report.passed[case.rule] = report.passed.get(case.rule, 0) + (not wrong)
    for rule_id, pairs in seen.items():
        blank = verdict_of(known[rule_id], _DATES).conditions
        # What has a value when nothing else is known is never unknown.
        lacking = [
            f"{name} {word_of(truth)}"
            for name, nothing_known in blank.items()
            for truth in (True, False, *([None] if nothing_known is None else []))
            if (name, truth) not in pairs
        ]
        if lacking:
            report.unseen[rule_id] = lacking
    report.untested = sorted(set(known) - set(seen))
    return report


def _list(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(names)) or "none"
