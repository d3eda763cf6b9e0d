"""Refused rows as people see them: counted, and with personal data by its shape only."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from typer.testing import CliRunner

from jobs.cli import app
from jobs.config.masking import masked, shape
from jobs.config.sources import ExtractMapping
from jobs.contracts.extracts import ExtractContract
from jobs.kernel.project import Project
from jobs.stages.context import Configuration, configure
from jobs.stages.quarantine import Refused, refused, refused_rows

HEADER = ["subscription_id", "started_at", "direction", "counterpart", "duration_s"]
ROW = "S1,2026-05-30 10:00:00,sideways,13812345678,61"


@pytest.fixture(scope="module")
def configuration(project: Project) -> Configuration:
    return configure(project, "local", "conf/sources/synthetic.yaml")


def mapping(fields: object = "same", **settings: object) -> ExtractMapping:
    return ExtractMapping.model_validate(
        {"contract": "voice_usage", "files": "voice_{period}.csv", "fields": fields, **settings}
    )


@pytest.mark.parametrize(
    ("original", "reasons", "header", "expected"),
    [
        (ROW, ["set:direction"], HEADER, "S1,2026-05-30 10:00:00,sideways,99999999999,61"),
        ('S1,"a,b",in,"138,1",6', ["type:started_at"], HEADER, 'S1,"a,b",in,"999,9",6'),
        (ROW, ["malformed"], HEADER, "x9,9999-99-99 99:99:99,xxxxxxxx,99999999999,99"),
        (ROW, ["undecodable"], HEADER, "x9,9999-99-99 99:99:99,xxxxxxxx,99999999999,99"),
        (ROW, ["set:direction"], None, "x9,9999-99-99 99:99:99,xxxxxxxx,99999999999,99"),
        (ROW, ["set:direction"], HEADER[:4], "x9,9999-99-99 99:99:99,xxxxxxxx,99999999999,99"),
        ('S1,"13812345678', ["set:direction"], HEADER, 'x9,"99999999999'),
    ],
)
def test_personal_columns_show_their_shape_and_unreadable_rows_show_nothing_else(
    contracts: dict[str, ExtractContract],
    original: str,
    reasons: list[str],
    header: list[str] | None,
    expected: str,
) -> None:
    assert masked(original, reasons, header, mapping(), contracts["voice_usage"]) == expected


def test_only_columns_that_go_into_fields_without_personal_data_are_shown(
    contracts: dict[str, ExtractContract],
) -> None:
    fields = {
        "subscription_id": "`id`",
        "started_at": "`when`",
        "direction": "'out'",
        "counterpart": "concat(`zone`, `other`)",
    }
    one = mapping(fields, delimiter=";")
    shown = masked(
        "7;138;0571;x;12345678", ["type:started_at"], ["id", "x", "zone", "when", "other"], one,
        contracts["voice_usage"],
    )  # fmt: skip
    assert shown == "7;999;9999;x;99999999"


def test_a_row_of_columns_without_personal_data_is_shown_even_if_it_cannot_be_split(
    contracts: dict[str, ExtractContract],
) -> None:
    one = ExtractMapping(contract="bills", files="bills_{period}.csv", fields="same")
    header = ["subscription_id", "total"]
    assert masked("S1,2026,3", ["malformed"], header, one, contracts["bills"]) == "S1,2026,3"
    # Unless somebody has put a number there.
    for number in ("13812345678", "+86 138-1234-5678", "138 1234 5678", "025-84212345", "+45 12 34 56 78"):
        row = f"S1,{number},3"
        assert masked(row, ["malformed"], header, one, contracts["bills"]) == shape(row)
        row = f"S1,{number}"
        assert masked(row, ["type:total"], header, one, contracts["bills"]) == f"S1,{shape(number)}"
    # Or a name, in whatever column: columns may have been swapped.
    for row in ("S1,王小明", "S1,Li Dashan 5"):
        told = masked(row, ["type:total"], header, one, contracts["bills"])
        assert told == f"S1,{shape(row.removeprefix('S1,'))}"
    for name in ("Li Dashan", "王小明"):
        row = f"S1,{name},3"
        assert masked(row, ["malformed"], header, one, contracts["bills"]) == shape(row)
    day = "S1,2026-05-31 10:00:00.123"
    assert masked(day, ["type:total"], header, one, contracts["bills"]) == day
    more = [*header, "phone"]
    assert masked("S1,x,138", ["type:total"], more, one, contracts["bills"]) == "S1,x,999"
    assert masked("S1,2026,138,3", ["malformed"], more, one, contracts["bills"]) == "x9,9999,999,9"
    assert masked("S1,2026", ["malformed"], None, one, contracts["bills"]) == "x9,9999"


FIELDS = {"subscription_id": "`id`", "started_at": "`when`", "direction": "'out'", "counterpart": "`other`"}


def test_what_looks_personal_is_masked_in_any_column(contracts: dict[str, ExtractContract]) -> None:
    """Columns may have been swapped."""
    one = ExtractMapping(
        contract="subscriptions",
        files="s_{period}.csv",
        format="csv",
        encoding="utf-8",
        delimiter=",",
        fields="same",
    )
    header = ["subscription_id", "customer_id", "updated_on", "number", "status"]
    line = "S1,13400000001,2026-05-01,C1,active"
    assert masked(line, ["pattern:number"], header, one, contracts["subscriptions"]) == (
        "S1,99999999999,2026-05-01,x9,active"
    )
    people = one.model_copy(update={"contract": "customers"})
    names = ["customer_id", "updated_on", "name", "birth_date", "city"]
    shown = masked(
        "C1,2026-05-01,南京,1980-02-30,张小白", ["type:birth_date"], names, people, contracts["customers"]
    )
    assert shown == "C1,2026-05-01,xx,9999-99-99,xxx"
    # Numbers of a town, among words; an id may be such a number.
    line = "62538888,2026-05-01,x,1980-02-03,025-8421234,62538888"
    shown = masked(line, ["type:birth_date"], [*names, "county"], people, contracts["customers"])
    assert shown == "62538888,2026-05-01,x,9999-99-99,999-9999999,99999999"
    mapped = people.model_copy(update={"fields": {"customer_id": "`id`", "city": "concat(`place`, `id`)"}})
    # Nor is the birthday by another calendar shown.
    kept = ["customer_id", "updated_on", "lunar_birthday"]
    assert (
        masked("C1,2026-13-01,08-15", ["type:x"], kept, people, contracts["customers"])
        == "C1,2026-13-01,99-99"
    )
    own = ["id", "place"]
    shown = masked("62538888,62538888", ["type:x"], own, mapped, contracts["customers"])
    assert shown == "62538888,99999999"
    # Whatever slipped there; codes, ids, dates and numbers are what a person needs to see what is wrong.
    for slipped in (
        "迪丽热巴·迪力木拉提", "Li Dashan", "张 小 白", "张小白先生", "张小白", "138-12345678", "(025)83212345",
        "1381 2345 678", "138.1234.5678", "138/0000/0001", "138_0000_0001",
    ):  # fmt: skip
        for contract, columns in (
            ("subscriptions", header),
            ("customers", ["customer_id", "updated_on", "city"]),
        ):
            mapping_of = one.model_copy(update={"contract": contract})
            row = ",".join([slipped, "2026-05-01", "x", "y", "z"][: len(columns)])
            found = masked(row, ["type:updated_on"], columns, mapping_of, contracts[contract])
            assert found.split(",")[:2] == [shape(slipped), "2026-05-01"]
    for told in (
        "S1",
        "2026-05-01 10:00:00",
        "2026/05/01T10:00:00.5",
        "-12.5",
        "active",
        "ACTIVE",
        "a_b-c:d",
    ):
        row = f"{told},C1,2026-05-01,1,active"
        assert masked(row, ["type:updated_on"], header, one, contracts["subscriptions"]).split(",")[0] == told


@pytest.mark.parametrize(
    ("settings", "original", "shown"),
    [
        (
            {"format": "jsonl"},
            '{"id": "S1", "other": "138", "when": "张 1", "friend": {"n": 1}, "13812": null}',
            '{"id": "S1", "xxxxx": "\\"999\\"", "when": "x 9", "xxxxxx": "{\\"x\\": 9}", "99999": "xxxx"}',
        ),
        ({"format": "jsonl"}, '{"id": "S1", ', '{"xx": "x9", '),
        ({"format": "jsonl"}, '["138"]', '["999"]'),
        ({"format": "parquet"}, '"S1","a,b","138",', 'S1,"a,b",999,'),
        (
            {"format": "fixed", "encoding": "gbk", "columns": ["id", "when", "other"], "widths": [3, 4, 5]},
            "S1 南京138  ",
            "S1 xx999  ",
        ),
    ],
)  # fmt: skip
def test_rows_of_every_format_are_masked_column_by_column(
    contracts: dict[str, ExtractContract], settings: dict[str, object], original: str, shown: str
) -> None:
    header = ["id", "when", "other"] + (["empty"] if settings["format"] == "parquet" else [])
    one = mapping(FIELDS, **settings)
    assert masked(original, ["type:started_at"], header, one, contracts["voice_usage"]) == shown


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    def row(contract: str, file: str, line: int, original: str, *reasons: str) -> dict[str, object]:
        place = {"contract": contract, "period": "202605", "part": "all", "delivery_id": f"d-{file}"}
        return {**place, "file": file, "line": line, "original": original, "reasons": reasons, "run_id": "r"}

    rows = [
        row("voice_usage", "voice_usage_202605.csv", 9, ROW, "set:direction"),
        row("voice_usage", "voice_usage_202605.csv", 3, ROW, "set:direction", "type:duration_s"),
        row("voice_usage", "voice_usage_202604.csv", 7, ROW, "set:direction"),
        row("bills", "bills_202605.csv", 2, "S1,,3", "missing:total"),
    ]
    partition = ["contract", "period", "part"]
    write_deltalake(str(tmp_path / "quarantine"), pa.Table.from_pylist(rows), partition_by=partition)
    deliveries = [
        {"delivery_id": "d-voice_usage_202605.csv", "header": HEADER},
        {"delivery_id": "d-bills_202605.csv", "header": ["subscription_id", "total", "recurring"]},
    ]
    write_deltalake(str(tmp_path / "deliveries"), pa.Table.from_pylist(deliveries))
    return tmp_path


def test_refused_rows_are_counted_by_file_and_reason(configuration: Configuration, warehouse: Path) -> None:
    voice = [
        Refused("voice_usage", "voice_usage_202604.csv", "set:direction", 1),
        Refused("voice_usage", "voice_usage_202605.csv", "set:direction", 2),
        Refused("voice_usage", "voice_usage_202605.csv", "type:duration_s", 1),
    ]
    bills = [Refused("bills", "bills_202605.csv", "missing:total", 1)]
    assert refused(configuration, str(warehouse)) == bills + voice
    assert refused(configuration, str(warehouse), "voice_usage") == voice


def test_refused_rows_are_shown_in_order_of_file_and_line(
    configuration: Configuration, warehouse: Path
) -> None:
    assert configuration.source is not None
    rows = refused_rows(configuration, configuration.source, str(warehouse), "voice_usage", None, 2)
    assert [(row.file, row.line) for row in rows] == [
        ("voice_usage_202604.csv", 7),
        ("voice_usage_202605.csv", 3),
    ]
    # The header of the first file is not known, so nothing of its row is.
    assert rows[0].original == "x9,9999-99-99 99:99:99,xxxxxxxx,99999999999,99"
    assert rows[1].original == "S1,2026-05-30 10:00:00,sideways,99999999999,61"
    file = "voice_usage_202605.csv"
    only = refused_rows(configuration, configuration.source, str(warehouse), "voice_usage", file, 9)
    assert [row.line for row in only] == [3, 9]


def test_a_person_asks_on_the_command_line(warehouse: Path, project: Project) -> None:
    where = ["--warehouse", str(warehouse), "--project-dir", str(project.root)]
    listed = CliRunner().invoke(app, ["quarantine", "list", *where])
    assert listed.exit_code == 0 and "missing:total" in listed.stdout
    source = ["--source", "conf/sources/synthetic.yaml"]
    shown = CliRunner().invoke(app, ["quarantine", "show", "voice_usage", *source, *where])
    assert shown.exit_code == 0 and "voice_usage_202605.csv:3 set:direction, type:duration_s" in shown.stdout
    assert "13812345678" not in shown.stdout


def test_a_wrong_name_or_an_empty_warehouse_is_said(
    configuration: Configuration, tmp_path: Path, issues_of: Callable[[Callable[[], object]], list[str]]
) -> None:
    assert issues_of(lambda: refused(configuration, str(tmp_path), "bils")) == [
        "CONF_UNKNOWN_REFERENCE 'bils' is not a contract (did you mean 'bills'?)"
    ]
    assert issues_of(lambda: refused(configuration, str(tmp_path))) == [
        f"TABLE_MISSING table 'quarantine' has not been written in {tmp_path}"
    ]
