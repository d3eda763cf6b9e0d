"""Job: loads every new delivery in a folder into raw, clean and tile tables."""

from __future__ import annotations

from jobs.stages import command as c
from jobs.stages.ingest import ingest


def main(
    source: c.SourceOption,
    extracts: c.ExtractsOption,
    warehouse: c.WarehouseOption = "data/warehouse",
    max_bad_share: c.BadShareOption = None,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Load every new delivery of a folder, each exactly once."""
    with c.running(source, warehouse, project_dir, profile, extracts, max_bad_share) as context:
        rows = ingest(context)
        loaded = sum(row["rows_loaded"] for row in rows)
        bad = sum(row["rows_quarantined"] for row in rows)
        print(f"{len(rows)} new deliveries, {loaded:,} rows loaded, {bad:,} quarantined")


if __name__ == "__main__":
    c.run_app(main)
