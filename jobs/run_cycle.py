"""Job: everything that is due on one or several dispatch dates, from files to alerts, with a summary."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal

import typer

from jobs.kernel.cycle import CycleKind, parse_date
from jobs.kernel.errors import HeldError
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.issue import check_not_issued
from jobs.stages.plan import dates_due, plan_date, run_date
from jobs.stages.status import later_dates
from jobs.stages.summary import print_summary

Stage = Literal["ingest", "build_view", "score_risk", "identify_moments", "dispatch"]
DatesOption = Annotated[
    list[str] | None,
    typer.Option("--dispatch-date", help="Date of dispatch, YYYY-MM-DD; repeat it for several, in order."),
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="With --to: every date of dispatch from this one on.")
]
ToOption = Annotated[str | None, typer.Option("--to", help="The last date of dispatch.")]
StageOption = Annotated[
    Stage, typer.Option("--stage", help="Start at this stage; what comes before it stands as it is.")
]
ExplainOption = Annotated[
    bool,
    typer.Option("--explain", help="Print the steps and the partitions each replaces, and do nothing."),
]
ReissueOption = Annotated[
    bool, typer.Option("--reissue", help="Also dates whose alerts were exported: as a new revision.")
]
CascadeOption = Annotated[
    bool, typer.Option("--cascade", help="With --reissue: then all later dates that are complete, too.")
]


def main(
    source: c.SourceOption,
    extracts: c.ExtractsOption,
    dispatch_date: DatesOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    stage: StageOption = "ingest",
    warehouse: c.WarehouseOption = "data/warehouse",
    explain: ExplainOption = False,
    reissue: ReissueOption = False,
    cascade: CascadeOption = False,
    max_bad_share: c.BadShareOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Run all cycles due on dispatch dates, from files to alerts."""
    if cascade and not reissue:
        raise typer.BadParameter("--cascade needs --reissue")
    chosen: list[date] = []

    def check(configuration: Configuration) -> None:
        chosen.extend(_dates(configuration, dispatch_date, from_, to))
        for day in chosen:
            for step in plan_date(configuration.calendar, day, stage):
                if explain:
                    print(step)
                    print(*(f"    {place}" for place in step.replaces), sep="\n")
        if explain:
            raise SystemExit(0)
        if not reissue:
            check_not_issued(configuration, warehouse, chosen)

    with c.running(source, warehouse, project_dir, profile, extracts, max_bad_share, check) as context:
        if cascade:
            chosen[:] = sorted({*chosen, *later_dates(context.configuration, warehouse, chosen)})
        context.dates = tuple(chosen)
        for day in chosen:
            try:
                run_date(context, day, stage, reissue)
            except HeldError:
                # The date is written; later ones would build on alerts that nobody has let pass.
                print_summary(context, day)
                raise
        print_summary(context, chosen[-1])


def _dates(
    configuration: Configuration, given: list[str] | None, first: str | None, last: str | None
) -> list[date]:
    """The dates a user named, or the one of a source with a single snapshot."""
    if (first is None) != (last is None) or (given and first is not None):
        raise typer.BadParameter("give --dispatch-date, or --from and --to")
    if first is not None and last is not None:
        return dates_due(configuration.calendar, parse_date(first), parse_date(last))
    if given:
        return [parse_date(text) for text in given]
    snapshot = configuration.calendar.snapshot
    if snapshot is None:
        raise typer.BadParameter("give --dispatch-date YYYY-MM-DD, or --from and --to")
    return [snapshot + timedelta(days=configuration.calendar.grace_days[CycleKind.daily])]


if __name__ == "__main__":
    c.run_app(main)
