"""Reference pages are those that the schemas give today."""

from __future__ import annotations

from jobs.contracts.dictionary import PATH, dictionary
from jobs.kernel.project import Project
from jobs.stages.context import configure


def test_the_data_dictionary_is_current(project: Project) -> None:
    configuration = configure(project)
    text = dictionary(configuration.contracts, configuration.view, configuration.tables)
    assert (project.root / PATH).read_text(encoding="utf-8") == text, "run `make docs`"
    for item in (*configuration.view.items, *configuration.view.scores):
        assert f"| `{item}` |" in text
