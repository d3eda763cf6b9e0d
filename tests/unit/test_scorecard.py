"""Learned health: what is planted costs points and nothing else does; points against plain adding up."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.config.mining import Scorecard, load_mining
from jobs.config.scores import Cause, HealthSettings
from jobs.kernel.project import Project
from jobs.kernel.titles import Title
from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.conditions import Condition
from jobs.modelling.features import Feature
from jobs.modelling.metrics import Interval
from jobs.modelling.scorecard import Step, health, learn, overall, points_of
from jobs.stages.context import configure
from jobs.stages.health import Learned, health_file

ROOT = Path(__file__).parents[2]
NOISE = 20
NAMES = ["drop", "calls", "complaints", *(f"noise_{number}" for number in range(NOISE))]
FEATURES = [*(Feature(name) for name in NAMES), Feature("brand", "a"), Feature("brand", "b")]
TYPES = dict.fromkeys(NAMES, "decimal") | {"complaints": "integer", "brand": "string"}
EITHER = [0] * len(FEATURES)


@pytest.fixture(scope="module")
def settings() -> Scorecard:
    return load_mining(Project(ROOT)).health


def planted(size: int = 20_000, effect: float = 1.0) -> tuple[Floats, Ints, Ints]:
    """The more it drops the worse, calls too few and complaints harm, and so does brand b."""
    chance = np.random.default_rng(2)
    drop, calls = chance.normal(size=size), chance.normal(size=size)
    complaints, brand = chance.poisson(0.3, size), chance.integers(0, 3, size)
    noise = chance.normal(size=(size, NOISE))
    matrix = np.column_stack([drop, calls, complaints, noise, brand == 1, brand == 2]).astype(np.float32)
    log_odds = -3 + effect * (0.8 * drop - 0.5 * calls + 0.9 * (complaints >= 1) + 0.6 * (brand == 2))
    labels = (chance.random(size) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
    matrix[chance.random(matrix.shape) < 0.03] = np.nan
    return matrix, labels, chance.integers(0, 2, size)


def test_what_is_planted_costs_points(settings: Scorecard) -> None:
    matrix, labels, day = planted()
    steps = learn(matrix, labels, day, FEATURES, TYPES, EITHER, settings)
    signs = {(one.condition.item, one.condition.sign) for one in steps}
    assert signs == {("drop", ">="), ("calls", "<"), ("complaints", ">="), ("brand", "=")}
    assert {one.condition.value for one in steps if one.condition.item == "brand"} == {"b"}
    assert len([one for one in steps if one.condition.item == "drop"]) > 2
    assert all(one.weight > 0 and one.lift > 1 for one in steps)
    complaints = sum(one.weight for one in steps if one.condition.text == "complaints >= 1")
    assert 0.6 < complaints < 1.0


def test_where_the_business_is_sure_nothing_else_is_learned(settings: Scorecard) -> None:
    matrix, labels, day = planted()
    for sure, allowed in ((1, True), (-1, False)):
        sides = [sure if name == "drop" else 0 for name in [*NAMES, "brand", "brand"]]
        steps = learn(matrix, labels, day, FEATURES, TYPES, sides, settings)
        assert any(one.condition.item == "drop" for one in steps) is allowed


def test_noise_costs_nothing(settings: Scorecard) -> None:
    matrix, labels, day = planted(effect=0.0)
    assert learn(matrix, labels, day, FEATURES, TYPES, EITHER, settings) == []
    assert points_of([], matrix, str) == []
    assert overall(health([], matrix[:2], str, ["a"])).tolist() == [100.0, 100.0]


def test_the_order_of_rows_does_not_matter(settings: Scorecard) -> None:
    matrix, labels, day = planted(6_000)
    order = np.random.default_rng(1).permutation(len(labels))
    both = [
        points_of(learn(m, y, d, FEATURES, TYPES, EITHER, settings), m, lambda item: "all")
        for m, y, d in ((matrix, labels, day), (matrix[order], labels[order], day[order]))
    ]
    assert [(one.condition, points) for one, points in both[0]] == [
        (one.condition, points) for one, points in both[1]
    ]


def test_points_are_added_up_by_dimension(settings: Scorecard) -> None:
    matrix, labels, day = planted(6_000)
    steps = learn(matrix, labels, day, FEATURES, TYPES, EITHER, settings)
    priced = points_of(steps, matrix, lambda item: "business" if item == "drop" else "service")
    found = health(
        priced, matrix, lambda item: "business" if item == "drop" else "service", ["service", "business"]
    )
    columns = {one.condition.feature for one, _ in priced}
    for row in range(0, 6_000, 97):
        for place, mine in ((0, False), (1, True)):
            lost = sum(
                points
                for one, points in priced
                if (one.condition.item == "drop") == mine and one.condition.met(matrix[row : row + 1])[0]
            )
            known = [
                not np.isnan(matrix[row, at])
                for at in columns
                if ((NAMES + ["brand"] * 2)[at] == "drop") == mine
            ]
            assert found[row, place] == max(0, 100 - lost) if any(known) else np.isnan(found[row, place])
    # The scale: about one in a hundred has nothing left where most is lost.
    assert 0.002 < max(np.nanmean(found[:, place] <= 8) for place in (0, 1)) < 0.05
    assert all(isinstance(points, int) and 1 <= points <= 100 for _, points in priced)


def test_the_file_is_one_that_loads() -> None:
    configuration = configure(Project(ROOT))
    step = Step(Condition(0, "complaints_30d", ">=", 1.0), 0.5, 0.031, 2.5)
    cause = Cause(
        dimension="service", points=40, when="complaints_30d >= 1", zh="投诉 >= 1", en="Complaints: >= 1"
    )
    nothing = Interval(0.7, 0.6, 0.8)
    learned = Learned(
        Title(zh="离网", en="Churn"), date(2026, 5, 31), (date(2026, 4, 30),), 1000, 30, nothing,
        Interval(2.0, 1.5, math.nan), {}, {"complaints_30d": (cause, step)},
    )  # fmt: skip
    text = health_file(learned, configuration.health)
    assert "# 3% of the customers; lost 2.50 times as often as all\n" in text
    loaded = HealthSettings.model_validate(yaml.safe_load(text))
    assert loaded.causes == {"complaints_30d": cause}
    assert loaded.dimensions == configuration.health.dimensions


def test_health_by_what_is_no_text_item_costs_one_line() -> None:
    done = CliRunner().invoke(app, ["health", "show", "--by", "bill_total_1m"])
    assert done.exit_code == 2 and "is not a text item of the customer view" in done.stderr
