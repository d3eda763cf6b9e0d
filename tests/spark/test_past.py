"""Conditions on earlier runs of moments: against naive Python on random states, and lived through for some days."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import SparkSession

from jobs.contracts.columns import Table
from jobs.kernel.cycle import CycleKind
from jobs.kernel.project import Project
from jobs.rulelang.past import Past
from jobs.stages.context import Configuration, RunContext, configure, open_run
from jobs.stages.explanation import explain
from jobs.stages.past import PastRuns, with_past
from jobs.stages.plan import run_date
from jobs.storage.frames import frame_of
from tests.spark.little import Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DAILY, WEEKLY = CycleKind.daily, CycleKind.weekly
SUNDAY = date(2026, 5, 31)


def test_answers_are_those_of_a_naive_reading(
    spark: SparkSession, configuration: Configuration, tmp_path: Path
) -> None:
    """Random states and firings of three moments over six weeks, with runs that have not been."""
    draw = random.Random(3)
    context = open_run(configuration, str(tmp_path / "warehouse"), None)
    people = [f"S{number}" for number in range(60)]
    days = [SUNDAY - timedelta(days=back) for back in range(40)]
    states: dict[tuple[str, str, date], dict[str, str]] = {}
    fired: dict[tuple[str, str, date], set[str]] = {}
    for kind, moment in ((DAILY, "low_balance"), (DAILY, "complaint"), (WEEKLY, "weekly_call_drop")):
        for day in days:
            if kind is DAILY or day.isoweekday() == 7:
                run = (str(kind), moment, day)
                states[run] = {
                    who: draw.choice(["true", "true", "unknown", "false"])
                    for who in people
                    if draw.random() < 0.4
                }
                fired[run] = {who for who in people if draw.random() < 0.05}
    rows = [
        (kind, day, moment, who, truth, None, day, None, None)
        for (kind, moment, day), told in states.items()
        for who, truth in told.items()
    ]
    write(context, "moment_state", rows)
    rows = [(kind, day, moment, who) for (kind, moment, day), told in fired.items() for who in sorted(told)]
    write_moments(context, rows)
    cycle = configuration.calendar.cycle(DAILY, SUNDAY)
    questions = [
        Past("low_balance", DAILY, 2, 3, None, True),
        Past("low_balance", DAILY, 1, 1, None, True),
        Past("complaint", DAILY, 5, 9, None, True),
        Past("weekly_call_drop", WEEKLY),
        Past("weekly_call_drop", WEEKLY, 2, 4),
        Past("complaint", DAILY, 1, 1, 7, True),
        Past("weekly_call_drop", WEEKLY, 1, 1, 14),
    ]
    asked = {past: past.runs(cycle, configuration.calendar) for past in questions}
    # Of one run in four nothing is known, whatever states lie there.
    known = {past: tuple(day for day in runs if draw.random() < 0.75) for past, runs in asked.items()}
    runs = PastRuns(cycle, known, {}, frozenset())
    view = spark.createDataFrame([(who, 1) for who in [*people, "nobody"]], "subscription_id string, x int")
    found = {row["subscription_id"]: row.asDict() for row in with_past(context, view, runs).collect()}
    assert len(found) == len(people) + 1
    answers = set()
    for past in questions:
        for who in [*people, "nobody"]:
            if past.fired_in_days is not None:
                first, last = past.days(cycle)
                expected: bool | None = any(
                    who in told and first <= day <= last
                    for (kind, moment, day), told in fired.items()
                    if (kind, moment) == (str(past.kind), past.moment)
                )
            else:
                told_by = [states[str(past.kind), past.moment, day].get(who, "false") for day in known[past]]
                true, unknown = told_by.count("true"), told_by.count("unknown")
                expected = past.answer(true, unknown, len(told_by))
            assert found[who][past.name] is expected, (past, who)
            answers.add((past.name, expected))
    assert len(answers) >= 2 * len(questions)
    assert {"x", "subscription_id", *(past.name for past in questions)} == found["nobody"].keys()


def write(context: RunContext, table: str, rows: list[tuple[object, ...]]) -> None:
    target = context.table(table)
    context.warehouse.overwrite(frame_of(context.spark, rows, target.ddl), target)


def write_moments(context: RunContext, rows: list[tuple[object, ...]]) -> None:
    target = context.table("moments")
    known = ("cycle", "as_of", "moment_id", "subscription_id")
    full = []
    for row in rows:
        told = dict(zip(known, row, strict=True))
        told["dispatch_date"] = told["as_of"] + timedelta(days=1)
        full.append(tuple(told.get(name, filler(target, name)) for name in target.names))
    context.warehouse.overwrite(frame_of(context.spark, full, target.ddl), target)


def filler(table: Table, name: str) -> object:
    """A value of a required column that says nothing."""
    [column] = [one for one in table.columns if one.name == name]
    return {"STRING": "-", "BOOLEAN": False}.get(column.type) if column.required else None


RULE = """
id: {id}
status: active
title: {{zh: 试, en: Trial}}
category: anomaly
cycle: {cycle}
audience: everyone
when:
  all:
{conditions}
fire: while_true
severity: low
urgency_days: 2
plan: welcome_call
description: {{zh: 试, en: Trial}}
"""
RULES = {
    "heavy": ("daily", "    much: data_mb_1d >= 100"),
    "heavy_again": (
        "daily",
        "    before: {moment: heavy, times: 2, of_last: 3}\n    any_use: data_mb_1d >= 0",
    ),
    "heavy_anew": (
        "daily",
        "    now: {moment: heavy}\n    not:\n      lately: {moment: heavy, fired_in_days: 2}",
    ),
    "heavy_week": ("weekly", "    much: data_mb_7d >= 300"),
    "after_heavy_week": ("daily", "    week: {moment: heavy_week}\n    any_use: data_mb_1d >= 0"),
}
FIRST, LAST = date(2026, 5, 28), date(2026, 6, 2)
DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
Use = dict[tuple[str, date], int]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Little, Use]]:
    """Eight days of a warehouse whose rules ask of each other's past."""
    folder = tmp_path_factory.mktemp("past")
    project = folder / "project"
    for name in ("conf", "schemas", "rules"):
        shutil.copytree(ROOT / name, project / name)
    for name in ("moments", "reminders", "tests", "cities"):
        shutil.rmtree(project / "rules" / name)
        (project / "rules" / name).mkdir()
    dispatch = project / "conf/dispatch.yaml"
    dispatch.write_text(re.sub("apart_from: .*", "apart_from: []", dispatch.read_text("utf-8")), "utf-8")
    for rule, (cycle, conditions) in RULES.items():
        text = RULE.format(id=rule, cycle=cycle, conditions=conditions)
        (project / "rules/moments" / f"{rule}.yaml").write_text(text, encoding="utf-8")
    draw = random.Random(11)
    little = Little(folder, project=project)
    people = [f"S{number}" for number in range(40)]
    subscriptions = "".join(f"{who},C{who},2026-04-01,13400000001,active\n" for who in people)
    little.put(
        "subscriptions_202605.csv", "subscription_id,customer_id,updated_on,number,status\n" + subscriptions
    )
    use: Use = {}
    for day in [FIRST - timedelta(days=back) for back in range(10, 0, -1)] + DAYS:
        mine = {who: draw.choice([0, 20, 120, 200]) for who in people}
        use |= {(who, day): mb for who, mb in mine.items()}
        rows = "".join(f"{who},{day},{mb}\n" for who, mb in mine.items())
        little.put(f"data_usage_{day:%Y%m%d}_1.csv", "subscription_id,used_on,mb\n" + rows)
    context = little.run()
    for day in DAYS:
        run_date(context, day + timedelta(days=1), since="build_view")
    yield little, use


def test_what_was_is_what_rules_have_written_before(lived: tuple[Little, Use]) -> None:
    little, use = lived
    moments = little.table("moments").select("moment_id", "as_of", "subscription_id")
    found = {(rule, day, who) for rule, day, who in moments.rows()}
    people = sorted({who for who, _ in use})
    heavy = {(who, day) for (who, day), mb in use.items() if mb >= 100 and day in DAYS}
    weeks = [day for day in DAYS if day.isoweekday() == 7]
    heavy_week = {
        (who, day)
        for day in weeks
        for who in people
        if sum(use[who, day - timedelta(days=n)] for n in range(7)) >= 300
    }
    expected = {("heavy", day, who) for who, day in heavy} | {
        ("heavy_week", day, who) for who, day in heavy_week
    }
    for day in DAYS:
        before = [day - timedelta(days=n) for n in (1, 2, 3)]
        for who in people:
            if sum((who, one) in heavy for one in before) >= 2:
                expected.add(("heavy_again", day, who))
            if (who, day) in heavy and not any((who, one) in heavy for one in before[:2]):
                expected.add(("heavy_anew", day, who))
            # A week is known of once its cycle has been dispatched.
            known = [week for week in weeks if week <= day and little_cutoff(week) <= day + timedelta(days=1)]
            if known and (who, known[-1]) in heavy_week:
                expected.add(("after_heavy_week", day, who))
    assert {rule for rule, _, _ in expected} == set(RULES)
    assert found == expected


def little_cutoff(week: date) -> date:
    return configure(Project(ROOT)).calendar.cycle(WEEKLY, week).cutoff


def test_what_may_have_been_is_unknown_and_told(lived: tuple[Little, Use]) -> None:
    """On the first day nothing is known of the two runs before it; of three on the second."""
    little, _ = lived
    evaluations = little.table("rule_evaluations").filter(pl.col("moment_id") == "heavy_again").sort("as_of")
    unknown = dict(evaluations.select("as_of", "unknown_count").rows())
    people = 40
    assert unknown[DAYS[0]] == people
    assert 0 < unknown[DAYS[1]] <= people
    assert unknown[DAYS[3]] == 0


def test_an_explanation_gives_the_answers_of_the_run(lived: tuple[Little, Use]) -> None:
    little, use = lived
    configuration = configure(Project(little.project), "local", str(little.folder / "little.yaml"))
    warehouse = str(little.folder / "warehouse")
    moments = little.table("moments").filter(pl.col("as_of") == LAST)
    fired = set(moments.select("moment_id", "subscription_id").rows())
    told = set()
    for who in sorted({who for who, _ in use})[:12]:
        [told_of] = explain(configuration, warehouse, who)
        for fact in told_of.rules:
            if fact.cycle == "daily":
                assert (fact.outcome == "fires") is ((fact.rule, who) in fired), (fact, who)
                assert fact.life is not None and fact.life.as_of == LAST
                assert (fact.life.truth == "true") is (fact.outcome == "fires")
                told |= {(fact.rule, one.truth) for one in fact.conditions}
    assert {(rule, truth) for rule in ("heavy_again", "heavy_anew") for truth in ("true", "false")} <= told


def test_a_date_made_again_gives_the_same(lived: tuple[Little, Use]) -> None:
    little, _ = lived
    before = little.table("moments").sort("as_of", "moment_id", "subscription_id").drop("run_id")
    context = little.run()
    for day in (DAYS[1], DAYS[4]):
        run_date(context, day + timedelta(days=1), since="identify_moments", reissue=True)
    after = little.table("moments").sort("as_of", "moment_id", "subscription_id").drop("run_id")
    assert before.equals(after)
