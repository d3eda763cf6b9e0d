"""Why rows and deliveries are refused, in sentences with their place."""

from __future__ import annotations

from jobs.config.formats import JOINED
from jobs.config.sources import columns_used, joined_columns
from jobs.contracts.extracts import ExtractContract
from jobs.domain.extract_rows import WHERE
from jobs.domain.joined_records import REPEATED, UNMATCHED
from jobs.kernel.errors import Issue, Location
from jobs.stages.context import RunContext
from jobs.stages.delivery import Delivery
from jobs.stages.judge import REFUSED, Batch

SHOWN_BAD_ROWS = 20


def react(context: RunContext, delivery: Delivery, message: str, reaction: str, stops: list[Issue]) -> None:
    """Tells what is not as expected of a delivery as a whole; with the reaction stop it is kept instead."""
    if reaction == "stop":
        stops.append(Issue("FILE_UNEXPECTED", message, Location(delivery.path)))
    else:
        context.progress(f"  {delivery.name} {message}")


def refusals(context: RunContext, batch: Batch) -> list[Issue]:
    """The deliveries of a contract that have too many bad rows, each after the first of these rows."""
    found: list[Issue] = []
    for one in batch.deliveries:
        if refusal := refusal_of(context, batch, one):
            found += [*bad_rows(batch, one), refusal]
    return found


def refusal_of(context: RunContext, batch: Batch, delivery: Delivery) -> Issue | None:
    """Why a delivery is refused as a whole, if it is; the nearest limit counts: run, mapping, contract."""
    counts = batch.counts[delivery.delivery_id]
    limits = (context.max_bad_share, delivery.mapping.max_bad_share, batch.contract.max_bad_share)
    limit = next(one for one in limits if one is not None)
    read = counts.records - (0 if delivery.is_second else counts.not_applicable)
    if counts.rejected <= limit * read:
        return None
    share = f"{counts.rejected} of {read} rows are bad"
    message = f"{share}, more than the {limit:.1%} allowed; nothing was loaded"
    return Issue("FILE_REFUSED", message, Location(delivery.path))


def bad_rows(batch: Batch, delivery: Delivery) -> list[Issue]:
    """The first bad rows of a delivery, each with all its reasons at their places."""
    bad = batch.rows.where(f"delivery_id = '{delivery.delivery_id}' AND {REFUSED}")
    issues = []
    for row in bad.select("line", "reasons").orderBy("line").limit(SHOWN_BAD_ROWS).collect():
        for reason in row["reasons"]:
            kind, _, field = reason.partition(":")
            code = "FILE_UNDECODABLE" if kind == "undecodable" else "FILE_BAD_ROW"
            place = Location(delivery.path, row["line"], column_of(delivery, batch.contract, field))
            sentence = _sentence(kind, field, delivery, batch.contract)
            column = column_for(delivery, batch.contract, field)
            if delivery.second is not None and column.startswith(f"{JOINED}."):
                sentence += f" ({column}, from {delivery.second.name})"
            issues.append(Issue(code, sentence, place))
    return issues


def column_of(delivery: Delivery, contract: ExtractContract, field: str) -> int:
    """Number of the field's column in the file, counted from one; 1 when the file has none of its own."""
    column = column_for(delivery, contract, field)
    return delivery.facts.header.index(column) + 1 if column in delivery.facts.header else 1


def column_for(delivery: Delivery, contract: ExtractContract, field: str) -> str:
    """The first column that makes a field up; one of the second file as joined.column."""
    mapping = delivery.mapping
    if mapping.fields == "same" or field not in mapping.fields:
        return field
    alone = {"fields": {field: mapping.fields[field]}, "where": None, "join": None}
    narrowed = mapping.model_copy(update=alone)
    beside = [f"{JOINED}.{name}" for name in joined_columns(narrowed, contract)]
    return next(iter([*columns_used(narrowed, contract), *beside]), field)


def _sentence(kind: str, field: str, delivery: Delivery, contract: ExtractContract) -> str:
    if kind == "undecodable":
        return f"the row has bytes that are not {delivery.mapping.encoding}"
    if kind == "malformed":
        return f"the row does not have the {len(delivery.facts.header)} fields of the header"
    if kind == UNMATCHED:
        return f"the file {delivery.mapping.files} has no record with its {_key_of(delivery)}"
    if kind == REPEATED:
        return f"a record further down has the same {_key_of(delivery)}"
    if kind == "late":
        return f"{field} lies too long before the period of the delivery"
    if kind == "future":
        return f"{field} lies after the period of the delivery"
    if kind == "reference":
        return f"{field} is not known among {contract.references[field].to}"
    if field == WHERE:
        return f"a value is no number or date in where: {delivery.mapping.where}"
    spec = contract.fields[field]
    match kind:
        case "type":
            return f"{field} is not a valid {spec.type}"
        case "missing":
            return f"{field} is required"
        case "range":
            return f"{field} is {_outside(spec.min, spec.max)}"
        case "set":
            return f"{field} is not one of {', '.join(spec.values or ())}"
        case _:
            return f"{field} does not look like {spec.pattern}"


def _key_of(delivery: Delivery) -> str:
    """What the records of a second file are found by."""
    return ", ".join(delivery.mapping.join.on.values()) if delivery.mapping.join else ""


def _outside(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return f"more than {most:.12g}" if least is None else f"less than {least:.12g}"
    return f"not between {least:.12g} and {most:.12g}"
