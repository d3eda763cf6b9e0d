"""Where items of the customer view come from: fields of extracts, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.leaves import MEASURE, split_measure, split_state
from jobs.contracts.view import CustomerView
from jobs.expressions.nodes import Name, names
from jobs.expressions.parse import parse


@dataclass(frozen=True)
class Origin:
    """Fields of one extract that an item rests on.

    Attributes:
        contract: The extract.
        fields: Its fields.
        measure: The measure made of them; None for a state.
        window: Over which window, such as 28d before 7d.
        zero: No rows in the window mean zero, where the extract is delivered.
        moment: The day on which a state is looked up, such as at_end 1m; None for the latest.
    """

    contract: str
    fields: tuple[str, ...]
    measure: str | None = None
    window: str | None = None
    zero: bool = False
    moment: str | None = None


def origins_of(view: CustomerView, item: str) -> list[Origin]:
    """What an item rests on, through other items; nothing for scores.

    Example:
        >>> from jobs.kernel.project import Project
        >>> from jobs.stages.context import configure
        >>> [(one.contract, one.fields, one.window) for one in
        ...  origins_of(configure(Project.find()).view, "voice_minutes_7d")]
        [('voice_usage', ('duration_s',), '7d')]
    """
    if item not in view.trees:
        return []
    return [_origin(view, name) for name in view.leaves(item)]


def _origin(view: CustomerView, name: Name) -> Origin:
    if name.table != MEASURE:
        field, moment = split_state(name)
        return Origin(name.table or "", (field,), moment=None if moment is None else str(moment))
    measure_id, _ = split_measure(name)
    measure = view.measures[measure_id]
    used = [one.name for text in (measure.of, measure.where) if text for one in names(parse(text))]
    window = name.name.partition("@")[2]
    fields, zero = tuple(dict.fromkeys(used)), measure.missing == "zero"
    return Origin(measure.from_, fields, measure_id, window, zero)


def personal_parts(origins: list[Origin], contracts: Mapping[str, ExtractContract]) -> list[str]:
    """Kinds of personal data that some fields are, or are derived from; such fields are kept in part only."""
    found: dict[str, None] = {}
    for origin in origins:
        contract = contracts[origin.contract]
        for name in origin.fields:
            source = contract.derived[name].from_ if name in contract.derived else name
            kind = contract.fields[source].personal if source in contract.fields else None
            if kind is not None:
                found[kind] = None
    return list(found)
