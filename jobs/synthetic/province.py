"""Makes the province: chunk by chunk of customers, extract by extract."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from jobs.synthetic.accounting import accounting
from jobs.synthetic.billing import bills
from jobs.synthetic.care import care
from jobs.synthetic.holdings import holdings
from jobs.synthetic.households import households
from jobs.synthetic.layout import Batch
from jobs.synthetic.lines import Lines, make_lines
from jobs.synthetic.network import network
from jobs.synthetic.orders import orders
from jobs.synthetic.people import People, make_people
from jobs.synthetic.planting import Truth
from jobs.synthetic.reference import care_of, reference
from jobs.synthetic.registry import known_from, registry
from jobs.synthetic.usage import usage
from jobs.synthetic.writer import ExtractWriter

CHUNK: Final = 20_000
"""Customers made at a time; bounds the memory, and the order of the rows follows from it."""


@dataclass(frozen=True)
class ProvinceReport:
    """What was written: rows by file name (without headers), planted truths by moment."""

    folder: Path
    customers: int
    seed: int
    files: Mapping[str, int]
    planted: Mapping[str, int]


def make_province(
    out: Path, customers: int = 20_000, seed: int = 1, progress: Callable[[str], None] | None = None
) -> ProvinceReport:
    """Writes the extracts of a synthetic province and the truth about it.

    The same seed gives the same bytes; customer k has the same rows in a province of any size.

    Args:
        out: Gets the folders ``extracts`` and ``truth``.
        customers: How many customers to make.
        seed: Chooses the province.
        progress: Told about each chunk of customers.
    """
    if customers < 1:
        raise ValueError(f"a province needs customers, not {customers}")
    truth, truth_folder = Truth(), out / "truth"
    with ExtractWriter(out / "extracts") as writer:
        for batch in reference(seed, customers):
            writer.write(batch)
        for first in range(0, customers, CHUNK):
            last = min(first + CHUNK, customers)
            people = make_people(seed, first, last)
            lines = make_lines(people)
            for batch in _extracts(people, lines):
                writer.write(batch)
            told = np.flatnonzero(lines.told)
            truth.add(lines.ids.take(pa.array(told)).to_pylist(), lines.story[told].tolist())
            if progress is not None:
                progress(f"{last:,} of {customers:,} customers")
    truth_folder.mkdir(parents=True, exist_ok=True)
    truth.write(truth_folder)
    writer.write_truth(truth_folder)
    return ProvinceReport(out, customers, seed, writer.rows, truth.counts())


def _extracts(people: People, lines: Lines) -> Iterator[Batch]:
    since = known_from(people, lines)
    yield from registry(people, lines)
    yield households(people, since)
    yield from care_of(people, since)
    for extracts in (bills, accounting, usage, network, care, holdings, orders):
        yield from extracts(lines)
