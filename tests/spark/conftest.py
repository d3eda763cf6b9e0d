"""The project's configuration, and the one Spark session of all tests."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.kernel.project import Project
from jobs.stages.context import Configuration, configure
from jobs.storage.session import make_session


@pytest.fixture(scope="session")
def configuration(project: Project) -> Configuration:
    return configure(project)


@pytest.fixture(scope="session")
def spark(configuration: Configuration) -> SparkSession:
    settings = configuration.settings
    return make_session(settings.spark, settings.time_zone, configuration.project.root, "tests")
