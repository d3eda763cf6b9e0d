"""Job: lists and shows the rows that could not be loaded, without Spark, and loads them once they hold."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.quarantine import refused, refused_rows
from jobs.stages.release import release

ContractOption = Annotated[str | None, typer.Option("--contract", help="Only rows of this contract.")]
ContractArgument = Annotated[str, typer.Argument(help="Rows of which contract, such as bills.")]
FileOption = Annotated[str | None, typer.Option("--file", help="Only rows of the file of this name.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many rows at most.")]

app = c.command_group("Look at the rows that could not be loaded.")


@app.command("list")
def list_refused(
    warehouse: c.WarehouseOption = "data/warehouse",
    contract: ContractOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Count the rows in quarantine by contract, file and reason."""
    with c.user_errors():
        found = refused(configure(Project.find(project_dir), profile), warehouse, contract)
    if not found:
        print("no row is in quarantine / 隔离区为空")
        return
    grid = Grid(title="Rows in quarantine / 隔离区", title_justify="left")
    for name in ("contract", "file", "reason"):
        grid.add_column(name, overflow="fold")
    grid.add_column("rows", justify="right")
    for one in found:
        grid.add_row(one.contract, one.file, one.reason, f"{one.rows:,}")
    Console(highlight=False, markup=False).print(grid)


@app.command("show")
def show_refused(
    source: c.SourceOption,
    contract: ContractArgument,
    warehouse: c.WarehouseOption = "data/warehouse",
    file: FileOption = None,
    limit: LimitOption = 20,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Show rows in quarantine with file, line and reasons; personal data by its shape only."""
    with c.user_errors():
        project = Project.find(project_dir)
        configuration = configure(project, profile, source)
        assert configuration.source is not None
        rows = refused_rows(configuration, configuration.source, warehouse, contract, file, limit)
    for row in rows:
        print(f"{row.file}:{row.line} {', '.join(row.reasons)}\n    {row.original}")
    print(f"{len(rows)} rows shown" if rows else "no such row is in quarantine / 隔离区无此类行")


@app.command("release")
def release_refused(
    source: c.SourceOption,
    contract: ContractArgument,
    warehouse: c.WarehouseOption = "data/warehouse",
    file: FileOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Load the rows that hold now that their contract or mapping has been mended."""
    with c.running(source, warehouse, project_dir, profile) as context:
        released = release(context, contract, file)
    print(f"{released.loaded:,} rows loaded, {released.left:,} stay in quarantine")


if __name__ == "__main__":
    app()
