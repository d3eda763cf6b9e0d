"""Job: makes a synthetic province; the demo also runs the whole pipeline on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from jobs.kernel.errors import Issue, StorageError
from jobs.stages import command as c
from jobs.stages.plan import run_date
from jobs.stages.summary import print_summary
from jobs.synthetic import make_province

CustomersOption = Annotated[int, typer.Option("--customers", min=100, help="How many customers to make.")]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed makes the same province.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the extracts and their truth.")]

SOURCE = "conf/sources/synthetic.yaml"
# A day of its own, then the day on which a day, a week and a month end together.
DISPATCH_DATES = (date(2026, 5, 31), date(2026, 6, 1))


def main(
    out: OutOption = Path("data/province"), customers: CustomersOption = 20_000, seed: SeedOption = 1
) -> None:
    """Make a synthetic province: extracts, and the truth of every planted moment beside them."""
    report = make_province(out, customers, seed, c.progress_printer())
    print(f"{sum(report.files.values()):,} rows in {len(report.files)} files under {out}")


def demo(
    customers: CustomersOption = 20_000,
    seed: SeedOption = 1,
    out: OutOption = Path("data/province"),
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Make a synthetic province and run a day, a week and a month end on it."""

    def prepare(progress: Callable[[str], None]) -> None:
        _start_afresh(Path(warehouse), out)
        make_province(out, customers, seed, progress)

    extracts = str(out / "extracts")
    with c.running(SOURCE, warehouse, project_dir, profile, extracts, beside=prepare) as context:
        for day in DISPATCH_DATES:
            run_date(context, day)
        print_summary(context, DISPATCH_DATES[-1])


def _start_afresh(warehouse: Path, out: Path) -> None:
    """Removes an earlier demo, since another size or seed is another province; and nothing else.

    Raises:
        StorageError: When the warehouse holds tables that no demo made.
    """
    tables = [log.parent for log in warehouse.glob("*/_delta_log")]
    marker = warehouse / ".demo"
    if tables and not marker.exists():
        message = f"{warehouse} holds tables that are not a demo's; give another --warehouse"
        raise StorageError(Issue("TABLE_MISMATCH", message))
    for folder in [*tables, out / "extracts", out / "truth"]:
        shutil.rmtree(folder, ignore_errors=True)
    marker.touch()


if __name__ == "__main__":
    c.run_app(main)
