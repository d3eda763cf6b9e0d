"""The one YAML loader: strict, and every value keeps its place in the file.

Duplicate keys, unknown keys and wrong values are issues with file:line:col; all of a file's problems are
found at once. No YAML tag can make an object.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.kernel.errors import ConfigError, Issue, Location, did_you_mean

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 100_000
PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of every model read from YAML: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: plain data, and the place of every key and value.

    Attributes:
        path: The path as shown to people.
        data: Plain dicts, lists and scalars.
        places: From a path of keys and indexes to its location.
    """

    path: str
    data: Any
    places: dict[Path_, Location] = field(repr=False)

    def at(self, *keys: str | int) -> Location:
        """The location of a value, or of the nearest mapping around it."""
        for length in range(len(keys), -1, -1):
            if (place := self.places.get(tuple(keys[:length]))) is not None:
                return place
        return Location(self.path)


def load(path: Path, shown_as: str | None = None) -> Document:
    """Reads one YAML file.

    Args:
        path: The file.
        shown_as: How to name it in messages; its path by default.

    Raises:
        ConfigError: When it is missing, not UTF-8, too large, not YAML, or has duplicate keys.
    """
    name = shown_as or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            Issue("CONF_MISSING_FILE", f"cannot be read: {error.strerror}", Location(name))
        ) from None
    return parse(raw, name)


def parse(raw: bytes, name: str) -> Document:
    """Parses the bytes of a YAML file; see load."""
    if len(raw) > MAX_BYTES:
        raise ConfigError(Issue("YAML_SYNTAX", f"is larger than {MAX_BYTES} bytes", Location(name)))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, unlike raw, has no byte order mark, and that is what error.start counts in.
        lines = error.object[: error.start].decode("utf-8").split("\n")
        message = f"is not UTF-8: byte 0x{error.object[error.start]:02x}"
        place = Location(name, len(lines), len(lines[-1]) + 1)
        raise ConfigError(Issue("YAML_SYNTAX", message, place)) from None
    try:
        _refuse_deep(text, name)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_issue(error, name)) from None
    reader = _Reader(name)
    data = reader.read(node, ()) if node is not None else {}
    if reader.issues:
        raise ConfigError(reader.issues)
    return Document(name, data, reader.places)


def _refuse_deep(text: str, name: str) -> None:
    """Refuses what is nested so deeply that composing it would crash the C parser."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.NodeEvent) and depth > MAX_DEPTH:
            mark = event.start_mark
            place = Location(name, mark.line + 1, mark.column + 1) if mark else Location(name)
            raise ConfigError(Issue("YAML_SYNTAX", "is nested too deeply", place))
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)


def _syntax_issue(error: yaml.YAMLError, name: str) -> Issue:
    mark = getattr(error, "problem_mark", None)
    place = Location(name, mark.line + 1, mark.column + 1) if mark else Location(name)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Issue("YAML_SYNTAX", problem, place)


class _Reader:
    """Walks the composed nodes into plain data, noting places and problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path_, Location] = {}
        self.issues: list[Issue] = []
        self.nodes = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def _place(self, node: yaml.Node) -> Location:
        return Location(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def read(self, node: yaml.Node, at: Path_) -> Any:
        self.places.setdefault(at, self._place(node))
        # Aliases count anew wherever they stand: they can nest, and make a small file huge.
        self.nodes += 1
        if self.nodes > MAX_NODES:
            message = f"has more than {MAX_NODES} values, aliases written out"
            raise ConfigError(Issue("YAML_SYNTAX", message, self._place(node)))
        if len(at) > MAX_DEPTH:
            self.issues.append(Issue("YAML_SYNTAX", "is nested too deeply", self._place(node)))
            return None
        if isinstance(node, yaml.CollectionNode) and node.tag not in PLAIN_TAGS:
            self.issues.append(Issue("YAML_BAD_VALUE", f"{node.tag} is not allowed", self._place(node)))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*at, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, at: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.issues.append(Issue("YAML_SYNTAX", "a key must be a plain word", place))
                continue
            # Keys stay text: YAML 1.1 would read `on` or `no` as booleans.
            key = key_node.value
            if key in result:
                self.issues.append(Issue("YAML_DUPLICATE_KEY", f"'{key}' stands here twice", place))
            self.places[(*at, key)] = place
            result[key] = self.read(value_node, (*at, key))
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            reason = str(getattr(error, "problem", None) or error)
            self.issues.append(Issue("YAML_BAD_VALUE", reason, self._place(node)))
            return None
        if not isinstance(value, str | int | float | bool | date | datetime | None):
            self.issues.append(Issue("YAML_BAD_VALUE", f"{node.tag} is not allowed", self._place(node)))
            return None
        return value


def validate(document: Document, model: type[Model], at: Sequence[str | int] = ()) -> Model:
    """Makes a model of (a part of) a document.

    Raises:
        ConfigError: With one located issue for every problem.
    """
    data = document.data
    for key in at:
        data = data[key]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError([_issue(document, model, tuple(at), detail) for detail in error.errors()]) from None


def unknown_names(
    document: Document, kind: str, used: Mapping[Path_, str], known: Collection[str]
) -> list[Issue]:
    """Issues of names that there are not, at the places where they are used.

    Args:
        document: The file.
        kind: What the names are of, such as channel.
        used: The names by their places.
        known: Those that there are.
    """
    return [
        Issue(
            "CONF_UNKNOWN_REFERENCE",
            f"there is no {kind} '{name}'{did_you_mean(name, known)}",
            document.at(*place),
        )
        for place, name in used.items()
        if name not in known
    ]


def _issue(document: Document, model: type[BaseModel], at: Path_, detail: Any) -> Issue:
    keys: Path_ = (*at, *_written(document, at, detail))
    place = document.at(*keys)
    # A place in a list has no name of its own.
    name = next((key for key in reversed(keys) if isinstance(key, str)), "document")
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model, detail["loc"][:-1])
        hint = did_you_mean(name, known)
        allowed = f"; allowed: {', '.join(known)}" if known else ""
        return Issue("YAML_UNKNOWN_KEY", f"'{name}' is not known here{hint}{allowed}", place)
    if detail["type"] == "missing":
        return Issue("YAML_MISSING_KEY", f"'{name}' is missing", place)
    given = detail.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    message = detail["msg"].removeprefix("Value error, ")
    hint = ""
    if detail["type"] == "literal_error":
        hint = did_you_mean(str(given), re.findall("'([^']*)'", detail["ctx"]["expected"]))
    return Issue("YAML_BAD_VALUE", f"'{name}': {message}{shown}{hint}", place)


def _written(document: Document, at: Path_, detail: Any) -> Path_:
    """A pydantic location without the branches of unions, which stand in no file."""
    keys: list[str | int] = []
    for key in detail["loc"]:
        if (*at, *keys, key) in document.places or detail["type"] == "missing":
            keys.append(key)
    return tuple(keys)


def _known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The fields of the model reached by a pydantic location, as far as it can be followed."""
    current = model
    for step in loc:
        if isinstance(step, str) and step in current.model_fields:
            current = _inner_model(current.model_fields[step].annotation) or current
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (inner := _inner_model(argument)) is not None:
            return inner
    return None
