"""Job: erases a person from all tables and their history, and keeps ingest from bringing the person back."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.stages import command as c
from jobs.stages.erase import erase

CustomerArgument = Annotated[str, typer.Argument(help="Id of the customer to erase.")]


def main(
    source: c.SourceOption,
    customer: CustomerArgument,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Erase a customer from all tables and their history; this cannot be undone."""
    with c.running(source, warehouse, project_dir, profile) as context:
        erased = erase(context, customer)
    for table, rows in sorted(erased.rows.items()):
        print(f"{rows:>12,} rows deleted from {table}")
    print("Rows that name the customer will not be taken in again. / 今后到达的数据不会再载入该客户。")
    if erased.files:
        print("Delivered files that hold the customer, for you to delete / 仍含该客户的源文件，请删除:")
        for name in erased.files:
            print(f"  {name}")
    if erased.replaced:
        print(
            "Files that corrections have replaced, which may hold the customer too, for you to look at / "
            "已被更正文件替换、可能仍含该客户的源文件，请核对:"
        )
        for name in erased.replaced:
            print(f"  {name}")
    if erased.issued:
        dates = ", ".join(map(str, erased.issued))
        print(
            "Exports of these dates, if any were made, hold alerts of the customer / "
            f"以下日期如有导出，含该客户的告警: {dates}"
        )


if __name__ == "__main__":
    c.run_app(main)
