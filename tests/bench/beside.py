"""One stage beside something plain that reads the same rows and writes the same columns, in one session."""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jobs.kernel.project import Project
from jobs.stages.context import Configuration, configure

ROOT = Path(__file__).parents[2]


class Pair(NamedTuple):
    """What is timed.

    Attributes:
        fresh: Puts everything back to where both begin; not timed.
        plain: The plain job.
        ours: Ours.
        told: What is said of ours.
    """

    fresh: Callable[[], object]
    plain: Callable[[], object]
    ours: Callable[[], object]
    told: Callable[[], str] = str


def run_beside(
    doc: str | None,
    source: str,
    rows: int,
    bar: float,
    lay: Callable[[Configuration, Path, int], Pair],
) -> bool:
    """Times both in turns and prints the medians with their spread.

    A small round of each comes first, which compiles their code. Every second round begins with ours.

    Args:
        doc: What the benchmark is.
        source: Text of the source mapping.
        rows: How many rows, unless the command line says so.
        bar: How many times as long as the plain job ours may take.
        lay: Makes so many rows in a folder, and what is to be timed on them.

    Returns:
        Whether ours keeps to the bar.
    """
    options = argparse.ArgumentParser(description=doc)
    options.add_argument("--rows", type=int, default=rows)
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="keymoments-bench-"))
    try:
        (folder / "bench.yaml").write_text(source, encoding="utf-8")
        configuration = configure(Project(ROOT), "local", str(folder / "bench.yaml"))
        _round(lay(configuration, folder / "warm", 20_000), ours_first=False)
        pair = lay(configuration, folder / "measured", given.rows)
        times = []
        for number in range(given.runs):
            times.append(_round(pair, ours_first=number % 2 == 1))
            print("  plain {:.1f} s, ours {:.1f} s".format(*times[-1]), flush=True)
    finally:
        shutil.rmtree(folder)
    ratios = [ours / plain for plain, ours in times]
    ratio = statistics.median(ratios)
    plain, ours = (_spread([one[place] for one in times]) for place in (0, 1))
    print(
        f"{(doc or '').splitlines()[0]}\n{given.rows:,} rows, {given.runs} runs: plain {plain} s, ours {ours} s"
        f"{f' ({told})' if (told := pair.told()) else ''}, ratio {_spread(ratios)}, at most {bar:.1f}"
    )
    return ratio <= bar


def _round(pair: Pair, ours_first: bool) -> tuple[float, float]:
    """Seconds of the plain job and of ours."""
    pair.fresh()
    if ours_first:
        ours = _seconds(pair.ours)
        return _seconds(pair.plain), ours
    return _seconds(pair.plain), _seconds(pair.ours)


def _spread(values: list[float]) -> str:
    """The median, and between what the values lie."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
