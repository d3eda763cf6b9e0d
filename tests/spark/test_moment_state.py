"""What becomes of moments from run to run: unknowns, first runs, steps, and what is entered anew."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.domain.moments import REMEMBERED_DAYS, Pass, state_rows, transitions
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.rulelang.compile import TRUE, UNKNOWN, EvaluableRule
from jobs.stages.context import Configuration

pytestmark = [pytest.mark.spark, pytest.mark.slow]

RULES = ("data_package_use", "low_balance", "complaint", "birthday")
USE, LOW, COMPLAINT, BIRTHDAY = range(len(RULES))
"""Rules and their ordinals: by steps with a baseline, on entry with a baseline, entered anew, on entry."""

Truth = tuple[str, int, int, dict[str, Any]]
State = dict[tuple[str, str], tuple[str, date, int | None]]
"""Truth, entered_on and step by moment and subscription, of those inside."""
Run = Callable[..., tuple[set[tuple[str, str]], State]]


@pytest.fixture(scope="module")
def run(spark: SparkSession, configuration: Configuration) -> Run:
    """Runs one cycle: who fires, and the state after it."""
    known = [configuration.rules.by_id(name) for name in RULES]
    rules = [EvaluableRule(number, rule, rule.condition, ()) for number, rule in enumerate(known)]
    row = "struct<data_package_used_pct: decimal(18,2), complaints_opened_1d: bigint>"

    def do(
        as_of: date, truths: list[Truth], state: State, previous: date | None, first: tuple[str, ...] = ()
    ) -> tuple[set[tuple[str, str]], State]:
        one = Pass(
            Cycle(CycleKind.daily, as_of, as_of + timedelta(days=1)),
            rules,
            frozenset(first),
            previous,
            configuration.view.types,
            configuration.rules.reserved(as_of, as_of + timedelta(days=1)),
        )
        found = spark.createDataFrame(
            [
                (who, rule, truth, None if truth == UNKNOWN else {"complaints_opened_1d": 0, **items})
                for who, rule, truth, items in truths
            ],
            f"subscription_id string, ordinal int, truth int, row {row}",
        )
        prior = spark.createDataFrame(
            [(moment, who, *mine, None) for (moment, who), mine in state.items()],
            "moment_id string, subscription_id string, truth string, entered_on date, step int, ended_on date",
        )
        inside = transitions(found, prior, one)
        fires = {(r["moment_id"], r["subscription_id"]) for r in inside.where("fires").collect()}
        after = {
            (r["moment_id"], r["subscription_id"]): (r["truth"], r["entered_on"], r["step"])
            for r in state_rows(inside, one).collect()
            if r["truth"] != "false"
        }
        return fires, after

    return do


DAY = date(2026, 5, 29)


def days(count: int) -> list[date]:
    return [DAY + timedelta(days=number) for number in range(count)]


def test_true_unknown_true_is_one_occurrence_and_true_false_true_two(run: Run) -> None:
    first, second, third = days(3)
    fires, state = run(first, [("A", BIRTHDAY, TRUE, {}), ("B", BIRTHDAY, TRUE, {})], {}, None)
    assert fires == {("birthday", "A"), ("birthday", "B")}
    # A becomes unknown, B false: rules that are false leave no row.
    fires, state = run(second, [("A", BIRTHDAY, UNKNOWN, {}), ("C", BIRTHDAY, UNKNOWN, {})], state, first)
    assert fires == set()
    assert state == {("birthday", "A"): ("unknown", first, None)}
    fires, state = run(third, [("A", BIRTHDAY, TRUE, {}), ("B", BIRTHDAY, TRUE, {})], state, second)
    assert fires == {("birthday", "B")}
    assert state == {("birthday", "A"): ("true", first, None), ("birthday", "B"): ("true", third, None)}


def test_a_first_run_with_a_baseline_only_notes_who_is_inside(run: Run) -> None:
    first, second = days(2)
    inside = [("A", LOW, TRUE, {}), ("A", BIRTHDAY, TRUE, {})]
    fires, state = run(first, inside, {}, None, first=("low_balance", "birthday"))
    # birthday says 'on_first_run: fire'.
    assert fires == {("birthday", "A")}
    assert state[("low_balance", "A")] == ("true", first, None)
    fires, _ = run(second, [("A", LOW, TRUE, {}), ("B", LOW, TRUE, {})], state, first)
    assert fires == {("low_balance", "B")}


def test_each_step_fires_once_the_highest_of_several_only_and_months_begin_anew(run: Run) -> None:
    used = lambda percent: [("A", USE, TRUE, {"data_package_used_pct": Decimal(percent)})]  # noqa: E731
    state: State = {}
    previous = None
    seen = []
    last_of_may, first_of_june = date(2026, 5, 31), date(2026, 6, 1)
    for on, percent in [(DAY, 85), (DAY + timedelta(1), 99), (last_of_may, 310), (first_of_june, 82)]:
        fires, state = run(on, used(percent), state, previous)
        seen.append((bool(fires), state[("data_package_use", "A")][2]))
        previous = on
    assert seen == [(True, 80), (False, 80), (True, 300), (True, 80)]


def test_a_step_that_was_reached_stays_reached_within_the_month(run: Run) -> None:
    first, second, third = days(3)
    _, state = run(first, [("A", USE, TRUE, {"data_package_used_pct": Decimal(120)})], {}, None)
    fires, state = run(second, [("A", USE, TRUE, {"data_package_used_pct": Decimal(85)})], state, first)
    assert not fires and state[("data_package_use", "A")][2] == 100
    fires, _ = run(third, [("A", USE, TRUE, {"data_package_used_pct": Decimal(130)})], state, second)
    assert not fires


def test_a_first_run_notes_steps_without_firing_them(run: Run) -> None:
    first, second = days(2)
    used = [("A", USE, TRUE, {"data_package_used_pct": Decimal(85)})]
    fires, state = run(first, used, {}, None, first=("data_package_use",))
    assert not fires and state[("data_package_use", "A")][2] == 80
    fires, _ = run(second, [("A", USE, TRUE, {"data_package_used_pct": Decimal(101)})], state, first)
    assert fires == {("data_package_use", "A")}


def test_who_is_entered_anew_fires_again_and_who_is_unknown_does_not(run: Run) -> None:
    first, second = days(2)
    open_ = [("A", COMPLAINT, TRUE, {}), ("B", COMPLAINT, TRUE, {}), ("C", COMPLAINT, TRUE, {})]
    fires, state = run(first, open_, {}, None)
    assert len(fires) == 3
    again = [
        ("A", COMPLAINT, TRUE, {"complaints_opened_1d": 1}),
        ("B", COMPLAINT, TRUE, {}),
        ("C", COMPLAINT, UNKNOWN, {}),
    ]
    fires, state = run(second, again, state, first)
    assert fires == {("complaint", "A")}
    assert {who: on for (_, who), (_, on, _) in state.items()} == {"A": second, "B": first, "C": first}


def naive(
    found: dict[tuple[str, str], int], anew: set[tuple[str, str]], kept: dict[tuple[str, str], Any], on: date
) -> dict[tuple[str, str], Any]:
    """The lives after a run, by a plain reading: truth, phase, entered_on, ended_on, step."""
    after: dict[tuple[str, str], Any] = {}
    for key in found.keys() | kept.keys():
        truth, had = found.get(key), kept.get(key)
        was_inside = had is not None and had[0] != "false"
        ended_on = had[3] if had is not None else None
        if ended_on is not None and (on - ended_on).days >= REMEMBERED_DAYS:
            ended_on = None
        if truth == TRUE and (not was_inside or key in anew):
            back = was_inside or ended_on is not None
            after[key] = ("true", "re-entered" if back else "entered", on, ended_on, None)
        elif truth == TRUE or (truth == UNKNOWN and was_inside):
            assert had is not None
            after[key] = ("true" if truth == TRUE else "unknown", "continuing", had[2], ended_on, None)
        elif was_inside:
            assert had is not None
            after[key] = ("false", "ended", had[2], on, None)
        elif ended_on is not None:
            assert had is not None
            after[key] = ("false", "ended", had[2], ended_on, None)
    return after


def test_lives_are_entered_go_on_end_and_are_entered_again(
    spark: SparkSession, configuration: Configuration
) -> None:
    """Against a plain reading, through runs with pauses, so that some lives are forgotten."""
    known = [configuration.rules.by_id(name) for name in ("birthday", "complaint")]
    rules = [EvaluableRule(number, rule, rule.condition, ()) for number, rule in enumerate(known)]
    draw = random.Random(5)
    people = [f"S{number}" for number in range(40)]
    kept: dict[tuple[str, str], Any] = {}
    on, previous, seen = DAY, None, Counter()
    for _ in range(14):
        found, anew, rows = {}, set(), []
        for ordinal, rule in enumerate(known):
            for who in people:
                truth = draw.choice([TRUE, UNKNOWN, None, None])
                if truth is None:
                    continue
                opened = draw.randrange(2)
                found[rule.id, who] = truth
                if rule.id == "complaint" and opened and truth == TRUE:
                    anew.add((rule.id, who))
                rows.append((who, ordinal, truth, (opened,) if truth == TRUE else None))
        one = Pass(
            Cycle(CycleKind.daily, on, on + timedelta(days=1)), rules, frozenset(), previous,
            configuration.view.types, configuration.rules.reserved(on, on + timedelta(days=1)),
        )  # fmt: skip
        told = "subscription_id string, ordinal int, truth int, row struct<complaints_opened_1d: bigint>"
        columns = "moment_id string, subscription_id string, truth string, phase string, entered_on date, ended_on date, step int"
        # Of a rule that is not looked at this time nothing is known any more.
        gone = ("low_balance", "S1", "true", "entered", on - timedelta(days=1), None, None)
        prior = spark.createDataFrame([gone, *((*key, *mine) for key, mine in kept.items())], columns)
        after = transitions(spark.createDataFrame(rows, told), prior, one)
        result = {
            (row["moment_id"], row["subscription_id"]): tuple(
                row[name] for name in ("truth", "phase", "entered_on", "ended_on", "step")
            )
            for row in state_rows(after, one).collect()
        }
        expected = naive(found, anew, kept, on)
        assert result == expected
        fires = {(row["moment_id"], row["subscription_id"]) for row in after.where("fires").collect()}
        assert fires == {key for key, mine in expected.items() if mine[1] in ("entered", "re-entered")}
        seen.update(mine[1] for mine in expected.values())
        kept, previous, on = result, on, on + timedelta(days=draw.choice([1, 1, 30, 60]))
    assert min(seen[phase] for phase in ("entered", "re-entered", "continuing", "ended")) > 20
