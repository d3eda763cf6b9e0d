"""Job: ranks the candidates of all cycles due on a date and writes its alerts."""

from __future__ import annotations

from jobs.kernel.cycle import parse_date
from jobs.stages import command as c
from jobs.stages.context import Configuration
from jobs.stages.dispatch import dispatch
from jobs.stages.plan import Step, plan_date


def main(
    source: c.SourceOption,
    dispatch_date: c.DispatchDateOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Dispatch a date: all cycles due on it together."""

    def check(configuration: Configuration) -> list[Step]:
        return plan_date(configuration.calendar, parse_date(dispatch_date))

    with c.running(source, warehouse, project_dir, profile, check=check) as context:
        for status, count in dispatch(context, parse_date(dispatch_date)).items():
            print(f"{count:>9,}  {status}")


if __name__ == "__main__":
    c.run_app(main)
