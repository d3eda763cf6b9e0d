"""Job: trains, evaluates, compares and promotes models, and explains the risk of a customer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import Issue, StorageError
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.apply_model import CHURN
from jobs.stages.context import configure
from jobs.stages.evaluation import compare, evaluate
from jobs.stages.evaluation_page import POPULATION_TITLES, as_data, figure_table, number, page
from jobs.stages.registry import in_use, promote, rollback, trained_models
from jobs.stages.training import train_model
from jobs.storage.reader import rows_of

ModelIdArgument = Annotated[str, typer.Argument(help="A model's id; 'risk list' shows them.")]
ByOption = Annotated[str, typer.Option("--by", help="Who decides.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the page and its figures as JSON.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
SubscriptionArgument = Annotated[str, typer.Argument(help="A subscription_id.")]

app = c.command_group("Train and judge models of what customers will do; see docs/models.md.")


@app.command("train")
def train(
    source: c.SourceOption,
    as_of: c.LastOption,
    model: c.ModelOption = "churn",
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Train a model on customers of earlier dates and put it into the registry; it is not used yet."""
    with c.user_errors():
        day = parse_date(as_of)
    with c.running(source, warehouse, project_dir, profile, check=c.knows_model(model)) as context:
        trained = train_model(context, model, day)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in sorted(trained.metrics.items()))
        print(f"{trained.model_id}: {figures}")
        print(f"Put it in use with 'keymoments risk promote {trained.model_id} --by NAME --reason TEXT ...'.")


@app.command("evaluate")
def evaluate_model(
    source: c.SourceOption,
    as_of: c.LastOption,
    model: c.ModelOption = "churn",
    out: OutOption = Path("reports"),
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Judge a model on customers it has not learned from, beside what it has to beat."""
    with c.user_errors():
        day = parse_date(as_of)
        c.folder_for(out)
    with c.running(source, warehouse, project_dir, profile, check=c.knows_model(model)) as context:
        found = evaluate(context, model, day)
        titles = context.configuration.models.models[model]
        target = out / f"{context.source.name}-{model}-{day}.html"
        view = context.configuration.view
        target.write_text(page(found, titles.zh, titles.en, view), encoding="utf-8")
        data = json.dumps(as_data(found), ensure_ascii=False, indent=2, sort_keys=True)
        target.with_suffix(".json").write_text(data + "\n", encoding="utf-8")
    console = Console(highlight=False, width=None if typer.get_text_stream("stdout").isatty() else 170)
    for population in found.judged.figures:
        heads, rows = figure_table(found.judged, population)
        _print_grid(console, POPULATION_TITLES[population], heads, rows)
    print(
        f"{found.judged.customers:,} customers, {found.judged.positive:,} positive, by {found.judged.scheme}"
    )
    print(f"page: {target}")


def _print_grid(console: Console, title: str, heads: list[str], rows: list[list[str]]) -> None:
    grid = Grid(title=title, title_justify="left")
    for place, head in enumerate(heads):
        grid.add_column(head, justify="right" if place else "left")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


@app.command("list")
def list_models(
    source: c.SourceOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """List the models of the registry, and which are in use."""
    with c.running(source, warehouse, project_dir, profile) as context:
        models = trained_models(context)
        used = {in_use(context, name) for name in {one.model for one in models}}
    rows = [
        {
            "model_id": one.model_id,
            "in_use": one.model_id in used,
            "trained_as_of": str(one.trained_as_of),
            "bases": [str(base) for base in one.bases],
            "features": len(one.features),
            "metrics": dict(one.metrics),
        }
        for one in models
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in sorted(row["metrics"].items()))  # type: ignore[attr-defined]
        print(f"{'*' if row['in_use'] else ' '} {row['model_id']}  {figures}")
    if not rows:
        print("no model has been trained")


@app.command("compare")
def compare_models(
    source: c.SourceOption,
    first: ModelIdArgument,
    second: ModelIdArgument,
    as_of: c.LastOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Hold two models against the same customers."""
    with c.user_errors():
        day = parse_date(as_of)
    with c.running(source, warehouse, project_dir, profile) as context:
        found = compare(context, first, second, day)
    if as_json:
        gain = {name: [one.value, one.low, one.high] for name, one in found.gain.items()}
        told = {"base": str(found.base), "customers": found.customers, "figures": found.figures, "gain": gain}
        print(json.dumps({**told, "has_learned": found.has_learned}, indent=2))
        return
    print(f"{found.customers:,} customers of {found.base}")
    for name, one in found.gain.items():
        both = " -> ".join(f"{figures[name]:.3f}" for figures in found.figures.values())
        print(f"{name:8} {both}   gain {number(one)}")
    for model_id in found.has_learned:
        print(f"{model_id} has learned from these customers and looks better than it is")


@app.command("promote")
def promote_model(
    source: c.SourceOption,
    model_id: ModelIdArgument,
    by: ByOption,
    reason: ReasonOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Put a model in use: from now on the risk of each cycle comes from it."""
    with c.running(source, warehouse, project_dir, profile) as context:
        trained = promote(context, model_id, by, reason)
    print(f"{trained.model} comes from {trained.model_id} now")
    if trained.model != CHURN:
        print(f"No stage uses {trained.model} yet; risk comes from {CHURN}.")


@app.command("rollback")
def rollback_model(
    source: c.SourceOption,
    by: ByOption,
    reason: ReasonOption,
    model: c.ModelOption = "churn",
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Go back to what was in use before: an earlier model, or the formula."""
    with c.running(source, warehouse, project_dir, profile) as context:
        before = rollback(context, model, by, reason)
    print(f"{model} comes from {before or 'the formula'} now")


@app.command("explain")
def explain_risk(
    subscription: SubscriptionArgument,
    source: c.SourceOption,
    as_of: c.LastOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Explain the risk of a subscription as of a date; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile, source)
        where = [("as_of", "=", parse_date(as_of)), ("subscription_id", "=", subscription)]
        rows = rows_of(warehouse, configuration.tables["risk_scores"], where)
        if not rows:
            message = f"no risk of '{subscription}' as of {as_of} in {warehouse}"
            raise StorageError(Issue("CUSTOMER_UNKNOWN", message))
    # Known later, known better.
    row = max(rows, key=lambda one: one["cutoff"])
    print(json.dumps(row, ensure_ascii=False, indent=2, default=str)) if as_json else _print_risk(row)


def _print_risk(row: dict[str, Any]) -> None:
    print(f"{row['subscription_id']} as of {row['as_of']}, known on {row['cutoff']}")
    print(f"  probability {row['risk_probability']} ({row['risk_band']}) by {row['model_version']}")
    if row["fallback"]:
        print(f"  the model in use does not count: {row['fallback']}")
    for zh, en in zip(row["reasons_zh"] or (), row["reasons_en"] or (), strict=True):
        print(f"  {zh} / {en}")
    for one in row["drivers"] or ():
        times = math.exp(one["log_odds"])
        print(f"  {one['item']} ({one['dimension']}): odds x {times:.2f}")
    if row["risk_score"] is not None:
        print(f"  formula: score {row['risk_score']}, the sum of")
        for term in row["terms"]:
            rate = f"{term['rate'] * 100:.2f} % of {term['group_size']:,}"
            print(f"    {term['term']} ({term['dimension']}) {term['group']}: {rate}")


if __name__ == "__main__":
    app()
