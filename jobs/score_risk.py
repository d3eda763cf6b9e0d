"""Job: scores churn risk and health of one cycle's view."""

from __future__ import annotations

from jobs.kernel.cycle import Cycle, CycleKind
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.scores import write_scores


def main(
    source: c.SourceOption,
    as_of: c.AsOfOption,
    cycle: c.CycleOption = CycleKind.daily,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Score churn risk and health as of a date."""

    def check(configuration: Configuration) -> Cycle:
        return c.cycle_ending(configuration, cycle, as_of)

    with c.running(source, warehouse, project_dir, profile, check=check) as context:
        write_scores(context, c.cycle_ending(context.configuration, cycle, as_of))


if __name__ == "__main__":
    c.run_app(main)
