"""Job: builds the customer view of one cycle."""

from __future__ import annotations

from jobs.kernel.cycle import Cycle, CycleKind
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.freshness import check_fresh
from jobs.stages.view import write_view


def main(
    source: c.SourceOption,
    as_of: c.AsOfOption,
    cycle: c.CycleOption = CycleKind.daily,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Build the customer view as of a date."""

    def check(configuration: Configuration) -> Cycle:
        return c.cycle_ending(configuration, cycle, as_of)

    with c.running(source, warehouse, project_dir, profile, check=check) as context:
        due = c.cycle_ending(context.configuration, cycle, as_of)
        check_fresh(context, due)
        written = write_view(context, due)
        print(f"{written.rows:,} subscriptions" + ("" if written.changed else ", unchanged"))


if __name__ == "__main__":
    c.run_app(main)
