"""Job: writes the reference pages of docs/ from the schemas."""

from __future__ import annotations

from jobs.contracts.dictionary import PATH, dictionary
from jobs.kernel.project import Project
from jobs.stages import command as c
from jobs.stages.context import configure


def main(project_dir: c.ProjectOption = None, profile: c.ProfileOption = "local") -> None:
    """Write docs/data-dictionary.md from schemas/; needs no Spark."""
    with c.user_errors():
        project = Project.find(project_dir)
        configuration = configure(project, profile)
    text = dictionary(configuration.contracts, configuration.view, configuration.tables)
    (project.root / PATH).write_text(text, encoding="utf-8")
    print(f"{PATH}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    c.run_app(main)
