"""The arithmetic of models, against counting by hand and against scikit-learn's own curves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.modelling import metrics
from jobs.modelling.baselines import EvidenceRegression, formula
from jobs.modelling.drift import noise, spread_of, stability
from jobs.modelling.evaluation import Data, How, Judged, judge, steps_of
from jobs.modelling.features import Feature, directions, features_of, items_of
from jobs.modelling.leaks import separation
from jobs.modelling.reasons import Wording, reasons_of, value_in_words
from jobs.modelling.trees import Scorer, train

PARAMETERS = {"n_estimators": 30, "learning_rate": 0.2, "max_depth": 3, "min_child_weight": 5, "nthread": 1}
FEATURES = (Feature("noise"), Feature("brand", "a"), Feature("brand", "b"), Feature("drop"))

cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=4, max_size=60)


def planted(size: int = 4000, seed: int = 5) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Customers of whom those with brand b leave more often, and those whose use drops far more often."""
    chance = np.random.default_rng(seed)
    brand = chance.integers(0, 3, size)
    drop = chance.normal(size=size)
    matrix = np.column_stack([chance.normal(size=size), brand == 1, brand == 2, drop]).astype(np.float32)
    matrix[chance.random(size) < 0.05, 3] = np.nan
    log_odds = -2.5 + 0.8 * (brand == 2) + 1.5 * np.nan_to_num(matrix[:, 3])
    return matrix, (chance.random(size) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)


def scorer_of(matrix: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], reasons: int = 2) -> Scorer:
    trees = bytes(train(matrix, labels, PARAMETERS, (0,) * matrix.shape[1]).save_raw("ubj"))
    raw = Scorer(trees, FEATURES, (), reasons).by_item(matrix)[0]
    return Scorer(trees, FEATURES, steps_of(raw, labels, 50, 50), reasons)


def test_features_of_one_item_stand_side_by_side_and_dates_are_none() -> None:
    types = {"spend": "decimal", "joined_on": "date", "brand": "string", "city": "string", "roams": "boolean"}
    found = features_of(types, {"brand": ["x", "a"]})
    assert [one.name for one in found] == ["spend", "brand=a", "brand=x", "roams"]
    assert items_of(found) == {"spend": 0, "brand": 1, "roams": 3}
    assert directions(found, ["spend"], ["roams"]) == (1, 0, 0, -1)


@given(cases)
def test_hits_within_reach_are_the_mean_over_all_orders_of_ties(rows: list[tuple[int, int]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    for places in range(1, len(rows)):
        taken, expected = 0, 0.0
        for score, group in sorted(Counter(scores.tolist()).items(), reverse=True):
            here = min(group, places - taken)
            expected += here * labels[scores == score].mean()
            taken += here
        assert metrics.hits_at(labels, scores, places / len(rows)) == pytest.approx(expected)


@given(cases)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, int]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    left, stayed = scores[labels == 1], scores[labels == 0]
    found = metrics.auc(labels, scores)
    if not len(left) or not len(stayed):
        assert math.isnan(found)
        return
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in left for b in stayed]
    assert found == pytest.approx(sum(pairs) / len(pairs))


def test_lift_and_calibration_error_by_hand() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    scores = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert metrics.lift(labels, scores) == pytest.approx(5)
    assert metrics.recall_at(labels, scores, 0.2) == 1
    assert metrics.precision_at(labels, scores, 0.4) == 0.5
    # Ten runs of one customer: |0.5 - 1| twice, |0.1 - 0| eight times.
    told = np.array([0.5] * 2 + [0.1] * 8)
    assert metrics.calibration_error(labels, told) == pytest.approx((2 * 0.5 + 8 * 0.1) / 10)


def test_an_interval_draws_all_rows_of_a_customer_together() -> None:
    chance = np.random.default_rng(3)
    once = chance.random(400)
    values, keys = np.repeat(once, 5), np.repeat(np.arange(400), 5)
    together = metrics.interval(lambda rows: float(values[rows].mean()), keys, 200)
    apart = metrics.interval(lambda rows: float(values[rows].mean()), np.arange(2000), 200)
    alone = metrics.interval(lambda rows: float(once[rows].mean()), np.arange(400), 200)
    assert together.low < together.value < together.high
    # Five copies of a customer tell no more than one does.
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.25)
    assert together.high - together.low > 1.6 * (apart.high - apart.low)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), min_size=1, max_size=80))
def test_stability_by_hand(values: list[int | None]) -> None:
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    before = spread_of(array)
    assert sum(before.shares) == pytest.approx(1)
    assert stability(before, array) == pytest.approx(0)
    moved = np.where(np.isnan(array), np.nan, array + 20)
    if not np.isnan(array).all() and before.edges:
        assert stability(before, moved) > 0
    # Of a customer each in four kinds, all in the first: by the formula, with 0.0001 for nought.
    four = spread_of(np.array([1.0, 2.0, 3.0, 4.0]))
    small = 1e-4
    expected = (1 - 0.25) * math.log(1 / 0.25) + 3 * (small - 0.25) * math.log(small / 0.25)
    expected += 0.0  # nobody is unknown, then or now
    assert stability(four, np.ones(9)) == pytest.approx(expected)


def test_chance_alone_moves_the_index_by_what_noise_says() -> None:
    chance = np.random.default_rng(4)
    before = spread_of(chance.normal(size=100_000))
    found = [stability(before, chance.normal(size=400)) for _ in range(200)]
    assert np.mean(found) == pytest.approx(noise(before, 400), rel=0.15)
    assert min(before.edges) > -4 and len(before.shares) == 11


def test_what_items_add_makes_up_the_log_odds_the_trees_tell() -> None:
    matrix, labels = planted()
    scorer = scorer_of(matrix, labels)
    raw, added = scorer.by_item(matrix)
    trees = xgboost.Booster()
    trees.load_model(bytearray(scorer.booster))
    told = trees.predict(xgboost.DMatrix(matrix))
    assert np.abs(raw - told).max() < 1e-5
    assert added.shape == (len(matrix), 3) and scorer.items == ("noise", "brand", "drop")
    by_feature = trees.predict(xgboost.DMatrix(matrix), pred_contribs=True)
    assert np.allclose(added[:, 1], by_feature[:, 1] + by_feature[:, 2], atol=1e-5)


def test_the_planted_reasons_come_first_and_in_words() -> None:
    matrix, labels = planted()
    scorer = scorer_of(matrix, labels)
    raw, added = scorer.by_item(matrix)
    places, log_odds = scorer.top(added)
    worst = np.argsort(-raw)[:200]
    first = Counter(scorer.items[place] for place in places[worst, 0])
    assert first["drop"] > 150 and "noise" not in first
    assert (log_odds[places >= 0] > 0).all() and (log_odds[places < 0] == 0).all()
    wording = {
        "noise": Wording("噪声", "Noise", "business", "decimal", None, {}),
        "brand": Wording("品牌", "Brand", "brand_tariff", "string", None, {"b": ("乙", "B")}),
        "drop": Wording("降幅", "Drop", "business", "decimal", "percent", {}),
    }
    told = reasons_of(scorer, wording, matrix, places)
    for row in worst[:50]:
        expected = []
        for place in places[row][places[row] >= 0]:
            item = scorer.items[place]
            if item == "brand":
                expected.append(
                    "品牌（乙）" if matrix[row, 2] else "品牌（a）" if matrix[row, 1] else "品牌（其他）"
                )
            else:
                value = matrix[row, 3 if item == "drop" else 0]
                number = "未知" if np.isnan(value) else f"{value:.2f}".rstrip("0").rstrip(".")
                expected.append(f"降幅（{number}%）" if item == "drop" and number != "未知" else
                                f"{wording[item].zh}（{number}）")  # fmt: skip
        assert told[row][0] == expected
        assert len(told[row][1]) == len(expected)


@pytest.mark.parametrize(
    ("kind", "unit", "values", "expected"),
    [
        ("integer", "count", [3.0], ("3", "3")),
        ("decimal", "percent", [-12.5], ("-12.5%", "-12.5 %")),
        ("boolean", None, [1.0], ("是", "yes")),
        ("decimal", "yuan", [float("nan")], ("未知", "unknown")),
        ("decimal", "yuan", [-0.001], ("0", "0")),
        ("integer", "count", [300.0], ("300", "300")),
    ],
)
def test_values_in_words(kind: str, unit: str | None, values: list[float], expected: tuple[str, str]) -> None:
    told = Wording("项", "Item", "business", kind, unit, {})
    assert value_in_words(told, (Feature("item"),), values) == expected


def test_a_probability_is_the_step_its_raw_one_stands_on() -> None:
    scorer = Scorer(b"", FEATURES, ((0.1, 0.02), (0.4, 0.3)), 1)
    raw = np.array([0.0, 0.1, 0.399999, 0.4, 0.9])
    assert scorer.calibrated(raw).tolist() == [0.02, 0.02, 0.02, 0.3, 0.3]


@pytest.mark.parametrize(("size", "rate"), [(4_000, 0.1), (33_000, 0.1), (60_000, 0.02)])
def test_calibration_tells_the_probability_that_is_known(size: int, rate: float) -> None:
    """Raw scores whose probability is known: the highest hundredth is told as high as it is."""
    chance = np.random.default_rng(11)
    true = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) - 0.5 + 1.2 * chance.normal(size=size))))
    labels = (chance.random(size) < true).astype(np.int64)
    raw = np.round(true**0.7, 6)  # in the right order, and too high
    told = Scorer(b"", FEATURES, steps_of(raw, labels, 50), 1).calibrated(raw)
    for share in (0.01, 0.1, 0.5, 1.0):
        high = np.argsort(-raw)[: int(share * size)]
        around = 4 * np.sqrt(true[high].mean() * (1 - true[high].mean()) / len(high))
        assert told[high].mean() == pytest.approx(true[high].mean(), abs=around), share
    assert told.min() > 0 and told.max() < 1


@pytest.mark.parametrize("planted_as", ["apart", "in the middle", "by being known", "by value"])
def test_a_leak_is_seen_however_it_tells(planted_as: str) -> None:
    chance = np.random.default_rng(2)
    labels = (chance.random(2000) < 0.05).astype(np.int64)
    noise = chance.normal(size=2000)
    left = labels == 1
    columns = {
        "apart": np.where(left, 9.0, noise)[:, None],
        "in the middle": np.where(left, 0.0, np.sign(noise) * (1 + np.abs(noise)))[:, None],
        "by being known": np.where(left, np.nan, noise)[:, None],
        "by value": np.eye(6)[np.where(left, chance.integers(0, 3, 2000), chance.integers(3, 6, 2000))],
    }[planted_as]
    assert separation(columns, labels) > 0.95
    assert 0.4 < separation(noise[:, None], labels) < 0.6


def test_a_leak_about_few_is_seen_among_many() -> None:
    chance = np.random.default_rng(2)
    labels = np.zeros(950, np.int64)
    labels[chance.choice(950, 14, replace=False)] = 1
    age = chance.integers(15, 90, 950) + 500.0 * labels
    assert separation(age[:, None], labels) > 0.98
    assert separation(chance.integers(15, 90, 950).astype(float)[:, None], labels) < 0.75


def test_a_rising_item_never_lowers_the_probability() -> None:
    matrix, labels = planted()
    turned = 1 - labels  # learned freely, the probability would fall with the drop
    free, bound = (train(matrix, turned, PARAMETERS, (0, 0, 0, way)) for way in (0, 1))
    rows = np.repeat(matrix[:50], 20, axis=0)
    rows[:, 3] = np.tile(np.linspace(-3, 3, 20), 50)
    steps = {
        name: np.diff(trees.predict(xgboost.DMatrix(rows)).reshape(50, 20), axis=1)
        for name, trees in (("free", free), ("bound", bound))
    }
    assert steps["free"].min() < -0.1 and steps["bound"].min() >= 0


def test_the_formula_is_the_sum_of_smoothed_rates() -> None:
    groups = {"brand": ["a"] * 50 + ["b"] * 50, "band": (["x"] * 25 + ["y"] * 25) * 2}
    labels = np.array([1] * 10 + [0] * 40 + [1] * 2 + [0] * 48)
    found = formula(groups, labels, {"brand": ["a", "b", "new"], "band": ["x", "y", "x"]}, 50)
    average = 12 / 100
    a, b = (10 + 50 * average) / 100, (2 + 50 * average) / 100
    x, y = (12 + 50 * average) / 100, (0 + 50 * average) / 100
    assert found == pytest.approx([100 * (a + x), 100 * (b + y), 100 * (average + x)], abs=1e-5)


def test_evidence_regression_finds_what_is_planted() -> None:
    matrix, labels = planted()
    later, outcome = planted(seed=6)
    told = EvidenceRegression(matrix, labels).probabilities(later)
    assert metrics.auc(outcome, told) > 0.75
    assert told.mean() == pytest.approx(outcome.mean(), abs=0.02)


def judged_on(bases: int, labels_of_last: str = "own", lag: int = 1, **parameters: object) -> Judged:
    parts = [planted(1500, seed) for seed in range(bases)]
    matrix = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    size = len(labels)
    base = np.repeat(np.arange(bases), 1500)
    if labels_of_last == "shuffled":
        last = base == bases - 1
        labels[last] = np.random.default_rng(1).permutation(labels[last])
    if labels_of_last == "all left":
        labels[:] = 1
    brands: Sequence[str] = np.where(matrix[:, 2] == 1, "b", "other").tolist()
    rule = {**PARAMETERS, **parameters}
    how = How(rule, (0, 0, 0, 0), lambda trees, steps: Scorer(trees, FEATURES, steps, 1), 50, 50, lag, 0.1, 40,
              lambda message: None)  # fmt: skip
    data = Data(
        keys=np.tile(np.arange(1500), bases),
        base=base,
        fold=np.tile(np.arange(1500) % 5, bases),
        matrix=matrix,
        labels=labels,
        active=matrix[:, 1] == 1,
        spend=np.arange(size) % 100.0,
        groups={"brand": brands},
    )
    return judge(data, how)


@pytest.mark.parametrize(("bases", "scheme", "customers"), [(1, "folds", 1500), (4, "dates", 3000)])
def test_a_judgement_ranks_what_knows_more_above_what_knows_less(
    bases: int, scheme: str, customers: int
) -> None:
    found = judged_on(bases)
    assert (found.scheme, found.customers) == (scheme, customers)
    figures = found.figures["all"]
    assert set(figures) == {"random", "spend", "formula", "evidence", "model"}
    order = [figures[rival]["auc"].value for rival in ("random", "formula", "model")]
    assert order == sorted(order) and order[2] > order[1] + 0.1
    assert figures["random"]["auc"].low < 0.5 < figures["random"]["auc"].high
    assert figures["model"]["auc"].low > figures["formula"]["auc"].high
    assert figures["model"]["calibration_error"].value < 0.05
    assert set(found.figures) == {"all", "active_value"}
    assert next(iter(found.drivers)) == "drop" and set(found.drivers) == {"drop", "brand", "noise"}
    assert list(found.by_base) == ([0] if bases == 1 else [2, 3])


def test_an_outcome_that_reaches_into_the_next_date_is_not_learned_from() -> None:
    """With two months' time, the date before has not passed: the one before that is taken."""
    found = judged_on(6, lag=2)
    assert found.scheme == "dates" and list(found.by_base) == [4, 5]
    assert judged_on(4, lag=2).scheme == "folds"


def test_customers_of_one_kind_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="all of one kind"):
        judged_on(1, labels_of_last="all left")


@pytest.mark.parametrize("bases", [1, 3])
def test_nobody_is_judged_by_a_model_that_has_learned_from_him(bases: int) -> None:
    """Outcomes that nothing can foretell are not foretold; a model that had seen them would do better."""
    found = judged_on(bases, labels_of_last="shuffled", max_depth=9, min_child_weight=1)
    for rival in ("model", "evidence", "formula"):
        # Below one half, by folds: the others have the fewer positive cases the more of them a fold has.
        assert 0.4 < found.figures["all"][rival]["auc"].value < 0.55, rival
