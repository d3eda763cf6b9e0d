"""The synthetic province keeps its promises, and the independent oracle finds what was planted in it."""

import csv
import importlib.util
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from jobs.synthetic import ProvinceReport, make_province
from jobs.synthetic.layout import LAYOUTS
from jobs.synthetic.planting import BLOCK, STORIES

ROOT = Path(__file__).parents[2]
CUSTOMERS = 1_500
RIVALS = ("130", "131", "132", "155", "156", "185", "186", "133", "153", "180", "181", "189")


def _load_oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("province_truth", ROOT / "tests/oracle/province_truth.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


oracle = _load_oracle()


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> ProvinceReport:
    return make_province(tmp_path_factory.mktemp("province"), CUSTOMERS)


@pytest.fixture(scope="module")
def truth(province: ProvinceReport) -> Any:
    return oracle.read_truth(province.folder / "extracts")


def extract(province: ProvinceReport, contract: str) -> Iterator[dict[str, str]]:
    """Yields the rows of a contract, without bad and repeated ones."""
    seen = set()
    for path in sorted((province.folder / "extracts").glob(f"{contract}_[0-9]*.csv")):
        for row in rows_of(path):
            values = tuple(row.values())
            if values not in seen and not values[0].startswith("BAD"):
                seen.add(values)
                yield row


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def firings(province: ProvinceReport, name: str) -> set[tuple[str, str, date]]:
    rows = rows_of(province.folder / "truth" / name)
    return {(row["subscription_id"], row["moment"], date.fromisoformat(row["date"])) for row in rows}


def test_same_seed_gives_the_same_bytes(province: ProvinceReport, tmp_path: Path) -> None:
    again = make_province(tmp_path, CUSTOMERS)
    assert (again.files, again.planted) == (province.files, province.planted)
    for path in sorted(province.folder.rglob("*.csv")):
        assert path.read_bytes() == (tmp_path / path.relative_to(province.folder)).read_bytes(), path.name


def test_another_seed_gives_another_province(province: ProvinceReport, tmp_path: Path) -> None:
    other = make_province(tmp_path, 50, seed=2)
    numbers = {row["number"] for row in extract(other, "subscriptions")}
    assert numbers.isdisjoint({row["number"] for row in extract(province, "subscriptions")})


def test_customers_do_not_depend_on_how_many_there_are(province: ProvinceReport, tmp_path: Path) -> None:
    few = 450
    small = make_province(tmp_path, few)
    for contract, layout in LAYOUTS.items():
        owner = next((name for name in ("subscription_id", "customer_id") if name in layout.columns), None)
        if owner is None:
            continue
        tail = slice(1, -1) if owner == "subscription_id" else slice(1, None)
        expected = {tuple(row.values()) for row in extract(province, contract) if int(row[owner][tail]) < few}
        assert {tuple(row.values()) for row in extract(small, contract)} == expected, contract


def test_reports_what_was_written(province: ProvinceReport) -> None:
    folder = province.folder / "extracts"
    lines = {path.name: path.read_bytes().count(b"\n") - 1 for path in folder.glob("*.csv")}
    assert province.files == lines
    planted = Counter(moment for _, moment, _ in firings(province, "planted.csv"))
    assert province.planted == planted


def test_files_are_laid_out_as_the_contracts(province: ProvinceReport) -> None:
    contracts = {path.stem: yaml.safe_load(path.read_text()) for path in ROOT.glob("schemas/extracts/*.yaml")}
    assert set(LAYOUTS) <= set(contracts)
    for contract, layout in LAYOUTS.items():
        assert list(layout.columns) == list(contracts[contract]["fields"]), contract
    for path in (province.folder / "extracts").glob("*.csv"):
        contract, _, period = path.stem.rpartition("_")
        assert period in LAYOUTS[contract].periods.names
        assert path.read_text(encoding="utf-8").split("\n")[0] == ",".join(LAYOUTS[contract].columns)


def test_source_mapping_names_every_extract() -> None:
    mapping = yaml.safe_load((ROOT / "conf/sources/synthetic.yaml").read_text(encoding="utf-8"))
    assert [entry["contract"] for entry in mapping["extracts"]] == list(LAYOUTS)


def test_every_rule_has_stories() -> None:
    rules = {
        path.stem for pack in ("moments", "reminders") for path in (ROOT / "rules" / pack).glob("*.yaml")
    }
    fires = Counter(story.moment for story in STORIES if story.dates)
    misses = Counter(story.moment for story in STORIES if not story.dates)
    # A festival is everybody's on its day, and so is a digest, so nobody's story; no festival is near the end
    # of the province's months.
    assert set(fires) == set(misses) == rules - {"holiday", "package_digest"}
    assert min(fires.values()) >= 2 and min(misses.values()) >= 2
    assert len({story.label for story in STORIES}) == len(STORIES) < BLOCK
    assert {"南京", "苏州"} <= {story.city for story in STORIES}


def test_oracle_finds_all_that_was_planted(province: ProvinceReport, truth: Any) -> None:
    planted = firings(province, "planted.csv")
    assert {moment for _, moment, _ in planted} == {story.moment for story in STORIES}
    assert planted - truth.entered - truth.exempt == set()


def test_near_misses_do_not_fire(province: ProvinceReport, truth: Any) -> None:
    missed = {(who, what) for who, what, _ in firings(province, "near_misses.csv")}
    assert {what for _, what in missed} == {story.moment for story in STORIES}
    assert missed.isdisjoint((who, what) for who, what, _ in truth.entered | truth.exempt)


def test_chance_stays_plausible(province: ProvinceReport, truth: Any) -> None:
    chance = truth.entered - firings(province, "planted.csv")
    # Of those who are told something again and again there are more.
    often = ("data_enquiry_follow_up", "package_digest")
    counts = Counter((what, when) for _, what, when in chance if what not in often)
    assert len({what for what, _ in counts}) >= 10
    assert max(counts.values()) <= 0.03 * CUSTOMERS


def test_planted_truth_breaks_with_the_data(province: ProvinceReport, tmp_path: Path) -> None:
    """The oracle reads the extracts: without the complaints there is no complaint."""
    for path in (province.folder / "extracts").glob("*.csv"):
        if not path.name.startswith(("complaints", "voice_usage", "data_usage")):
            (tmp_path / path.name).symlink_to(path)
    found = oracle.read_truth(tmp_path)
    lost = {what for _, what, _ in firings(province, "planted.csv") - found.entered - found.exempt}
    assert lost == {
        "calling_circle_shrink",
        "complaint",
        "data_package_use",
        "first_data_use",
        "roaming_data_use",
        "weekly_call_drop",
    }


def test_monthly_usage_agrees_with_the_events(province: ProvinceReport) -> None:
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    contacts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in extract(province, "voice_usage"):
        key = row["subscription_id"], row["started_at"][:7]
        sums[key].update({"seconds": int(row["duration_s"]), "calls": 1})
        contacts[key].add(row["counterpart"])
    for row in extract(province, "data_usage"):
        sums[row["subscription_id"], row["used_on"][:7]]["mb"] += int(row["mb"])
    for row in extract(province, "message_usage"):
        sums[row["subscription_id"], row["sent_at"][:7]]["messages"] += 1
    told = {(row["subscription_id"], row["month"][:7]): row for row in extract(province, "usage_monthly")}
    assert sums and set(sums) <= set(told)
    for key, row in told.items():
        if key[1] < "2026-04":
            continue
        found, met = sums[key], contacts[key]
        minutes = (Decimal(found["seconds"]) / 60).quantize(Decimal("0.01"), ROUND_HALF_UP)
        rivals = sum(number.startswith(RIVALS) for number in met)
        assert Decimal(row["voice_minutes"]) == minutes
        assert (Decimal(row["calls"]), Decimal(row["data_mb"])) == (found["calls"], found["mb"])
        assert [int(row[name]) for name in ("messages", "contacts", "offnet_contacts")] == [
            found["messages"],
            len(met),
            rivals,
        ]


def test_bad_rows_are_exactly_those_told(province: ProvinceReport) -> None:
    told = rows_of(province.folder / "truth/bad_rows.csv")
    assert {row["reason"] for row in told} == {
        "type", "range", "set", "missing", "malformed", "late", "reference",
    }  # fmt: skip
    assert len({row["contract"] for row in told}) >= 5 and len(told) == 22
    for name, rows in Counter(row["file"] for row in told).items():
        assert rows / province.files[name] < 0.01, name
    bad = {
        (path.name, str(number))
        for path in (province.folder / "extracts").glob("*.csv")
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1)
        if line.startswith("BAD")
    }
    assert bad == {(row["file"], row["line"]) for row in told}
    for contract in oracle.CONTRACTS:
        good = sum(1 for _ in oracle.read(province.folder / "extracts", contract))
        assert good == sum(1 for _ in extract(province, contract)), contract


def test_repeated_rows_are_exactly_those_told(province: ProvinceReport) -> None:
    found = {}
    for path in (province.folder / "extracts").glob("*.csv"):
        lines = Counter(path.read_text(encoding="utf-8").splitlines())
        if repeated := sum(count - 1 for count in lines.values()):
            found[path.name] = repeated
    told = {row["file"]: int(row["count"]) for row in rows_of(province.folder / "truth/duplicates.csv")}
    assert found == told and sum(found.values()) == 30


def test_keys_are_unique(province: ProvinceReport) -> None:
    for path in ROOT.glob("schemas/extracts/*.yaml"):
        contract = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem in LAYOUTS:
            dated = [contract["effective_date"]] if contract["grain"] == "state" else []
            made = contract.get("derived", {})
            key = [made[name]["from"] if name in made else name for name in contract["key"] + dated]
            rows = [tuple(row[name] for name in key) for row in extract(province, path.stem)]
            assert len(set(rows)) == len(rows) > 0, path.stem


def test_nobody_calls_after_leaving(province: ProvinceReport) -> None:
    left = {row["subscription_id"]: row["churned_on"] for row in extract(province, "churn_labels")}
    assert left
    for row in extract(province, "voice_usage"):
        assert row["started_at"] < left.get(row["subscription_id"], "9")
    closed = {
        row["subscription_id"]: row["updated_on"]
        for row in extract(province, "subscriptions")
        if row["status"] == "closed"
    }
    assert {who: on for who, on in closed.items() if not who.endswith("9")} == left


def test_numbers_are_reused_only_after_closing(province: ProvinceReport) -> None:
    holders: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in extract(province, "subscriptions"):
        holders[row["number"]][row["subscription_id"]] = row
    shared = [lives for lives in holders.values() if len(lives) > 1]
    assert shared
    for lives in shared:
        earlier, later = sorted(lives.values(), key=lambda row: row["joined_on"])
        assert earlier["status"] == "closed" and earlier["updated_on"] < later["joined_on"]
        assert earlier["customer_id"] != later["customer_id"]


def test_some_people_hold_two_numbers(province: ProvinceReport) -> None:
    held = defaultdict(set)
    for row in extract(province, "subscriptions"):
        if row["status"] == "active":
            held[row["customer_id"]].add(row["number"])
    share = sum(len(numbers) > 1 for numbers in held.values()) / len(held)
    assert 0.02 < share < 0.07


def test_oracle_state_keeps_the_unknown_inside() -> None:
    state = oracle.State()
    assert oracle.newly_inside(state, {"a": True, "b": None, "c": False}) == {"a"}
    assert oracle.newly_inside(state, {"a": None, "b": True, "c": None}) == {"b"}
    assert oracle.newly_inside(state, {"a": True, "b": True, "c": False}) == set()
    assert oracle.newly_inside(state, {"a": False}) == set()
    assert oracle.newly_inside(state, {"a": True, "b": True}) == {"a", "b"}


def test_oracle_steps_fire_once_and_begin_anew_each_month() -> None:
    state = oracle.State()
    assert oracle.new_steps(state, {"a": 80}, date(2026, 5, 29)) == set()
    state.ran = True
    assert oracle.new_steps(state, {"a": 80, "b": 300}, date(2026, 5, 30)) == {"b"}
    assert oracle.new_steps(state, {"a": 100, "b": 300}, date(2026, 5, 31)) == {"a"}
    assert oracle.new_steps(state, {"a": 80}, date(2026, 6, 20)) == {"a"}


def test_oracle_calendar() -> None:
    assert oracle.birthday_in(date(2004, 2, 29), 2026) == date(2026, 2, 28)
    assert oracle.birthday_in(date(2004, 2, 29), 2028) == date(2028, 2, 29)
    assert oracle.months_back(date(2026, 5, 31), 0) == date(2026, 5, 1)
    assert oracle.months_back(date(2026, 5, 30), 0) == date(2026, 4, 1)
    assert oracle.months_back(date(2026, 1, 15), 1) == date(2025, 11, 1)


def test_refuses_an_empty_province(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs customers"):
        make_province(tmp_path, 0)
