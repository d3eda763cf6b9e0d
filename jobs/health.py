"""Job: learns what costs health points, and shows how health is spread."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as Grid

from jobs.config.service_measures import NAMING
from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.health import QUANTILES, health_file, learn_health, spread_by

SHOWN_CAUSES = 2

app = c.command_group("Learn what costs health points, and see how health is spread.")


@app.command("learn")
def learn(
    source: c.SourceOption,
    as_of: c.LastOption,
    model: c.ModelOption = "churn",
    out: Annotated[Path, typer.Option("--out", help="Folder for the file.")] = Path("reports"),
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Learn the causes of health from who was lost, as a file that may take the place of conf/health.yaml."""
    with c.user_errors():
        day = parse_date(as_of)
        c.folder_for(out)
    with c.running(source, warehouse, project_dir, profile, check=c.knows_model(model)) as context:
        found = learn_health(context, model, day)
        target = out / f"{context.source.name}-{model}-{day}-health.yaml"
        target.write_text(health_file(found, context.configuration.health), encoding="utf-8")
    grid = Grid(title=f"{found.title.zh} / {found.title.en}", title_justify="left")
    for head in ("points", "dimension", "when", "share", "lift"):
        grid.add_column(head, overflow="fold")
    for cause, step in found.causes.values():
        told = (str(cause.points), cause.dimension, cause.when, f"{step.share:.1%}", f"{step.lift:.2f}")
        grid.add_row(*told)
    c.report_console().print(grid)
    figures = {"AUC": found.auc, "lift of the worst tenth": found.lift}
    figures |= {f"AUC of {name}": one for name, one in found.by_dimension.items()}
    for name, one in figures.items():
        print(f"{name}: {one.value:.3f} ({one.low:.3f} to {one.high:.3f})")
    print(f"{found.customers:,} customers of {len(found.bases)} dates, {found.lost:,} lost; file: {target}")


@app.command("show")
def show(
    by: Annotated[str, typer.Option("--by", help="An item whose values part the customers.")] = "city",
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Show how health is spread by city, brand or another text item, and why; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile)
        items = configuration.view.items
        texts = [name for name, item in items.items() if item.type == "string" and name not in NAMING]
        if by not in texts:
            message = f"'{by}' is not a text item of the customer view{did_you_mean(by, texts)}"
            raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))
        as_of, found = spread_by(configuration, warehouse, by)
    if as_json:
        told = {"as_of": as_of, "quantiles": QUANTILES, "spreads": [asdict(one) for one in found]}
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return
    grid = Grid(title=f"health as of {as_of}", title_justify="left")
    for head in (by, "dimension", "customers", *(f"{share} %" for share in QUANTILES), "what costs points"):
        grid.add_column(head, overflow="fold")
    for one in found:
        causes = "; ".join(f"{name} ({count:,})" for name, count in one.causes[:SHOWN_CAUSES])
        points = (f"{value:.0f}" for value in one.quantiles)
        grid.add_row(one.group, one.dimension, f"{one.customers:,}", *points, causes)
    c.report_console().print(grid)
