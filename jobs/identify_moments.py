"""Job: evaluates the rules of one cycle over its view."""

from __future__ import annotations

from jobs.kernel.cycle import Cycle, CycleKind
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.moments import identify_moments


def main(
    source: c.SourceOption,
    as_of: c.AsOfOption,
    cycle: c.CycleOption = CycleKind.daily,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Evaluate the rules of a cycle and write the moments that fired."""

    def check(configuration: Configuration) -> Cycle:
        return c.cycle_ending(configuration, cycle, as_of)

    with c.running(source, warehouse, project_dir, profile, check=check) as context:
        result = identify_moments(context, c.cycle_ending(context.configuration, cycle, as_of))
        for rule, count in sorted(result.fired.items()):
            print(f"{count:>9,}  {rule}")
        for rule, items in sorted(result.not_supplied.items()):
            print(f"not supplied by this source: {rule} (lacks {', '.join(items)})")


if __name__ == "__main__":
    c.run_app(main)
