"""Copies of the project in which a test may change one file, and a tiny project for rules alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projectcopy import ProjectCopy

from jobs.config.settings import Settings, load_settings
from jobs.contracts.extracts import ExtractContract, load_contracts
from jobs.contracts.view import CustomerView, load_view
from jobs.kernel.errors import KeyMomentsError
from jobs.kernel.project import Project


@pytest.fixture
def project_copy(tmp_path: Path, project: Project) -> ProjectCopy:
    """All of conf/, schemas/ and rules/, to be changed."""
    for folder in ("conf", "schemas", "rules"):
        shutil.copytree(project.root / folder, tmp_path / folder)
    return ProjectCopy(tmp_path)


@pytest.fixture
def rule_project(tmp_path: Path) -> ProjectCopy:
    """The rules of tests/data/good_rules, which rest on RULE_TYPES and on nothing else."""
    shutil.copytree(Path(__file__).parents[1] / "data" / "good_rules", tmp_path / "rules")
    return ProjectCopy(tmp_path)


@pytest.fixture(scope="session")
def settings(project: Project) -> Settings:
    return load_settings(project, "local")


@pytest.fixture(scope="session")
def contracts(project: Project) -> dict[str, ExtractContract]:
    return load_contracts(project)


@pytest.fixture(scope="session")
def view(project: Project, contracts: dict[str, ExtractContract], settings: Settings) -> CustomerView:
    return load_view(project, contracts, settings.parameter_types)


@pytest.fixture
def issues_of() -> Callable[[Callable[[], object]], list[str]]:
    """Runs something that must be refused and gives its issues as people see them."""

    def run(action: Callable[[], object]) -> list[str]:
        with pytest.raises(KeyMomentsError) as caught:
            action()
        return [str(issue) for issue in caught.value.issues]

    return run
