"""What a user sees on the command line before any Spark starts."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projectcopy import ProjectCopy
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.stages import command

ROOT = Path(__file__).parents[2]
SOURCE = "conf/sources/synthetic.yaml"
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, project_copy: ProjectCopy, tmp_path: Path) -> Run:
    """keymoments run on a copy of the project, where starting Spark or taking the lock is a failure."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("went on to the warehouse")

    monkeypatch.setattr(command, "open_run", forbidden)
    monkeypatch.setattr(command, "warehouse_lock", forbidden)
    # A source is looked for in the working directory first.
    monkeypatch.chdir(project_copy.root)

    def invoke(*arguments: str, source: str = SOURCE) -> Result:
        folders = ["--extracts", str(tmp_path), "--warehouse", str(tmp_path / "warehouse")]
        chosen = ["--project-dir", str(project_copy.root), "--source", source]
        return CliRunner().invoke(app, ["run", *chosen, *folders, *arguments])

    return invoke


def test_check_finds_no_problem_in_this_project() -> None:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/keymoments"), "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("sources: no problem found")
    assert "15 classes" in done.stdout


def test_contracts_are_checked_alone(project_copy: ProjectCopy) -> None:
    where = ["contracts", "check", "--project-dir", str(project_copy.root)]
    good = CliRunner().invoke(app, where)
    assert good.exit_code == 0 and good.stdout.endswith(" contracts: no problem found\n")
    assert "bills: 6 fields, grain month, 月账单 / Monthly bills\n" in good.stdout
    # A mistake elsewhere is not its business.
    project_copy.replace("rules/plans.yaml", "channel: sms", "chanel: sms")
    assert CliRunner().invoke(app, where).exit_code == 0
    project_copy.replace("schemas/extracts/bills.yaml", "to: subscriptions", "to: subscription")
    bad = CliRunner().invoke(app, where)
    assert bad.exit_code == 2
    assert bad.stderr.rstrip().endswith("'subscription' is not a contract (did you mean 'subscriptions'?)")
    assert bad.stderr.startswith("schemas/extracts/bills.yaml:10:")


def test_check_names_every_problem(project_copy: ProjectCopy) -> None:
    project_copy.replace("rules/moments/birthday.yaml", "severity: low", "severity: lowest")
    project_copy.replace("rules/plans.yaml", "channel: sms", "chanel: sms")
    result = CliRunner().invoke(app, ["check", "--project-dir", str(project_copy.root)])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert {line.split(":")[0] for line in lines} >= {"rules/moments/birthday.yaml", "rules/plans.yaml"}
    assert all(":" in line and "Traceback" not in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dispatch-date", "2026-02-30"],
         "CYCLE_BAD_DATE '2026-02-30' is not a calendar date of the form YYYY-MM-DD"),
        (["--dispatch-date", "tomorrow"],
         "CYCLE_BAD_DATE 'tomorrow' is not a calendar date of the form YYYY-MM-DD"),
        (["--dispatch-date", "2026-06-01", "--dispatch-date", "2026-6-2"],
         "CYCLE_BAD_DATE '2026-6-2' is not a calendar date of the form YYYY-MM-DD"),
        (["--dispatch-date", "2026-06-01", "--profile", "lokal"],
         "CONF_MISSING_FILE there is no profile 'lokal' (did you mean 'local'?)"),
    ],
)  # fmt: skip
def test_wrong_arguments_cost_one_line(run: Run, arguments: list[str], expected: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr.splitlines(), result.stdout) == (2, [expected], "")


def test_an_unknown_source_costs_one_line(run: Run) -> None:
    result = run("--dispatch-date", "2026-06-01", source="conf/sources/nowhere.yaml")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "conf/sources/nowhere.yaml CONF_MISSING_FILE cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("conf/base.yaml", "time_zone: [Asia", "conf/base.yaml:2:1 YAML_SYNTAX "),
        ("rules/moments/birthday.yaml", "id: birthday\nid: birthday\n", "rules/moments/birthday.yaml:2:1 YAML_DUPLICATE_KEY "),
        # Other rules name these, as a moment they mute, and as one that keeps them from being served.
        ("rules/moments/weekly_call_drop.yaml", "when: [\n", "rules/moments/weekly_call_drop.yaml:2:1 YAML_SYNTAX "),
        ("rules/moments/suspended.yaml", "when: [\n", "rules/moments/suspended.yaml:2:1 YAML_SYNTAX "),
        (SOURCE, "source: x\n\tzh: y\n", f"{SOURCE}:2:1 YAML_SYNTAX "),
        ("rules/plans.yaml", "x: [1, 2\n", "rules/plans.yaml:2:1 YAML_SYNTAX "),
        ("rules/audiences.yaml", "everyone: {zh: 全部\n", "rules/audiences.yaml:2:1 YAML_SYNTAX "),
        ("schemas/extracts/bills.yaml", "contract: *bills\n", "schemas/extracts/bills.yaml:1:11 YAML_SYNTAX "),
    ],
)  # fmt: skip
def test_broken_yaml_costs_one_line(
    run: Run, project_copy: ProjectCopy, path: str, text: str, expected: str
) -> None:
    project_copy.write(path, text + ("\n" if path == "conf/base.yaml" else ""))
    result = run("--dispatch-date", "2026-06-01")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(expected)
    assert "Traceback" not in result.output


def test_an_unknown_item_in_a_rule_costs_one_line(run: Run, project_copy: ProjectCopy) -> None:
    project_copy.replace("rules/moments/low_balance.yaml", "balance_days_left <", "balance_day_left <")
    result = run("--dispatch-date", "2026-06-01")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert re.match(r"rules/moments/low_balance\.yaml:\d+:\d+ RULE_UNKNOWN_ITEM ", line)
    assert "did you mean 'balance_days_left'?" in line


def test_a_date_that_is_not_due(run: Run) -> None:
    result = run("--dispatch-date", "2026-06-01", source="conf/sources/cell2cell.yaml")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("CYCLE_BAD_DATE no cycle is due on 2026-06-01; this source has one snapshot, of ")


@pytest.mark.parametrize(
    ("cycle", "day", "ends"),
    [
        ("weekly", "2026-05-30", "a week ends on ISO weekday 7"),
        ("monthly", "2026-05-30", "a month ends on its last day"),
    ],
)
@pytest.mark.parametrize("job", ["build-view", "score-risk", "identify-moments"])
def test_a_day_on_which_no_such_cycle_ends(
    run: Run, project_copy: ProjectCopy, tmp_path: Path, job: str, cycle: str, day: str, ends: str
) -> None:
    arguments = [
        "--project-dir",
        str(project_copy.root),
        "--source",
        SOURCE,
        "--warehouse",
        str(tmp_path / "w"),
    ]
    result = CliRunner().invoke(app, [job, *arguments, "--cycle", cycle, "--as-of", day])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [f"CYCLE_BAD_DATE no {cycle} cycle ends on {day}; {ends}"]


def test_explain_prints_the_plan_and_does_nothing(run: Run) -> None:
    result = run("--dispatch-date", "2026-05-21", "--explain")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "ingest 2026-05-21",
        "build_view daily as_of=2026-05-20 cutoff=2026-05-21",
        "score_risk daily as_of=2026-05-20 cutoff=2026-05-21",
        "identify_moments daily as_of=2026-05-20 cutoff=2026-05-21",
        "dispatch 2026-05-21",
    ]
    assert "    alerts/dispatch_cycle=*/dispatch_date=2026-05-21" in lines
    assert "    customer_view/as_of=2026-05-20/cutoff=2026-05-21" in lines
    assert "    moments/cycle=daily/as_of=2026-05-20" in lines


def test_a_range_of_dates_from_a_stage_on(run: Run) -> None:
    result = run("--from", "2026-02-27", "--to", "2026-03-02", "--stage", "identify_moments", "--explain")
    assert result.exit_code == 0, result.stderr
    assert [line for line in result.stdout.splitlines() if not line.startswith(" ")] == [
        "identify_moments daily as_of=2026-02-26 cutoff=2026-02-27",
        "dispatch 2026-02-27",
        "identify_moments daily as_of=2026-02-27 cutoff=2026-02-28",
        "dispatch 2026-02-28",
        "identify_moments daily as_of=2026-02-28 cutoff=2026-03-01",
        "identify_moments monthly as_of=2026-02-28 cutoff=2026-03-01",
        "dispatch 2026-03-01",
        "identify_moments daily as_of=2026-03-01 cutoff=2026-03-02",
        "identify_moments weekly as_of=2026-03-01 cutoff=2026-03-02",
        "dispatch 2026-03-02",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--from", "2026-05-03", "--to", "2026-05-01"], "no cycle is due from 2026-05-03 to 2026-05-01"),
        (["--from", "2026-05-03"], "give --dispatch-date, or --from and --to"),
        (
            ["--from", "2026-05-01", "--to", "2026-05-03", "--dispatch-date", "2026-05-01"],
            "give --dispatch-date",
        ),
        (["--dispatch-date", "2026-05-01", "--stage", "moments"], "'moments' is not one of"),
    ],
)
def test_a_range_that_is_none(run: Run, options: list[str], expected: str) -> None:
    result = run(*options, "--explain")
    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())


def test_a_missing_folder_of_extracts_costs_no_start_of_spark(run: Run, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    result = run("--dispatch-date", "2026-06-01", "--extracts", str(gone))
    assert result.exit_code == 2
    assert result.stderr.strip() == f"{gone} FILE_MISSING the folder of extracts is not there"


def test_a_good_run_does_go_on(run: Run) -> None:
    result = run("--dispatch-date", "2026-06-01")
    assert isinstance(result.exception, AssertionError)


def test_no_date_is_asked_for(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "give --dispatch-date YYYY-MM-DD" in result.stderr


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--project-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith("CONF_MISSING_FILE no project found: ")


def test_the_real_program_ends_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.run_cycle", "--source", SOURCE, "--extracts", str(tmp_path),
         "--warehouse", str(tmp_path / "w"), "--dispatch-date", "2026-02-30"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (
        2, ["CYCLE_BAD_DATE '2026-02-30' is not a calendar date of the form YYYY-MM-DD"]
    )  # fmt: skip
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("java_home", ["/nowhere", "as it is"])
def test_a_java_that_does_not_start(tmp_path: Path, project_copy: ProjectCopy, java_home: str) -> None:
    """No Java at all, and one that refuses an option of conf/local.yaml."""
    where = {"JAVA_HOME": java_home} if java_home == "/nowhere" else {}
    project_copy.replace("conf/local.yaml", "=512m", "=half")
    command_line = [
        sys.executable, "-m", "jobs.cli", "build-view", "--as-of", "2026-05-31", "--source", SOURCE,
        "--project-dir", str(project_copy.root), "--warehouse", str(tmp_path / "warehouse"),
    ]  # fmt: skip
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **where})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "JAVA_START Java could not be started; Spark needs Java 17 or newer" in done.stderr
    assert "ReservedCodeCacheSize=half" in done.stderr
