"""What readers of a table outside rely on (schemas/released/): what would break them needs a new version.

The file of a version is written by `keymoments docs` from the schema. Whoever reads a version finds, as
long as its number stands: all its columns, of the same types, null only where they could be null, in the same
partitions and with the same key. Columns may be added.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from jobs.contracts.columns import Column, Table
from jobs.contracts.tables import read_table
from jobs.kernel.errors import ConfigError, Issue, Location
from jobs.kernel.project import Project

FOLDER = "schemas/released"


def released_path(table: Table) -> str:
    """Where the schema of a table's version stands, as readers rely on it."""
    return f"{FOLDER}/{table.name}.v{table.version}.yaml"


def released_text(table: Table) -> str:
    """The file of a table's version."""
    columns = {
        one.name: {"type": one.type, "zh": one.zh, "en": one.en}
        | ({"required": True} if one.required else {})
        for one in table.columns
    }
    data = {
        "table": table.name,
        "version": table.version,
        "zh": table.name,
        "en": "As readers of this version rely on it; written by 'keymoments docs'",
        "partition_by": list(table.partition_by),
        "key": list(table.key),
        "columns": columns,
    }
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=1000)


def check_released(project: Project, tables: Iterable[Table]) -> None:
    """Holds the tables that readers outside rely on against what was released of their version.

    Raises:
        ConfigError: With every change that would break a reader.
    """
    issues: list[Issue] = []
    for table in tables:
        if table.released and (project.root / released_path(table)).is_file():
            before = read_table(project.load(released_path(table)))
            place = Location(f"schemas/tables/{table.name}.yaml")
            message = f"readers of version {table.version} would break: {{}}; raise 'version'"
            issues += [
                Issue("TABLE_BREAKS_READERS", message.format(what), place) for what in _breaks(before, table)
            ]
    if issues:
        raise ConfigError(issues)


def _breaks(before: Table, now: Table) -> list[str]:
    found = []
    have = {one.name: one for one in now.columns}
    for column in before.columns:
        if column.name not in have:
            found.append(f"column '{column.name}' is gone")
        else:
            found += _changes(column, have[column.name])
    for what, old, new in (
        ("the partitions", before.partition_by, now.partition_by),
        ("the key", before.key, now.key),
    ):
        if old != new:
            found.append(f"{what} were {', '.join(old)} and are {', '.join(new)}")
    return found


def _changes(old: Column, new: Column) -> list[str]:
    found = []
    if old.type != new.type:
        found.append(f"column '{old.name}' was {old.type} and is {new.type}")
    if old.required and not new.required:
        found.append(f"column '{old.name}' could not be null and can be now")
    return found
