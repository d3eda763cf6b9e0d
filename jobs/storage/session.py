"""Makes the Spark session: Delta on, time zone pinned, ANSI on, jars from the project's cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from jobs.kernel.errors import ConfigError, Issue

_FIXED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.partitionOverwriteMode": "static",
    # VACUUM and file listings start 10,000 tasks otherwise.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def make_session(settings: Mapping[str, str], time_zone: str, root: Path, name: str) -> SparkSession:
    """Starts a session, or returns the running one.

    Args:
        settings: Spark settings from conf/.
        time_zone: The operator's; business dates are dates in it.
        root: Project folder; jars are taken from its .cache/jars where they are there and the caller
            (spark-submit) has not given any.
        name: Application name.

    Raises:
        ConfigError: When Java cannot be started.
    """
    # Workers must run the interpreter that the driver runs.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    merged = {**_FIXED, "spark.sql.session.timeZone": time_zone, **settings}
    # A project elsewhere, or one in a .zip, uses the jars beside this program.
    caches = (root / ".cache" / "jars", Path(__file__).parents[2] / ".cache" / "jars")
    jars = next((found for cache in caches if (found := sorted(map(str, cache.glob("*.jar"))))), [])
    submitted = "SPARK_ENV_LOADED" in os.environ or os.environ.get("PYSPARK_GATEWAY_PORT") is not None
    if jars and not submitted:
        merged["spark.jars"] = ",".join(jars)
    quiet = root / "conf" / "spark" / "log4j2.properties"
    if quiet.is_file() and not submitted:
        option = "spark.driver.extraJavaOptions"
        merged[option] = (
            f"{merged.get(option, '')} -Dlog4j2.configurationFile={quiet.resolve().as_uri()}".strip()
        )
    if submitted:
        # spark-submit's own choice of master and memory holds.
        merged = {key: value for key, value in merged.items() if key not in _SUBMIT_DECIDES}
    for key, value in merged.items():
        builder = builder.config(key, value)
    try:
        with _java_on_stderr():
            session = builder.getOrCreate()
    except (PySparkRuntimeError, OSError) as error:
        # What Java itself had to say of it stands on stderr already.
        message = "Java could not be started; Spark needs Java 17 or newer (JAVA_HOME, or java on the PATH)"
        if options := merged.get("spark.driver.extraJavaOptions"):
            message += f", and Java must know the options of conf/: {options}"
        raise ConfigError(Issue("JAVA_START", message)) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


@contextmanager
def _java_on_stderr() -> Iterator[None]:
    """Whatever Java prints by itself, such as the outcome of a VACUUM, stays out of our own output.

    Java writes where this process did when it was started.
    """
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)


def light_session(spark: SparkSession) -> SparkSession:
    """A session beside another, that interprets what the other compiles: quicker for small data."""
    light = spark.newSession()
    for name, value in _INTERPRETED.items():
        light.conf.set(name, value)
    return light


_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
_SUBMIT_DECIDES = ("spark.master", "spark.driver.memory", "spark.jars")
