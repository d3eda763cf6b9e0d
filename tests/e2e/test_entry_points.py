"""Jobs as real processes: the console script, python -m, and spark-submit of the built wheel from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a program and expects it to succeed."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYSPARK_", "SPARK_"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The built wheel, unpacked, and the archive of conf, schemas and rules, as a cluster job is given them."""
    out = tmp_path_factory.mktemp("dist")
    copy = out / "copy"
    wanted = ("jobs", "pyproject.toml", "README.md")
    for name in wanted:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=copy)
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    archive = out / "project.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for folder in ("conf", "schemas", "rules"):
            for path in sorted((ROOT / folder).rglob("*")):
                bundle.write(path, path.relative_to(ROOT))
    return out / "site", archive


def test_a_date_is_run_by_console_script_module_and_spark_submit(
    tmp_path: Path, shipped: tuple[Path, Path]
) -> None:
    site, archive = shipped
    warehouse, province = tmp_path / "warehouse", tmp_path / "province"
    source = ("--source", "conf/sources/synthetic.yaml", "--warehouse", warehouse)
    run(BIN / "keymoments", "make-province", "--out", province, "--customers", "150", cwd=ROOT)
    made = run(sys.executable, "-m", "jobs.ingest", *source, "--extracts", province / "extracts", cwd=ROOT)
    assert "new deliveries" in made.stdout
    # From another folder, with the wheel and the archive alone, two cores.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    jars = ",".join(str(path) for path in sorted((ROOT / ".cache" / "jars").glob("*.jar")))
    submitted = run(
        *(BIN / "spark-submit", "--master", "local[2]", "--driver-memory", "2g", "--jars", jars),
        *(site / "jobs" / "build_view.py", *source, "--as-of", "2026-05-31", "--project-dir", archive),
        cwd=elsewhere,
        PYTHONPATH=str(site),
        PYSPARK_PYTHON=sys.executable,
        PYSPARK_DRIVER_PYTHON=sys.executable,
    )
    assert "subscriptions" in submitted.stdout
    assert list(elsewhere.iterdir()) == [] or "metastore_db" not in {p.name for p in elsewhere.iterdir()}
    view = pl.read_delta(str(warehouse / "customer_view"))
    assert view.height > 100
    version = DeltaTable(str(warehouse / "customer_view")).version()
    again = run(BIN / "keymoments", "build-view", *source, "--as-of", "2026-05-31", cwd=ROOT)
    assert "unchanged" in again.stdout
    assert DeltaTable(str(warehouse / "customer_view")).version() == version
