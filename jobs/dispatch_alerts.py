"""Job: ranks the candidates of all cycles due on a date and writes its alerts."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.kernel.cycle import parse_date
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.dispatch import dispatch
from jobs.stages.issue import check_not_issued
from jobs.stages.plan import Step, plan_date


def main(
    source: c.SourceOption,
    dispatch_date: c.DispatchDateOption,
    reissue: Annotated[
        bool, typer.Option("--reissue", help="Also a date whose alerts were exported: as a new revision.")
    ] = False,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Dispatch a date: all cycles due on it together."""

    def check(configuration: Configuration) -> list[Step]:
        day = parse_date(dispatch_date)
        if not reissue:
            check_not_issued(configuration, warehouse, [day])
        return plan_date(configuration.calendar, day)

    with c.running(source, warehouse, project_dir, profile, check=check) as context:
        for status, count in dispatch(context, parse_date(dispatch_date), reissue).items():
            print(f"{count:>9,}  {status}")


if __name__ == "__main__":
    c.run_app(main)
