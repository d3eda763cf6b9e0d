"""The JSON Schemas of rules, templates and files of cities, with which editors complete and check.

They are made from the models that read the files, and from the names there are: audiences, plans, rules,
items.
What an expression may say it cannot tell; `keymoments check` does.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from jobs.expressions.types import Type
from jobs.rulelang.bases import ITS_OWN, KEY
from jobs.rulelang.cities import CityFile
from jobs.rulelang.conditions import KINDS, MOMENT
from jobs.rulelang.model import Dimension, Parameter, RuleFile, Steps
from jobs.rulelang.past import Asked
from jobs.rulelang.reserved import RESERVED
from jobs.rulelang.ruleset import RuleSet

PATH = "rules/rule.schema.json"
TEMPLATE_PATH = "rules/template.schema.json"
CITY_PATH = "rules/city.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXPRESSION = {
    "type": "string",
    "minLength": 1,
    "description": "A comparison of items, parameters (:name) and constants: complaints_30d >= :least",
}


def schemas(rules: RuleSet, types: Mapping[str, Type], templates: Sequence[str]) -> dict[str, str]:
    """The schemas as text, by path.

    Args:
        rules: The rules, audiences and plans there are.
        types: Types of the items that rules may name.
        templates: Names of what rules may inherit.
    """
    found = {
        PATH: _rule_schema(rules, types, templates),
        TEMPLATE_PATH: _template_schema(rules, types),
        CITY_PATH: _city_schema(rules),
    }
    return {
        path: json.dumps({"$schema": _DIALECT, **schema}, ensure_ascii=False, indent=2) + "\n"
        for path, schema in found.items()
    }


def _rule_schema(rules: RuleSet, types: Mapping[str, Type], templates: Sequence[str]) -> dict[str, Any]:
    schema = _plain(RuleFile.model_json_schema())
    for model, part in (
        (RuleFile, schema),
        *((one, schema["$defs"][one.__name__]) for one in (Dimension, Parameter, Steps)),
    ):
        for name, text in _told(model).items():
            part["properties"][name]["description"] = text
    types = {**types, **RESERVED}
    numbers = [name for name, found in types.items() if found.kind in ("integer", "decimal")]
    exempt = [rule.id for rule in rules.rules if rule.is_exempt]
    fields = schema["properties"]
    fields["audience"]["enum"] = sorted(rules.audiences)
    fields["plan"] = {**fields["plan"], "enum": sorted(rules.plans)}
    fields["inhibits"]["items"]["enum"] = [rule.id for rule in rules.rules]
    fields["ignores_exempt"]["items"]["enum"] = exempt
    fields["serve_in_days"]["enum"] = sorted(name for name in numbers if types[name].unit == "day")
    schema["$defs"]["Steps"]["properties"]["of"]["enum"] = sorted(numbers)
    words = sorted(name for name, found in types.items() if found.kind == "string")
    schema["$defs"]["Dimension"]["properties"]["item"]["enum"] = words
    for name in ("again_when", "pending_while"):
        fields[name] = {**_EXPRESSION, "description": fields[name]["description"]}
    fields["when"] = {"$ref": "#/$defs/Group", "description": "Named conditions under all, any or not."}
    schema["$defs"] |= _conditions([rule.id for rule in rules.rules])
    # What a file lacks stands in its template, which an editor does not know.
    required = schema.pop("required")
    served = ["severity", "urgency_days", "plan"]
    exempt_file = {"properties": {"category": {"const": "exempt"}}}
    alone = {"required": required, "if": exempt_file, "else": {"required": served}}
    schema |= {"required": ["id"], "if": {"required": [KEY]}, "else": alone}
    if templates:
        fields[KEY]["enum"] = list(templates)
    return {"title": "Rule of a key moment", **schema}


def _template_schema(rules: RuleSet, types: Mapping[str, Type]) -> dict[str, Any]:
    """Any of a rule's keys but those that are each rule's own."""
    schema = _rule_schema(rules, types, ())
    for name in ("required", "if", "else"):
        del schema[name]
    for name in ITS_OWN:
        del schema["properties"][name]
    return schema | {"title": "What rules of a family have in common"}


def _city_schema(rules: RuleSet) -> dict[str, Any]:
    """The parameters that cities may set, with their bounds."""
    schema = _plain(CityFile.model_json_schema())
    for name, text in _told(CityFile).items():
        schema["properties"][name]["description"] = text
    free: dict[str, dict[str, Any]] = defaultdict(dict)
    for rule in rules.rules:
        for name, parameter in rule.file.parameters.items():
            if parameter.cities_may_set is not None:
                least, most = map(float, parameter.cities_may_set)
                free[rule.id][name] = {"type": "number", "minimum": least, "maximum": most}
    schema["properties"]["parameters"] |= {
        "properties": {
            rule: {"type": "object", "properties": parameters, "additionalProperties": False}
            for rule, parameters in free.items()
        },
        "additionalProperties": False,
    }
    return {"title": "What the office of a city sets for itself", **schema}


def _conditions(moments: list[str]) -> dict[str, Any]:
    members = {kind: {"$ref": "#/$defs/Members"} for kind in KINDS}
    told = _told(Asked)
    past = {
        name: {**one, "description": told[name]}
        for name, one in _plain(Asked.model_json_schema())["properties"].items()
        if name != MOMENT
    }
    return {
        "Group": {
            "type": "object",
            "properties": members,
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
        "Members": {
            "type": "object",
            "minProperties": 1,
            "properties": members,
            "additionalProperties": {
                "anyOf": [_EXPRESSION, {"$ref": "#/$defs/Group"}, {"$ref": "#/$defs/Moment"}]
            },
        },
        "Moment": {
            "type": "object",
            "description": "Another moment: its audience and condition hold, with its thresholds; of another "
            "cycle, or with further keys: it was so in earlier runs.",
            "properties": {MOMENT: {"enum": moments}, **past},
            "required": [MOMENT],
            "additionalProperties": False,
        },
    }


def _plain(schema: Any) -> Any:
    """The schema without titles, defaults and texts of classes, and with one type where one is null."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(options) == 1:
        schema = {**schema, **options[0]}
        del schema["anyOf"]
    names = ("properties", "$defs")
    return {
        key: {name: _plain(one) for name, one in value.items()} if key in names else _plain(value)
        for key, value in schema.items()
        if key not in ("title", "default", "description")
    }


def _told(model: type[BaseModel]) -> dict[str, str]:
    """What a model's docstring says of its attributes."""
    _, _, attributes = (model.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found if name in model.model_fields}
