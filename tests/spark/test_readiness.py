"""Runs that cannot be right end before they write: dates far from the data, missing files, late sources."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from jobs import build_view
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import CycleError, KeyMomentsError, LateError, SourceError
from jobs.kernel.project import Project
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.ingest import ingest
from jobs.stages.plan import plan_date, run_date, run_step
from jobs.stages.view import write_view
from tests.spark.little import HEADER, ROOT, SOURCE, Little

pytestmark = pytest.mark.spark

STRICT = SOURCE.replace("    gaps: empty\n", "").replace("{period}_{sequence}", "{period}")
Opened = Callable[[str], tuple[Little, RunContext]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A folder with usage of some days under a mapping, and a run that has loaded nothing yet."""

    def make(source: str, *days: str) -> tuple[Little, RunContext]:
        little = Little(tmp_path, source)
        for day in days:
            text = f"S1,{day[:4]}-{day[4:6]}-{day[6:8] or '01'},10\n"
            little.put(f"data_usage_{day}.csv", HEADER + text)
        little.said = []
        configuration = configure(Project(ROOT), "local", str(tmp_path / "little.yaml"))
        warehouse, extracts = str(tmp_path / "warehouse"), str(little.extracts)
        return little, open_run(configuration, warehouse, extracts, little.said.append)

    return make  # type: ignore[return-value]


def refused(context: RunContext, little: Little, day: date, kind: type[KeyMomentsError]) -> list[str]:
    """What a run of a date says that ends with exit code 2; nothing but its failure is written."""
    with pytest.raises(kind) as caught:
        run_date(context, day)
    assert caught.value.exit_code == 2
    assert set(little.versions()) == {"run_ledger"}
    return [str(issue) for issue in caught.value.issues]


def view_alone(little: Little) -> object:
    """The exit code of the view's own program."""
    mapping, warehouse = little.folder / "little.yaml", little.folder / "warehouse"
    with pytest.raises(SystemExit) as ended:
        build_view.main(str(mapping), "2026-05-30", CycleKind.daily, str(warehouse))
    return ended.value.code


def test_a_file_missing_between_others_ends_the_run_before_anything_is_loaded(opened: Opened) -> None:
    little, context = opened(STRICT, "202602", "202603", "202605", "20260603")
    little.put("data_usge_202604.csv", HEADER)
    assert refused(context, little, date(2026, 6, 4), SourceError) == [
        f"{little.extracts} FILE_MISSING no file of data_usage for 2026-04-01 to 2026-04-30, such as "
        "data_usage_202604.csv, though there are some before and after (did you mean 'data_usge_202604.csv'?); "
        "where that is right, let 'gaps' of the mapping say so",
        f"{little.extracts} FILE_MISSING no file of data_usage for 2026-06-01 to 2026-06-02, such as "
        "data_usage_20260601.csv, though there are some before and after (did you mean 'data_usge_202604.csv'?); "
        "where that is right, let 'gaps' of the mapping say so",
    ]
    assert "no mapping reads data_usge_202604.csv" in little.said


@pytest.mark.slow
def test_a_file_missing_after_the_cycle_is_no_matter(opened: Opened) -> None:
    little, context = opened(STRICT, "202604", "202606")
    run_step(context, plan_date(context.configuration.calendar, date(2026, 5, 1))[0])
    assert "deliveries" in little.versions()


@pytest.mark.slow
def test_values_across_a_gap_are_unknown_where_the_mapping_lets_them_be(opened: Opened) -> None:
    days = ("202603", "202604", "20260501", *(f"202605{day}" for day in range(20, 31)))
    little, context = opened(f"{STRICT.rstrip()}\n    gaps: unknown\n", *days)
    due = plan_date(context.configuration.calendar, date(2026, 5, 31))
    for step in due[:2]:
        run_step(context, step)
    [row] = little.table("customer_view").select("data_mb_7d", "data_mb_28d").rows()
    assert row == (70, None)


def test_a_mistyped_year_ends_the_run_before_anything_is_loaded(opened: Opened) -> None:
    little, context = opened(STRICT, "202604", "202605")
    assert refused(context, little, date(2062, 5, 31), CycleError) == [
        "CYCLE_BAD_DATE the newest data are of 2026-05-31; is 2062-05-30 after the last delivery?"
    ]
    assert refused(context, little, date(2006, 5, 31), CycleError) == [
        "CYCLE_BAD_DATE the first deliveries are of 2026-04-01; is 2006-05-30 before them?"
    ]


@pytest.mark.parametrize("alone", [False, True])
def test_a_source_to_be_waited_for_ends_the_run_before_the_view(opened: Opened, alone: bool) -> None:
    waiting = STRICT.replace("defaults:", "when_stale: {data_usage: wait}\ndefaults:")
    little, context = opened(waiting, "202604")
    day = date(2026, 5, 31)
    if alone:
        run_step(context, plan_date(context.configuration.calendar, day)[0])
        assert view_alone(little) == 5
    else:
        with pytest.raises(LateError, match="data_usage"):
            run_date(context, day)
    assert "clean_data_usage" in little.versions() and "customer_view" not in little.versions()


@pytest.mark.slow
def test_a_cutoff_before_the_first_subscription_has_no_view(opened: Opened) -> None:
    little, context = opened(STRICT, "202604")
    little.put(
        "subscriptions_202605.csv", "subscription_id,customer_id,updated_on,status\nS1,C1,2026-05-01,active\n"
    )
    run_step(context, plan_date(context.configuration.calendar, date(2026, 5, 1))[0])
    with pytest.raises(CycleError, match="no subscriptions are known by 2026-05-01"):
        write_view(context, Cycle(CycleKind.daily, date(2026, 4, 30), date(2026, 5, 1)))
    assert "customer_view" not in little.versions()


def test_a_gap_ends_the_view_when_stages_run_one_by_one(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    little, context = opened(STRICT, "202603", "202605")
    ingest(context)
    assert view_alone(little) == 2
    assert "FILE_MISSING no file of data_usage for 2026-04-01" in capsys.readouterr().err
    assert "clean_data_usage" in little.versions() and "customer_view" not in little.versions()


def test_one_date_of_several_that_is_out_of_place_keeps_all_from_running(opened: Opened) -> None:
    little, context = opened(STRICT, "202604", "202605")
    context.dates = (date(2026, 5, 31), date(2062, 6, 1))
    assert refused(context, little, date(2026, 5, 31), CycleError) == [
        "CYCLE_BAD_DATE the newest data are of 2026-05-31; is 2062-05-31 after the last delivery?"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("last", "expected"), [("20260530", 70), ("20260529", None)])
def test_a_window_whose_last_day_is_not_delivered_is_unknown(
    opened: Opened, last: str, expected: int | None
) -> None:
    """Otherwise the days that did not come would be days without use."""
    days = ["202604", *(f"202605{day:02}" for day in range(1, int(last[6:]) + 1))]
    little, context = opened(STRICT, *days)
    for step in plan_date(context.configuration.calendar, date(2026, 5, 31))[:2]:
        run_step(context, step)
    assert little.table("customer_view")["data_mb_7d"].to_list() == [expected]
