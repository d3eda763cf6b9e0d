"""Exports: what is in the files, that they are whole, and that they are the same every time."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.kernel.errors import KeyMomentsError, LockedError
from jobs.kernel.project import Project
from jobs.stages.context import Configuration, configure
from jobs.stages.export import Export, Exported, export_alerts
from jobs.stages.export_formats import CSV_COLUMNS, spreadsheet
from jobs.stages.issue import check_not_issued
from jobs.storage.lock import warehouse_lock
from jobs.storage.reader import rows_of

DAY = date(2026, 6, 1)
NUMBERS = {"p1": "13800000001", "p2": "13800000002"}


def alert(number: int, **differs: Any) -> dict[str, Any]:
    """A dispatched alert; what exports do not look at is left out."""
    row = {
        "alert_id": f"{number:032x}",
        "revision": 1,
        "schema_version": 1,
        "dispatch_cycle": "daily",
        "dispatch_date": DAY,
        "customer_id": f"C{number}",
        "subscription_id": f"S{number}",
        "number": "p1" if number % 2 else "p2",
        "city": "南京",
        "manager_id": f"M{number % 3}",
        "attributes": [("balance", "9.50"), ("brand", None)],
        "moment_id": "complaint",
        "title_zh": "客户投诉",
        "title_en": "Complaint",
        "description_zh": "客户近30日投诉1件，涉及“网络”。",
        "description_en": 'One complaint, about "the network", open.',
        "parameters": [{"name": "new", "value": "1", "threshold": "1", "unit": "count"}],
        "conditions_met": ["new"],
        "generated_at": datetime(2026, 6, 1, 1, 2, 3, tzinfo=UTC),
        "valid_until": date(2026, 6, 2),
        "priority": Decimal("0.250000"),
        "rank_province": number,
        "risk_reasons_zh": ["品牌离网率（全球通）2.4%", "资费档离网率2.0%"],
        "allowed_contact_windows": [
            {"from_time": "09:00", "to_time": "12:00"},
            {"from_time": "14:00", "to_time": "20:00"},
        ],
        "status": "dispatched",
    }
    return row | differs


SCHEMA = pa.schema(
    [
        (name, pa.string())
        for name in (
            "alert_id", "dispatch_cycle", "customer_id", "subscription_id", "number", "city", "manager_id",
            "served_by", "moment_id", "title_zh", "title_en", "description_zh", "description_en", "status",
        )
    ]
    + [
        ("revision", pa.int32()),
        ("schema_version", pa.int32()),
        ("dispatch_date", pa.date32()),
        ("valid_until", pa.date32()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        (
            "parameters",
            pa.list_(pa.struct([(name, pa.string()) for name in ("name", "value", "threshold", "unit")])),
        ),
        ("conditions_met", pa.list_(pa.string())),
        ("generated_at", pa.timestamp("us", "UTC")),
        ("priority", pa.decimal128(18, 6)),
        ("rank_province", pa.int64()),
        ("risk_reasons_zh", pa.list_(pa.string())),
        (
            "allowed_contact_windows",
            pa.list_(pa.struct([(name, pa.string()) for name in ("from_time", "to_time")])),
        ),
    ]
)  # fmt: skip
Do = Callable[..., Exported]


@pytest.fixture
def configuration() -> Configuration:
    return configure(Project.find(), "local", "conf/sources/synthetic.yaml")


def lay(warehouse: Path, alerts: list[dict[str, Any]], result: str = "complete") -> None:
    """Writes the tables that exports read."""
    rows = pa.Table.from_pylist(alerts, SCHEMA)
    write_deltalake(
        warehouse / "alerts", rows, partition_by=["dispatch_cycle", "dispatch_date"], mode="overwrite"
    )
    ledger = pa.table(
        {"stage": ["dispatch", "date"], "dispatch_date": [DAY, DAY], "result": [result, result]}
    )
    write_deltalake(warehouse / "run_ledger", ledger, mode="overwrite")
    clear = {
        "contract": "subscriptions", "period": "20260531", "part": "all", "field": "number",
    }  # fmt: skip
    known = [{**clear, "subject": name, "pseudonym": name, "clear": text} for name, text in NUMBERS.items()]
    known.append({**known[0], "field": "name", "clear": "张三"})
    write_deltalake(warehouse / "identity", pa.Table.from_pylist(known), mode="overwrite")


@pytest.fixture
def do(configuration: Configuration, tmp_path: Path) -> Do:
    """Exports what lies in the warehouse of the test."""

    def export(
        form: str = "jsonl",
        per: str = "all",
        role: str = "analyst",
        encoding: str = "utf-8",
        replace: bool = False,
    ) -> Exported:
        wanted = Export(DAY, form, encoding, per, (role, configuration.exports.roles[role]))
        return export_alerts(configuration, str(tmp_path / "warehouse"), tmp_path / "out", wanted, replace)

    return export


ALERTS = [
    alert(3),
    alert(1),
    alert(2, city="苏州", manager_id=None),
    alert(9, rank_province=None, city=None, manager_id=None),
    alert(4, status="overflow"),
    alert(5, dispatch_date=date(2026, 5, 31)),
]


def test_events_hold_the_dispatched_records_of_the_date_by_rank(do: Do, tmp_path: Path) -> None:
    lay(tmp_path / "warehouse", ALERTS)
    done = do(role="downstream")
    [path] = done.folder.glob("*.jsonl")
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [event["subject"] for event in events] == ["S1", "S2", "S3", "S9"]
    first = events[0]
    assert {name: first[name] for name in first if name != "data"} == {
        "specversion": "1.0",
        "id": f"{1:032x}:1",
        "source": "/keymoments/synthetic",
        "type": "keymoments.alert.dispatched.v1",
        "subject": "S1",
        "time": "2026-06-01T01:02:03Z",
        "datacontenttype": "application/json",
    }
    data = first["data"]
    assert (data["priority"], data["valid_until"], data["number"]) == ("0.250000", "2026-06-02", "p1")
    assert data["attributes"] == {"balance": "9.50", "brand": None}
    assert data["parameters"] == [{"name": "new", "value": "1", "threshold": "1", "unit": "count"}]
    assert data["description_en"] == 'One complaint, about "the network", open.'
    assert data["county"] is None


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("analyst", [None, None]),
        ("downstream", ["p1", "p2"]),
        ("contact_centre", ["13800000001", "13800000002"]),
    ],
)
def test_a_role_gets_numbers_as_it_may(do: Do, tmp_path: Path, role: str, expected: list[str | None]) -> None:
    lay(tmp_path / "warehouse", ALERTS)
    [path] = do(role=role).folder.glob("*.jsonl")
    text = path.read_text(encoding="utf-8")
    assert [json.loads(line)["data"]["number"] for line in text.splitlines()][:2] == expected
    assert bool(re.search("138000", text)) == (role == "contact_centre")
    assert "张三" not in text


@pytest.mark.parametrize(("encoding", "codec"), [("utf-8", "utf-8-sig"), ("gbk", "gbk")])
def test_a_spreadsheet_opens_the_files(do: Do, tmp_path: Path, encoding: str, codec: str) -> None:
    lay(tmp_path / "warehouse", ALERTS)
    done = do("csv", "city", "contact_centre", encoding)
    assert done.records == {
        "alerts_2026-06-01_no_city.csv": 1,
        "alerts_2026-06-01_南京.csv": 2,
        "alerts_2026-06-01_苏州.csv": 1,
    }
    content = (done.folder / "alerts_2026-06-01_南京.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8")
    rows = list(csv.DictReader(io.StringIO(content.decode(codec), newline="")))
    assert [row["subscription_id"] for row in rows] == ["S1", "S3"]
    assert rows[0]["description_zh"] == "客户近30日投诉1件，涉及“网络”。"
    assert rows[0]["risk_reasons_zh"] == "品牌离网率（全球通）2.4%；资费档离网率2.0%"
    assert rows[0]["allowed_contact_windows"] == "09:00-12:00；14:00-20:00"
    assert (rows[0]["priority"], rows[0]["serve_on"], rows[0]["number"]) == ("0.250000", "", "13800000001")


def test_text_is_no_formula_and_no_character_is_lost() -> None:
    record = dict.fromkeys(CSV_COLUMNS) | {"customer_id": "=1+1", "number": "+8613800000001", "city": "㗎𠮷"}
    rows = list(csv.reader(io.StringIO(spreadsheet([record], "gbk").decode("gb18030"), newline="")))
    found = dict(zip(*rows, strict=True))
    assert (found["customer_id"], found["number"], found["city"]) == ("'=1+1", "'+8613800000001", "㗎𠮷")


def test_a_manager_or_team_gets_a_file_and_each_its_control_file(do: Do, tmp_path: Path) -> None:
    # Who serves on the date gets the alert: a stand-in, or the team.
    served = [alert(7, served_by="manager:M0"), alert(8, city="苏州", served_by="team:苏州")]
    lay(tmp_path / "warehouse", [*ALERTS, *served])
    done = do("csv", "manager")
    names = ["M0", "M1", "team_no_city", "team_苏州"]
    assert list(done.records.values()) == [2, 1, 1, 2]
    assert sorted(done.records) == [f"alerts_2026-06-01_{name}.csv" for name in names]
    for name, records in done.records.items():
        content = (done.folder / name).read_bytes()
        told = dict(line.split("=") for line in (done.folder / f"{name}.ctl").read_text().splitlines())
        assert told == {
            "rows": str(records),
            "bytes": str(len(content)),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    assert len(list(done.folder.iterdir())) == 2 * len(names)


def test_exporting_again_writes_nothing_and_other_alerts_replace_only_when_told(
    do: Do, tmp_path: Path
) -> None:
    lay(tmp_path / "warehouse", ALERTS)
    first = do()
    times = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert first.changed and not do().changed
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == times
    lay(tmp_path / "warehouse", [*ALERTS, alert(7)])
    with pytest.raises(KeyMomentsError, match="EXPORT_DIFFERS") as caught:
        do()
    assert caught.value.exit_code == 2
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == times
    again = do(replace=True)
    assert again.changed and sum(again.records.values()) == 5
    assert [path.name for path in (tmp_path / "out").iterdir()] == [first.folder.name]


def test_an_export_for_those_who_act_issues_the_date_once_a_revision(
    do: Do, tmp_path: Path, configuration: Configuration
) -> None:
    warehouse = str(tmp_path / "warehouse")
    lay(tmp_path / "warehouse", ALERTS)
    do(role="analyst")
    check_not_issued(configuration, warehouse, [DAY])
    for _ in range(2):
        do(role="downstream")
    do("csv", role="contact_centre")
    days = [date(2026, 5, 31), DAY]
    with pytest.raises(
        KeyMomentsError, match="CYCLE_ISSUED the alerts of 2026-06-01 were exported on"
    ) as caught:
        check_not_issued(configuration, warehouse, days)
    assert caught.value.exit_code == 2 and len(caught.value.issues) == 1
    # Given out again: what is withdrawn goes with the rest, in files of their own.
    again = [alert(1, revision=2), alert(2, revision=2, status="withdrawn"), alert(3)]
    lay(tmp_path / "warehouse", again)
    done = do(role="downstream")
    assert done.folder.name.endswith("_r2")
    events = [json.loads(line) for line in next(done.folder.glob("*.jsonl")).read_text("utf-8").splitlines()]
    assert [(event["id"][-3:], event["type"]) for event in events] == [
        ("1:2", "keymoments.alert.dispatched.v1"),
        ("2:2", "keymoments.alert.withdrawn.v1"),
        ("3:1", "keymoments.alert.dispatched.v1"),
    ]
    rows = rows_of(warehouse, configuration.tables["issued_alerts"])
    assert {(row["dispatch_date"], row["revision"], int(row["alert_id"], 16)) for row in rows} == {
        *((DAY, 1, number) for number in (1, 2, 3, 9)),
        *((DAY, 2, number) for number in (1, 2, 3)),
    }
    assert len(rows) == 7


def test_nothing_is_given_out_while_a_run_is_at_work(do: Do, tmp_path: Path) -> None:
    lay(tmp_path / "warehouse", ALERTS)
    with warehouse_lock(str(tmp_path / "warehouse"), "run"):
        with pytest.raises(
            LockedError, match=r"another process \(run, process [0-9]+\) is at work"
        ) as caught:
            do(role="downstream")
        assert caught.value.exit_code == 4
        # Who only looks may look.
        assert do(role="analyst").changed
    assert do(role="downstream").changed


def test_a_killed_export_leaves_nothing_that_looks_whole(
    do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path / "warehouse", ALERTS)

    def die(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            do()
    assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    assert do().changed
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_only_a_date_that_is_dispatched_is_exported(do: Do, tmp_path: Path) -> None:
    lay(tmp_path / "warehouse", ALERTS, result="failed")
    with pytest.raises(KeyMomentsError, match="CYCLE_NOT_COMPLETE 2026-06-01 has not been dispatched"):
        do()
    assert not (tmp_path / "out").exists()


def test_a_date_without_alerts_gives_an_empty_file(do: Do, tmp_path: Path) -> None:
    lay(tmp_path / "warehouse", [alert(1, status="suppressed")])
    done = do()
    assert done.records == {"alerts_2026-06-01_all.jsonl": 0}
