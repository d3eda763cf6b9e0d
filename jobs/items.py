"""Job: lists, finds and shows the items of the customer view, without Spark."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from jobs.contracts.extracts import Derived
from jobs.contracts.fields import Field
from jobs.contracts.view import Item
from jobs.kernel.errors import ConfigError, Issue, StorageError, did_you_mean
from jobs.kernel.project import Project
from jobs.rulelang.item_catalogue import origin_text, type_text
from jobs.stages import command as c
from jobs.stages.context import Configuration, configure
from jobs.stages.items import Distribution, ItemFacts, all_items, distribution_of, facts_of, search

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
ClassOption = Annotated[str | None, typer.Option("--class", help="Only items of this class, such as voice.")]
WordsArgument = Annotated[list[str], typer.Argument(help="Words, Chinese or English; all have to be there.")]
ItemArgument = Annotated[str, typer.Argument(help="An item, such as bill_total_1m.")]

app = c.command_group("Look at the items of the customer view.")


@app.command("list")
def list_items(
    class_: ClassOption = None,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """List all items by class; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile)
        known = [one.class_ for one in configuration.view.classes]
        if class_ is not None and class_ not in known:
            hint = did_you_mean(class_, known)
            message = f"'{class_}' is not a class of items{hint}; there are {', '.join(known)}"
            raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))
    _print([one for one in all_items(configuration) if class_ in (None, one.class_.class_)], as_json)


@app.command("search")
def search_items(
    words: WordsArgument,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Find items by words of their names, their class, or the extracts they come from; needs no Spark."""
    with c.user_errors():
        found = search(configure(Project.find(project_dir), profile), words)
    _print(found, as_json)


@app.command("show")
def show_item(
    item: ItemArgument,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Show an item: its meaning, origin, users, and values in the last cycle; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile)
        facts = facts_of(configuration, item)
        values, missing = None, ""
        try:
            values = distribution_of(configuration, warehouse, facts)
        except StorageError as error:
            # An analyst may look an item up before anything has been loaded.
            missing = error.issues[0].message
    if as_json:
        told = _as_dict(facts) | {"values": None if values is None else asdict(values)}
        print(json.dumps(told, ensure_ascii=False, indent=2, default=str))
        return
    print(f"{facts.id}: {facts.item.zh} / {facts.item.en}\n")
    for name, text in _lines(configuration, facts):
        print(f"{name:9} {text}")
    for name, text in [("values", missing)] if values is None else _value_lines(values):
        print(f"{name:9} {text}")


def _print(found: list[ItemFacts], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_as_dict(one) for one in found], ensure_ascii=False, indent=2, default=str))
        return
    for one in found:
        print(f"{one.class_.class_:24} {one.id:32} {one.item.zh} / {one.item.en} [{type_text(one.item)}]")
    print(f"{len(found)} items; 'keymoments items show ITEM' tells more")


def _as_dict(facts: ItemFacts) -> dict[str, Any]:
    """An item as JSON tells it."""
    return {
        "id": facts.id,
        "class": facts.class_.class_,
        **facts.item.model_dump(exclude_defaults=True),
        "origins": [asdict(one) for one in facts.origins],
        "personal": facts.personal,
        "used_by": facts.users,
    }


def _lines(configuration: Configuration, facts: ItemFacts) -> Iterable[tuple[str, str]]:
    """What is known of an item, by what it is."""
    item, one = facts.item, facts.class_
    yield "class", f"{one.class_}: {one.number} {one.zh} / {one.en}"
    yield "type", type_text(item) + ("" if item.example is None else f", such as {item.example}")
    yield "value", item.value if isinstance(item, Item) else f"computed after the view; table {item.table}"
    head = "from"
    for origin in facts.origins:
        yield head, origin_text(origin)
        contract = configuration.contracts[origin.contract]
        known: dict[str, Field | Derived] = {**contract.fields, **contract.derived}
        titles = [f"{known[name].zh} / {known[name].en}" for name in origin.fields if name in known]
        yield "", "; ".join([f"  {contract.zh} / {contract.en}", *titles])
        head = ""
    if facts.personal:
        yield "personal", f"made of {', '.join(facts.personal)}; kept as a pseudonym or in part only"
    yield "used by", ", ".join(facts.users) or "nobody so far"


def _value_lines(found: Distribution) -> Iterable[tuple[str, str]]:
    share = 100 * found.known / found.rows if found.rows else 0.0
    yield "values", f"as of {found.as_of}, known on {found.cutoff}: {found.rows:,} subscriptions"
    yield "", f"known of {found.known:,} ({share:.1f} %), {found.distinct:,} different values"
    if found.quantiles:
        told = ("5 %", "25 %", "half", "75 %", "95 %")
        pairs = zip(told, found.quantiles, strict=True)
        yield "", "at most: " + ", ".join(f"{name} {value:,.6g}" for name, value in pairs)
    if found.values:
        yield "", "most frequent: " + ", ".join(f"{value} ({rows:,})" for value, rows in found.values)


if __name__ == "__main__":
    app()
