"""What the demo clears away before it begins, and what it never touches."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.kernel.errors import StorageError
from jobs.make_province import _start_afresh
from jobs.stages import command


def test_a_demo_makes_its_own_extracts_on_a_machine_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReachedSpark(Exception):
        pass

    def start(*_: object, **__: object) -> None:
        raise ReachedSpark

    monkeypatch.setattr(command, "open_run", start)
    out, warehouse = tmp_path / "none" / "province", tmp_path / "none" / "warehouse"
    done = CliRunner().invoke(
        app, ["demo", "--customers", "100", "--out", str(out), "--warehouse", str(warehouse)]
    )
    assert isinstance(done.exception, ReachedSpark), done.output
    assert (out / "extracts" / "subscriptions_202605.csv").is_file() and (out / "truth").is_dir()


def test_a_demo_removes_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    warehouse, out = tmp_path / "warehouse", tmp_path / "province"
    warehouse.mkdir()
    _start_afresh(warehouse, out)
    for folder in (warehouse / "alerts" / "_delta_log", warehouse / "notes", out / "extracts", out / "mine"):
        folder.mkdir(parents=True)
    _start_afresh(warehouse, out)
    assert sorted(path.name for path in warehouse.iterdir()) == [".demo", "notes"]
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_demo_refuses_tables_that_are_not_its_own(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    (warehouse / "alerts" / "_delta_log").mkdir(parents=True)
    with pytest.raises(StorageError, match="holds tables that are not a demo's"):
        _start_afresh(warehouse, tmp_path / "province")
    assert (warehouse / "alerts" / "_delta_log").is_dir()
