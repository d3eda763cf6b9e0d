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
import yaml
from typer.testing import CliRunner

from jobs.cli import app

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LITTLE = {"customers", "accounts", "subscriptions", "tariff_plans", "bills", "complaints", "churn_labels"}

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


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """The mapping of the province with a few of its extracts: these tests are about programs, not about rows."""
    mapping = yaml.safe_load((ROOT / "conf" / "sources" / "synthetic.yaml").read_text(encoding="utf-8"))
    mapping["extracts"] = [one for one in mapping["extracts"] if one["contract"] in LITTLE]
    assert {one["contract"] for one in mapping["extracts"]} == LITTLE
    path = tmp_path / "little.yaml"
    path.write_text(yaml.safe_dump(mapping, allow_unicode=True), encoding="utf-8")
    return path


def test_stages_run_as_console_script_module_and_spark_submit(
    tmp_path: Path, shipped: tuple[Path, Path], little: Path
) -> None:
    """The stages of a date, in turn by the three ways; two more in between, to get there."""
    site, archive = shipped
    warehouse, province = tmp_path / "warehouse", tmp_path / "province"
    source = ("--source", little, "--warehouse", warehouse)
    as_of = ("--as-of", "2026-05-30")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def submit(job: str, *arguments: str | Path) -> str:
        """From another folder, with the wheel and the archive alone, two cores."""
        jars = ",".join(str(path) for path in sorted((ROOT / ".cache" / "jars").glob("*.jar")))
        return run(
            *(BIN / "spark-submit", "--master", "local[2]", "--driver-memory", "2g", "--jars", jars),
            *(site / "jobs" / job, *source, *arguments, "--project-dir", archive),
            cwd=elsewhere,
            PYTHONPATH=str(site),
            PYSPARK_PYTHON=sys.executable,
            PYSPARK_DRIVER_PYTHON=sys.executable,
        ).stdout

    def here(command: str) -> None:
        done = CliRunner().invoke(app, [command, *map(str, (*source, *as_of))])
        assert done.exit_code == 0, done.output

    run(BIN / "keymoments", "make-province", "--out", province, "--customers", "150", cwd=ROOT)
    bills = province / "extracts" / "bills_202605.csv"
    tried = run(BIN / "keymoments", "sources", "check", bills, *source, cwd=ROOT)
    assert "bills: " in tried.stdout and "  line " in tried.stdout
    assert not list(warehouse.glob("*/_delta_log"))
    made = run(sys.executable, "-m", "jobs.ingest", *source, "--extracts", province / "extracts", cwd=ROOT)
    assert "new deliveries" in made.stdout
    assert "subscriptions" in submit("build_view.py", *as_of)
    view = pl.read_delta(str(warehouse / "customer_view"))
    assert view.height > 100
    here("score-risk")
    assert pl.read_delta(str(warehouse / "health_scores")).height == view.height
    here("identify-moments")
    moments = pl.read_delta(str(warehouse / "moments")).filter(pl.col("category") != "exempt")
    assert moments.height > 0
    run(BIN / "keymoments", "dispatch", *source, "--dispatch-date", "2026-05-31", cwd=ROOT)
    alerts = pl.read_delta(str(warehouse / "alerts"))
    assert set(alerts["alert_id"]) == set(moments["alert_id"])
    assert not {"metastore_db", "derby.log"} & {path.name for path in elsewhere.iterdir()}
