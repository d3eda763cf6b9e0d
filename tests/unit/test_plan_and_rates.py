"""The steps of a dispatch date, and the arithmetic of churn rates."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.kernel.cycle import CycleCalendar, CycleKind
from jobs.kernel.errors import CycleError
from jobs.kernel.project import Project
from jobs.modelling.rates import CALIBRATION_BINS, GAP, Rate, calibration, group_rates, smoothed
from jobs.stages.context import configure
from jobs.stages.plan import plan_date

EVERY = dict.fromkeys(CycleKind, 1)


def steps(day: str, calendar: CycleCalendar) -> list[str]:
    return [str(step) for step in plan_date(calendar, date.fromisoformat(day))]


def view_of(kind: str, as_of: str, cutoff: str) -> list[str]:
    return [f"{stage} {kind} as_of={as_of} cutoff={cutoff}" for stage in ("build_view", "score_risk")]


def test_a_plain_day() -> None:
    assert steps("2026-05-21", CycleCalendar(EVERY)) == [
        "ingest 2026-05-21",
        *view_of("daily", "2026-05-20", "2026-05-21"),
        "identify_moments daily as_of=2026-05-20 cutoff=2026-05-21",
        "dispatch 2026-05-21",
    ]


@pytest.mark.parametrize(
    ("day", "as_of", "kinds"),
    [
        ("2026-05-25", "2026-05-24", ["daily", "weekly"]),  # after a Sunday
        ("2026-05-01", "2026-04-30", ["daily", "monthly"]),  # after a month end
        ("2026-06-01", "2026-05-31", ["daily", "weekly", "monthly"]),  # after a Sunday that ends a month
    ],
)
def test_cycles_that_end_together_share_one_view(day: str, as_of: str, kinds: list[str]) -> None:
    assert steps(day, CycleCalendar(EVERY)) == [
        f"ingest {day}",
        *view_of("daily", as_of, day),
        *[f"identify_moments {kind} as_of={as_of} cutoff={day}" for kind in kinds],
        f"dispatch {day}",
    ]


def test_the_partitions_of_a_step_are_those_of_its_tables(project: Project) -> None:
    tables = configure(project).tables
    told = {}
    for step in plan_date(CycleCalendar(EVERY), date(2026, 6, 1)):
        for place in step.replaces:
            table, *columns = place.rstrip("/").split("/")
            told[table] = tuple(column.partition("=")[0] for column in columns)
    expected = {name: tables[name].partition_by for name in told if name in tables}
    assert {name: columns for name, columns in told.items() if name in tables} == expected
    assert set(told) - set(tables) == {"raw_*", "clean_*", "tiles_*", "customer_view"}
    by_run = {
        "run_ledger",
        "effects",
        "service_values",
        "service_measures",
        "quality_results",
        "releases",
        "erasures",
        "issued_alerts",
        "models",
        "promotions",
    }
    assert set(tables) - set(told) == by_run


def test_cycles_that_end_apart_have_a_view_each() -> None:
    calendar = CycleCalendar({CycleKind.daily: 1, CycleKind.weekly: 1, CycleKind.monthly: 3})
    assert steps("2026-06-03", calendar) == [
        "ingest 2026-06-03",
        *view_of("daily", "2026-06-02", "2026-06-03"),
        *view_of("monthly", "2026-05-31", "2026-06-03"),
        "identify_moments daily as_of=2026-06-02 cutoff=2026-06-03",
        "identify_moments monthly as_of=2026-05-31 cutoff=2026-06-03",
        "dispatch 2026-06-03",
    ]


def test_a_date_on_which_nothing_is_due() -> None:
    calendar = CycleCalendar(EVERY, snapshot=date(2022, 4, 30))
    assert len(steps("2022-05-01", calendar)) == 7
    with pytest.raises(CycleError) as caught:
        plan_date(calendar, date(2022, 5, 2))
    assert str(caught.value) == (
        "CYCLE_BAD_DATE no cycle is due on 2022-05-02; this source has one snapshot, of 2022-04-30"
    )


# --- rates -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("churned", "size", "average", "pseudo", "expected"),
    [
        (3, 50, "0.02", 50, "0.04000000"),
        (0, 0, "0.02", 50, "0.02000000"),
        (0, 0, "0.02", 0, "0.02000000"),
        (1, 3, "0.5", 0, "0.33333333"),
        (2, 3, "0.5", 0, "0.66666667"),
        (5, 5, "0.1", 0, "1.00000000"),
        (0, 1000000, "0.01", 50, "0.00000050"),
    ],
)
def test_smoothing(churned: int, size: int, average: str, pseudo: int, expected: str) -> None:
    assert smoothed(churned, size, Decimal(average), pseudo).as_tuple() == Decimal(expected).as_tuple()


def test_groups_are_drawn_to_the_average_of_their_term() -> None:
    counts = [("tenure", "old", 90, 3), ("tariff", "b", 0, 0), ("tenure", "new", 10, 2)]
    assert group_rates(counts, 10) == [
        Rate("tariff", "b", 0, 0, Decimal("0.00000000")),
        Rate("tenure", "new", 10, 2, Decimal("0.12500000")),
        Rate("tenure", "old", 90, 3, Decimal("0.03500000")),
    ]
    unknown = [("tenure", "old", 98, 2), ("tenure", "unknown", 2, 2)]
    assert group_rates(unknown, 10)[1] == Rate("tenure", "unknown", 2, 2, Decimal("0.04000000"))
    assert group_rates(reversed(counts), 10) == group_rates(counts, 10)
    assert group_rates([], 10) == []


def test_calibration_pools_what_falls() -> None:
    counts = {Decimal(1): (10, 1), Decimal(2): (10, 5), Decimal(3): (10, 3), Decimal(4): (10, 9)}
    assert [(rate.group, rate.size, rate.churned, rate.rate) for rate in calibration(counts, 0)] == [
        ("1", 10, 1, Decimal("0.10000000")),
        ("2", 20, 8, Decimal("0.40000000")),
        ("4", 10, 9, Decimal("0.90000000")),
    ]


def test_no_bin_of_the_calibration_reaches_across_a_gap() -> None:
    """A few who complained, far above the rest, are neither averaged with the calmest of them nor the other way."""
    # Bins hold 50: the last of the others would be filled up with those who complained.
    others = {Decimal(score) / 100: (10, 0) for score in range(100, 202)}
    complained = {Decimal(score) / 100: (10, 3) for score in range(900, 906)}
    top = calibration(others | complained, 50)[-1]
    assert (top.group, top.size, top.churned) == ("9", 60, 18)
    # The mean of all is drawn in, as for every step: (18 + 50 x 18 / 1080) / 110.
    assert top.rate == Decimal("0.17121212")
    # Of four who are alone out there nothing can be told: their smoothed rate is below that of the others.
    few = calibration({Decimal(1): (100, 0), Decimal(2): (100, 50), Decimal(30): (4, 1)}, 50)
    assert [(one.group, one.size) for one in few] == [("1", 100), ("2", 104)]


def test_the_last_few_below_a_gap_belong_to_the_step_below() -> None:
    counts = {Decimal(1): (100, 1), Decimal(2): (100, 5), Decimal("2.1"): (4, 4), Decimal(30): (100, 50)}
    assert [(rate.group, rate.size) for rate in calibration(counts, 100)] == [
        ("1", 100),
        ("2", 104),
        ("30", 100),
    ]


def test_calibration_of_nobody_is_empty() -> None:
    assert calibration({}, 50) == []
    assert calibration({Decimal(1): (0, 0)}, 50) == []


def test_calibration_of_one_score_is_the_average() -> None:
    assert calibration({Decimal("0.3"): (40, 10)}, 50) == [
        Rate("calibration", "0.3", 40, 10, Decimal("0.25000000"))
    ]


SCORES = st.dictionaries(
    st.decimals(min_value=-5, max_value=5, places=3),
    st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(SCORES, st.integers(0, 100))
def test_calibration_rises_and_keeps_every_customer(
    counts: dict[Decimal, tuple[int, int]], smoothing: int
) -> None:
    found = calibration(counts, smoothing)
    rates = [rate.rate for rate in found]
    assert all(low < high for low, high in pairwise(rates))
    assert sum(rate.size for rate in found) == sum(size for size, _ in counts.values())
    assert sum(rate.churned for rate in found) == sum(churned for _, churned in counts.values())
    assert all(0 <= rate <= 1 for rate in rates)
    groups = [Decimal(rate.group) for rate in found]
    assert groups == sorted(set(groups))
    assert set(groups) <= set(counts)
    assert (
        len(found) <= CALIBRATION_BINS + 1 / GAP
        or sum(size for size, _ in counts.values()) < CALIBRATION_BINS
    )


@settings(max_examples=50, deadline=None)
@given(SCORES, st.integers(0, 100))
def test_calibration_does_not_depend_on_the_order_of_scores(
    counts: dict[Decimal, tuple[int, int]], smoothing: int
) -> None:
    assert calibration(dict(reversed(counts.items())), smoothing) == calibration(counts, smoothing)
