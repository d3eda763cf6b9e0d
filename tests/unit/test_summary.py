"""The summary's table of sources, from rows of the table deliveries."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

from rich.console import Console

from jobs.kernel.project import Project
from jobs.stages.context import configure
from jobs.stages.summary import _sources


def delivery(contract: str, until: date | None, rows: int) -> dict[str, object]:
    counts = {"rows_read": rows, "rows_loaded": rows, "rows_quarantined": 0, "rows_duplicate": 0}
    return {"contract": contract, "status": "active", "covers_to": until, **counts}


def test_a_delivery_without_rows_reaches_no_day(project: Project) -> None:
    """Few customers may bring no complaint on a day: the file is there, with nothing below its header."""
    configuration = configure(project, source="conf/sources/synthetic.yaml")
    rows = [
        delivery("complaints", date(2026, 5, 29), 3),
        delivery("complaints", None, 0),
        delivery("surveys", None, 0),
    ]
    context = SimpleNamespace(deliveries=rows, configuration=configuration, source=configuration.source)
    console = Console(width=150, record=True)
    console.print(_sources(context))  # type: ignore[arg-type]
    told = {
        line.split()[1]: line.split("│")[2:5] for line in console.export_text().splitlines() if "│ " in line
    }
    assert [cell.strip() for cell in told["complaints"]] == ["2", "2026-05-29", "3"]
    assert [cell.strip() for cell in told["surveys"]] == ["1", "", "0"]
