"""The catalogue of the unified customer view (schemas/customer_view/*.yaml): measures, items, scores.

An item's value is one expression over contract.field (the latest state), at_start and at_end (an earlier
one), measure(name, 'window'), other items and as_of. Items are declared here and compiled by the domain
layer; nothing is coded an item.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal as Choice

from pydantic import Field as Setting

from jobs.contracts.columns import Column, ddl_type
from jobs.contracts.extracts import POPULATION, ExtractContract
from jobs.contracts.fields import FieldType
from jobs.contracts.leaves import MEASURE, leaf_of, split_measure, split_state
from jobs.expressions.check import type_of
from jobs.expressions.nodes import Call, Name, Node, names, substitute, walk
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.expressions.types import Type
from jobs.kernel.errors import ConfigError, Issue, Location, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Document, StrictModel, validate
from jobs.kernel.project import Project, collect
from jobs.kernel.titles import Title
from jobs.kernel.units import Unit

FOLDER = "schemas/customer_view"

Aggregate = Choice["sum", "count", "mean", "min", "max", "last", "distinct"]


class Measure(StrictModel):
    """An aggregate over the rows of one event or month source.

    Attributes:
        of: What is aggregated; nothing for count.
        where: Which rows count.
        missing: What no rows in a window mean where the source is delivered: zero or unknown.
        by_day: It tells of single days, and so nothing where a row sums up several.
    """

    from_: str = Setting(alias="from")
    aggregate: Aggregate
    of: str | None = None
    where: str | None = None
    unit: Unit | None = None
    missing: Choice["zero", "unknown"] = "unknown"
    by_day: bool = False


class Item(StrictModel):
    """One item of the view; null means unknown.

    Attributes:
        scale: Digits behind the point of a decimal; values are rounded half up once, when computed.
        labels: What codes are called in texts; others stand there as they are.
        ranks_like: Items that order customers as this one does, which is there for texts or as a step.
    """

    type: FieldType
    value: str
    zh: str
    en: str
    unit: Unit | None = None
    scale: int = 2
    example: object = None
    labels: dict[str, Title] = {}
    ranks_like: tuple[str, ...] = ()


class Score(StrictModel):
    """An item that a later stage computes from the view, kept in a table of its own."""

    type: FieldType
    table: Choice["risk_scores", "health_scores"]
    zh: str
    en: str
    unit: Unit | None = None
    scale: int = 2
    example: object = None


class ViewClass(StrictModel):
    """One of the 15 classes of items."""

    class_: str = Setting(alias="class")
    number: int
    zh: str
    en: str
    measures: dict[str, Measure] = {}
    items: dict[str, Item]
    scores: dict[str, Score] = {}


@dataclass(frozen=True)
class CustomerView:
    """All classes, checked: every name resolves, types and units fit, items are in order of need.

    Attributes:
        classes: In order of their numbers.
        measures: By name.
        items: By id, each after the items it uses.
        trees: Parsed value of each item; calls of measure and at_... are single names (leaves).
        scores: By id.
        parameters: Names of the amounts that conf gives, such as value_tier_mid.
    """

    classes: tuple[ViewClass, ...]
    measures: dict[str, Measure]
    items: dict[str, Item]
    trees: dict[str, Node]
    scores: dict[str, Score]
    parameters: dict[str, Type]

    @property
    def types(self) -> dict[str, Type]:
        """Type of everything a rule may name."""
        items = {name: Type(item.type, item.unit) for name, item in self.items.items()}
        return {**items, **{name: Type(score.type, score.unit) for name, score in self.scores.items()}}

    @property
    def labels(self) -> dict[str, dict[str, Title]]:
        """What the codes of items are called, by item."""
        return {name: item.labels for name, item in self.items.items() if item.labels}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The items as columns, in order of class."""
        return tuple(
            Column(name, ddl_type(item.type, item.scale), item.zh, item.en)
            for one in self.classes
            for name, item in one.items.items()
        )

    @property
    def fingerprint(self) -> str:
        """Changes when any definition does."""
        return fingerprint([one.model_dump(by_alias=True) for one in self.classes])

    def measures_of(self, contract: str) -> dict[str, Measure]:
        """The measures over one source."""
        return {name: measure for name, measure in self.measures.items() if measure.from_ == contract}

    def measures_fingerprint(self, contract: str) -> str:
        """Changes when a measure over the source does: its tiles must then be made again."""
        measures = self.measures_of(contract)
        return fingerprint({name: measure.model_dump(by_alias=True) for name, measure in measures.items()})

    def definition_fingerprint(self, item: str) -> str:
        """Changes when what an item means does: its own definition, or that of what it is made of."""
        found: dict[str, object] = {}
        waiting = [Name(item)]
        while waiting:
            name = waiting.pop()
            if name.table == MEASURE:
                measure = split_measure(name)[0]
                found[f"measure {measure}"] = self.measures[measure].model_dump(by_alias=True)
            elif name.table is None and name.name in self.trees and name.name not in found:
                one = self.items[name.name]
                found[name.name] = (one.type, one.value, one.unit, one.scale)
                waiting += names(self.trees[name.name])
        return fingerprint(found)

    def leaves(self, item: str) -> list[Name]:
        """The contract fields and measure windows an item rests on, through other items."""
        found: dict[Name, None] = {}
        for name in names(self.trees[item]):
            if name.table is not None:
                found[name] = None
            elif name.name in self.trees:
                found.update(dict.fromkeys(self.leaves(name.name)))
        return list(found)


def load_view(
    project: Project, contracts: dict[str, ExtractContract], parameters: dict[str, Type]
) -> CustomerView:
    """Loads and checks the catalogue.

    Args:
        project: Where the files are.
        contracts: The extract contracts the items rest on.
        parameters: Types of the amounts from conf that values may use as :name.

    Raises:
        ConfigError: With all problems of all files.
    """
    documents = [project.load(name) for name in project.files(FOLDER)]
    classes = collect(
        lambda path: validate(_by_path(documents, path), ViewClass), [d.path for d in documents]
    )
    return _Checker(documents, classes, contracts, parameters).checked()


def _by_path(documents: list[Document], path: str) -> Document:
    return next(document for document in documents if document.path == path)


class _Checker:
    """Resolves and type-checks the catalogue, collecting all issues."""

    def __init__(
        self,
        documents: list[Document],
        classes: list[ViewClass],
        contracts: dict[str, ExtractContract],
        parameters: dict[str, Type],
    ) -> None:
        self.pairs = sorted(zip(classes, documents, strict=True), key=lambda pair: pair[0].number)
        self.contracts = contracts
        self.parameters = parameters
        self.issues: list[Issue] = []
        self.measures: dict[str, Measure] = {}
        self.items: dict[str, Item] = {}
        self.scores: dict[str, Score] = {}
        self.trees: dict[str, Node] = {}
        self.places: dict[str, Location] = {}
        self.broken: set[str] = set()

    def checked(self) -> CustomerView:
        for one, document in self.pairs:
            self._declare(one, document)
        for one, document in self.pairs:
            for name, measure in one.measures.items():
                before = len(self.issues)
                self._check_measure(measure, document.at("measures", name))
                if len(self.issues) > before:
                    self.broken.add(name)
            for name, item in one.items.items():
                self._parse_item(name, item, document.at("items", name, "value"))
        order = self._in_order()
        for name in order:
            self._check_item(name)
        if self.issues:
            raise ConfigError(self.issues)
        return CustomerView(
            classes=tuple(one for one, _ in self.pairs),
            measures=self.measures,
            items={name: self.items[name] for name in order},
            trees={name: self.trees[name] for name in order},
            scores=self.scores,
            parameters=self.parameters,
        )

    def _declare(self, one: ViewClass, document: Document) -> None:
        named: dict[str, Iterable[str]] = {"measures": one.measures, "items": one.items, "scores": one.scores}
        for kind, found in named.items():
            for name in found:
                place = document.at(kind, name)
                if name in self.places:
                    message = f"'{name}' is defined twice, also at {self.places[name]}"
                    self.issues.append(Issue("ITEM_DUPLICATE", message, place))
                self.places[name] = place
        self.measures.update(one.measures)
        self.items.update(one.items)
        self.scores.update(one.scores)

    def _check_measure(self, measure: Measure, place: Location) -> None:
        contract = self.contracts.get(measure.from_)
        if contract is None or contract.grain == "state":
            usable = [name for name, other in self.contracts.items() if other.grain != "state"]
            hint = did_you_mean(measure.from_, usable)
            message = f"'{measure.from_}' is not an event or month extract{hint}"
            self.issues.append(Issue("CONF_UNKNOWN_REFERENCE", message, place))
            return
        if "subscription_id" not in contract.column_types:
            message = f"'{measure.from_}' has no subscription_id to add up by"
            self.issues.append(Issue("CONF_UNKNOWN_REFERENCE", message, place))
        if (measure.of is None) != (measure.aggregate == "count"):
            self.issues.append(Issue("YAML_BAD_VALUE", "'of' is needed, except for count", place))
        for key, text in (("of", measure.of), ("where", measure.where)):
            if text is not None:
                try:
                    found = type_of(parse(text), lambda name: field_type(contract, name))
                except ExpressionProblem as problem:
                    self.issues.append(Issue(problem.code, str(problem), place))
                    continue
                if key == "where" and found.kind != "boolean":
                    self.issues.append(Issue("EXPR_TYPE", f"where is {found.kind}, not a condition", place))

    def _parse_item(self, name: str, item: Item, place: Location) -> None:
        try:
            self.trees[name] = substitute(parse(item.value), lambda node: leaf_of(node, self.measures))
        except ExpressionProblem as problem:
            self.issues.append(Issue(problem.code, str(problem), place))

    def _in_order(self) -> list[str]:
        """Items after those they use; circles are issues."""
        done: dict[str, None] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in done or name not in self.trees:
                return
            if name in path:
                circle = " -> ".join([*path[path.index(name) :], name])
                message = f"refers to itself: {circle}"
                self.issues.append(Issue("ITEM_CYCLE", message, self.places[name]))
                return
            path.append(name)
            for used in names(self.trees[name]):
                if used.table is None:
                    visit(used.name)
            path.pop()
            done[name] = None

        for name in self.items:
            visit(name)
        return list(done)

    def _check_item(self, name: str) -> None:
        item, place, tree = self.items[name], self.places[name], self.trees[name]
        for other in item.ranks_like:
            if other not in self.items:
                message = f"{name}: ranks_like '{other}' is not an item{did_you_mean(other, self.items)}"
                self.issues.append(Issue("CONF_UNKNOWN_REFERENCE", message, place))
        if any(one.table == MEASURE and split_measure(one)[0] in self.broken for one in names(tree)):
            return
        try:
            found = type_of(tree, self._name_type, self._parameter_type)
        except ExpressionProblem as problem:
            self.issues.append(Issue(problem.code, f"{name}: {problem}", place))
            return
        number = ("integer", "decimal")
        fits = found.kind in ("null", item.type) or (found.kind in number and item.type in number)
        if not fits:
            message = f"{name} is declared {item.type} but its value is {found.kind}"
            self.issues.append(Issue("EXPR_TYPE", message, place))
        # Multiplying and dividing is how units are converted.
        converts = any(isinstance(one, Call) and one.function in ("multiply", "divide") for one in walk(tree))
        if found.unit is not None and found.unit != item.unit and not converts:
            message = f"{name} is declared in {item.unit or 'no unit'} but its value is in {found.unit}"
            self.issues.append(Issue("EXPR_UNIT", message, place))

    def _parameter_type(self, name: str) -> Type:
        if name not in self.parameters:
            hint = did_you_mean(name, self.parameters)
            raise ExpressionProblem("EXPR_UNKNOWN_NAME", f":{name} is not given in conf{hint}")
        return self.parameters[name]

    def _name_type(self, name: Name) -> Type:
        if name.table == MEASURE:
            measure, _ = split_measure(name)
            return measure_type(self.measures[measure], self.contracts)
        if name.table is not None:
            contract = self.contracts.get(name.table)
            if contract is None or contract.grain != "state":
                states = [key for key, other in self.contracts.items() if other.grain == "state"]
                hint = did_you_mean(name.table, states)
                raise ExpressionProblem("EXPR_UNKNOWN_NAME", f"'{name.table}' is not a state extract{hint}")
            # The state of a subscription is found by one of its own fields.
            if contract.key not in {(key,) for key in self.contracts[POPULATION].column_types}:
                message = (
                    f"'{name.table}' is found by {', '.join(contract.key)}, not by one field of {POPULATION}"
                )
                raise ExpressionProblem("EXPR_UNKNOWN_NAME", message)
            return field_type(contract, Name(split_state(name)[0]))
        if name.name == "as_of":
            return Type("date")
        if name.name not in self.items:
            hint = did_you_mean(name.name, self.items)
            raise ExpressionProblem("EXPR_UNKNOWN_NAME", f"'{name}' is not an item{hint}")
        item = self.items[name.name]
        return Type(item.type, item.unit)


def field_type(contract: ExtractContract, name: Name) -> Type:
    """Type of a contract's field as stored.

    Raises:
        ExpressionProblem: When there is no such field.
    """
    if name.table is not None or name.name not in {column.name for column in contract.kept_columns}:
        if name == Name("row_date"):
            return Type("date")
        hint = did_you_mean(name.name, contract.column_types)
        message = f"'{name}' is not a field of {contract.contract}{hint}"
        raise ExpressionProblem("EXPR_UNKNOWN_NAME", message)
    return Type(contract.column_types[name.name], contract.units.get(name.name))


def measure_type(measure: Measure, contracts: dict[str, ExtractContract]) -> Type:
    """Type of a measure over any window."""
    if measure.aggregate in ("count", "distinct"):
        return Type("integer", measure.unit)
    contract = contracts[measure.from_]
    kind = type_of(parse(measure.of or "null"), lambda name: field_type(contract, name)).kind
    return Type("decimal" if measure.aggregate == "mean" else kind, measure.unit)
