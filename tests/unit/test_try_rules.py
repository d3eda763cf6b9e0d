"""What users are told before rules are tried, without Spark."""

import subprocess
from pathlib import Path

import pytest
from projectcopy import ProjectCopy
from typer.testing import CliRunner

from jobs.cli import app
from jobs.kernel.errors import ConfigError
from jobs.kernel.project import Project
from jobs.stages import command
from jobs.try_rules import rules_at

SOURCE = ["--source", "conf/sources/synthetic.yaml"]
DATES = ["--from", "2026-06-01", "--to", "2026-06-01"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["backtest", "complaints", *DATES],
            "RULE_UNKNOWN_REFERENCE there is no rule 'complaints' (did you mean 'complaint'?)",
        ),
        (
            ["backtest", "--rules", "nowhere", *DATES],
            "CONF_MISSING_FILE 'nowhere' is neither a folder nor a revision of git that has rules/",
        ),
        (
            ["diff", "nowhere", *DATES],
            "CONF_MISSING_FILE 'nowhere' is neither a folder nor a revision of git that has rules/",
        ),
        (
            ["tune", "bill_surge", "--target-rate", "2%"],
            "RULE_BAD_PARAMETER bill_surge: which parameter? give --parameter; it has rise_pct, rise_yuan",
        ),
        (
            ["tune", "bill_surge", "--target-rate", "2%", "--parameter", "rise"],
            "RULE_BAD_PARAMETER bill_surge: no parameter 'rise' (did you mean 'rise_pct'?); it has "
            "rise_pct, rise_yuan",
        ),
        (
            ["tune", "bill_surg", "--target-rate", "2%"],
            "RULE_UNKNOWN_REFERENCE there is no rule 'bill_surg' (did you mean 'bill_surge'?)",
        ),
        (
            ["tune", "suspended", "--target-rate", "2%"],
            "RULE_BAD_PARAMETER suspended: which parameter? give --parameter; it has none",
        ),
    ],
)
def test_a_mistake_costs_one_line_and_no_start_of_spark(
    arguments: list[str], expected: str, project_copy: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("went on to the warehouse")

    monkeypatch.setattr(command, "open_run", forbidden)
    monkeypatch.chdir(project_copy.root)
    done = CliRunner().invoke(app, ["rules", *arguments, *SOURCE])
    assert done.exit_code == 2, done.output
    assert expected in done.stderr


@pytest.mark.parametrize("text", ["two", "0", "200%", "-1%", "", "nan", "inf%"])
def test_a_rate_that_is_none(text: str, project_copy: ProjectCopy) -> None:
    asked = ["rules", "tune", "bill_surge", *SOURCE, "--project-dir", str(project_copy.root)]
    done = CliRunner().invoke(app, [*asked, "--target-rate", text])
    assert done.exit_code == 2 and "is not a share such as 2% or 0.02" in done.stderr


def test_rules_of_a_revision_of_git(project_copy: ProjectCopy, tmp_path: Path) -> None:
    """As they were, whatever stands in the folder now; a text that looks like an option is none."""
    root = project_copy.root

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("add", "rules")
    git("commit", "-q", "-m", "before")
    rule = root / "rules" / "moments" / "complaint.yaml"
    before = rule.read_text("utf-8")
    rule.write_text(before.replace("severity: critical", "severity: low"), "utf-8")
    with rules_at(Project(root), "HEAD") as folder:
        assert folder is not None
        assert (folder / "moments" / "complaint.yaml").read_text("utf-8") == before
        assert [one.name for one in folder.glob("*.yaml")] == ["audiences.yaml", "plans.yaml"]
    assert not folder.exists()
    with rules_at(Project(root), str(root / "rules")) as folder:
        assert folder == root / "rules"
    for wrong in ("HEAD~7", "--output=x", str(tmp_path / "none")):
        with (
            pytest.raises(ConfigError, match="neither a folder nor a revision"),
            rules_at(Project(root), wrong),
        ):
            pass


def test_other_rules_stand_for_those_of_the_project(project_copy: ProjectCopy, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "moments").mkdir(parents=True)
    (other / "moments" / "one.yaml").write_text("id: one\n", "utf-8")
    project = Project(project_copy.root, other)
    assert project.files("rules/moments") == ["rules/moments/one.yaml"]
    assert project.load("rules/moments/one.yaml").data == {"id": "one"}
    assert project.files("schemas/extracts") == Project(project_copy.root).files("schemas/extracts")
