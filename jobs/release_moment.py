"""Job: lets a moment pass that was held on a date, and dispatches the date again."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.kernel.cycle import parse_date
from jobs.stages import command as c
from jobs.stages.dispatch import dispatch
from jobs.stages.hold import release_moment

MomentArgument = Annotated[str, typer.Argument(help="The moment that is held.")]
ByOption = Annotated[str, typer.Option("--by", help="Who lets it pass.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]


def main(
    source: c.SourceOption,
    moment: MomentArgument,
    dispatch_date: c.DispatchDateOption,
    by: ByOption,
    reason: ReasonOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Let a held moment pass and dispatch its date again."""
    if not by.strip() or not reason.strip():
        raise typer.BadParameter("--by and --reason may not be empty")
    with c.user_errors():
        day = parse_date(dispatch_date)
    with c.running(source, warehouse, project_dir, profile) as context:
        release_moment(context, moment, day, by.strip(), reason.strip())
        for status, count in dispatch(context, day, reissue=True).items():
            print(f"{count:>9,}  {status}")


if __name__ == "__main__":
    c.run_app(main)
