"""Writes the extract files: one per contract and delivery period, bad and repeated rows included."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from jobs.synthetic.blemishes import BAD_ROWS, REPEATED
from jobs.synthetic.layout import LAYOUTS, Batch
from jobs.synthetic.planting import write_rows

_OPTIONS: Final = arrow_csv.WriteOptions(include_header=False, quoting_style="none")


class ExtractWriter:
    """Keeps the files of a province open while chunks of customers are written to them."""

    def __init__(self, folder: Path) -> None:
        """Starts the files that are delivered even when they have no row.

        Args:
            folder: Where the files go; extracts of an earlier run in it are removed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.csv"):
            old.unlink()
        self._folder = folder
        self._files: dict[tuple[str, str], BinaryIO] = {}
        self._rows: dict[str, int] = {}
        self._bad_rows: list[tuple[object, ...]] = []
        self._repeated: dict[tuple[str, str], list[bytes]] = {}
        for contract, layout in LAYOUTS.items():
            for period in layout.always:
                self._file(contract, period)

    def __enter__(self) -> Self:
        """Returns the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Adds the repeated rows and closes the files."""
        for (contract, period), file in self._files.items():
            for row in self._repeated.get((contract, period), ()):
                file.write(row)
                self._rows[_name(contract, period)] += 1
            file.close()

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each file, without its header."""
        return dict(sorted(self._rows.items()))

    def write(self, batch: Batch) -> None:
        """Writes rows to the files of their periods."""
        layout = LAYOUTS[batch.contract]
        table = _table(layout.columns, batch.columns, len(batch.days))
        period_of_row = layout.periods.of(batch.days)
        for position, name in enumerate(layout.periods.names):
            rows = np.flatnonzero(period_of_row == position)
            if len(rows):
                part = table if len(rows) == len(table) else table.take(pa.array(rows))
                self._append(batch.contract, name, part)

    def write_truth(self, folder: Path) -> None:
        """Writes ``bad_rows.csv`` and ``duplicates.csv``."""
        write_rows(folder / "bad_rows.csv", ("file", "line", "contract", "reason"), self._bad_rows)
        repeated = sorted(
            (contract, _name(contract, period), len(rows))
            for (contract, period), rows in self._repeated.items()
        )
        write_rows(folder / "duplicates.csv", ("contract", "file", "count"), repeated)

    def _append(self, contract: str, period: str, table: pa.Table) -> None:
        file = self._file(contract, period)
        buffer = pa.BufferOutputStream()
        arrow_csv.write_csv(table, buffer, _OPTIONS)
        text = buffer.getvalue()
        file.write(text)
        self._rows[_name(contract, period)] += len(table)
        kept = self._repeated.get((contract, period), [])
        wanted = REPEATED.get((contract, period), 0) - len(kept)
        if wanted > 0:
            self._repeated[contract, period] = kept + text.to_pybytes().splitlines(keepends=True)[:wanted]

    def _file(self, contract: str, period: str) -> BinaryIO:
        """Returns the open file, begun with its header and bad rows."""
        if (contract, period) not in self._files:
            name = _name(contract, period)
            file = (self._folder / name).open("wb")
            self._files[contract, period] = file
            bad = [row for row in BAD_ROWS if (row.contract, row.period) == (contract, period)]
            for line in (",".join(LAYOUTS[contract].columns), *(row.text for row in bad)):
                file.write(f"{line}\n".encode())
            self._bad_rows += [(name, line, contract, row.reason) for line, row in enumerate(bad, start=2)]
            self._rows[name] = len(bad)
        return self._files[contract, period]


def _name(contract: str, period: str) -> str:
    return f"{contract}_{period}.csv"


def _table(columns: tuple[str, ...], given: Mapping[str, Any], rows: int) -> pa.Table:
    """Returns the columns in the contract's order; those not given are empty."""
    if unknown := set(given) - set(columns):
        raise ValueError(f"not columns of this extract: {sorted(unknown)}")
    return pa.table({name: given.get(name, pa.nulls(rows, pa.string())) for name in columns})
