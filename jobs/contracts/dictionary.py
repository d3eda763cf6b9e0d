"""The data dictionary: contracts and tables as one Markdown page, made from their files."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.contracts.columns import Table
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.markdown import grid

PATH = "docs/data-dictionary.md"


def dictionary(contracts: Mapping[str, ExtractContract], tables: Mapping[str, Table]) -> str:
    """The page as text.

    Args:
        contracts: Extract contracts by name.
        tables: Tables by name.
    """
    lines = ["# Data dictionary / 数据字典", "", "Made by `make docs` from schemas/; do not edit.", ""]
    lines += ["## Extracts / 接入数据", ""]
    for name in sorted(contracts):
        lines += _contract(contracts[name])
    lines += [
        "## Customer view / 统一客户视图",
        "",
        "Its items have [a page of their own](customer-view.md).",
        "",
    ]
    lines += ["## Tables / 数据表", ""]
    for name in sorted(tables):
        lines += _table(tables[name])
    return "\n".join(lines).rstrip() + "\n"


def _contract(contract: ExtractContract) -> list[str]:
    facts = f"grain {contract.grain}; key {_key(contract)}; dated by {contract.date_field}; "
    facts += f"known after {contract.available_after_days} days; stale after {contract.freshness_days} days"
    rows = [
        (f"`{name}`", field.zh, field.en, _type(field.type, field.unit), _limits(field.model_dump()))
        for name, field in contract.fields.items()
    ]
    rows += [
        (f"`{name}`", part.zh, part.en, part.type, f"{part.derive} {part.from_}")
        for name, part in contract.derived.items()
    ]
    if contract.late_after_days is not None:
        facts += f"; refused as late from {contract.late_after_days} days before the delivery's period"
    for name, one in contract.references.items():
        refused = " (rows of unknown ones are refused)" if one.breach == "quarantine" else ""
        facts += f"; {name} of {one.to}{refused}"
    head = [f"### {contract.contract}: {contract.zh} / {contract.en}", "", facts, "", _expected(contract), ""]
    return [*head, *grid(("field", "中文", "English", "type", "limits"), rows)]


def _key(contract: ExtractContract) -> str:
    return ", ".join(
        f"{name}{' (or none)' if name in contract.optional_key else ''}" for name in contract.key
    )


def _expected(contract: ExtractContract) -> str:
    """What is expected of a delivery as a whole, and what becomes of one that is otherwise."""
    quality = contract.quality
    parts = [f"refused with more than {contract.max_bad_share:.1%} bad rows"]
    if quality.rows is not None:
        bounds = (("at least", quality.rows.least), ("at most", quality.rows.most))
        told = " and ".join(f"{word} {count}" for word, count in bounds if count is not None)
        parts.append(f"{told} rows ({quality.rows.breach})")
    if contract.expects_volume:
        parts.append(f"rows within {quality.volume.within:.0%} of the usual ({quality.volume.breach})")
    kept = [field for field in contract.fields.values() if field.kept]
    if any(not field.required and field.default is None for field in kept):
        parts.append(
            f"empty values at most {quality.nulls.within:.0%} above the usual ({quality.nulls.breach})"
        )
    if any(field.values is not None or field.type in ("integer", "decimal") for field in kept):
        parts.append(f"distributions within {quality.drift.within:g} of the usual ({quality.drift.breach})")
    days = contract.freshness_days
    parts.append(f"last row at most {days} days before the end of the period ({quality.freshness.breach})")
    parts += [
        f"{name} unknown in at most {one.within:.0%} ({one.breach})"
        for name, one in contract.references.items()
        if one.breach != "quarantine"
    ]
    return "A delivery: " + "; ".join(parts)


def _limits(field: dict[str, object]) -> str:
    parts = ["required"] if field["required"] else []
    parts += [f"personal ({field['personal']})"] if field["personal"] else []
    parts += [f"{name} {field[name]:.12g}" for name in ("min", "max", "default") if field[name] is not None]
    parts += [f"like `{field['pattern']}`"] if field["pattern"] else []
    values = field["values"]
    parts += ["one of " + ", ".join(values)] if isinstance(values, tuple) else []
    return "; ".join(parts)


def _table(table: Table) -> list[str]:
    facts = f"version {table.version}; partitioned by {', '.join(table.partition_by) or 'nothing'}"
    facts += "; restricted" if table.restricted else ""
    rows = [(f"`{column.name}`", column.zh, column.en, f"`{column.type}`") for column in table.columns]
    return [f"### {table.name}", "", facts, "", *grid(("column", "中文", "English", "type"), rows)]


def _type(kind: str, unit: str | None) -> str:
    return f"{kind} ({unit})" if unit else kind
