"""What city offices set for themselves: rules/cities/*.yaml, a small file a city.

An office may only change parameters of which the province's rule says so, and in the bounds that it gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from jobs.kernel.errors import Issue, KeyMomentsError, Location, did_you_mean
from jobs.kernel.located_yaml import StrictModel, validate
from jobs.kernel.project import Project
from jobs.rulelang.model import Parameter, RuleFile

FOLDER = "rules/cities"


class CityFile(StrictModel):
    """The file of a city's office.

    Attributes:
        city: The city, as the item city has it.
        owner: Who keeps the file.
        parameters: Values of the city, by rule and parameter.
    """

    city: str
    owner: str
    parameters: dict[str, dict[str, Decimal]]


@dataclass(frozen=True)
class CityValue:
    """A parameter's value in a city, and where it stands."""

    city: str
    value: Decimal
    place: Location


class CityValues:
    """The values of all cities."""

    def __init__(self, project: Project, issues: list[Issue]) -> None:
        """Reads the files; what is wrong with them goes into issues."""
        self._values: dict[str, dict[str, list[CityValue]]] = defaultdict(lambda: defaultdict(list))
        seen: dict[str, str] = {}
        for path in project.files(FOLDER, optional=True):
            try:
                document = project.load(path)
                file = validate(document, CityFile)
            except KeyMomentsError as error:
                issues.extend(error.issues)
                continue
            if file.city in seen:
                message = f"'{file.city}' has a file already: {seen[file.city]}"
                issues.append(Issue("RULE_DUPLICATE_ID", message, document.at("city")))
                continue
            seen[file.city] = path
            for rule_id, values in file.parameters.items():
                for name, value in values.items():
                    place = document.at("parameters", rule_id, name)
                    self._values[rule_id][name].append(CityValue(file.city, value, place))

    def check_rules(self, rule_ids: Iterable[str]) -> list[Issue]:
        """Names of rules that there are not."""
        known = list(rule_ids)
        return [
            Issue(
                "RULE_UNKNOWN_REFERENCE", f"there is no rule '{rule_id}'{did_you_mean(rule_id, known)}", place
            )
            for rule_id, values in self._values.items()
            if rule_id not in known
            for place in [next(iter(values.values()))[0].place]
        ]

    def check(self, file: RuleFile) -> list[Issue]:
        """What offices set of a rule that they may not."""
        issues = []
        for name, values in self._values.get(file.id, {}).items():
            parameter = file.parameters.get(name)
            for one in values:
                if message := _refused(file.id, name, parameter, one.value, file.parameters):
                    issues.append(Issue("RULE_BAD_PARAMETER", message, one.place))
        return issues

    def of(self, rule_id: str) -> dict[str, list[CityValue]]:
        """The values that cities give to a rule's parameters."""
        return self._values.get(rule_id, {})


def _refused(
    rule_id: str, name: str, parameter: Parameter | None, value: Decimal, known: Iterable[str]
) -> str | None:
    if parameter is None:
        return f"{rule_id} has no parameter '{name}'{did_you_mean(name, known)}"
    if parameter.cities_may_set is None:
        return f"{name} of {rule_id} is the province's: its rule does not say 'cities_may_set'"
    least, most = parameter.cities_may_set
    if not least <= value <= most:
        return f"{name} of {rule_id}: {value} is not between {least} and {most}, which cities may set"
    return None
