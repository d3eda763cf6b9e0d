"""Refused rows are loaded once their mapping is mended, as if it had been right from the start."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.ingest import ingest
from jobs.stages.release import Released, release
from tests.spark.little import HEADER, ROOT, SOURCE, Little, Project, killed_over_and_over
from tests.spark.test_joins import DAY, FIRST, SECOND, SOURCE_OF_TWO

pytestmark = [pytest.mark.spark, pytest.mark.slow]

WRONG = SOURCE.replace("fields: same\n", "fields: same\n    max_bad_share: 1\n")
MENDED = WRONG.replace(
    "fields: same\n    max_bad_share: 1\n  - contract: data",
    "max_bad_share: 1\n    fields: {subscription_id: subscription_id, customer_id: customer_id, updated_on: updated_on, "
    "number: number, status: lower(status)}\n  - contract: data",
).replace(
    "sequence}.csv\n    fields: same",
    "sequence}.csv\n    fields: {subscription_id: subscription_id, used_on: used_on, mb: round(number(mb))}",
)
SUBSCRIPTIONS = (
    "subscription_id,customer_id,updated_on,number,status\n"
    "S1,C1,2026-05-01,13400000001,active\nS2,C2,2026-05-01,13400000002,ACTIVE\n"
    "S3,C3,2026-05-01,13400000003,gone\n"
)
USAGE = {
    # The second row of S1 takes the place of the first once it can be read; the 28th is a day of its own.
    "data_usage_20260530_1.csv": "S1,2026-05-30,10\nS1,2026-05-30,11.6\nS2,2026-05-28,0.4\nS2,soon,1\n",
    "data_usage_20260531_1.csv": "S1,2026-05-30,12\nS1,2026-05-31,5\nS2,2026-05-31,2.5,\n",
}


def fed(folder: Path, source: str) -> Little:
    folder.mkdir()
    little = Little(folder, source)
    little.put("subscriptions_202605.csv", SUBSCRIPTIONS)
    for name, rows in USAGE.items():
        little.put(name, HEADER + rows)
    little.run()
    return little


def rerun(little: Little) -> RunContext:
    configuration = configure(Project(ROOT), "local", str(little.folder / "little.yaml"))
    return open_run(configuration, str(little.folder / "warehouse"), str(little.extracts))


def content(little: Little, name: str) -> list[str]:
    frame = little.table(name).drop(
        "run_id", "delivery_id", "mapping_fingerprint", "drift", "original", strict=False
    )
    rows = frame.select(sorted(frame.columns)).to_dicts()
    return sorted(str({name: _sorted(value) for name, value in row.items()}) for row in rows)


def _sorted(value: object) -> object:
    """A value in which the entries of a map have an order of their own.

    Those of no row say nothing, nor do those of fields that only the wrong mapping fills.
    """
    if not isinstance(value, dict):
        return value
    return sorted((name, one) for name, one in value.items() if one and not name.startswith("nulls:"))


def test_released_rows_are_where_they_would_be(tmp_path: Path) -> None:
    fresh = fed(tmp_path / "fresh", MENDED)
    mended = fed(tmp_path / "mended", WRONG)
    before = counts_of(mended)
    assert before == {"subscriptions": (3, 1, 2), "data_usage": (7, 3, 4)}
    (mended.folder / "little.yaml").write_text(MENDED, encoding="utf-8")
    context = rerun(mended)
    assert release(context, "subscriptions") == Released(loaded=1, left=1)
    assert release(context, "data_usage", "data_usage_20260530_1.csv") == Released(loaded=2, left=1)
    assert release(context, "data_usage") == Released(loaded=0, left=2)
    for name in ("raw_subscriptions", "clean_subscriptions", "identity", "raw_data_usage", "clean_data_usage",
                 "tiles_data_usage", "quarantine", "deliveries"):  # fmt: skip
        assert content(mended, name) == content(fresh, name), name
    # Nothing is left to do, and nothing is done twice.
    versions = mended.versions()
    assert release(rerun(mended), "subscriptions") == Released(loaded=0, left=1)
    assert mended.versions() == versions
    # The files are still there and their mapping is another: they are loaded again as a whole, to the same end.
    ingest(rerun(mended))
    for name in ("clean_subscriptions", "clean_data_usage", "quarantine"):
        assert content(mended, name) == content(fresh, name), name


def test_a_release_that_is_killed_is_made_good_by_running_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, shot = fed(tmp_path / "calm", WRONG), fed(tmp_path / "shot", WRONG)
    for one in (calm, shot):
        (one.folder / "little.yaml").write_text(MENDED, encoding="utf-8")
    assert release(rerun(calm), "data_usage") == Released(loaded=2, left=2)
    # Raw, clean, tiles, deliveries, quarantine.
    assert killed_over_and_over(monkeypatch, lambda: release(rerun(shot), "data_usage"), range(100)) == 5
    for name in calm.versions():
        if name not in ("run_ledger", "quality_results"):
            assert content(shot, name) == content(calm, name), name
    assert release(rerun(shot), "data_usage") == Released(loaded=0, left=2)


def test_a_row_of_two_files_is_released_with_both(tmp_path: Path) -> None:
    """Its own fields and those beside it count; what no second record was found for still lacks one."""
    little = Little(tmp_path, SOURCE_OF_TWO)
    little.put("sessions_202605_1.csv", FIRST + f"s1,{DAY},S1\ns2,{DAY},S2\ns3,{DAY},S3\n,{DAY},S4\n")
    little.put("volumes_202605_1.csv", SECOND + f"5,{DAY},s1\n6.4,{DAY},s2\nmany,{DAY},s3\n8,{DAY},s9\n")
    little.run()
    assert little.usage() == [("S1", DAY, 5)]
    mapping = little.folder / "little.yaml"
    text = mapping.read_text(encoding="utf-8")
    mapping.write_text(
        text.replace("mb: joined.megabytes", "mb: round(number(joined.megabytes))"), encoding="utf-8"
    )
    assert release(rerun(little), "data_usage") == Released(loaded=1, left=3)
    assert little.usage() == [("S1", DAY, 5), ("S2", DAY, 6)]
    assert sorted(little.table("quarantine").select("file", "line").rows()) == [
        ("sessions_202605_1.csv", 4), ("sessions_202605_1.csv", 5), ("volumes_202605_1.csv", 5),
    ]  # fmt: skip
    columns = ["rows_read", "rows_loaded", "rows_quarantined", "rows_duplicate"]
    rows = little.table("deliveries").filter(pl.col("contract") == "data_usage").sort("file")
    assert rows.select(columns).rows() == [(4, 2, 2, 0), (1, 0, 1, 0)]


def test_what_a_mended_mapping_reads_besides_is_released_or_stays(tmp_path: Path) -> None:
    """Of JSON Lines a name that was not looked for before; of delimited text a column that is not there."""
    objects = SOURCE.replace(
        "data_usage_{period}_{sequence}.csv", "data_usage_{period}_{sequence}.jsonl"
    ).replace(
        "sequence}.jsonl\n    fields: same",
        "sequence}.jsonl\n    format: jsonl\n    max_bad_share: 1\n    fields: {subscription_id: s, used_on: d, mb: v}",
    )
    little = Little(tmp_path, objects)
    little.put("data_usage_202605_1.jsonl", '{"s": "S1", "d": "2026-05-02", "vol": "7"}\n')
    little.run()
    mapping = little.folder / "little.yaml"
    mapping.write_text(objects.replace("mb: v", "mb: 'coalesce(v, vol)'"), encoding="utf-8")
    assert release(rerun(little), "data_usage") == Released(loaded=1, left=0)
    assert little.usage() == [("S1", "2026-05-02", 7)]
    little.put("data_usage_202605_2.jsonl", '{"s": "S1", "d": "2026-05-02", "vol": "x"}\n')
    ingest(rerun(little))
    text = mapping.read_text(encoding="utf-8")
    mapping.write_text(
        text.replace(".jsonl", ".*").replace("format: jsonl\n", "format: csv\n"), encoding="utf-8"
    )
    assert release(rerun(little), "data_usage") == Released(loaded=0, left=1)


def counts_of(little: Little) -> dict[str, tuple[int, int, int]]:
    """Rows read, loaded or duplicate, and quarantined, by contract."""
    rows = little.table("deliveries").group_by("contract").agg(
        pl.col("rows_read").sum(), pl.col("rows_loaded").sum() + pl.col("rows_duplicate").sum(), pl.col("rows_quarantined").sum()
    )  # fmt: skip
    return {row[0]: row[1:] for row in rows.rows()}
