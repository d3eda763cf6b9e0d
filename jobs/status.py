"""Job: tells where the pipeline stands: last cycles, late sources, missed dates; without Spark."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table as Grid

from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import EXIT_LATE
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.status import Status, metrics_text, status_of

OnOption = Annotated[str | None, typer.Option("--on", help="The day, YYYY-MM-DD; today by default.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
MetricsOption = Annotated[
    Path | None, typer.Option("--metrics", help="Also write this file, in the text format of Prometheus.")
]
SHOWN = 10


def main(
    source: c.SourceOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    on: OnOption = None,
    as_json: JsonOption = False,
    metrics: MetricsOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Tell the last cycles, late sources and missed dates; exit code 5 when somebody should look."""
    with c.user_errors():
        day = None if on is None else parse_date(on)
        configuration = configure(Project.find(project_dir), profile, source)
        today = datetime.now(ZoneInfo(configuration.settings.time_zone)).date()
        assert configuration.source is not None
        status = status_of(configuration, configuration.source, warehouse, day or today)
        if metrics is not None:
            _write(metrics, metrics_text(status))
    if as_json:
        told = {**asdict(status), "is_well": status.is_well}
        print(json.dumps(told, ensure_ascii=False, indent=2, default=str))
    else:
        _print(status, Console(highlight=False))
    raise typer.Exit(0 if status.is_well else EXIT_LATE)


def _write(path: Path, text: str) -> None:
    """All at once: whoever collects the file may come at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _print(status: Status, console: Console) -> None:
    cycles = Grid(title=f"Last complete cycles on {status.on} / 最近完成的周期", title_justify="left")
    for name in ("cycle", "as of", "dispatched on", "finished at"):
        cycles.add_column(name)
    for one in status.cycles:
        end = "never" if one.finished_at is None else one.finished_at.isoformat(" ", "seconds")
        cycles.add_row(one.kind, str(one.as_of or ""), str(one.dispatch_date or ""), end)
    console.print(cycles)
    sources = Grid(title="Sources / 数据来源", title_justify="left")
    for name in ("contract", "until", "days old", "may be", ""):
        sources.add_column(name, justify="right" if name in ("days old", "may be") else "left")
    for state in status.sources:
        cells = (str(state.until or "never"), "" if state.days_old is None else str(state.days_old))
        sources.add_row(
            f"{state.contract} {state.zh}",
            *cells,
            str(state.may_be_old),
            "late / 迟" if state.late else "",
        )
    console.print(sources)
    alerts = ", ".join(f"{name} {count:,}" for name, count in status.alerts.items())
    console.print(f"alerts of the last date / 最近一日告警: {alerts or 'none'}")
    for title, dates in (
        ("missed dates / 未完成日期", status.missed),
        ("stale dates, made before an earlier one was made again / 待重算日期", status.stale),
    ):
        if dates:
            days = ", ".join(str(day) for day in dates[:SHOWN])
            more = f" and {len(dates) - SHOWN} more" if len(dates) > SHOWN else ""
            console.print(f"{title}: {days}{more}")
    for stage in status.broken:
        console.print(f"did not end well / 未正常结束: {stage}")
    console.print("all is well / 一切正常" if status.is_well else "somebody should look / 需要查看")


if __name__ == "__main__":
    c.run_app(main)
