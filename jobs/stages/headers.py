"""The columns of files against those that their mapping needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from jobs.config.formats import JOINED
from jobs.config.sources import (
    ExtractMapping,
    columns_used,
    joined_columns,
    optional_columns,
    without_columns,
)
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.errors import Issue, Location, did_you_mean
from jobs.stages.delivery import Delivery


def bad_headers(
    deliveries: Sequence[Delivery],
    contracts: Mapping[str, ExtractContract],
    known: Iterable[Mapping[str, Any]] = (),
) -> list[Issue]:
    """Columns that files need and lack, have twice, or seem to have misspelt.

    A column that no file has is a mistake of the mapping. One that others have and that only fields need
    which may be empty is for the mapping's on_drift to decide.

    Args:
        deliveries: The files that are there.
        contracts: The contracts.
        known: Rows of the table deliveries.
    """
    seen: dict[tuple[str, bool], set[str]] = {}
    for row in known:
        place = row["contract"], row["part"].endswith(f".{JOINED}")
        seen.setdefault(place, set()).update(row["header"] or ())
    for one in deliveries:
        seen.setdefault((one.contract, one.is_second), set()).update(one.facts.header)
    issues = []
    for one in deliveries:
        mapping, contract = one.mapping, contracts[one.contract]
        issues += _of_file(one, contract, may_lack(mapping, contract, seen[one.contract, one.is_second]))
    return issues


def may_lack(mapping: ExtractMapping, contract: ExtractContract, seen: Set[str]) -> set[str]:
    """Columns without which a file is loaded all the same; those of a second file as joined.column."""
    optional = optional_columns(mapping, contract)
    if mapping.fields == "same":
        return optional
    if mapping.on_drift.missing in (None, "stop"):
        return set()
    return {name for name in optional if name.removeprefix(f"{JOINED}.") in seen}


def of_second(names: Set[str]) -> set[str]:
    """Of columns those of a second file, as that file names them."""
    return {name.removeprefix(f"{JOINED}.") for name in names if name.startswith(f"{JOINED}.")}


def _of_file(one: Delivery, contract: ExtractContract, optional: Set[str]) -> list[Issue]:
    header, issues = one.facts.header, []
    if one.is_second:
        wanted = joined_columns(one.mapping, contract)
        lackable = of_second(optional)
    else:
        wanted, lackable = columns_used(one.mapping, contract), set(optional)
    if one.mapping.fields == "same":
        absent = [name for name in contract.fields if name not in header]
        for column, name in enumerate(header, start=1):
            if name not in contract.fields and (hint := did_you_mean(name, absent)):
                message = f"column '{name}' is not a field of {contract.contract}{hint}"
                issues.append(Issue("FILE_BAD_HEADER", message, Location(one.path, 1, column)))
                # That the field it seems to be is missing goes without saying.
                wanted = [field for field in wanted if f"'{field}'" not in hint]
    for name in wanted:
        if name not in header and name not in lackable:
            message = f"column '{name}' is missing{did_you_mean(name, header)}"
            issues.append(Issue("FILE_BAD_HEADER", message, Location(one.path, 1, 1)))
        elif header.count(name) > 1:
            message = f"column '{name}' stands there twice"
            issues.append(Issue("FILE_BAD_HEADER", message, Location(one.path, 1, header.index(name) + 1)))
    return issues


def mapping_for(delivery: Delivery, contract: ExtractContract) -> ExtractMapping:
    """A delivery's mapping without the fields whose columns the files lack."""
    mapping = delivery.mapping
    second = delivery.second.facts.header if delivery.second else ()
    lacking = {name for name in columns_used(mapping, contract) if name not in delivery.facts.header}
    lacking |= {f"{JOINED}.{name}" for name in joined_columns(mapping, contract) if name not in second}
    return without_columns(mapping, contract, lacking)
