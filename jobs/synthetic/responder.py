"""What managers of the province report of their alerts, and what becomes of customers afterwards.

Everything follows from the id of the alert or of the customer, so a day's reports are the same whenever and
from wherever they are asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from jobs.synthetic.hashing import below, chance, child_keys, pick, root_keys

Row = Mapping[str, Any]
REPORT: Final = (
    "alert_id", "revision", "subscription_id", "reported_at", "state", "manager_id", "channel",
    "contacted_at", "contact_result", "duration_s", "outcome", "reason", "plan_id", "service_id",
    "suggestion_result", "score", "appointment_on", "passed_to", "new_alert_id",
)  # fmt: skip
COMPLAINT: Final = ("complaint_id", "subscription_id", "stage", "occurred_on", "category", "channel", "count")
CALL_BACK: Final = timedelta(days=3)
WAIT: Final = timedelta(days=4)
_OUTCOMES: Final = ("solved", "improved", "follow_up", "no_need", "not_solved")
_REASONS: Final = ("price", "bill", "network", "service", "rival_offer", "not_true", "other")


class Effect(NamedTuple):
    """Of whom a moment was found: the share who complain some days later, when served and when not."""

    served: float
    not_served: float


def reports_of(alerts: Iterable[Row], day: date) -> list[dict[str, object]]:
    """The reports that managers make on a day, one row each.

    Nine of ten alerts are reported on the day on which they were dispatched, some of them refused at import;
    who asks to be called back is reported again three days later.

    Args:
        alerts: Alert records dispatched up to the day: alert_id, subscription_id, manager_id, channel,
            dispatch_date.
        day: The day.
    """
    rows = []
    for alert in sorted(alerts, key=lambda one: str(one["alert_id"])):
        key = root_keys(0, np.array([int(str(alert["alert_id"])[:15], 16)]))
        if alert["dispatch_date"] == day:
            rows += [_first(alert, key, day)] if chance(key, "reports", 0.9)[0] else []
        elif alert["dispatch_date"] + CALL_BACK == day:
            first = _first(alert, key, alert["dispatch_date"]) if chance(key, "reports", 0.9)[0] else {}
            rows += [_again(alert, key, day)] if first.get("appointment_on") else []
    return rows


def _report(alert: Row, at: datetime, state: str) -> dict[str, object]:
    told = {name: alert[name] for name in ("alert_id", "subscription_id", "manager_id", "channel")}
    return {**told, "revision": 1, "reported_at": at, "state": state}


def _first(alert: Row, key: np.typing.NDArray[np.uint64], day: date) -> dict[str, object]:
    at = datetime.combine(day, time(9)) + timedelta(seconds=int(below(key, "at", 36_000)[0]))
    if chance(key, "bad record", 0.02)[0]:
        return {**_report(alert, at, "rejected"), "reason": "bad_data"}
    result = ("connected", "no_answer", "refused")[pick(key, "result", (7.0, 2.0, 1.0))[0]]
    contact = {"contacted_at": at, "contact_result": result}
    if result == "no_answer":
        return {**_report(alert, at, "processing"), **contact}
    if result == "refused":
        return {**_report(alert, at, "processed"), **contact, "reason": "other"}
    later = bool(chance(key, "call back", 0.15)[0])
    outcome = "follow_up" if later else _OUTCOMES[pick(key, "outcome", (5.0, 3.0, 0.0, 1.0, 1.0))[0]]
    return {
        **_report(alert, at, "processing" if later else "processed"),
        **contact,
        "duration_s": 60 + int(below(key, "lasts", 600)[0]),
        "outcome": outcome,
        "reason": _REASONS[pick(key, "reason", (1.0,) * len(_REASONS))[0]],
        "score": 4 + int(below(key, "score", 7)[0]),
        "appointment_on": day + CALL_BACK if later else None,
    }


def _again(alert: Row, key: np.typing.NDArray[np.uint64], day: date) -> dict[str, object]:
    at = datetime.combine(day, time(10)) + timedelta(seconds=int(below(key, "again at", 30_000)[0]))
    contact = {"contacted_at": at, "contact_result": "connected", "duration_s": 180, "outcome": "solved"}
    return {**_report(alert, at, "processed"), **contact}


def complaints_of(alerts: Iterable[Row], day: date, effects: Mapping[str, Effect]) -> list[dict[str, object]]:
    """Complaints that customers make on a day, some days after a moment was found of them.

    Args:
        alerts: Alert records up to the day that were dispatched, or kept back for the control group:
            alert_id, moment_id, subscription_id, dispatch_date, status.
        day: The day.
        effects: By moment, what its service changes.
    """
    rows = []
    for alert in sorted(alerts, key=lambda one: str(one["alert_id"])):
        effect = effects.get(alert["moment_id"])
        if effect is None or alert["dispatch_date"] + WAIT != day:
            continue
        share = effect.served if alert["status"] == "dispatched" else effect.not_served
        key = child_keys(root_keys(0, np.array([int(str(alert["alert_id"])[:15], 16)])), 1)
        if chance(key, "complains", share)[0]:
            rows.append(
                {
                    "complaint_id": f"A{str(alert['alert_id'])[:16]}",
                    "subscription_id": alert["subscription_id"],
                    "stage": "opened",
                    "occurred_on": day,
                    "category": "service",
                    "channel": "hotline",
                    "count": 1,
                }
            )
    return rows


def write_day(folder: Path, contract: str, columns: Sequence[str], day: date, rows: Iterable[Row]) -> Path:
    """Writes the file of a day, with its header alone when there is no row."""
    path = folder / f"{contract}_{day:%Y%m%d}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: row.get(name) for name in columns} for row in rows)
    return path
