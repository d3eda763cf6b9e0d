"""What an author of rules is told of the items: found by words, with their origin, users and values."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from deltalake import write_deltalake
from projectcopy import ProjectCopy
from typer.testing import CliRunner

from jobs.cli import app
from jobs.contracts.lineage import origins_of
from jobs.kernel.errors import ConfigError, StorageError
from jobs.kernel.project import Project
from jobs.stages.context import Configuration, configure
from jobs.stages.items import all_items, distribution_of, facts_of, item_uses, search

VIEW = "customer_view"


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return configure(Project(Path(__file__).parents[2]))


def ids(configuration: Configuration, *words: str) -> list[str]:
    return [one.id for one in search(configuration, list(words))]


def test_items_are_found_by_words_of_both_languages(configuration: Configuration) -> None:
    assert ids(configuration, "投诉", "30")[:2] == ["complaints_30d", "complaint_category_30d"]
    assert ids(configuration, "COMPLAINT", "category")[0] == "complaint_category_30d"
    # By the extract it comes from, after those that are named so.
    found = ids(configuration, "balance")
    assert found[0] == "balance" and "arrears_amount" in found
    assert set(ids(configuration, "voice")) >= set(configuration.view.classes[5].items)
    with pytest.raises(ConfigError) as caught:
        search(configuration, ["complant"])
    assert str(caught.value) == "CONF_UNKNOWN_REFERENCE no item has 'complant' (did you mean 'complaint'?)"


def test_uses_are_those_that_stand_in_the_files(configuration: Configuration) -> None:
    """By the words of the files; items of one word, such as city, may stand there by chance."""
    uses = item_uses(configuration)
    root = configuration.project.root
    audiences = yaml.safe_load((root / "rules/audiences.yaml").read_text(encoding="utf-8"))
    texts = {}
    for path in [*(root / "rules/moments").glob("*.yaml"), *(root / "rules/reminders").glob("*.yaml")]:
        text = path.read_text(encoding="utf-8")
        texts[f"rule {path.stem}"] = text + str(audiences[yaml.safe_load(text)["audience"]])
    risk = yaml.safe_load((root / "conf/risk.yaml").read_text(encoding="utf-8"))["terms"]
    health = yaml.safe_load((root / "conf/health.yaml").read_text(encoding="utf-8"))["causes"]
    texts |= {f"risk {name}": term["group"] for name, term in risk.items()}
    texts |= {f"health {name}": cause["when"] for name, cause in health.items()}
    texts |= {f"item {name}": item.value for name, item in configuration.view.items.items()}
    checked = 0
    for name in configuration.view.types:
        if "_" not in name:
            continue
        told = {user for user in uses.get(name, []) if user not in ("alert record", "models")}
        written = {
            user for user, text in texts.items() if re.search(rf"(?<![\w.])(?<!measure\(){name}\b", text)
        }
        assert told == written, name
        checked += len(told)
    assert checked > 80
    models = yaml.safe_load((root / "conf/models.yaml").read_text(encoding="utf-8"))["models"]
    never = set.intersection(*(set(model.get("leave_out", [])) for model in models.values()))
    assert never and not any("models" in uses.get(name, []) for name in never)
    assert {"models"} < set(uses["complaints_30d"]) and "models" not in uses["next_birthday_on"]


def test_origins_go_through_other_items(configuration: Configuration) -> None:
    found = {(one.contract, one.fields, one.window) for one in origins_of(configuration.view, "value_tier")}
    assert ("bills", ("total",), "3m") in found and ("subscriptions", ("mean_spend_3m",), None) in found
    birthday = facts_of(configuration, "next_birthday_on")
    assert birthday.personal == ["birth_date"]
    assert facts_of(configuration, "bill_total_1m").personal == []
    # Scores have no origin of their own; everything else has.
    lacking = {one.id for one in all_items(configuration) if not one.origins}
    assert lacking == set(configuration.view.scores)


def view_of(folder: Path) -> str:
    """A warehouse with a view of two dates, the later one of six subscriptions."""
    for as_of, bills, categories in (
        (date(2026, 5, 30), [1] * 3, ["old"] * 3),
        (date(2026, 5, 31), [10, 20, 30, 40, None, 1000], ["a", "b", "b", None, "c", "b"]),
    ):
        count = len(bills)
        rows = pa.table(
            {
                "as_of": [as_of] * count,
                "cutoff": [date(2026, 6, 1)] * count,
                "bill_total_1m": pa.array(
                    [None if one is None else Decimal(one) for one in bills], pa.decimal128(28, 2)
                ),
                "complaint_category_30d": pa.array(categories, pa.string()),
            }
        )
        write_deltalake(str(folder / VIEW), rows, mode="append", partition_by=["as_of", "cutoff"])
    return str(folder)


def test_values_are_those_of_the_last_cycle(configuration: Configuration, tmp_path: Path) -> None:
    warehouse = view_of(tmp_path)
    bills = distribution_of(configuration, warehouse, facts_of(configuration, "bill_total_1m"))
    assert (bills.as_of, bills.cutoff) == ("2026-05-31", "2026-06-01")
    assert (bills.rows, bills.known, bills.distinct) == (6, 5, 5)
    # Between the two values on either side, as statistics.quantiles(..., method='inclusive') has it.
    assert bills.quantiles == pytest.approx([12, 20, 30, 40, 808])
    categories = distribution_of(configuration, warehouse, facts_of(configuration, "complaint_category_30d"))
    assert (categories.known, categories.quantiles) == (5, [])
    assert categories.values == [("b", 3), ("a", 1), ("c", 1)]


def test_a_view_of_before_an_item_was_there_has_no_values_of_it(
    configuration: Configuration, tmp_path: Path
) -> None:
    with pytest.raises(StorageError) as caught:
        distribution_of(configuration, view_of(tmp_path), facts_of(configuration, "household_broadband"))
    assert caught.value.issues[0].message.endswith("was written before there was this item")


def test_what_the_commands_print(project_copy: ProjectCopy, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["items", *arguments, "--project-dir", str(project_copy.root)])
        assert done.exit_code == 0, done.output
        return done.stdout

    listed = run("list", "--class", "bill_spend").splitlines()
    assert len(listed) == 26 and listed[-1] == "25 items; 'keymoments items show ITEM' tells more"
    assert re.fullmatch(
        r"bill_spend +bill_total_1m +上月账单 / Bill of the last complete month \[decimal \(yuan\)\]",
        listed[0],
    )
    shown = run("show", "bill_total_1m", "--warehouse", view_of(tmp_path)).splitlines()
    assert shown[0] == "bill_total_1m: 上月账单 / Bill of the last complete month"
    assert "from      bills.total over 1m" in shown
    assert any(line.startswith("used by   ") and "rule " in line for line in shown)
    assert "          known of 5 (83.3 %), 5 different values" in shown
    nothing = run("show", "bill_total_1m", "--warehouse", str(tmp_path / "no")).splitlines()[-1]
    assert nothing == f"values    table 'customer_view' has not been written in {tmp_path / 'no'}"
    told = json.loads(run("search", "--json", "账单", "环比"))
    assert [one["id"] for one in told] == [
        "bill_total_change_pct_1m",
        "bill_total_change_pct_prev_1m",
        "bill_change_1m",
        "recurring_change_1m",
    ]
    assert told[0]["origins"][0]["contract"] == "bills"
    assert json.loads(run("show", "risk_score", "--json", "--warehouse", str(tmp_path)))["values"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["show", "bill_totl_1m"],
            "'bill_totl_1m' is not an item of the customer view (did you mean 'bill_total_1m'?)",
        ),
        (["list", "--class", "voic"], "'voic' is not a class of items (did you mean 'voice'?); there are "),
    ],
)
def test_mistakes_cost_one_line(arguments: list[str], expected: str) -> None:
    done = CliRunner().invoke(app, ["items", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"CONF_UNKNOWN_REFERENCE {expected}") and done.stderr.count("\n") == 1
