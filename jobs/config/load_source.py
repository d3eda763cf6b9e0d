"""Loads a source mapping: defaults laid under every extract, and every problem of the file at once."""

from __future__ import annotations

import re

from jobs.config.formats import JOINED, Format, Join
from jobs.config.sources import ExtractMapping, Source, SourceMapping, pattern_of
from jobs.contracts.extracts import POPULATION, SEGMENTS, ExtractContract
from jobs.expressions.check import type_of
from jobs.expressions.nodes import Name
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.expressions.types import Type
from jobs.kernel.errors import ConfigError, Issue, did_you_mean
from jobs.kernel.located_yaml import Document, validate


def load_source(document: Document, contracts: dict[str, ExtractContract]) -> Source:
    """Checks a source mapping against the contracts.

    Raises:
        ConfigError: With all its problems.
    """
    mapping = validate(_with_defaults(document), SourceMapping)
    issues: list[Issue] = []
    for index, extract in enumerate(mapping.extracts):
        issues += _extract_issues(document, index, extract, contracts)
    issues += _overlaps(document, mapping)
    used = {extract.contract for extract in mapping.extracts}
    for index, extract in enumerate(mapping.extracts):
        if extract.own_operator is not None and SEGMENTS not in used:
            message = f"own_operator needs an extract that fills '{SEGMENTS}'"
            place = document.at("extracts", index, "own_operator")
            issues.append(Issue("YAML_MISSING_KEY", message, place))
    for name in mapping.when_stale:
        if name not in used:
            message = f"'{name}' is not filled by any extract{did_you_mean(name, used)}"
            issues.append(Issue("CONF_UNKNOWN_REFERENCE", message, document.at("when_stale", name)))
    if not any(extract.contract == POPULATION for extract in mapping.extracts):
        message = f"no extract fills '{POPULATION}', which says who is in the network"
        issues.append(Issue("YAML_MISSING_KEY", message, document.at("extracts")))
    if issues:
        raise ConfigError(issues)
    return Source(document.path, mapping, {name: contracts[name] for name in contracts if name in used})


def _with_defaults(document: Document) -> Document:
    """Copies the defaults into every extract, so that each stands for itself."""
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("extracts"), list):
        return document
    defaults = data.get("defaults") or {}
    if not isinstance(defaults, dict):
        return document
    issues = [
        Issue("YAML_UNKNOWN_KEY", f"'{key}' is not known here{did_you_mean(key, Format.model_fields)}",
              document.at("defaults", key))
        for key in defaults if key not in Format.model_fields
    ]  # fmt: skip
    if issues:
        raise ConfigError(issues)
    extracts = [{**defaults, **one} if isinstance(one, dict) else one for one in data["extracts"]]
    return Document(document.path, {**data, "extracts": extracts}, document.places)


def _extract_issues(
    document: Document, index: int, extract: ExtractMapping, contracts: dict[str, ExtractContract]
) -> list[Issue]:
    place = ("extracts", index)
    contract = contracts.get(extract.contract)
    if contract is None:
        message = f"'{extract.contract}' is not a contract{did_you_mean(extract.contract, contracts)}"
        return [Issue("CONF_UNKNOWN_REFERENCE", message, document.at(*place, "contract"))]
    issues: list[Issue] = []
    try:
        pattern = pattern_of(extract.files)
        if "(?P<period>" not in pattern and extract.period is None:
            message = "the file name has no {period}; give 'period'"
            issues.append(Issue("YAML_MISSING_KEY", message, document.at(*place, "files")))
    except ValueError as error:
        issues.append(Issue("YAML_BAD_VALUE", str(error), document.at(*place, "files")))
    if extract.fields != "same":
        issues += _field_issues(document, index, extract, contract)
    for number, name in enumerate(extract.approximate):
        dates = [field for field, one in contract.fields.items() if one.type in ("date", "timestamp")]
        if name not in dates:
            message = f"'{name}' is not a date field of {contract.contract}{did_you_mean(name, dates)}"
            issues.append(Issue("CONTRACT_BAD_FIELD", message, document.at(*place, "approximate", number)))
    if extract.own_operator is not None and not any(
        part.derive == "off_net_of" for part in contract.derived.values()
    ):
        message = f"own_operator: {contract.contract} tells of no other network"
        issues.append(Issue("YAML_BAD_VALUE", message, document.at(*place, "own_operator")))
    if extract.where is not None:
        issues += _expression_issues(extract.where, document, (*place, "where"), "boolean", extract.join)
    if extract.join is not None:
        issues += _join_issues(document, index, extract, extract.join)
    return issues


def _join_issues(document: Document, index: int, extract: ExtractMapping, join: Join) -> list[Issue]:
    place = ("extracts", index, "join", "files")
    known = re.findall(r"\{(\w+)\}", extract.files)
    issues = []
    for name in re.findall(r"\{(\w+)\}", join.files):
        if name not in known:
            message = f"{{{name}}} does not stand in the name of the first file{did_you_mean(name, known)}"
            issues.append(Issue("YAML_BAD_VALUE", message, document.at(*place)))
    if "part" in known and "{part}" not in join.files:
        message = "lacks {part}: each part has a second file of its own"
        issues.append(Issue("YAML_BAD_VALUE", message, document.at(*place)))
    return issues


def _overlaps(document: Document, mapping: SourceMapping) -> list[Issue]:
    """Extracts whose files would replace each other: same contract and part, and periods that may meet."""
    issues: list[Issue] = []
    seen: dict[tuple[str, str], list[str | None]] = {}
    for index, extract in enumerate(mapping.extracts):
        if "{part}" in extract.files:
            continue
        period = None if "{period}" in extract.files else extract.period
        earlier = seen.setdefault((extract.contract, extract.part), [])
        if any(period is None or other is None or period == other for other in earlier):
            message = f"another extract fills part '{extract.part}' of {extract.contract}; give 'part'"
            issues.append(Issue("YAML_BAD_VALUE", message, document.at("extracts", index)))
        earlier.append(period)
    return issues


def _field_issues(
    document: Document, index: int, extract: ExtractMapping, contract: ExtractContract
) -> list[Issue]:
    assert extract.fields != "same"
    issues: list[Issue] = []
    for name, text in extract.fields.items():
        place = ("extracts", index, "fields", name)
        if name not in contract.fields:
            hint = did_you_mean(name, contract.fields)
            message = f"'{name}' is not a field of {contract.contract}{hint}"
            issues.append(Issue("CONTRACT_BAD_FIELD", message, document.at(*place)))
        issues += _expression_issues(text, document, place, None, extract.join)
    needed = {name for name, field in contract.fields.items() if field.required}
    for name in sorted(needed - set(extract.fields)):
        message = f"the required field '{name}' of {contract.contract} is not filled"
        issues.append(Issue("YAML_MISSING_KEY", message, document.at("extracts", index, "fields")))
    return issues


def _expression_issues(
    text: str, document: Document, place: tuple[str | int, ...], kind: str | None, join: Join | None
) -> list[Issue]:
    def column(name: Name) -> Type:
        if name.table == JOINED and join is None:
            raise ExpressionProblem("EXPR_UNKNOWN_NAME", f"'{name}': there is no 'join' here")
        if name.table not in (None, JOINED):
            raise ExpressionProblem("EXPR_UNKNOWN_NAME", f"'{name}': write a column as `{name}`")
        return Type("string")

    try:
        found = type_of(parse(text), column)
    except ExpressionProblem as problem:
        return [Issue(problem.code, str(problem), document.at(*place))]
    if kind is not None and found.kind != kind:
        return [Issue("EXPR_TYPE", f"is {found.kind}, not {kind}", document.at(*place))]
    return []
