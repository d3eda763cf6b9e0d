"""Deliveries checked as a whole: what stops a run writes nothing, what warns is told and kept."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import SparkSession

from jobs.domain.profile import profile_columns
from jobs.kernel.errors import SourceError
from jobs.stages.context import Configuration
from tests.spark.little import HEADER, ROOT, SOURCE, Little

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAYS = ("20260528", "20260529", "20260530", "20260531")


def usage(day: str, rows: int, unknown: int = 0, empty: int = 0) -> str:
    """A day's usage, of known and unknown subscriptions; the last have no roaming_mb."""
    iso = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    names = [f"S{number}" for number in range(rows - unknown)] + [f"X{number}" for number in range(unknown)]
    body = [
        f"{name},{iso},{10 + number % 3},{'' if number >= rows - empty else 0}\n"
        for number, name in enumerate(names)
    ]
    return HEADER.replace("\n", ",roaming_mb\n") + "".join(body)


def subscriptions(count: int) -> str:
    body = "".join(f"S{number},C{number},2026-05-01,1340000{number:04},active\n" for number in range(count))
    return "subscription_id,customer_id,updated_on,number,status\n" + body


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Little:
    """Its own project, in which volume stops and a tenth may be unknown; three days are loaded."""
    tmp_path = tmp_path_factory.mktemp("quality")
    project = tmp_path / "project"
    for folder in ("conf", "schemas", "rules"):
        shutil.copytree(ROOT / folder, project / folder)
    (project / ".cache").symlink_to(ROOT / ".cache")
    contract = project / "schemas/extracts/data_usage.yaml"
    text = contract.read_text(encoding="utf-8")
    text = text.replace("{to: subscriptions}", "{to: subscriptions, within: 0.1}")
    text = text.replace("fields:", "quality: {volume: {within: 0.5, breach: stop}}\nfields:", 1)
    contract.write_text(text, encoding="utf-8")
    (tmp_path / "little").mkdir()
    fields = "{subscription_id: subscription_id, used_on: used_on, mb: mb, roaming_mb: roaming_mb}"
    source = SOURCE.replace("sequence}.csv\n    fields: same", f"sequence}}.csv\n    fields: {fields}")
    found = Little(tmp_path / "little", source, project)
    found.put("subscriptions_202605.csv", subscriptions(200))
    for day in DAYS[:3]:
        found.put(f"data_usage_{day}_1.csv", usage(day, 150))
    found.run()
    assert [line for line in found.said if ".csv" in line] == []
    return found


def test_a_breach_that_stops_writes_nothing_else(little: Little) -> None:
    before = little.versions()
    little.put(f"data_usage_{DAYS[3]}_1.csv", usage(DAYS[3], 40))
    with pytest.raises(SourceError) as caught:
        little.run()
    assert [issue.message for issue in caught.value.issues] == [
        "has 27% of the mean rows of the last 4; expected 50% to 150%"
    ]
    changed = {name for name, version in little.versions().items() if version != before.get(name)}
    assert changed == {"quality_results"}
    kept = little.table("quality_results").filter(~pl.col("success"))
    assert kept.select("file", "check", "breach").rows() == [("data_usage_20260531_1.csv", "volume", "stop")]
    assert float(kept["observed"][0]) == pytest.approx(40 / 150)
    pages = (little.folder / "warehouse" / "data_docs").rglob("*.html")
    assert "index.html" in {page.name for page in pages}


def test_what_warns_is_told_and_loaded(little: Little) -> None:
    path = little.put(f"data_usage_{DAYS[3]}_1.csv", usage(DAYS[3], 160, unknown=40, empty=80))
    path.write_text(path.read_text(encoding="utf-8").replace("roaming_mb", "roaming_mb,extra", 1).replace(",0\n", ",0,x\n")
                    .replace(",\n", ",,x\n"), encoding="utf-8")  # fmt: skip
    little.run()
    told = [line.strip().removeprefix(f"{path.name} ") for line in little.said if path.name in line]
    assert told == [
        "new columns: extra",
        "roaming_mb is empty in 50.0% more of the rows than usual; expected at most 10%",
        "subscription_id names an unknown one in 25.0% of the rows; expected at most 10%",
    ]
    assert len(little.usage()) == 3 * 150 + 160
    deliveries = little.table("deliveries").filter(pl.col("file") == path.name)
    assert deliveries["drift"].to_list() == [["new:extra"]]
    [told] = deliveries["profile"].to_list()
    profile = {key: float(value) for key, value in told.items()}
    amounts = [10 + number % 3 for number in range(160)]
    assert profile == {
        "unknown:subscription_id": 40,
        "nulls:roaming_mb": 80,
        "sum:mb": sum(amounts),
        "squares:mb": sum(one * one for one in amounts),
        "sum:roaming_mb": 0,
        "squares:roaming_mb": 0,
    }


def test_birthdays_that_come_empty_are_told(tmp_path: Path) -> None:
    """Also of what is not kept of a person."""
    mapping = "\n  - contract: customers\n    files: customers_{period}.csv\n    fields: same\n"
    little = Little(tmp_path, SOURCE + mapping)
    little.put("data_usage_202605_1.csv", HEADER)
    for period, birth_date in (("20260530", "1980-02-03"), ("20260531", "")):
        day = f"2026-05-{period[-2:]}"
        rows = "".join(f"C{number},{day},{birth_date},南京\n" for number in range(200))
        little.put(f"customers_{period}.csv", f"customer_id,updated_on,birth_date,city\n{rows}")
        little.run()
    told = [line.strip() for line in little.said if "birth_date" in line]
    assert told == [
        "customers_20260531.csv birth_date is empty in 100.0% more of the rows than usual; expected at most 10%"
    ]


def test_sums_of_large_numbers_are_exact(spark: SparkSession, configuration: Configuration) -> None:
    contract = configuration.contracts["data_usage"]
    assert contract.fields["mb"].max == 10_000_000
    chance = random.Random(5)
    amounts = [chance.choice([None, 0, 1, chance.randint(0, 10_000_000)]) for _ in range(3000)]
    rows = spark.createDataFrame([(one,) for one in amounts], "mb BIGINT")
    columns = profile_columns(contract, ["mb"], [], "TRUE")
    told = rows.agg(*columns).collect()[0]
    known = [one for one in amounts if one is not None]
    assert (told["sum:mb"], told["squares:mb"]) == (sum(known), sum(one * one for one in known))
    assert sum(one * one for one in known) > 2**40
    nothing = rows.where("FALSE").agg(*columns).collect()[0]
    assert (nothing["sum:mb"], nothing["squares:mb"]) == (None, None)
