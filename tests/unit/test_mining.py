"""Mining: planted kinds are found and nothing else; figures against plain counting."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projectcopy import ProjectCopy
from scipy.stats import binomtest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.config.mining import Search, load_mining
from jobs.kernel.project import Project
from jobs.modelling.conditions import Condition, counted, cuts
from jobs.modelling.features import Feature
from jobs.modelling.mining import Cases, Kind, MomentFound, mine
from jobs.modelling.tally import Tally, strength, tally
from jobs.rulelang.ruleset import RuleSet
from jobs.stages.context import configure
from jobs.stages.questionnaires import OTHER_WORDS, Naming, tallied
from jobs.synthetic.facts import PLANS, RESTLESS_PREFIXES
from jobs.synthetic.lines import make_lines
from jobs.synthetic.people import make_people
from jobs.synthetic.timeline import MONTH_LENGTHS, MONTH_STARTS

ROOT = Path(__file__).parents[2]
NOISE = 25
FEATURES = (
    Feature("complaints"), Feature("brand", "a"), Feature("brand", "b"), Feature("is_payer"),
    *(Feature(f"noise_{number}") for number in range(NOISE)),
)  # fmt: skip
TYPES = {
    "complaints": "integer", "brand": "string", "is_payer": "boolean",
    **{f"noise_{number}": "decimal" for number in range(NOISE)},
}  # fmt: skip

rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 1), st.integers(0, 2), st.booleans()), min_size=1, max_size=60
)


@pytest.fixture(scope="module")
def search() -> Search:
    return load_mining(Project(ROOT)).search


def planted(size: int = 24_000, seed: int = 3, effect: float = 1.0) -> Cases:
    """Whoever complained twice, and whoever has brand b and pays himself, leaves far more often."""
    chance = np.random.default_rng(seed)
    complaints = chance.poisson(0.25, size).astype(float)
    brand, payer = chance.integers(0, 4, size), chance.random(size) < 0.3
    noise = chance.normal(size=(size, NOISE))
    matrix = np.column_stack([complaints, brand == 1, brand == 2, payer, noise]).astype(np.float32)
    log_risk = math.log(0.02) + effect * (1.5 * (complaints >= 2) + 1.2 * ((brand == 2) & payer))
    labels = (chance.random(size) < np.exp(log_risk)).astype(np.int64)
    # What is unknown is so by chance.
    matrix[chance.random(matrix.shape) < 0.03] = np.nan
    return Cases(
        matrix=matrix,
        features=FEATURES,
        types=TYPES,
        labels=labels,
        date=chance.integers(0, 3, size),
        customer=np.arange(size),
        city=np.array(["", "合肥", "芜湖"])[chance.integers(0, 3, size)].tolist(),
        searched=chance.random(size) < 0.5,
        moments={"complaint": complaints >= 1},
    )


def told(kinds: Sequence[Kind], verdict: str = "confirmed") -> set[str]:
    return {" and ".join(sorted(one.text.split(" and "))) for one in kinds if one.verdict == verdict}


PLANTED = {"complaints >= 2", "brand = 'b' and is_payer = true"}


def test_what_is_planted_is_found_and_nothing_else(search: Search) -> None:
    found = mine(planted(60_000), search)
    assert told(found.kinds) == PLANTED
    tells = {"complaints", "brand", "is_payer"}
    assert {one.item for one in found.items[:2]} == {"complaints", "brand"}
    for one in found.items:
        assert one.item in tells or one.information < 2.5 * one.noise
    [moment] = found.moments
    assert moment.moment == "complaint" and moment.chance < 1e-3 and 1.2 < moment.found.lift < 2
    complaints = next(one for one in found.kinds if one.text == "complaints >= 2")
    assert complaints.moments == {"complaint": 1.0} and complaints.beyond.size == 0
    assert set(complaints.by_city) == {"合肥", "芜湖"} and set(complaints.by_date) == {0, 1, 2}
    other = next(one for one in found.kinds if len(one.conditions) == 2)
    assert 0.1 < other.moments["complaint"] < 0.35 and other.beyond.lift > 2


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_where_nothing_is(search: Search, seed: int) -> None:
    assert told(mine(planted(seed=seed, effect=0.0), search).kinds) == set()


def test_the_half_that_was_searched_has_no_say(search: Search) -> None:
    """In the other half leaving is drawn anew: whatever the search found, nothing of it is confirmed."""
    cases = planted()
    chance = np.random.default_rng(9)
    judging = np.flatnonzero(~cases.searched)
    labels = cases.labels.copy()
    labels[judging] = labels[chance.permutation(judging)]
    found = mine(replace(cases, labels=labels), search)
    assert any(one.searched.lift > 2 for one in found.kinds)
    assert told(found.kinds) == set() and told(found.kinds, "chance") >= PLANTED


def test_the_order_of_rows_does_not_matter(search: Search) -> None:
    cases = planted(8_000)
    order = np.random.default_rng(1).permutation(len(cases.labels))
    moved = replace(
        cases,
        matrix=cases.matrix[order],
        labels=cases.labels[order],
        date=cases.date[order],
        customer=cases.customer[order],
        city=[cases.city[place] for place in order],
        searched=cases.searched[order],
        moments={name: applies[order] for name, applies in cases.moments.items()},
    )
    assert mine(moved, search) == mine(cases, search)


def test_figures_are_those_of_counting(search: Search) -> None:
    """Each kind's customers counted row by row, with its conditions read as a person would."""
    cases = planted(8_000)
    found = mine(cases, replace_search(search, least_z=1.0, least_lift=1.0))
    assert len(found.kinds) > 5 and any(len(one.conditions) == 3 for one in found.kinds)
    names = [one.name for one in cases.features]

    def fulfils(row: int, condition: Condition) -> bool:
        value = cases.matrix[row, names.index(f"{condition.item}={condition.value}")
                             if condition.item == "brand" else names.index(condition.item)]  # fmt: skip
        if math.isnan(value):
            return False
        if condition.item == "brand":
            return bool(value == 1)
        if isinstance(condition.value, bool):
            return bool(value == condition.value)
        limit = np.float32(condition.value)
        return bool(value >= limit) if condition.sign == ">=" else bool(value < limit)

    for one in found.kinds:
        for half, searched in ((one.searched, True), (one.judged, False)):
            mine_ = [row for row in range(len(cases.labels)) if cases.searched[row] == searched]
            inside = [row for row in mine_ if all(fulfils(row, it) for it in one.conditions)]
            assert (half.size, half.positive) == (len(inside), sum(cases.labels[row] for row in inside))
            assert half.everybody == len(mine_)
            shares = {
                day: np.mean([cases.labels[row] for row in mine_ if cases.date[row] == day])
                for day in range(3)
            }
            assert half.expected == pytest.approx(sum(shares[cases.date[row]] for row in inside), abs=1e-5)


def replace_search(search: Search, **changes: float) -> Search:
    return Search.model_validate({**search.model_dump(), **changes})


@given(rows)
def test_a_tally_is_what_counting_gives(drawn: list[tuple[bool, int, int, bool]]) -> None:
    kind = np.array([one[0] for one in drawn])
    labels, date = (np.array([one[place] for one in drawn]) for place in (1, 2))
    among = np.array([one[3] for one in drawn])
    found = tally(kind, labels, date, among)
    days: dict[int, list[tuple[bool, int]]] = defaultdict(list)
    for inside, label, day, counts in drawn:
        if counts:
            days[day].append((inside, label))
    expected = sum(
        sum(inside for inside, _ in day) * sum(label for _, label in day) / len(day) for day in days.values()
    )
    everybody = [one for day in days.values() for one in day]
    assert found.size == sum(inside for inside, _ in everybody)
    assert found.positive == sum(label for inside, label in everybody if inside)
    assert (found.everybody, found.everybody_positive) == (len(everybody), sum(one for _, one in everybody))
    assert found.expected == pytest.approx(expected, abs=1e-5)


@given(rows)
@settings(max_examples=50)
def test_strength_is_the_log_rank_statistic(drawn: list[tuple[bool, int, int, bool]]) -> None:
    """Mean and variance of the hypergeometric count on each date, added up one by one."""
    sizes, hits, everybody, positive = (np.zeros(3) for _ in range(4))
    for inside, label, day, _ in drawn:
        sizes[day] += inside
        hits[day] += inside * label
        everybody[day] += 1
        positive[day] += label
    lift, z = strength(sizes, hits, everybody, positive)
    mean = variance = 0.0
    for n, k, size in zip(everybody, positive, sizes, strict=True):
        mean += size * k / n if n else 0
        variance += size * (k / n) * ((n - k) / n) * ((n - size) / (n - 1)) if n > 1 else 0
    if mean > 0:
        # A date with a single customer counts for half a one, so that nothing is divided by nothing.
        alone = ((everybody == 1) & (sizes * positive > 0)).any()
        if not alone and variance > 0:
            assert lift == pytest.approx(hits.sum() / mean)
            assert z == pytest.approx((hits.sum() - mean) / math.sqrt(variance))
    else:
        assert (lift, z) == (0, 0)


@given(st.integers(1, 300), st.floats(0.01, 0.9), st.data())
def test_chance_and_interval_are_those_of_the_binomial(size: int, share: float, data: st.DataObject) -> None:
    positive = data.draw(st.integers(0, size))
    one = Tally(size, positive, 10 * size, 10, size * share)
    exact = binomtest(positive, size, share, alternative="greater")
    assert one.chance == pytest.approx(exact.pvalue, abs=1e-9)
    around = binomtest(positive, size, share).proportion_ci(0.95)
    assert one.interval.low == pytest.approx(around.low / share, abs=1e-9)
    assert one.interval.high == pytest.approx(around.high / share, abs=1e-9)


def test_cuts_are_as_people_would_choose_them() -> None:
    values = np.array([0.7, 0.71, 0.72, np.nan, 1234.5])
    assert cuts(values, False, 3) == [0.71, 0.72, 1200.0]
    assert cuts(np.array([np.nan]), False, 3) == [] and cuts(np.array([2.0, 2.0]), True, 3) == []
    # What stands there as 0.7 is not below 0.7, although the matrix holds a little less.
    column = np.array([[0.7], [0.69]], np.float32)
    assert Condition(0, "x", ">=", 0.7).met(column).tolist() == [True, False]


def test_conditions_count_who_fulfils_them() -> None:
    cases = planted(2_000)
    for one in counted(cases.matrix, cases.labels, cases.date, FEATURES, TYPES, 8):
        inside = one.condition.met(cases.matrix)
        same = tally(inside, cases.labels, cases.date)
        assert one.share == pytest.approx(same.share)
        assert one.lift == pytest.approx(same.lift if same.expected else 0.0, rel=1e-5)


def test_the_drivers_of_the_province_come_to_light(search: Search) -> None:
    """Lives of subscriptions as the province draws them, month by month, among items that tell nothing."""
    lines = make_lines(make_people(1, 0, 60_000))
    life, calm = lines.life, ~lines.told
    chance = np.random.default_rng(1)
    names = ["fee", "young", "card", "off_net", "restless", "grievance", *(f"noise_{n}" for n in range(20))]
    fee = np.array([plan.fee for plan in PLANS])[lines.plan]
    brand = np.array([plan.brand for plan in PLANS])[lines.plan]
    restless = np.isin(lines.number // 100_000_000, RESTLESS_PREFIXES)
    alone = chance.normal(size=(len(lines), 20))
    matrix = np.column_stack([
        fee, brand == "动感地带", brand == "神州行", lines.off_net, restless, lines.grievance, alone,
    ]).astype(np.float32)  # fmt: skip
    there = [calm & life.active(int(start) - 1) for start in MONTH_STARTS[1:-1]]
    left = [
        (life.closed >= start) & (life.closed < start + length) & ~life.disconnected
        for start, length in zip(MONTH_STARTS[1:-1], MONTH_LENGTHS[1:], strict=True)
    ]
    half = chance.random(len(lines)) < 0.5
    cases = Cases(
        matrix=np.concatenate([matrix[rows] for rows in there]),
        features=[Feature(name) for name in names],
        types=dict.fromkeys(names, "decimal") | dict.fromkeys(("young", "card", "restless"), "boolean"),
        labels=np.concatenate([gone[rows] for gone, rows in zip(left, there, strict=True)]).astype(np.int64),
        date=np.concatenate([np.full(rows.sum(), place) for place, rows in enumerate(there)]),
        customer=np.concatenate([np.flatnonzero(rows) for rows in there]),
        city=[""] * sum(int(rows.sum()) for rows in there),
        searched=np.concatenate([half[rows] for rows in there]),
        moments={},
    )
    found = mine(cases, search)
    named = {
        condition.item for one in found.kinds if one.verdict == "confirmed" for condition in one.conditions
    }
    assert named >= {"fee", "off_net", "restless", "grievance"}
    assert not [name for name in named if name.startswith("noise")]
    assert {one.item for one in found.items[:5]} >= {"fee", "off_net", "restless", "grievance"}


def test_questionnaires_beside_what_was_found(search: Search) -> None:
    rules: RuleSet = configure(Project(ROOT)).rules

    def moment(name: str, chance: float, positive: int = 20, expected: float = 10.0) -> MomentFound:
        return MomentFound(name, Tally(100, positive, 1000, 100, expected), chance)

    found = {
        one.moment: one
        for one in (
            moment("complaint", 0.001), moment("birthday", 0.6), moment("bill_surge", 0.01),
            moment("holiday", 0.9), moment("low_balance", 0.001, 11), moment("suspended", 1.0, 0, 0.0),
        )
    }  # fmt: skip
    named = [
        *(Naming("manager", f"M{number}", "客户投诉") for number in range(3)),
        # Who says it twice, in whatever words, is counted once.
        Naming("manager", "M1", " Complaint "),
        Naming("customer", "S1", "complaint"),
        Naming("customer", "S2", "birthday"),
        Naming("manager", "M1", "low_balance"),
        Naming("manager", "M1", "suspended"),
        *(
            Naming("customer", f"S{number}", "Moving House"[: None if number % 2 else 99])
            for number in range(6)
        ),
        Naming("customer", "S1", "call Zhang Wei 13812345678"),
    ]
    told_ = {one.moment: one for one in tallied(named, found, rules, search)}
    assert told_["complaint"].named == {"manager": 3, "customer": 1}
    assert {name: one.verdict for name, one in told_.items()} == {
        "complaint": "both", "birthday": "named", "bill_surge": "mined", "holiday": "neither",
        "low_balance": "named", "suspended": "untold", "moving house": "untold", OTHER_WORDS: "untold",
    }  # fmt: skip
    # What few say may be anything, and is not told.
    assert told_["moving house"].named["customer"] == 6 and told_[OTHER_WORDS].named["customer"] == 1
    assert told_["complaint"].lift == 2.0 and told_["suspended"].lift is None


def test_one_customer_on_many_dates_is_no_crowd() -> None:
    """Of customers who differ for good, and a kind that says nothing: chance is no rarer than it says."""
    chance = np.random.default_rng(4)
    customers, dates = 1_500, 6
    alone, clustered = [], []
    for _ in range(300):
        kind = np.repeat(chance.random(customers) < 0.15, dates)
        risk = np.repeat(np.minimum(0.05 * chance.gamma(0.3, 1 / 0.3, customers), 1), dates)
        labels = (chance.random(customers * dates) < risk).astype(np.int64)
        date = np.tile(np.arange(dates), customers)
        customer = np.repeat(np.arange(customers), dates)
        alone.append(tally(kind, labels, date).chance)
        clustered.append(tally(kind, labels, date, customer=customer).chance)
    assert np.mean(np.array(alone) < 0.05) > 0.08
    assert np.mean(np.array(clustered) < 0.05) < 0.075


def test_settings_that_do_not_fit(project_copy: ProjectCopy) -> None:
    project_copy.replace("conf/mining.yaml", "plan: retention_talk", "plan: retention_talks")
    done = CliRunner().invoke(app, ["check", "--project-dir", str(project_copy.root)])
    assert done.exit_code == 2 and "proposals.plan: there is no 'retention_talks'" in done.stderr
    assert "did you mean 'retention_talk'?" in done.stderr


def test_an_unknown_model_costs_one_line(tmp_path: Path) -> None:
    asked = ["mine", "--source", str(ROOT / "conf/sources/synthetic.yaml"), "--as-of", "2026-05-31"]
    done = CliRunner().invoke(app, [*asked, "--model", "chrun", "--out", str(tmp_path)])
    assert done.exit_code == 2 and "did you mean 'churn'?" in done.stderr
    done = CliRunner().invoke(app, [*asked, "--out", str(ROOT / "README.md")])
    assert done.exit_code == 2 and "README.md is no folder to write to: File exists" in done.stderr
