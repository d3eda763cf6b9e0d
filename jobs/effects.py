"""Job: tells what came of service, against the control group, and what service was worth."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from jobs.config.effects import EffectSettings
from jobs.domain.effects import GROUPS
from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import CycleError, Issue
from jobs.stages import command as c
from jobs.stages.context import RunContext
from jobs.stages.effects import TOO_FEW, Told, write_effects

FromOption = Annotated[str, typer.Option("--from", help="First date of dispatch, YYYY-MM-DD.")]
ToOption = Annotated[str, typer.Option("--to", help="Last date of dispatch.")]
ByOption = Annotated[str, typer.Option("--by", help=f"What to show groups of: {', '.join(GROUPS)}.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
FACTORS = ("timing", "efficiency", "need_match", "quality", "cost_factor")


def main(
    source: c.SourceOption,
    first: FromOption,
    last: ToOption,
    by: ByOption = "moment",
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Tell what service changed, against the control group, with intervals; and what it was worth."""
    if by not in GROUPS:
        raise typer.BadParameter(f"'{by}' is none of {', '.join(GROUPS)}", param_hint="--by")
    with c.user_errors():
        since, until = parse_date(first), parse_date(last)
        if since > until:
            raise CycleError(Issue("CYCLE_BAD_DATE", f"{since} lies after {until}"))
    with c.running(source, warehouse, project_dir, profile) as context:
        told = write_effects(context, since, until)
    if as_json:
        print(json.dumps({"effects": told.effects, "service_values": told.values, "untold": told.untold},
                         ensure_ascii=False, indent=2, default=str))  # fmt: skip
        return
    _print(context, told, by)


def _print(context: RunContext, told: Told, by: str) -> None:
    console, settings = c.report_console(), context.configuration.effects
    for name, outcome in settings.outcomes.items():
        if name in told.untold:
            console.print(f"{outcome.zh} {name}: cannot be told, {told.untold[name]}")
            continue
        title = f"{outcome.en}, {outcome.days} days after: served beside control / {outcome.zh}"
        grid = Grid(title=title, title_justify="left")
        for column in (by, "served", "control", "served mean", "control mean", "difference",
                       f"{settings.confidence:.0%} interval", "smallest seen", "verdict"):  # fmt: skip
            grid.add_column(column, justify="left" if column in (by, "verdict") else "right", overflow="fold")
        rows = [row for row in told.effects if row["outcome"] == name and row["by"] in ("all", by)]
        for row in sorted(rows, key=lambda row: (row["by"] != "all", -row["served"], row["name"])):
            grid.add_row(*_cells(row, outcome.event is not None))
        console.print(grid)
    harms = [row for row in told.effects if row["verdict"] == "harms" and row["by"] == "moment"]
    for row in harms:
        console.print(f"harms / 有害时刻: {row['name']} ({row['outcome']})")
    _print_values(told, by, settings)


def _cells(row: dict[str, Any], share: bool) -> tuple[str, ...]:
    def number(value: Any) -> str:
        if value is None:
            return "-"
        return f"{100 * float(value):.2f} %" if share else f"{float(value):.2f}"

    interval = "-" if row["verdict"] == TOO_FEW else f"{number(row['lower'])} to {number(row['upper'])}"
    values = (row["served_mean"], row["control_mean"], row.get("difference"))
    told = (f"{row['served']:,}", f"{row['control']:,}", *map(number, values), interval)
    return (row["name"] or "-", *told, number(row.get("smallest")), row["verdict"].replace("_", " "))


def _print_values(told: Told, by: str, settings: EffectSettings) -> None:
    grid = Grid(title="What service was worth / 服务价值", title_justify="left")
    for column in (by, "alerts", "reported", "contacts", "reached", "useless", "missed", "accepted", "cost",
                   *(name.replace("_", " ") for name in FACTORS), "value"):  # fmt: skip
        grid.add_column(column, justify="left" if column == by else "right", overflow="fold")
    rows = [row for row in told.values if row["by"] in ("all", by)]
    for row in sorted(rows, key=lambda row: (row["by"] != "all", -row["alerts"], row["name"])):
        counts = (
            f"{row[name]:,}" for name in ("alerts", "imported", "contacts", "reached", "useless", "missed")
        )
        accepted = f"{row['accepted']:,} of {row['suggested']:,}"
        factors = (
            "-" if row.get(name) is None else f"{row[name]:.2f}" for name in (*FACTORS, "service_value")
        )
        grid.add_row(row["name"] or "-", *counts, accepted, f"{row['cost']:,.0f}", *factors)
    c.report_console().print(grid)


if __name__ == "__main__":
    c.run_app(main)
