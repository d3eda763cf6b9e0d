"""One resolver for all YAML: a project folder, or an archive of one shipped with a cluster job."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jobs.kernel.errors import ConfigError, Issue, KeyMomentsError, Location
from jobs.kernel.located_yaml import Document, load

MARKER = "conf/base.yaml"
RULES = "rules"
T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """Where conf/, schemas/ and rules/ are; read on the driver only.

    Attributes:
        root: The folder they lie in.
        rules: A folder that stands for rules/, to try other rules with the same configuration.
    """

    root: Path
    rules: Path | None = None

    @classmethod
    def find(cls, given: str | None = None) -> Project:
        """The project at a path, or the first around the working directory, or the one jobs/ lies in.

        Args:
            given: A folder, or a .zip archive with conf/, schemas/ and rules/ at its top.

        Raises:
            ConfigError: When there is none.
        """
        if given is not None:
            path = Path(given)
            if path.suffix == ".zip" and path.is_file():
                return cls(_unpacked(path))
            candidates = [path]
        else:
            here = Path.cwd()
            candidates = [here, *here.parents, Path(__file__).resolve().parents[2]]
        for candidate in candidates:
            if (candidate / MARKER).is_file():
                return cls(candidate.resolve())
        message = f"no project found: {given or 'no folder around here'} has no {MARKER}; give --project-dir"
        raise ConfigError(Issue("CONF_MISSING_FILE", message))

    def load(self, relative: str) -> Document:
        """Loads one YAML file by its path below the root."""
        return load(self._place(relative), relative)

    def load_at(self, path: str) -> Document:
        """Loads a YAML file a user named, either below the root or anywhere."""
        given = Path(path)
        return load(given, path) if given.is_file() else self.load(path)

    def files(self, folder: str, pattern: str = "*.yaml", optional: bool = False) -> list[str]:
        """Paths of the YAML files in a folder, relative to the root, in order of name.

        Args:
            folder: The folder.
            pattern: Which files of it.
            optional: A folder that is not there has no files.

        Raises:
            ConfigError: When the folder is not there.
        """
        base = self._place(folder)
        if not base.is_dir():
            if optional:
                return []
            raise ConfigError(Issue("CONF_MISSING_FILE", "folder is not there", Location(folder)))
        return sorted(f"{folder}/{path.relative_to(base)}" for path in base.glob(pattern))

    def _place(self, relative: str) -> Path:
        inside = Path(relative)
        if self.rules is not None and inside.parts[0] == RULES:
            return self.rules.joinpath(*inside.parts[1:])
        return self.root / inside


def collect(read: Callable[[str], T], names: Iterable[str]) -> list[T]:
    """Reads many files and raises the issues of all of them together.

    Raises:
        ConfigError: When any could not be read.
    """
    results: list[T] = []
    issues: list[Issue] = []
    for name in names:
        try:
            results.append(read(name))
        except KeyMomentsError as error:
            issues.extend(error.issues)
    if issues:
        raise ConfigError(issues)
    return results


def _unpacked(archive: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="keymoments-project-"))
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(folder)
    return folder
