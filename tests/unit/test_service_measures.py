"""The catalogue of measures of service quality: what is wrong in it is told at its place."""

from __future__ import annotations

import pytest
from projectcopy import ProjectCopy
from typer.testing import CliRunner

from jobs.cli import app
from jobs.kernel.cycle import parse_month
from jobs.kernel.errors import CycleError

FILE = "conf/service_measures.yaml"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("areas: [city, brand]", "areas: [city, brnd]", "'brnd' is not a text item of the customer view"),
        ("{contract: surveys, where: \"question = 'overall'\", sum: score}", "{contract: survey}", "did you mean 'surveys'?"),
        ("by: [topic]", "by: [topics]", "'topics' is not a text field of service_contacts (did you mean 'topic'?)"),
        ("same: complaint_id", "same: complaint", "'complaint' is not a text field of complaints"),
        ("sum: score}", "sum: question}", "EXPR_TYPE"),
        ("channel <> 'counter'", "chanel <> 'counter'", "'chanel' is not a field of payments"),
    ],
)  # fmt: skip
def test_mistakes_are_told(project_copy: ProjectCopy, old: str, new: str, says: str) -> None:
    text = (project_copy.root / FILE).read_text(encoding="utf-8")
    project_copy.write(FILE, text.replace(old, new, 1))
    done = CliRunner().invoke(app, ["check", "--project-dir", str(project_copy.root)])
    assert done.exit_code == 2 and says in done.stderr and f"{FILE}:" in done.stderr


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-05-01", "may"])
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(CycleError, match="is not a month of the form YYYY-MM"):
        parse_month(text)
