"""Job: checks all of conf/, schemas/ and rules/ without Spark, and says what it found."""

from __future__ import annotations

from jobs.contracts.extracts import load_contracts
from jobs.kernel.errors import KeyMomentsError
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure

contracts = c.command_group("Look at the extract contracts.")


@contracts.callback()
def _group() -> None:
    """Keeps the name of a lone command."""


@contracts.command("check")
def check_contracts(project_dir: c.ProjectOption = None) -> None:
    """Check the extract contracts; needs no Spark."""
    with c.user_errors():
        found = load_contracts(Project.find(project_dir))
    for name in sorted(found):
        one = found[name]
        print(f"{name}: {len(one.fields)} fields, grain {one.grain}, {one.zh} / {one.en}")
    print(f"{len(found)} contracts: no problem found")


def main(project_dir: c.ProjectOption = None, profile: c.ProfileOption = "local") -> None:
    """Check contracts, items, rules, settings and source mappings; needs no Spark."""
    with c.user_errors():
        project = Project.find(project_dir)
        base = configure(project, profile)
        sources = project.files("conf/sources")
        issues = []
        for path in sources:
            try:
                configure(project, profile, path)
            except KeyMomentsError as error:
                issues += error.issues
        if issues:
            raise KeyMomentsError(issues)
    print(
        f"{len(base.contracts)} contracts, {len(base.view.items)} items in {len(base.view.classes)} classes, "
        f"{len(base.rules.rules)} rules, {len(base.tables)} tables, {len(sources)} sources: no problem found"
    )


if __name__ == "__main__":
    c.run_app(main)
