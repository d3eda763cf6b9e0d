"""Reference pages are those that the schemas give today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from jobs.contracts.dictionary import PATH, dictionary
from jobs.contracts.released import released_path, released_text
from jobs.kernel.project import Project
from jobs.rulelang.bases import template_names
from jobs.rulelang.catalogue import PATH as MOMENTS
from jobs.rulelang.catalogue import catalogue
from jobs.rulelang.editor import CITY_PATH, TEMPLATE_PATH, schemas
from jobs.rulelang.editor import PATH as RULE_SCHEMA
from jobs.rulelang.item_catalogue import PATH as ITEMS
from jobs.rulelang.item_catalogue import item_catalogue
from jobs.stages.context import configure
from jobs.stages.items import item_uses


def test_the_data_dictionary_is_current(project: Project) -> None:
    configuration = configure(project)
    text = dictionary(configuration.contracts, configuration.tables)
    assert (project.root / PATH).read_text(encoding="utf-8") == text, "run `make docs`"


def test_the_catalogue_of_items_is_current(project: Project) -> None:
    configuration = configure(project)
    uses = item_uses(configuration)
    page = (project.root / ITEMS).read_text(encoding="utf-8")
    assert page == item_catalogue(configuration.view, configuration.contracts, uses), "run `make docs`"
    told = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    written = {}
    for path in (project.root / "schemas" / "customer_view").glob("*.yaml"):
        one = yaml.safe_load(path.read_text(encoding="utf-8"))
        written |= one["items"] | one.get("scores", {})
    assert set(told) == set(written)
    for name, item in written.items():
        assert f"| {item['zh']} | {item['en']} | {item['type']}" in told[name]


def test_what_readers_rely_on_is_current(project: Project) -> None:
    released = [table for table in configure(project).tables.values() if table.released]
    assert [table.name for table in released] == ["alerts"]
    for table in released:
        text = (project.root / released_path(table)).read_text(encoding="utf-8")
        assert text == released_text(table), "run `make docs`"


def test_the_catalogue_of_moments_is_current(project: Project) -> None:
    page = (project.root / MOMENTS).read_text(encoding="utf-8")
    assert page == catalogue(configure(project).rules), "run 'make docs'"


def test_the_schema_of_rules_is_current_and_holds_for_them(project: Project) -> None:
    configuration = configure(project)
    found = schemas(configuration.rules, configuration.view.types, template_names(project))
    for path, text in found.items():
        assert (project.root / path).read_text(encoding="utf-8") == text, "run `make schemas`"
        Draft202012Validator.check_schema(json.loads(text))
    folders = {
        "moments": RULE_SCHEMA,
        "reminders": RULE_SCHEMA,
        "templates": TEMPLATE_PATH,
        "cities": CITY_PATH,
    }
    files = [
        path for path in sorted((project.root / "rules").glob("*/*.yaml")) if path.parent.name in folders
    ]
    assert {path.parent.name for path in files} == folders.keys()
    for path in files:
        schema = folders[path.parent.name]
        validator = Draft202012Validator(json.loads(found[schema]))
        lines = path.read_text(encoding="utf-8")
        assert lines.startswith(f"# yaml-language-server: $schema=../{Path(schema).name}\n"), path
        assert not [error.message for error in validator.iter_errors(yaml.safe_load(lines))], path


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"audience": "mid_hihg"}, "'mid_hihg' is not one of"),
        ({"urgncy_days": 3}, "'urgncy_days' was unexpected"),
        ({"urgency_days": 70}, "70 is greater than the maximum of 62"),
        ({"plan": None}, "None is not of type 'string'"),
        ({"when": {"all": {}}}, "{} should be non-empty"),
        ({"when": {"every": {"low": "balance < 1"}}}, "'every' was unexpected"),
        ({"when": {"all": {"low": {"any": {"one": 1}}}}}, "is not valid under any of the given schemas"),
        ({"serve_in_days": "city"}, "'city' is not one of"),
    ],
)
def test_the_schema_of_rules_sees_what_is_wrong(
    project: Project, wrong: dict[str, Any], message: str
) -> None:
    schema = json.loads((project.root / RULE_SCHEMA).read_text(encoding="utf-8"))
    good = yaml.safe_load((project.root / "rules/moments/birthday.yaml").read_text(encoding="utf-8"))
    found = [error.message for error in Draft202012Validator(schema).iter_errors(good | wrong)]
    assert any(message in one for one in found), found


@pytest.mark.parametrize(
    ("path", "wrong", "message"),
    [
        (TEMPLATE_PATH, {"id": "first_time"}, "'id' was unexpected"),
        (TEMPLATE_PATH, {"inherits": "first_time"}, "'inherits' was unexpected"),
        (TEMPLATE_PATH, {"fire": "once"}, "'once' is not one of"),
        (CITY_PATH, {"parameters": {"low_balance": {"days_left": 9}}}, "9 is greater than the maximum of 5"),
        (CITY_PATH, {"parameters": {"low_balance": {"days": 3}}}, "'days' was unexpected"),
        (CITY_PATH, {"parameters": {"bill_surge": {"growth_pct": 3}}}, "'bill_surge' was unexpected"),
        (CITY_PATH, {"cities": "苏州"}, "'cities' was unexpected"),
    ],
)
def test_the_schemas_of_templates_and_cities_see_what_is_wrong(
    project: Project, path: str, wrong: dict[str, Any], message: str
) -> None:
    file = "rules/cities/suzhou.yaml" if path == CITY_PATH else "rules/templates/first_time.yaml"
    good = yaml.safe_load((project.root / file).read_text(encoding="utf-8"))
    validator = Draft202012Validator(json.loads((project.root / path).read_text(encoding="utf-8")))
    assert not list(validator.iter_errors(good))
    found = [error.message for error in validator.iter_errors(good | wrong)]
    assert any(message in one for one in found), found


def test_the_schema_asks_less_of_a_rule_that_inherits(project: Project) -> None:
    """What it lacks may stand in the template; its keys and values are looked at all the same."""
    schema = json.loads((project.root / RULE_SCHEMA).read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    rule = {"id": "new_rule", "inherits": "first_time"}
    assert not list(validator.iter_errors(rule))
    assert list(validator.iter_errors({"id": "new_rule"}))
    for wrong in ({"inherits": "first_tme"}, {"fire": "once"}, {"urgncy_days": 3}):
        assert list(validator.iter_errors(rule | wrong)), wrong


def test_the_catalogue_tells_what_the_files_say(project: Project) -> None:
    page = (project.root / MOMENTS).read_text(encoding="utf-8")
    _, *parts = page.partition("## Service plans")[0].split('<a id="')
    told = {part.partition('"')[0]: part for part in parts}
    files = [
        path
        for folder in ("moments", "reminders")
        for path in (project.root / "rules" / folder).glob("*.yaml")
    ]
    assert set(told) == {path.stem for path in files} and len(files) >= 17
    offices = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((project.root / "rules/cities").glob("*.yaml"))
    ]
    for path in files:
        rule, part = yaml.safe_load(path.read_text(encoding="utf-8")), told[path.stem]
        if "inherits" in rule:
            template = project.root / "rules/templates" / f"{rule['inherits']}.yaml"
            rule = yaml.safe_load(template.read_text(encoding="utf-8")) | rule
        assert f"## {rule['id']}: {rule['title']['zh']} / {rule['title']['en']}" in part
        for name, text in named(rule["when"]):
            assert f"**{name}**: `{text}`" in part
        for name, one in rule.get("parameters", {}).items():
            by_city = dict(one.get("by_city", {}))
            for office in offices:
                if name in office["parameters"].get(rule["id"], {}):
                    by_city[office["city"]] = office["parameters"][rule["id"]][name]
            cities = ", ".join(f"{city} {value}" for city, value in by_city.items())
            assert f"| `:{name}` | {one['default']} | {cities} | {one['min']} to {one['max']} |" in part
        for text in rule["description"].values():
            assert text in part


def named(condition: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The comparisons of a rule with their names."""
    for name, value in condition.items():
        if isinstance(value, dict):
            yield from named(value)
        else:
            yield name, value
