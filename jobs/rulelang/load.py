"""Loads rules/: rules, audiences and plans, checked against each other and the customer view."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from jobs.config.holidays import NO_HOLIDAYS, Holidays
from jobs.expressions.check import ParameterType, no_parameters, type_of
from jobs.expressions.nodes import Name, Node, parameters, substitute
from jobs.expressions.nodes import Parameter as Named
from jobs.expressions.parse import ExpressionProblem, parse
from jobs.expressions.types import Type
from jobs.kernel.errors import ConfigError, Issue, KeyMomentsError, Location, did_you_mean
from jobs.kernel.ids import fingerprint
from jobs.kernel.located_yaml import Document, StrictModel, validate
from jobs.kernel.project import Project
from jobs.kernel.titles import Title
from jobs.rulelang.bases import Bases
from jobs.rulelang.cities import CityValues
from jobs.rulelang.conditions import Condition, Group, Leaf, leaves, pasts_of, read_condition
from jobs.rulelang.model import Audience, Parameter, Plan, RuleFile
from jobs.rulelang.past import Asked, circle_of, past_of
from jobs.rulelang.reserved import RESERVED
from jobs.rulelang.ruleset import Rule, RuleSet
from jobs.rulelang.templates import Template, labelled, placeholders, read_template

AUDIENCES = "rules/audiences.yaml"
PLANS = "rules/plans.yaml"
FOLDERS = ("rules/moments", "rules/reminders")
LANGUAGES = ("zh", "en")

M = TypeVar("M", bound=StrictModel)


def load_rules(
    project: Project,
    types: Mapping[str, Type],
    overrides: Mapping[str, Mapping[str, Decimal]] | None = None,
    labels: Mapping[str, Mapping[str, Title]] | None = None,
    holidays: Holidays = NO_HOLIDAYS,
) -> RuleSet:
    """Loads all rules.

    Args:
        project: Where rules/ is.
        types: Types of everything a rule may name.
        overrides: Parameter values of an operator, by rule and parameter.
        labels: What the codes of items are called in texts, by item.
        holidays: The calendar of festivals.

    Raises:
        ConfigError: With all problems of all files.
    """
    named = {**(labels or {}), "next_holiday": holidays.labels}
    return _Loader(project, types, overrides or {}, named, holidays).load()


def _of_moment(condition: Condition, moment: str) -> Condition:
    """What another moment asks, its conditions and parameters named for it."""
    if isinstance(condition, Group):
        members = tuple(_of_moment(member, moment) for member in condition.members)
        return Group(condition.name and f"{moment}.{condition.name}", condition.kind, members)

    def its(node: Node) -> Node | None:
        return Named(f"{moment}.{node.name}") if isinstance(node, Named) else None

    name = f"{moment}.{condition.name}"
    return Leaf(name, substitute(condition.tree, its), condition.text, moment, condition.past)


def rule_files(project: Project) -> dict[str, str]:
    """File of each rule, by the id for which it is named."""
    paths = [path for folder in FOLDERS for path in project.files(folder)]
    return {path.rsplit("/", 1)[-1].removesuffix(".yaml"): path for path in paths}


class _Loader:
    def __init__(
        self,
        project: Project,
        types: Mapping[str, Type],
        overrides: Mapping[str, Mapping[str, Decimal]],
        labels: Mapping[str, Mapping[str, Title]],
        holidays: Holidays,
    ) -> None:
        self.project = project
        self.types = {**types, **RESERVED}
        self.overrides = overrides
        self.labels = labels
        self.holidays = holidays
        self.issues: list[Issue] = []
        self.cities = CityValues(project, self.issues)
        self.bases = Bases(project, self.issues)
        self.documents: dict[str, Document] = {}
        # Names in audiences and plans, right or wrong; none where the file as a whole cannot be read.
        self.named: dict[str, set[str]] = {}
        # Rules whose files cannot be read: that is their own problem, not one of those that name them.
        self.unread: set[str] = set()
        # The rules on whose conditions one is at work, each for the sake of the one before it.
        self.path: list[str] = []

    def load(self) -> RuleSet:
        audiences = self._named(AUDIENCES, Audience)
        plans = self._named(PLANS, Plan)
        self.audience_trees = self._audience_trees(audiences)
        files = self._files()
        rules = [self._rule(document, file, files) for document, file in files]
        for rule_id in sorted(set(self.overrides) - {file.id for _, file in files} - self.unread):
            hint = did_you_mean(rule_id, [file.id for _, file in files])
            self.issues.append(Issue("RULE_UNKNOWN_REFERENCE", f"rule_parameters: no rule '{rule_id}'{hint}"))
        asked = [(rule.id, rule.file.cycle, pasts_of(rule.condition)) for rule in rules if rule is not None]
        if (circle := circle_of(asked)) is not None:
            self.issues.append(Issue("RULE_CYCLE", circle, Location(FOLDERS[0])))
        self.issues += self.cities.check_rules({file.id for _, file in files} | self.unread)
        if self.issues:
            raise ConfigError(self.issues)
        found = sorted((rule for rule in rules if rule is not None), key=lambda rule: rule.id)
        return RuleSet(tuple(found), audiences, plans, self.holidays)

    def _named(self, path: str, model: type[M]) -> dict[str, M]:
        try:
            document = self.project.load(path)
        except KeyMomentsError as error:
            self.issues.extend(error.issues)
            return {}
        if not isinstance(document.data, dict):
            message = f"needs a mapping of names, such as 'name: {{{', '.join(model.model_fields)}}}'"
            self.issues.append(Issue("YAML_BAD_VALUE", message, document.at()))
            return {}
        self.documents[path] = document
        self.named[path] = set(document.data)
        found: dict[str, M] = {}
        for name in document.data:
            try:
                found[name] = validate(document, model, (name,))
            except KeyMomentsError as error:
                self.issues.extend(error.issues)
        return found

    def _audience_trees(self, audiences: Mapping[str, Audience]) -> dict[str, Node]:
        trees: dict[str, Node] = {}
        for name, audience in audiences.items():
            place = self.documents[AUDIENCES].at(name, "where")
            tree = self._plain_condition(audience.where, f"audience {name}", place)
            if tree is not None:
                trees[name] = tree
        return trees

    def _optional_condition(self, document: Document, key: str, text: str | None) -> Node | None:
        return None if text is None else self._plain_condition(text, key, document.at(key))

    def _plain_condition(self, text: str, what: str, place: Location) -> Node | None:
        """A condition on items alone, without parameters."""
        try:
            tree = parse(text)
        except ExpressionProblem as problem:
            self.issues.append(Issue(problem.code, f"{what}: {problem}", place))
            return None
        self._boolean(tree, no_parameters, what, place)
        return tree

    def _files(self) -> list[tuple[Document, RuleFile]]:
        files: list[tuple[Document, RuleFile]] = []
        for folder in FOLDERS:
            for path in self.project.files(folder):
                try:
                    document = self.bases.applied(self.project.load(path))
                    files.append((document, validate(document, RuleFile)))
                except KeyMomentsError as error:
                    self.issues.extend(error.issues)
                    self.unread.add(path.rsplit("/", 1)[-1].removesuffix(".yaml"))
        seen: dict[str, str] = {}
        for document, file in files:
            place = document.at("id")
            if file.id in seen:
                message = f"'{file.id}' is also the id of {seen[file.id]}"
                self.issues.append(Issue("RULE_DUPLICATE_ID", message, place))
            elif document.path.rsplit("/", 1)[-1] != f"{file.id}.yaml":
                message = f"a rule '{file.id}' belongs into a file {file.id}.yaml"
                self.issues.append(Issue("RULE_DUPLICATE_ID", message, place))
            seen.setdefault(file.id, document.path)
        return files

    def _rule(
        self, document: Document, written: RuleFile, files: list[tuple[Document, RuleFile]]
    ) -> Rule | None:
        before = len(self.issues)
        borrowed: dict[str, Parameter] = {}
        condition, issues = self._condition(document, written, files, borrowed)
        self.issues.extend(self.cities.check(written))
        file = self._with_overrides(document, written)
        file = file.model_copy(update={"parameters": {**file.parameters, **borrowed}})
        self.issues.extend(issues)
        self._references(document, file, files)
        self._parameters(document, file, condition, bool(issues))

        def parameter(name: str) -> Type:
            known = file.parameters.get(name)
            return Type("decimal", known.unit if known else None)

        for leaf in () if condition is None else leaves(condition):
            # What another moment asks is checked where it is written, and what was once true is a truth.
            if leaf.moment is None and leaf.past is None:
                self._boolean(leaf.tree, parameter, leaf.name, _leaf_place(document, leaf.name))
        templates = {language: self._template(document, file, language) for language in LANGUAGES}
        if file.steps is not None and file.steps.of not in self.types:
            self._unknown_item(file.steps.of, document.at("steps", "of"))
        if file.serve_in_days is not None and file.serve_in_days not in self.types:
            self._unknown_item(file.serve_in_days, document.at("serve_in_days"))
        again = self._optional_condition(document, "again_when", file.again_when)
        pending = self._optional_condition(document, "pending_while", file.pending_while)
        if len(self.issues) > before or condition is None:
            return None
        audience = self.audience_trees.get(file.audience)
        if audience is None:
            return None
        # What other moments ask stands in their files only.
        others = [repr(condition)] if any(leaf.moment for leaf in leaves(condition)) else []
        mark = fingerprint([file.model_dump(mode="json"), str(audience), *others])
        origins = self._origins(file.id)
        for other in sorted({leaf.moment for leaf in leaves(condition) if leaf.moment is not None}):
            origins |= {f"{other}.{name}": told for name, told in self._origins(other).items()}
        return Rule(file, condition, audience, templates, mark, again, pending, origins)

    def _condition(
        self,
        document: Document,
        file: RuleFile,
        files: list[tuple[Document, RuleFile]],
        borrowed: dict[str, Parameter],
    ) -> tuple[Condition | None, list[Issue]]:
        """What a rule asks, and what the moments ask that it names; their parameters go into borrowed."""
        found: list[Issue] = []

        def moment(name: str, asked: Asked) -> Condition | None:
            other_id = asked.moment
            other = next((pair for pair in files if pair[1].id == other_id), None)
            place = document.at("when")
            if other is None and other_id in self.unread:
                return None
            if other is None:
                hint = did_you_mean(other_id, [one.id for _, one in files])
                message = f"moment: there is no rule '{other_id}'{hint}"
                found.append(Issue("RULE_UNKNOWN_REFERENCE", message, place))
                return None
            if not (asked.is_plain and other[1].cycle is file.cycle):
                past = past_of(asked, other[1].cycle, file.cycle)
                return Leaf(name, Name(past.name), past.text, past=past)
            if other_id in self.path:
                circle = " -> ".join([*self.path[self.path.index(other_id) :], other_id])
                found.append(Issue("RULE_CYCLE", f"moments name each other in a circle: {circle}", place))
                return None
            its: dict[str, Parameter] = {}
            condition, problems = self._condition(*other, files, its)
            # Whatever is wrong with it is told where it stands.
            audience = self.audience_trees.get(other[1].audience)
            if condition is None or problems or audience is None:
                found.extend(one for one in problems if one.code == "RULE_CYCLE")
                return None
            its |= self._with_overrides(*other, told=False).parameters
            borrowed.update({f"{other_id}.{name}": one for name, one in its.items()})
            its_audience = Leaf("audience", audience, str(other[1].audience))
            return _of_moment(Group("", "all", (its_audience, condition)), other_id)

        self.path.append(file.id)
        condition, issues = read_condition(file.when, document, moment)
        self.path.pop()
        return condition, [*issues, *found]

    def _with_overrides(self, document: Document, file: RuleFile, told: bool = True) -> RuleFile:
        changed = dict(file.parameters)
        for name, values in self.cities.of(file.id).items():
            if name in changed:
                by_city = {**changed[name].by_city, **{one.city: one.value for one in values}}
                changed[name] = changed[name].model_copy(update={"by_city": by_city})
        for name, value in self.overrides.get(file.id, {}).items():
            if name not in changed:
                hint = did_you_mean(name, changed)
                message = f"rule_parameters: {file.id} has no parameter '{name}'{hint}"
                if told:
                    self.issues.append(Issue("RULE_BAD_PARAMETER", message, document.at("parameters")))
                continue
            changed[name] = changed[name].model_copy(update={"default": value, "by_city": {}, "by": None})
        return file.model_copy(update={"parameters": changed})

    def _origins(self, rule_id: str) -> dict[str, dict[str, str]]:
        """What sets values of a rule's parameters beside its own file."""
        cities = self.cities.of(rule_id).items()
        found = {name: {one.city: one.place.path for one in values} for name, values in cities}
        return found | {name: {"": "rule_parameters"} for name in self.overrides.get(rule_id, {})}

    def _references(self, document: Document, file: RuleFile, files: list[tuple[Document, RuleFile]]) -> None:
        ids = {other.id for _, other in files} | self.unread
        exempt = {other.id for _, other in files if other.category == "exempt"} | self.unread
        wanted = [("audience", file.audience, self.named.get(AUDIENCES))]
        if file.plan is not None:
            wanted.append(("plan", file.plan, self.named.get(PLANS)))
        wanted += [("inhibits", other, ids) for other in file.inhibits]
        owed = {other.id for _, other in files if other.service_owed}
        for name in file.inhibits:
            if name in owed and not file.service_owed:
                message = f"inhibits: '{name}' is owed to customers, and '{file.id}' is not"
                self.issues.append(Issue("RULE_INHIBITS_OWED", message, document.at("inhibits")))
        wanted += [("ignores_exempt", other, exempt) for other in file.ignores_exempt]
        for key, name, known in wanted:
            # Of a file that cannot be read it is not known what it names: its own problem is enough.
            if known is not None and name not in known:
                message = f"{key}: there is no '{name}'{did_you_mean(name, known)}"
                self.issues.append(Issue("RULE_UNKNOWN_REFERENCE", message, document.at(key)))

    def _parameters(
        self, document: Document, file: RuleFile, condition: Condition | None, broken: bool
    ) -> None:
        used = {name for leaf in leaves(condition) for name in parameters(leaf.tree)} if condition else set()
        for name, parameter in file.parameters.items():
            place = document.at("parameters", name)
            values = {"default": parameter.default, **parameter.values_by}
            if parameter.by is not None and self.types.get(parameter.by.item) != Type("string"):
                message = f"{name}: 'by' needs an item that is a text, not '{parameter.by.item}'"
                self.issues.append(Issue("RULE_BAD_PARAMETER", message, place))
            for where, value in values.items():
                if not parameter.min <= value <= parameter.max:
                    message = f"{name}: {where} {value} is not between {parameter.min} and {parameter.max}"
                    self.issues.append(Issue("RULE_BAD_PARAMETER", message, place))
            if name not in used and not broken:
                self.issues.append(Issue("RULE_BAD_PARAMETER", f"'{name}' is not used", place))
        if condition is None:
            return
        for leaf in leaves(condition):
            for name in parameters(leaf.tree):
                if name not in file.parameters:
                    hint = did_you_mean(name, file.parameters)
                    message = f":{name} is not a parameter of this rule{hint}"
                    self.issues.append(Issue("RULE_BAD_PARAMETER", message, _leaf_place(document, leaf.name)))

    def _boolean(self, tree: Node, parameter: ParameterType, what: str, place: Location) -> None:
        def item(name: Name) -> Type:
            if name.table is not None or name.name not in self.types:
                hint = did_you_mean(name.name, self.types)
                message = f"'{name}' is not an item of the customer view{hint}"
                raise ExpressionProblem("RULE_UNKNOWN_ITEM", message)
            return self.types[name.name]

        try:
            found = type_of(tree, item, parameter)
        except ExpressionProblem as problem:
            self.issues.append(Issue(problem.code, f"{what}: {problem}", place))
            return
        if found.kind != "boolean":
            self.issues.append(Issue("EXPR_TYPE", f"{what}: is {found.kind}, not a condition", place))

    def _unknown_item(self, name: str, place: Location) -> None:
        message = f"'{name}' is not an item of the customer view{did_you_mean(name, self.types)}"
        self.issues.append(Issue("RULE_UNKNOWN_ITEM", message, place))

    def _template(self, document: Document, file: RuleFile, language: str) -> Template:
        place = document.at("description", language)
        try:
            template = read_template(getattr(file.description, language))
        except ValueError as error:
            self.issues.append(Issue("RULE_BAD_TEMPLATE", str(error), place))
            return ()
        for part in placeholders(template):
            if part.name not in self.types:
                hint = did_you_mean(part.name, self.types)
                message = f"'{{{part.name}}}' is not an item of the customer view{hint}"
                self.issues.append(Issue("RULE_BAD_TEMPLATE", message, place))
            elif part.is_number and self.types[part.name].kind not in ("integer", "decimal"):
                message = f"'{{{part.name}}}' is {self.types[part.name].kind}, not a number"
                self.issues.append(Issue("RULE_BAD_TEMPLATE", message, place))
        names = {
            item: {code: getattr(title, language) for code, title in mine.items()}
            for item, mine in self.labels.items()
        }
        return labelled(template, names)


def _leaf_place(document: Document, name: str) -> Location:
    """Place of a named condition at any depth below when."""
    found = [
        place for keys, place in document.places.items() if keys and keys[0] == "when" and keys[-1] == name
    ]
    return found[0] if found else document.at("when")
