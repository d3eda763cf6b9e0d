"""Job: everything that is due on one or several dispatch dates, from files to alerts, with a summary."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

import typer

from jobs.kernel.cycle import CycleKind, parse_date
from jobs.kernel.errors import HeldError
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.plan import plan_date, run_date
from jobs.stages.summary import print_summary

DatesOption = Annotated[
    list[str] | None,
    typer.Option("--dispatch-date", help="Date of dispatch, YYYY-MM-DD; repeat it for several, in order."),
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Print the steps and do nothing.")]


def main(
    source: c.SourceOption,
    extracts: c.ExtractsOption,
    dispatch_date: DatesOption = None,
    warehouse: c.WarehouseOption = "data/warehouse",
    explain: ExplainOption = False,
    max_bad_share: c.BadShareOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Run all cycles due on a dispatch date, from files to alerts."""
    chosen: list[date] = []

    def check(configuration: Configuration) -> None:
        chosen.extend(_dates(configuration, dispatch_date))
        for day in chosen:
            for step in plan_date(configuration.calendar, day):
                if explain:
                    print(step)
        if explain:
            raise SystemExit(0)

    with c.running(source, warehouse, project_dir, profile, extracts, max_bad_share, check) as context:
        for day in chosen:
            try:
                run_date(context, day)
            except HeldError:
                # The date is written; later ones would build on alerts that nobody has let pass.
                print_summary(context, day)
                raise
        print_summary(context, chosen[-1])


def _dates(configuration: Configuration, given: list[str] | None) -> list[date]:
    """The dates a user named, or the one of a source with a single snapshot."""
    if given:
        return [parse_date(text) for text in given]
    snapshot = configuration.calendar.snapshot
    if snapshot is None:
        raise typer.BadParameter("give --dispatch-date YYYY-MM-DD")
    return [snapshot + timedelta(days=configuration.calendar.grace_days[CycleKind.daily])]


if __name__ == "__main__":
    c.run_app(main)
