"""Layers, sizes and names that hold for the whole repository."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JOBS = sorted((ROOT / "jobs").rglob("*.py"))
MAX_LINES = 400
# The modules under these need no JVM, and not even pyspark installed.
PURE = ("rulelang", "config", "contracts", "expressions", "kernel")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_rules_and_configuration_work_without_pyspark() -> None:
    pure = [name_of(path) for path in JOBS if path.relative_to(ROOT / "jobs").parts[0] in PURE]
    assert len(pure) > 20
    code = (
        "import importlib, sys\n"
        "for blocked in ('pyspark', 'delta', 'py4j', 'pandas', 'pyarrow', 'numpy'):\n"
        "    sys.modules[blocked] = None\n"
        f"for name in {pure!r}:\n    importlib.import_module(name)\n"
        "from jobs.kernel.project import Project\n"
        "from jobs.config.settings import load_settings\n"
        "from jobs.contracts.extracts import load_contracts\n"
        "from jobs.contracts.view import load_view\n"
        "from jobs.rulelang.load import load_rules\n"
        f"project = Project.find({str(ROOT)!r})\n"
        "settings = load_settings(project)\n"
        "view = load_view(project, load_contracts(project), settings.parameter_types)\n"
        "print(len(load_rules(project, view.types).rules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken." in done.stdout
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_no_module_hides_one_of_the_standard_library() -> None:
    # spark-submit jobs/x.py puts jobs/ first on the path.
    top = {path.stem if path.suffix == ".py" else path.name for path in (ROOT / "jobs").iterdir()}
    assert top & set(sys.stdlib_module_names) == set()


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in JOBS])
def test_a_module_stays_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


def tracked() -> list[Path]:
    """Every file that is or may become part of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


# Written in pieces, so that this file does not hold them itself.
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "repo1." + "maven.org",
    "repo." + "maven.apache.org",
    "maven" + "-central",
    "conda" + ".anaconda.org",
    "registry.npm" + "js.org",
    "proxy.golang" + ".org",
    "static.crates" + ".io",
    "art" + "ifactory",
    "nex" + "us/repository",
    "--extra-index" + "-url",
    "--index" + "-url",
    "--trusted" + "-host",
]


def test_no_file_names_a_package_host() -> None:
    pattern = re.compile("|".join(re.escape(host) for host in HOSTS), re.IGNORECASE)
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number} {match[0]}")
    assert found == []


def test_the_search_for_hosts_finds_one() -> None:
    pattern = re.compile("|".join(re.escape(host) for host in HOSTS), re.IGNORECASE)
    assert pattern.search("see https://" + "PyPI" + ".org/simple")
    assert Path(__file__).resolve() in {path.resolve() for path in tracked()}
