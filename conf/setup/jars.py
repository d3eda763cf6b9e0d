"""Put the Delta jars named in jars.sha256 into .cache/jars, and check them.

Missing jars are fetched once, by Spark's own resolver, so that mirrors and proxies set up for Spark hold here
too. When they are all there no network is used: on a machine without one, copy them in by hand.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("jars.sha256")
JARS = ROOT / ".cache" / "jars"
LOG = ROOT / ".cache" / "jars.log"
GROUP = "io.delta"
# The resolver would also bring some 70 MB that pyspark already has.
EXCLUDED = ["com.*:*", "commons-*:*", "io.airlift:*", "io.unitycatalog:*", "javax.*:*", "org.*:*"]
ATTEMPTS = 3
WAIT_SECONDS = 10


class SetupError(Exception):
    """Something only the person at the keyboard can put right."""


def main() -> int:
    """Fetch what is missing, check everything, and return the exit code."""
    expected = wanted_jars()
    try:
        missing = [name for name in expected if not (JARS / name).exists()]
        if missing:
            fetch(missing)
        check(expected)
        remove_others(expected)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def wanted_jars() -> dict[str, str]:
    """Return file name -> SHA-256, as committed in jars.sha256."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {name: digest for digest, name in pairs}


def check(expected: dict[str, str]) -> None:
    """Compare every jar with its committed SHA-256; change nothing."""
    wrong = [
        f"{JARS / name} is not the jar we know:\n  expected {digest}\n  got      {got}"
        for name, digest in expected.items()
        if (got := hashlib.sha256((JARS / name).read_bytes()).hexdigest()) != digest
    ]
    if wrong:
        advice = "Look at where it came from; to fetch it anew, delete it and run 'make setup'."
        raise SetupError("\n".join([*wrong, advice]))


def remove_others(expected: dict[str, str]) -> None:
    """Remove, and say so, jars of another version: a session would load them too."""
    for jar in JARS.glob("*.jar"):
        if jar.name not in expected:
            print(f"Removing {jar}: it is not in {LIST.name}.")
            jar.unlink()


def fetch(names: list[str]) -> None:
    """Resolve the named jars and copy them into .cache/jars, each one whole or not at all."""
    print(f"Fetching {', '.join(names)} ...", flush=True)
    JARS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache", prefix="ivy-") as folder:
        ivy = Path(folder)
        resolve(names, ivy)
        for name in names:
            (ivy / "jars" / f"{GROUP}_{name}").rename(JARS / name)
    LOG.unlink()


def resolve(names: list[str], ivy: Path) -> None:
    """Let spark-submit resolve the jars into an ivy folder, trying again when that fails."""
    nothing = ivy / "nothing.py"
    command = [
        str(Path(sys.executable).with_name("spark-submit")),
        *("--master", "local[1]"),
        *("--conf", f"spark.jars.ivy={ivy}"),
        *("--packages", ",".join(coordinate(name) for name in names)),
        *("--exclude-packages", ",".join(EXCLUDED)),
        str(nothing),
    ]
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
    nothing.touch()
    for attempt in range(1, ATTEMPTS + 1):
        with LOG.open("w", encoding="utf-8") as log:
            done = subprocess.run(command, stdout=log, stderr=log, env=environment)
        if done.returncode == 0:
            return
        print(f"Attempt {attempt} of {ATTEMPTS} failed (details in {LOG}).", file=sys.stderr, flush=True)
        if attempt < ATTEMPTS:
            time.sleep(WAIT_SECONDS * attempt)
    raise SetupError(
        f"The Delta jars could not be fetched: run 'make setup' again with a network, or copy them to {JARS}."
    )


def coordinate(name: str) -> str:
    """Return group:artifact:version for a file called artifact-version.jar."""
    artifact, _, version = name.removesuffix(".jar").rpartition("-")
    return f"{GROUP}:{artifact}:{version}"


if __name__ == "__main__":
    sys.exit(main())
