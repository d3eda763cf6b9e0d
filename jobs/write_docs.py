"""Job: writes what is made from schemas and rules: reference pages, schemas for editors, released tables."""

from __future__ import annotations

from jobs.contracts.dictionary import PATH as DICTIONARY
from jobs.contracts.dictionary import dictionary
from jobs.contracts.released import released_path, released_text
from jobs.kernel.project import Project
from jobs.rulelang.bases import template_names
from jobs.rulelang.catalogue import PATH as MOMENTS
from jobs.rulelang.catalogue import catalogue
from jobs.rulelang.editor import schemas
from jobs.rulelang.item_catalogue import PATH as ITEMS
from jobs.rulelang.item_catalogue import item_catalogue
from jobs.stages import command as c
from jobs.stages.context import configure
from jobs.stages.items import item_uses


def main(project_dir: c.ProjectOption = None, profile: c.ProfileOption = "local") -> None:
    """Write the reference pages of docs/ and the schemas by which editors check rules; needs no Spark."""
    with c.user_errors():
        project = Project.find(project_dir)
        configuration = configure(project, profile)
    pages = {
        DICTIONARY: dictionary(configuration.contracts, configuration.tables),
        ITEMS: item_catalogue(configuration.view, configuration.contracts, item_uses(configuration)),
        MOMENTS: catalogue(configuration.rules),
        **schemas(configuration.rules, configuration.view.types, template_names(project)),
    }
    for table in configuration.tables.values():
        if table.released:
            pages[released_path(table)] = released_text(table)
    for path, text in pages.items():
        (project.root / path).write_text(text, encoding="utf-8")
        print(f"{path}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    c.run_app(main)
