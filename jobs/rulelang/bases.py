"""What rules inherit: rules/templates/*.yaml, each with what rules of a family have in common.

A rule that says `inherits: <name>` has everything that the template says and it does not say itself. Titles,
texts and parameters are joined key by key; a `when` or `steps` of its own takes the place of the template's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.kernel.errors import ConfigError, Issue, KeyMomentsError, Location, did_you_mean
from jobs.kernel.located_yaml import Document
from jobs.kernel.project import Project

FOLDER = "rules/templates"
KEY = "inherits"
# Half of the one and half of the other would be a condition that nobody has written.
_WHOLE = ("when", "steps")
# What a rule is, not what it is like.
ITS_OWN = ("id", KEY)


def template_names(project: Project) -> list[str]:
    """Names of what rules may inherit."""
    return [path.rsplit("/", 1)[-1].removesuffix(".yaml") for path in project.files(FOLDER, optional=True)]


def template_keys(project: Project, name: str) -> frozenset[str]:
    """What a template says of the rules that inherit from it.

    Raises:
        ConfigError: When there is no such template.
    """
    known = template_names(project)
    if name not in known:
        message = f"there is no template '{name}' in {FOLDER}{did_you_mean(name, known)}"
        raise ConfigError(Issue("RULE_UNKNOWN_REFERENCE", message))
    return frozenset(project.load(f"{FOLDER}/{name}.yaml").data)


class Bases:
    """The templates that there are."""

    def __init__(self, project: Project, issues: list[Issue]) -> None:
        """Reads the files; what is wrong with them goes into issues."""
        # None of a file that is wrong, which is told once.
        self._documents: dict[str, Document | None] = dict.fromkeys(template_names(project))
        for name in self._documents:
            try:
                document = project.load(f"{FOLDER}/{name}.yaml")
            except KeyMomentsError as error:
                issues.extend(error.issues)
                continue
            if not isinstance(document.data, dict):
                message = "needs the keys of a rule that its rules have in common"
                issues.append(Issue("YAML_BAD_VALUE", message, document.at()))
                continue
            wrong = [key for key in document.data if key in ITS_OWN]
            for key in wrong:
                message = f"'{key}' is each rule's own; a template has none"
                issues.append(Issue("YAML_UNKNOWN_KEY", message, document.at(key)))
            if not wrong:
                self._documents[name] = document

    def applied(self, document: Document) -> Document:
        """A rule's document with what it inherits; every value keeps its place, also one in the template.

        Raises:
            ConfigError: When there is no such template, or it is itself wrong; then without an issue.
        """
        if not isinstance(document.data, dict) or KEY not in document.data:
            return document
        name = document.data[KEY]
        if not isinstance(name, str) or name not in self._documents:
            hint = did_you_mean(str(name), self._documents)
            message = f"{KEY}: there is no template '{name}' in {FOLDER}{hint}"
            raise ConfigError([Issue("RULE_UNKNOWN_REFERENCE", message, document.at(KEY))])
        base = self._documents[name]
        if base is None:
            raise ConfigError([])
        joined = _joined(base.data or {}, document.data)
        return Document(document.path, joined, _places(base, document))


def _joined(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in own.items():
        known: Any = base.get(key)
        whole = key in _WHOLE or not isinstance(value, dict) or not isinstance(known, dict)
        found[key] = value if whole else _joined(known, value)
    return found


def _places(base: Document, document: Document) -> dict[tuple[str | int, ...], Location]:
    """Where values stand: in the rule's file what it says itself, in the template all else."""
    replaced = {(key,) for key in _WHOLE if key in document.data}
    kept = {keys: place for keys, place in base.places.items() if keys[:1] not in replaced}
    return {**kept, **document.places}
