"""Table schemas (schemas/tables/*.yaml), and those that follow from the catalogue: view and tiles."""

from __future__ import annotations

from jobs.contracts.columns import Column, Table
from jobs.contracts.view import CustomerView
from jobs.kernel.located_yaml import Document, StrictModel, validate
from jobs.kernel.project import Project, collect

FOLDER = "schemas/tables"


class ColumnFile(StrictModel):
    """One column as written."""

    type: str
    zh: str
    en: str
    required: bool = False
    run_metadata: bool = False


class TableFile(StrictModel):
    """One table as written; see Table."""

    table: str
    version: int
    zh: str
    en: str
    columns: dict[str, ColumnFile]
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    change_data_feed: bool = False
    restricted: bool = False
    released: bool = False


def read_table(document: Document) -> Table:
    """Reads one table schema."""
    file = validate(document, TableFile)
    columns = tuple(
        Column(name, one.type, one.zh, one.en, one.required, one.run_metadata)
        for name, one in file.columns.items()
    )
    return Table(
        name=file.table,
        columns=columns,
        partition_by=file.partition_by,
        sort_by=file.sort_by,
        change_data_feed=file.change_data_feed,
        key=file.key,
        restricted=file.restricted,
        version=file.version,
        released=file.released,
    )


def load_tables(project: Project) -> dict[str, Table]:
    """All table schemas by name.

    Raises:
        ConfigError: With all problems of all files.
    """
    tables = collect(lambda name: read_table(project.load(name)), project.files(FOLDER))
    return {table.name: table for table in tables}


def view_table(view: CustomerView) -> Table:
    """The customer view: one row a subscription, as_of and cutoff."""
    head = (
        Column("as_of", "DATE", "截止日期", "Last date looked at", required=True),
        Column("cutoff", "DATE", "数据截止", "Last date of availability", required=True),
        Column("subscription_id", "STRING", "用户编号", "Subscription id", required=True),
    )
    return Table(
        name="customer_view",
        columns=(*head, *view.columns),
        partition_by=("as_of", "cutoff"),
        sort_by=("subscription_id",),
        key=("as_of", "cutoff", "subscription_id"),
    )
