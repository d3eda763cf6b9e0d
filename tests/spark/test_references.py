"""Rows that refer to nothing known, or come too late: refused with a reason, and released when it has gone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from jobs.stages import ingest as ingest_stage
from jobs.stages.deliveries import OVERTAKEN
from jobs.stages.release import Released, release
from jobs.stages.trial import try_file
from tests.spark.little import HEADER, SOURCE, Killed, Little, killed_over_and_over

pytestmark = [pytest.mark.spark, pytest.mark.slow]

STAFF = """
  - contract: managers
    files: managers_{period}.csv
    fields: same
  - contract: manager_assignments
    files: assigned_{period}.csv
    max_bad_share: 1
    fields: same
"""
ASSIGNED = "customer_id,updated_on,manager_id\n"


def managers(*names: str) -> str:
    body = "".join(f"{name},2026-05-01,南京,20\n" for name in names)
    return "manager_id,updated_on,city,daily_visits\n" + body


@pytest.fixture
def little(tmp_path_factory: pytest.TempPathFactory) -> Little:
    source = SOURCE.replace("{sequence}.csv\n", "{sequence}.csv\n    max_bad_share: 1\n") + STAFF
    return Little(tmp_path_factory.mktemp("references"), source)


def refused(little: Little) -> list[tuple[str, int, list[str], str]]:
    return sorted(little.table("quarantine").select("file", "line", "reasons", "original").rows())


def test_a_row_waits_for_the_row_it_refers_to(little: Little) -> None:
    little.put("managers_202605.csv", managers("M1"))
    rows = "C1,2026-05-02,M1\nC2,2026-05-02,M9\nC3,2026-02-30,M9\n"
    little.put("assigned_202605.csv", ASSIGNED + rows)
    little.put("data_usage_202605_1.csv", HEADER + "S1,2026-05-02,3\n")
    context = little.run()
    # The second has one reason; the third would have been refused anyway and tells both.
    assert refused(little) == [
        ("assigned_202605.csv", 3, ["reference:manager_id"], "C2,2026-05-02,M9"),
        ("assigned_202605.csv", 4, ["type:updated_on", "reference:manager_id"], "C3,2026-02-30,M9"),
    ]
    assert release(context, "manager_assignments") == Released(loaded=0, left=2)
    little.put("managers_202606.csv", managers("M9"))
    context = little.run()
    assert release(context, "manager_assignments") == Released(loaded=1, left=1)
    assert [row[:2] for row in refused(little)] == [("assigned_202605.csv", 4)]
    clean = little.table("clean_manager_assignments").select("customer_id", "manager_id")
    assert sorted(clean.rows()) == [("C1", "M1"), ("C2", "M9")]
    deliveries = little.table("deliveries").filter(pl.col("file") == "assigned_202605.csv")
    columns = ["rows_read", "rows_loaded", "rows_quarantined", "rows_duplicate"]
    assert deliveries.select(columns).rows() == [(3, 2, 1, 0)]


def test_an_event_after_its_period_is_in_the_future(little: Little) -> None:
    """But for a day, as sources cut their days differently."""
    rows = "S1,2026-05-31,1\nS1,2026-06-01,2\nS1,2026-06-02,3\nS1,2062-05-01,4\n"
    little.put("managers_202605.csv", managers("M1"))
    little.put("assigned_202605.csv", ASSIGNED)
    little.put("data_usage_202605_1.csv", HEADER + rows)
    little.run()
    assert little.usage() == [("S1", "2026-05-31", 1), ("S1", "2026-06-01", 2)]
    assert refused(little) == [
        ("data_usage_202605_1.csv", 4, ["future:used_on"], "S1,2026-06-02,3"),
        ("data_usage_202605_1.csv", 5, ["future:used_on"], "S1,2062-05-01,4"),
    ]


def test_a_row_too_long_before_its_period_is_late(little: Little) -> None:
    little.put("managers_202605.csv", managers("M1"))
    little.put("assigned_202605.csv", ASSIGNED + "C1,2026-05-02,M1\n")
    # 92 days before May begin on 29 January; a delivery of a day counts from that day.
    little.put("data_usage_202605_1.csv", HEADER + "S1,2026-01-28,1\nS1,2026-01-29,2\nS1,2026-06-01,3\n")
    little.put("data_usage_20260603_1.csv", HEADER + "S1,2026-03-02,4\nS1,2026-03-03,5\n")
    little.run()
    late = ["late:used_on"]
    assert refused(little) == [
        ("data_usage_202605_1.csv", 2, late, "S1,2026-01-28,1"),
        ("data_usage_20260603_1.csv", 2, late, "S1,2026-03-02,4"),
    ]
    assert [mb for _, _, mb in little.usage()] == [2, 5, 3]
    # A mapping that allows more has the files read again, and refuses nothing.
    path = little.folder / "little.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("{sequence}.csv\n", "{sequence}.csv\n    late_after_days: 365\n"), encoding="utf-8"
    )
    little.run()
    assert refused(little) == []
    assert [mb for _, _, mb in little.usage()] == [1, 2, 4, 5, 3]


def test_what_a_killed_load_took_away_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its file has gone nobody knows whom rows name; those that refer to it are refused all the same."""
    source = SOURCE + STAFF.replace("managers_{period}", "managers_{period}_{sequence}")
    little = Little(tmp_path, source)
    first = little.put("managers_202605_1.csv", managers("M1"))
    little.put("assigned_202604.csv", ASSIGNED)
    little.put("data_usage_202604_1.csv", HEADER)
    little.run()
    first.unlink()
    second = little.put("managers_202605_2.csv", managers("M2"))
    with monkeypatch.context() as patch:
        patch.setattr(ingest_stage, "_record", killing)
        with pytest.raises(Killed):
            little.run()
    second.unlink()
    path = little.put("assigned_202605.csv", ASSIGNED + "C1,2026-05-02,NOBODY\n")
    little.run()
    assert refused(little) == [("assigned_202605.csv", 2, ["reference:manager_id"], "C1,2026-05-02,NOBODY")]
    assert path.exists() and any("deliver it again" in line for line in little.said)


def killing(*_: object) -> None:
    raise Killed


def test_a_file_is_tried_beside_what_stays(little: Little) -> None:
    """Its references are looked up in what is loaded but for what it replaces."""
    little.put("managers_202605.csv", managers("M1"))
    little.put("assigned_202605.csv", ASSIGNED + "C1,2026-05-02,M1\n")
    little.put("data_usage_202605_1.csv", HEADER + "S1,2026-05-02,3\n")
    context = little.run()
    [trial] = try_file(
        context, little.put("assigned_202606.csv", ASSIGNED + "C2,2026-06-02,M1\nC3,2026-06-02,M9\n")
    )
    assert (trial.counts.accepted, trial.reasons) == (1, {"reference:manager_id": 1})
    # As a whole: how many rows are expected, how late they end, and whether a newer one is there.
    empty = little.put("managers_202606.csv", managers())
    [trial] = try_file(context, empty)
    assert [issue.message for issue in trial.refused] == ["has 0 rows; expected at least 1"]
    empty.unlink()
    little.put("data_usage_202605_3.csv", HEADER + "S1,2026-05-31,3\n")
    context = little.run()
    [trial] = try_file(context, little.put("data_usage_202605_2.csv", HEADER + "S1,2026-05-12,3\n"))
    assert trial.notes == [
        "data_usage_202605_2.csv ends 19 days before its period; expected at most 0",
        f"data_usage_202605_2.csv would not be loaded, {OVERTAKEN}",
    ]
    assert trial.refused == []


CALLS = """
  - contract: number_segments
    files: segments_{period}_{sequence}.csv
    fields: same
  - contract: voice_usage
    files: calls_{period}_{sequence}.csv
    max_bad_share: 1
    fields: same
"""
CORRECTED = SOURCE + STAFF.replace("managers_{period}", "managers_{period}_{sequence}") + CALLS
CALL = "subscription_id,started_at,direction,counterpart,duration_s\nS1,2026-05-02 10:00:00,out,{},60\n"
SEGMENTS = "prefix,updated_on,operator\n"
TOGETHER = {
    "managers_202605_2.csv": managers("M2"),
    "segments_202605_2.csv": SEGMENTS + "138,2026-05-01,third\n134,2026-05-01,second\n",
}
AFTER = {
    "assigned_202605.csv": ASSIGNED + "C1,2026-05-02,M1\nC2,2026-05-02,M2\n",
    "data_usage_202605_1.csv": HEADER + "S1,2026-05-02,3\n",
    "calls_202605_1.csv": CALL.format("13900000001") + CALL.format("13800000001").splitlines()[1] + "\n",
}


@pytest.mark.parametrize("way", ["together", "one after the other", "killed"])
def test_rows_are_looked_up_in_what_there_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Not in what the same load replaces, nor in what a killed one has put there."""
    little = Little(tmp_path, CORRECTED)
    little.put("managers_202605_1.csv", managers("M1"))
    # Of a prefix that stands twice the later row holds, then that of the later file, then the one further down.
    segments = "138,2026-05-01,wrong\n139,2026-05-01,first\n138,2026-05-01,first\n137,2026-04-02,first\n"
    little.put("segments_202605_1.csv", SEGMENTS + segments)
    little.put("segments_202604_1.csv", SEGMENTS + "138,2026-05-01,older\n137,2026-04-03,newer\n")
    little.put("assigned_202604.csv", ASSIGNED.replace("05", "04"))
    calls = CALL.format("13800000001") + CALL.format("13700000001").splitlines()[1] + "\n"
    little.put("calls_202604_1.csv", calls.replace("2026-05", "2026-04"))
    little.put("data_usage_202604_1.csv", HEADER)
    little.run()
    assert sorted(little.table("clean_voice_usage")["counterpart_operator"]) == ["first", "newer"]
    for name, text in TOGETHER.items():
        little.put(name, text)
    if way == "one after the other":
        little.run()
    for name, text in AFTER.items():
        little.put(name, text)
    if way == "killed":
        # Whatever of it is written already, nothing else comes out.
        assert killed_over_and_over(monkeypatch, little.run, (2, 6, 9, 100)) == 100
    else:
        little.run()
    told = [("assigned_202605.csv", 2, ["reference:manager_id"], "C1,2026-05-02,M1")]
    assert refused(little) == told
    clean = little.table("clean_manager_assignments").select("customer_id", "manager_id")
    assert clean.rows() == [("C2", "M2")]
    calls = little.table("clean_voice_usage").filter(pl.col("started_at").dt.month() == 5)
    assert sorted(calls["counterpart_operator"].to_list(), key=str) == [None, "third"]
