"""A warehouse fed with little files, for tests of ingest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from jobs.kernel.project import Project
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.ingest import ingest
from jobs.storage.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
SOURCE = """
source: little
zh: 小样本
en: A small sample
defaults: {format: csv, encoding: utf-8, delimiter: ',', header: true}
extracts:
  - contract: subscriptions
    files: subscriptions_{period}.csv
    fields: same
  - contract: data_usage
    gaps: empty
    files: data_usage_{period}_{sequence}.csv
    fields: same
"""
SUBSCRIPTIONS = "subscription_id,customer_id,updated_on,number,status\nS1,C1,2026-05-01,13400000001,active\n"
HEADER = "subscription_id,used_on,mb\n"


class Little:
    """A warehouse fed with little files."""

    def __init__(self, folder: Path, source: str = SOURCE, project: Path = ROOT) -> None:
        self.folder = folder
        self.project = project
        self.extracts = folder / "extracts"
        self.extracts.mkdir()
        (folder / "little.yaml").write_text(source, encoding="utf-8")
        self.put("subscriptions_202605.csv", SUBSCRIPTIONS)

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.extracts / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def run(self) -> RunContext:
        self.said: list[str] = []
        configuration = configure(Project(self.project), "local", str(self.folder / "little.yaml"))
        context = open_run(
            configuration, str(self.folder / "warehouse"), str(self.extracts), self.said.append
        )
        self.added = ingest(context)
        return context

    def usage(self) -> list[tuple[str, str, int]]:
        frame = pl.read_delta(str(self.folder / "warehouse" / "clean_data_usage"))
        return sorted(frame.select("subscription_id", pl.col("used_on").cast(str), "mb").rows())

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_delta(str(self.folder / "warehouse" / name))

    def versions(self) -> dict[str, int]:
        logs = (self.folder / "warehouse").glob("*/_delta_log")
        return {log.parent.name: DeltaTable(str(log.parent)).version() for log in logs}


def files_with(folder: Path, *texts: str) -> list[str]:
    """Files of a folder in which a text stands, in their bytes or, of Parquet files, in what they decode to."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes().decode("utf-8", errors="replace")
        if path.suffix == ".parquet":
            content += str(pq.ParquetFile(path).read().to_pylist())
        if any(text in content for text in texts):
            found.append(str(path.relative_to(folder)))
    return found


class Killed(Exception):
    """What ends a run in the midst of its work."""


def killed_over_and_over(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], steps: Iterable[int]
) -> int:
    """Does something that is killed after this and that commit, each time from the start, until it gets through.

    Args:
        monkeypatch: Takes the killing back.
        act: What is done.
        steps: After how many commits it is killed, the first time, the second time and so on.

    Returns:
        The step at which it got through: it makes no more commits than that.
    """
    done, last = 0, 0

    def shooting(write: Callable[..., Any]) -> Callable[..., Any]:
        def wounded(*arguments: Any, **settings: Any) -> Any:
            nonlocal done
            found = write(*arguments, **settings)
            done += 1
            if done > last:
                raise Killed
            return found

        return wounded

    with monkeypatch.context() as patch:
        for name in ("_put", "append", "overwrite", "delete", "forget_history"):
            patch.setattr(Warehouse, name, shooting(getattr(Warehouse, name)))
        for last in steps:
            done = 0
            try:
                act()
            except Killed:
                continue
            return last
    raise AssertionError("it never got through")
