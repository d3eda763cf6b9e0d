"""Job: helps to bring an operator's files: drafts a mapping, and tries a file against its mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.config.draft import draft_mapping
from jobs.contracts.extracts import contract_named, load_contracts
from jobs.kernel.errors import EXIT_USER_ERROR
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure, open_run
from jobs.stages.draft import sample_of
from jobs.stages.trial import Trial, try_file

ContractArgument = Annotated[str, typer.Argument(help="The contract to fill, such as bills.")]
FileArgument = Annotated[Path, typer.Argument(help="A delivered file.")]

app = c.command_group("Bring an operator's files: draft a mapping, try a file.")


@app.command()
def draft(contract: ContractArgument, file: FileArgument, project_dir: c.ProjectOption = None) -> None:
    """Print a first mapping of a file to a contract, by the names and values of its columns."""
    with c.user_errors():
        definition = contract_named(load_contracts(Project.find(project_dir)), contract)
        print(draft_mapping(sample_of(str(file)), definition), end="")


@app.command()
def check(
    file: FileArgument,
    source: c.SourceOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    max_bad_share: c.BadShareOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Show the first rows of a file as they would load, and every problem; writes nothing."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile, source)
        context = open_run(configuration, warehouse, str(file.parent), max_bad_share=max_bad_share)
        trials = try_file(context, file)
    for trial in trials:
        _print(trial)
    if any(trial.refused for trial in trials):
        raise SystemExit(EXIT_USER_ERROR)


def _print(trial: Trial) -> None:
    counts = trial.counts
    would = (
        f"{counts.accepted - trial.duplicates:,} would load",
        f"{trial.duplicates:,} are duplicates",
        f"{counts.rejected:,} would go to quarantine",
        f"{counts.not_applicable:,} are none of this contract",
    )
    print(f"{trial.contract}: {counts.records:,} records, {', '.join(would)}")
    for line, row in trial.rows:
        print(f"  line {line}: " + ", ".join(f"{name}={value}" for name, value in row.items()))
    for reason, rows in trial.reasons.items():
        print(f"  {reason}: {rows:,} rows")
    for message in trial.notes:
        print(f"  {message}")
    for issue in [*trial.problems, *trial.refused]:
        print(f"  {issue}")


if __name__ == "__main__":
    app()
