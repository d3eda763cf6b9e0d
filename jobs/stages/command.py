"""What all commands share: options, opening a run under the lock, and how errors reach people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.kernel.cycle import Cycle, CycleKind, parse_date
from jobs.kernel.errors import ConfigError, CycleError, Issue, KeyMomentsError, did_you_mean
from jobs.kernel.project import Project
from jobs.stages.context import Configuration, RunContext, configure, open_run
from jobs.stages.deliveries import folder_of_extracts
from jobs.storage.lock import warehouse_lock

SourceOption = Annotated[
    str, typer.Option("--source", help="Source mapping, such as conf/sources/synthetic.yaml.")
]
WarehouseOption = Annotated[str, typer.Option("--warehouse", help="Folder or URI of the Delta tables.")]
ExtractsOption = Annotated[str, typer.Option("--extracts", help="Folder of the delivered files.")]
AsOfOption = Annotated[
    str, typer.Option("--as-of", help="Last business date the cycle looks at, YYYY-MM-DD.")
]
CycleOption = Annotated[CycleKind, typer.Option("--cycle", help="Kind of cycle.")]
DispatchDateOption = Annotated[str, typer.Option("--dispatch-date", help="Date of dispatch, YYYY-MM-DD.")]
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project-dir", help="Folder or .zip with conf/, schemas/ and rules/; found by itself by default."
    ),
]
ProfileOption = Annotated[str, typer.Option("--profile", help="conf/<profile>.yaml overlays conf/base.yaml.")]
BadShareOption = Annotated[
    float | None,
    typer.Option("--max-bad-share", min=0, max=1, help="Refuse a delivery with a larger share of bad rows."),
]

ModelOption = Annotated[str, typer.Option("--model", help="A model of conf/models.yaml.")]
LastOption = Annotated[str, typer.Option("--as-of", help="Last date anything may be known of, YYYY-MM-DD.")]

PIPE_WIDTH = 150
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def progress_printer() -> Callable[[str], None]:
    """Prints each message with the seconds since the start, on standard error."""
    start = time.monotonic()

    def show(message: str) -> None:
        err.print(f"[dim]{time.monotonic() - start:6.1f}s[/dim]  {message}", markup=True)

    return show


def folder_for(path: Path) -> Path:
    """Makes a folder for what a command writes, before it spends time on it.

    Raises:
        ConfigError: When it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path} is no folder to write to: {error.strerror}"
        raise ConfigError(Issue("CONF_MISSING_FILE", message)) from None
    return path


def report_console() -> Console:
    """Prints tables; a file or a pipe has no width of its own."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns errors a user can mend into lines on standard error and an exit code.

    Raises:
        SystemExit: With the error's exit code.
    """
    try:
        yield
    except KeyMomentsError as error:
        for issue in error.issues:
            err.print(str(issue), markup=False)
        raise SystemExit(error.exit_code) from None


@contextmanager
def running(
    source: str,
    warehouse: str,
    project_dir: str | None,
    profile: str,
    extracts: str | None = None,
    max_bad_share: float | None = None,
    check: Callable[[Configuration], object] | None = None,
    beside: Callable[[Callable[[str], None]], object] | None = None,
) -> Iterator[RunContext]:
    """Opens a run under the warehouse's lock, and shows errors as people should see them.

    Args:
        source: Path of the source mapping.
        warehouse: Folder or URI of the tables.
        project_dir: Where conf/, schemas/ and rules/ are.
        profile: conf/<profile>.yaml.
        extracts: Folder of the files.
        max_bad_share: Limit of bad rows instead of the contracts'.
        check: Looks at the configuration before Spark starts, so that a wrong date costs no time.
        beside: Work for which Spark is not needed, done while it starts; it is given the printer of progress.
    """
    with user_errors():
        configuration = configure(Project.find(project_dir), profile, source)
        if check is not None:
            check(configuration)
        # What is made beside may be the very files.
        if extracts is not None and beside is None:
            folder_of_extracts(extracts)
        progress = progress_printer()
        with warehouse_lock(warehouse, "run"), ThreadPoolExecutor(1) as pool:
            work = None if beside is None else pool.submit(beside, progress)
            context = open_run(configuration, warehouse, extracts, progress, max_bad_share)
            try:
                if work is not None:
                    work.result()
                yield context
            finally:
                context.flush_log()


def knows_model(name: str) -> Callable[[Configuration], None]:
    """Sees to it, before Spark starts, that there is a model of a name."""

    def check(configuration: Configuration) -> None:
        models = configuration.models.models
        if name not in models:
            message = f"there is no model '{name}' in conf/models.yaml{did_you_mean(name, models)}"
            raise ConfigError(Issue("CONF_UNKNOWN_REFERENCE", message))

    return check


def trying(configuration: Configuration, warehouse: str) -> RunContext:
    """Opens a run that only reads the warehouse, and so needs no lock."""
    return open_run(configuration, warehouse, progress=progress_printer())


def cycle_ending(configuration: Configuration, kind: CycleKind, as_of: str) -> Cycle:
    """The cycle a user named.

    Raises:
        CycleError: When the date is none, or no cycle of the kind ends on it.
    """
    day = parse_date(as_of)
    if not configuration.calendar.ends(kind, day):
        raise CycleError(
            Issue("CYCLE_BAD_DATE", f"no {kind} cycle ends on {day}{_expected(configuration, kind)}")
        )
    return configuration.calendar.cycle(kind, day)


def _expected(configuration: Configuration, kind: CycleKind) -> str:
    calendar = configuration.calendar
    if calendar.snapshot is not None:
        return f"; this source has one snapshot, of {calendar.snapshot}"
    if kind is CycleKind.weekly:
        return f"; a week ends on ISO weekday {calendar.week_ends_on}"
    return "; a month ends on its last day" if kind is CycleKind.monthly else ""


def command_group(text: str) -> typer.Typer:
    """Several commands of one program under one help text."""
    return typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=text)


def run_app(command: Callable[..., None]) -> None:
    """Runs one command as a program, as python -m jobs.x and spark-submit jobs/x.py do."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    finally:
        sys.stdout.flush()
