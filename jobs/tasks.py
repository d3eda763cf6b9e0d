"""Job: tells what has become of the alerts that were dispatched, without Spark."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from jobs.domain.tasks import STATES
from jobs.kernel.cycle import parse_date
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.storage.reader import newest_partition, rows_of

DayOption = Annotated[
    str | None,
    typer.Option("--dispatch-date", help="As known on this date of dispatch; the newest by default."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]

APPOINTMENTS = ("not_due", "due", "done")


def main(
    warehouse: c.WarehouseOption = "data/warehouse",
    dispatch_date: DayOption = None,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Tell the states of tasks by moment, appointments, and what was imported; needs no Spark."""
    with c.user_errors():
        table = configure(Project.find(project_dir), profile).tables["tasks"]
        day = dispatch_date or newest_partition(warehouse, table, ["dispatch_date"])["dispatch_date"]
        rows = rows_of(warehouse, table, [("dispatch_date", "=", parse_date(day))])
    told = summary(rows)
    if as_json:
        print(json.dumps({"dispatch_date": str(day), **told}, ensure_ascii=False, indent=2))
        return
    _print(str(day), told)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of tasks by moment and state; dispatched is what is imported, rejected and pending together."""
    rejected = sum(row["state"] == "rejected" for row in rows)
    imported = sum(row["imported"] for row in rows) - rejected
    appointments = Counter(row["appointment"] for row in rows)
    by_moment: dict[str, Counter[str]] = {}
    for row in rows:
        by_moment.setdefault(row["moment_id"], Counter())[row["state"]] += 1
    return {
        "dispatched": len(rows),
        "imported": imported,
        "rejected": rejected,
        "pending": len(rows) - imported - rejected,
        "contacts": sum(row["contacts"] for row in rows),
        "connected": sum(row["connected"] for row in rows),
        "appointments": {name: appointments[name] for name in APPOINTMENTS},
        "states": {
            moment: {state: counts[state] for state in STATES} for moment, counts in sorted(by_moment.items())
        },
    }


def _print(day: str, told: dict[str, Any]) -> None:
    grid = Grid(title=f"Tasks of the last 60 days, as known on {day} / 任务状态", title_justify="left")
    grid.add_column("moment")
    for state in STATES:
        grid.add_column(state, justify="right")
    for moment, counts in told["states"].items():
        grid.add_row(moment, *(f"{counts[state]:,}" for state in STATES))
    Console(highlight=False).print(grid)
    parts = ", ".join(f"{told[name]:,} {name}" for name in ("imported", "rejected", "pending"))
    print(f"dispatched {told['dispatched']:,} = {parts}")
    print(f"contacts {told['contacts']:,}, of which {told['connected']:,} reached the customer")
    print("appointments: " + ", ".join(f"{count:,} {name}" for name, count in told["appointments"].items()))


if __name__ == "__main__":
    c.run_app(main)
