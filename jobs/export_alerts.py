"""Job: exports the dispatched alerts of a date as CloudEvents or for spreadsheets, without Spark."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.export import Export, export_alerts


class Form(StrEnum):
    """How records are written."""

    jsonl = "jsonl"
    csv = "csv"


class Encoding(StrEnum):
    """How the text of a CSV file is encoded."""

    utf8 = "utf-8"
    gbk = "gbk"


class Per(StrEnum):
    """What there is a file for."""

    all = "all"
    city = "city"
    manager = "manager"


def main(
    source: c.SourceOption,
    dispatch_date: c.DispatchDateOption,
    role: Annotated[str, typer.Option("--role", help="For whom: a role of conf/exports.yaml.")] = "analyst",
    form: Annotated[Form, typer.Option("--format", help="CloudEvents in JSON Lines, or CSV.")] = Form.jsonl,
    encoding: Annotated[Encoding, typer.Option("--encoding", help="Of CSV.")] = Encoding.utf8,
    per: Annotated[Per, typer.Option("--per", help="One file in all, or one a city or a manager.")] = Per.all,
    out: Annotated[Path, typer.Option("--out", help="Folder of the exports.")] = Path("data/exports"),
    replace: Annotated[bool, typer.Option("--replace", help="Also where other files stand already.")] = False,
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Export the dispatched alerts of a date, with control files; needs no Spark."""
    with c.user_errors():
        configuration = configure(Project.find(project_dir), profile, source)
        roles = configuration.exports.roles
        if role not in roles:
            message = f"'{role}' is not a role of conf/exports.yaml{did_you_mean(role, roles)}"
            raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))
        wanted = Export(parse_date(dispatch_date), form.value, encoding.value, per.value, (role, roles[role]))
        done = export_alerts(configuration, warehouse, out, wanted, replace)
    records = sum(done.records.values())
    state = "" if done.changed else ", as they were"
    print(f"{done.folder}: {records:,} records in {len(done.records)} files{state}")


if __name__ == "__main__":
    c.run_app(main)
