"""Reference pages are those that the schemas give today."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from jobs.contracts.dictionary import PATH, dictionary
from jobs.kernel.project import Project
from jobs.rulelang.catalogue import PATH as MOMENTS
from jobs.rulelang.catalogue import catalogue
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


def test_the_catalogue_of_moments_is_current(project: Project) -> None:
    page = (project.root / MOMENTS).read_text(encoding="utf-8")
    assert page == catalogue(configure(project).rules), "run 'make docs'"


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
    for path in files:
        rule, part = yaml.safe_load(path.read_text(encoding="utf-8")), told[path.stem]
        assert f"## {rule['id']}: {rule['title']['zh']} / {rule['title']['en']}" in part
        for name, text in named(rule["when"]):
            assert f"**{name}**: `{text}`" in part
        for name, one in rule.get("parameters", {}).items():
            cities = ", ".join(f"{city} {value}" for city, value in one.get("by_city", {}).items())
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
