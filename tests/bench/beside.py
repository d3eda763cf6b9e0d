"""One stage beside something plain on the same rows, in one session."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jobs.kernel.project import Project
from jobs.stages.context import Configuration, configure

ROOT = Path(__file__).parents[2]


class Pair(NamedTuple):
    """What is timed: the plain job, ours, and what is told of ours after it."""

    plain: Callable[[], object]
    ours: Callable[[], object]
    told: Callable[[], str] = str


def run_beside(
    doc: str | None, source: str, words: str, lay: Callable[[Configuration, Path, int], Pair]
) -> None:
    """Times both, after a small round of each that compiles their code, and prints the times and their ratio.

    Args:
        doc: What the benchmark is.
        source: Text of the source mapping.
        words: What is printed of the times, with the fields rows, plain, ours and told.
        lay: Makes so many rows in a folder, and what is to be timed on them.
    """
    options = argparse.ArgumentParser(description=doc)
    options.add_argument("--rows", type=int, default=1_000_000)
    rows = options.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="keymoments-bench-"))
    try:
        (folder / "bench.yaml").write_text(source, encoding="utf-8")
        configuration = configure(Project(ROOT), "local", str(folder / "bench.yaml"))
        for name, size in (("warm", 20_000), ("measured", rows)):
            pair = lay(configuration, folder / name, size)
            plain, ours = _seconds(pair.plain), _seconds(pair.ours)
        ratio = f"ratio {ours / plain:.1f}"
        print(
            words.format(
                rows=f"{rows:,}", plain=f"{plain:.1f} s", ours=f"{ours:.1f} s, {ratio}", told=pair.told()
            )
        )
    finally:
        shutil.rmtree(folder)


def _seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
