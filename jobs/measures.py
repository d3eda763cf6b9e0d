"""Job: measures service quality in a month, by city, brand and so on, against targets."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table as Grid

from jobs.config.service_measures import PROVINCE
from jobs.kernel.cycle import parse_month
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.service_measures import measure_month


def main(
    source: c.SourceOption,
    month: Annotated[str, typer.Option("--month", help="The month, YYYY-MM.")],
    by: Annotated[
        str, typer.Option("--by", help="Which areas to print: province, city, brand ...")
    ] = PROVINCE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, all areas.")] = False,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Measure service quality in a month of whose end there is a view, against targets and months before."""
    with c.user_errors():
        day = parse_month(month)

    def known(configuration: Configuration) -> None:
        places = configuration.service_measures.places()
        if by not in places:
            message = f"nothing is measured by '{by}'{did_you_mean(by, places)}"
            raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))

    with c.running(source, warehouse, project_dir, profile, check=known) as context:
        found = measure_month(context, day)
        measures = context.configuration.service_measures.measures
    if as_json:
        told = {"month": str(found.month), "rows": found.rows, "untold": found.untold}
        print(json.dumps(told, ensure_ascii=False, indent=2, default=str))
        return
    grid = Grid(title=f"service quality in {month}", title_justify="left")
    for head in ("measure", by, "value", "target", "", "on quarter", "on year", "of", "owner"):
        grid.add_column(head, overflow="fold")
    for row in found.rows:
        if row["area"] == by:
            measure = measures[row["measure"]]
            verdict = {True: "达标 / met", False: "未达标 / missed", None: ""}[row["on_target"]]
            changes = (row["change_on_quarter"], row["change_on_year"])
            numbers = [
                "-" if one is None else f"{one:,.2f}" for one in (row["value"], row["target"], *changes)
            ]
            base = f"{row['amount']:,.0f} / {row['base']:,.0f}"
            title = f"{measure.zh} / {measure.en}"
            grid.add_row(title, row["place"], *numbers[:2], verdict, *numbers[2:], base, row["owner"])
    c.report_console().print(grid)
    for name, why in found.untold.items():
        print(f"not measured: {name}, as {why}")
