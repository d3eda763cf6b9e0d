"""The note of a load that has begun: what its files replace, and the units that this touches.

It stands beside the tables from before the first of them is written until the ledger of deliveries is. Where
a run was killed between, the next one learns from it what may be half done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyarrow import fs

from jobs.storage.paths import file_system

FILE = "_loading.json"


@dataclass(frozen=True)
class Begun:
    """One file's load.

    Attributes:
        contract: Its contract.
        period: Its period.
        part: Its part.
        units: Units of the clean table that are written anew.
        file: Its name.
    """

    contract: str
    period: str
    part: str
    units: tuple[date, ...]
    file: str

    @property
    def slot(self) -> tuple[str, str, str]:
        """What the load replaces."""
        return self.contract, self.period, self.part


def read_begun(warehouse: str) -> list[Begun]:
    """The loads that were begun and not ended."""
    system, inside = file_system(f"{warehouse}/{FILE}")
    if system.get_file_info(inside).type is fs.FileType.NotFound:
        return []
    with system.open_input_file(inside) as file:
        told = json.loads(file.read())
    return [
        Begun(
            one["contract"],
            one["period"],
            one["part"],
            tuple(map(date.fromisoformat, one["units"])),
            one["file"],
        )
        for one in told
    ]


def write_begun(warehouse: str, loads: Sequence[Begun]) -> None:
    """Keeps the note, or removes it when nothing is under way; a reader sees the old one or the new one."""
    system, inside = file_system(f"{warehouse}/{FILE}")
    if not loads:
        if system.get_file_info(inside).type is not fs.FileType.NotFound:
            system.delete_file(inside)
        return
    told = [
        {
            "contract": one.contract,
            "period": one.period,
            "part": one.part,
            "units": list(map(str, one.units)),
            "file": one.file,
        }
        for one in loads
    ]
    system.create_dir(inside.rpartition("/")[0], recursive=True)
    with system.open_output_stream(f"{inside}.new") as file:
        file.write(json.dumps(told).encode())
    system.move(f"{inside}.new", inside)
