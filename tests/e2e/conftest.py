"""One synthetic province, run once from files to alerts for all end-to-end tests."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from jobs.kernel.project import Project
from jobs.stages.context import Configuration, RunContext, configure, open_run
from jobs.stages.plan import run_date
from jobs.synthetic import make_province

ROOT = Path(__file__).parents[2]
DATES = (date(2026, 5, 31), date(2026, 6, 1))
# One block of the province: it holds every planted story once.
CUSTOMERS = 1_000


@dataclass(frozen=True)
class Province:
    """A province that has been run.

    Attributes:
        folder: Extracts and truth.
        warehouse: Its tables.
        configuration: What it was run with.
        context: The run.
        reopen: Opens another run on the same warehouse.
    """

    folder: Path
    warehouse: Path
    configuration: Configuration
    context: RunContext
    reopen: Callable[[], RunContext]

    def truth(self, name: str) -> list[dict[str, str]]:
        """A file of the truth."""
        with (self.folder / "truth" / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def _with_small_teams(configuration: Configuration) -> Configuration:
    """One visit a city and day and one message a week, so that limits bind among few customers too."""
    settings = configuration.dispatch
    teams = settings.teams.model_copy(update={"daily_visits_default": 1, "daily_visits_by_city": {}})
    caps = tuple(cap.model_copy(update={"contacts": 1}) for cap in settings.caps)
    return replace(configuration, dispatch=settings.model_copy(update={"teams": teams, "caps": caps}))


@pytest.fixture(scope="session")
def province(tmp_path_factory: pytest.TempPathFactory) -> Province:
    folder = tmp_path_factory.mktemp("province")
    warehouse = folder / "warehouse"
    make_province(folder, CUSTOMERS, 7)
    configuration = _with_small_teams(configure(Project(ROOT), "local", "conf/sources/synthetic.yaml"))

    def reopen() -> RunContext:
        show = lambda message: print(message, file=sys.stderr)  # noqa: E731
        return open_run(configuration, str(warehouse), str(folder / "extracts"), show)

    context = reopen()
    for day in DATES:
        run_date(context, day)
    return Province(folder, warehouse, configuration, context, reopen)
