"""What all tests share."""

from pathlib import Path

import pytest

from jobs.kernel.project import Project

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def project() -> Project:
    """This repository's own project."""
    return Project(ROOT)
