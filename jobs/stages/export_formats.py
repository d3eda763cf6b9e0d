"""Alert records as downstream systems and people get them: CloudEvents in JSON Lines, and CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Record = Mapping[str, Any]

CSV_COLUMNS = (
    "dispatch_date", "dispatch_cycle", "city", "county", "manager_id", "served_by", "rank_manager",
    "visit_id", "visit_lead", "customer_id", "subscription_id", "number", "value_tier", "moment_id",
    "title_zh", "description_zh", "title_en", "description_en", "severity", "priority", "risk_band",
    "risk_reasons_zh", "risk_reasons_en", "plan_id", "channel", "not_before", "serve_on", "valid_until",
    "carried_from", "alert_id", "revision", "status", "allowed_contact_windows",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cloud_events(records: Iterable[Record], source: str, schema_version: int) -> bytes:
    """One CloudEvents 1.0 envelope a line, in UTF-8.

    Args:
        records: Alert records.
        source: Name of the operator's source mapping.
        schema_version: Version of the alert table's schema.
    """
    lines = []
    for record in records:
        event = {
            "specversion": "1.0",
            "id": f"{record['alert_id']}:{record['revision']}",
            "source": f"/keymoments/{source}",
            "type": f"keymoments.alert.{record['status']}.v{schema_version}",
            "subject": record["subscription_id"],
            "time": _plain(record["generated_at"]),
            "datacontenttype": "application/json",
            "data": {name: _plain(_own_type(name, value)) for name, value in record.items()},
        }
        lines.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def spreadsheet(records: Iterable[Record], encoding: str) -> bytes:
    """CSV with a header that a spreadsheet opens as it is: UTF-8 with a byte-order mark, or GBK.

    Lists stand in one cell. GBK is written as GB18030, which has the same bytes for what GBK knows and loses
    nothing that it does not.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for record in records:
        writer.writerow([_cell(record[name]) for name in CSV_COLUMNS])
    return text.getvalue().encode("utf-8-sig" if encoding == "utf-8" else "gb18030")


def control(content: bytes, rows: int) -> bytes:
    """The control file of an export: how many records there are, and the checksum of the bytes."""
    digest = hashlib.sha256(content).hexdigest()
    return f"rows={rows}\nbytes={len(content)}\nsha256={digest}\n".encode()


def _entry(value: Any) -> str:
    """An entry of a list: words, or a time of day from one to another."""
    return "-".join(map(str, value.values())) if isinstance(value, Mapping) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "；".join(map(_entry, value))
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return str(_plain(value))


def _own_type(name: str, value: Any) -> Any:
    # Arrow gives a map as pairs.
    return dict(value) if name == "attributes" and value is not None else value


def _plain(value: Any) -> Any:
    """A value as JSON has it; decimals as text, so that no digit is lost on the way."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
