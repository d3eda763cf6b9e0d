"""Runs the pipeline on a real data set, and puts its tables beside the raw files in DuckDB."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


class CrossCheck:
    """What the pipeline wrote, and the raw files as DuckDB alone reads them."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()

    def raw(self, view: str, path: Path, *null_marks: str) -> None:
        """Reads a raw file, every column as text."""
        marks = ", ".join(f"'{mark}'" for mark in ("", *null_marks))
        self.connection.execute(
            f"create table {view} as select * from read_csv('{path}', header = true, all_varchar = true, "
            f"quote = '\"', escape = '\"', nullstr = [{marks}])"
        )

    def run(self, source: str, folder: Path, warehouse: Path) -> None:
        """Runs a source on its one dispatch date; every table it wrote becomes a view."""
        from jobs.kernel.project import Project
        from jobs.stages.context import configure, open_run
        from jobs.stages.plan import run_date

        configuration = configure(Project(ROOT), "local", f"conf/sources/{source}.yaml")
        snapshot = configuration.calendar.snapshot
        assert snapshot is not None
        self.context = open_run(configuration, str(warehouse), str(folder))
        run_date(self.context, snapshot + timedelta(days=1))
        self._register(warehouse)
        self.connection.execute(
            "create view items as select subscription_id as id, * from customer_view "
            f"where as_of = date '{snapshot}'"
        )

    def _register(self, warehouse: Path) -> None:
        for log in sorted(warehouse.glob("*/_delta_log")):
            self.connection.register(log.parent.name, DeltaTable(log.parent).to_pyarrow_dataset())

    def ingest(self, mapping: Path, folder: Path, warehouse: Path) -> None:
        """Loads the files of a source and does nothing more."""
        from jobs.kernel.project import Project
        from jobs.stages.context import configure, open_run
        from jobs.stages.ingest import ingest

        configuration = configure(Project(ROOT), "local", str(mapping))
        ingest(open_run(configuration, str(warehouse), str(folder)))
        self._register(warehouse)

    def load(self, source: str, folder: Path, warehouse: Path) -> None:
        """Ingests a source and builds the view of its snapshot; scores, rules and dispatch stay out."""
        from jobs.kernel.cycle import CycleKind
        from jobs.kernel.project import Project
        from jobs.stages.context import configure, open_run
        from jobs.stages.ingest import ingest
        from jobs.stages.view import write_view

        configuration = configure(Project(ROOT), "local", f"conf/sources/{source}.yaml")
        snapshot = configuration.calendar.snapshot
        assert snapshot is not None
        self.context = context = open_run(configuration, str(warehouse), str(folder))
        ingest(context)
        write_view(context, configuration.calendar.cycle(CycleKind.daily, snapshot))
        self._register(warehouse)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """The only value of a query."""
        return self.rows(sql)[0][0]

    def known_and_different(self, item: str) -> tuple[int, int]:
        """Subscriptions whose item `expected` knows, and those for which the view tells otherwise."""
        other = f"e.{item} is distinct from v.{item} or e.id is null or v.id is null"
        sql = f"select count(e.{item}), count_if({other}) from expected e full join items v using (id)"
        known, different = self.rows(sql)[0]
        return known, different

    def fired(self, moment: str) -> set[str]:
        """The subscriptions for which a moment fired."""
        found = self.rows(f"select subscription_id from moments where moment_id = '{moment}'")
        assert len(found) == len(set(found)), "a moment fired twice for a subscription"
        return {row[0] for row in found}

    def alerts(self) -> dict[str, int]:
        """Alerts by moment, whatever became of them."""
        return dict(self.rows("select moment_id, count(*) from alerts group by all"))

    def evaluations(self) -> Iterator[dict[str, Any]]:
        """The rules a cycle looked at, and what it could make of them."""
        names = ["moment_id", "result", "not_supplied", "left_out", "unknown_count", "fired_count"]
        for row in self.rows(f"select {', '.join(names)} from rule_evaluations order by moment_id"):
            yield dict(zip(names, row, strict=True))

    def deliveries(self) -> dict[tuple[str, str, str], tuple[int, ...]]:
        """Counts by contract, period and part: in the file, not of the contract, read, loaded, quarantined,
        duplicate."""
        sums = "rows_in_file, rows_not_applicable, rows_read, rows_loaded, rows_quarantined, rows_duplicate"
        found = self.rows(f"select contract, period, part, {sums} from deliveries where status = 'active'")
        return {(row[0], row[1], row[2]): row[3:] for row in found}
