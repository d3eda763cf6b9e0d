"""First mappings of unknown files, which the loader of source mappings must accept."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from jobs.cli import app
from jobs.config.draft import draft_mapping
from jobs.config.sources import ExtractMapping, columns_used
from jobs.contracts.extracts import ExtractContract
from jobs.expressions.evaluate import evaluate
from jobs.expressions.nodes import Name
from jobs.expressions.parse import parse
from jobs.stages.draft import sample_of


def drafted(path: Path, contract: ExtractContract) -> tuple[str, ExtractMapping]:
    text = draft_mapping(sample_of(str(path)), contract)
    [one] = yaml.safe_load(text)
    if one.get("period") == "YYYYMM":
        # What a person has to fill in is nothing that could be loaded.
        with pytest.raises(ValidationError):
            ExtractMapping.model_validate(one)
        one["period"] = "202605"
    return text, ExtractMapping.model_validate(one)


def test_a_file_named_like_the_contract_needs_no_expressions(
    tmp_path: Path, contracts: dict[str, ExtractContract]
) -> None:
    path = tmp_path / "bills_202605.csv"
    path.write_text("subscription_id,month,total,recurring\nS1,2026-05-01,30.00,18.00\n", encoding="utf-8")
    text, mapping = drafted(path, contracts["bills"])
    assert (mapping.fields, mapping.files) == ("same", "bills_{period}.csv")
    assert text.startswith("# Draft: 4 of 6 fields of bills found.")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("202605_bills.csv", "{period}_bills.csv"),
        ("bills #1: 202605.csv", "bills #1: {period}.csv"),
        ('bills "x" 20260531.csv', 'bills "x" {period}.csv'),
    ],
)
def test_any_name_gives_yaml(
    tmp_path: Path, contracts: dict[str, ExtractContract], name: str, files: str
) -> None:
    path = tmp_path / name
    path.write_text('subscription_id,month,to`tal,"a\nb"\nS1,2026-05-01,30.00,1\n', encoding="utf-8")
    text, mapping = drafted(path, contracts["bills"])
    assert mapping.files == files
    assert isinstance(mapping.fields, dict) and columns_used(mapping, contracts["bills"])[2] == "to`tal"
    assert text.endswith("# Columns not used: a b\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bills_202605.csv.gz", b"a,b\n1,2\n", "cannot be unpacked: Not a gzipped file (b'a,')"),
        ("bills_202605.jsonl", b"[" * 100_000, "is no JSON object"),
    ],
)  # fmt: skip
def test_what_cannot_be_drafted_costs_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    done = CliRunner().invoke(app, ["sources", "draft", "bills", str(path)])
    assert done.exit_code == 2 and done.stderr.strip().endswith(message), done.output


def test_a_quote_that_does_not_close_is_no_crash(
    tmp_path: Path, contracts: dict[str, ExtractContract]
) -> None:
    path = tmp_path / "bills_202605.csv"
    path.write_bytes(b'subscription_id,month\n"' + b"x" * 200_000)
    assert draft_mapping(sample_of(str(path)), contracts["bills"]).startswith("# Draft: 2 of 6 fields")


def test_a_blank_line_before_the_header_is_passed_over(
    tmp_path: Path, contracts: dict[str, ExtractContract]
) -> None:
    path = tmp_path / "bills_202605.csv"
    path.write_text("\nsubscription_id,month,total\nS1,2026-05-01,30.00\n", encoding="utf-8")
    assert drafted(path, contracts["bills"])[0].startswith("# Draft: 3 of 6 fields")
    objects = tmp_path / "bills_202605.jsonl"
    objects.write_text(
        '{"subscription_id": "S\u2028", "month": "2026-05-01", "total": "1"}\n', encoding="utf-8"
    )
    assert drafted(objects, contracts["bills"])[0].startswith("# Draft: 3 of 6 fields")


def test_names_types_encoding_delimiter_and_dates_are_told(
    tmp_path: Path, contracts: dict[str, ExtractContract]
) -> None:
    path = tmp_path / "账单-20260531.txt"
    rows = "用户编号;账期;账单总额;月租及固定费;备注\nS1;20260501;30.00;n/a;x\nS2;20260501;9.00;18;y\n"
    path.write_bytes(rows.encode("gb18030"))
    text, mapping = drafted(path, contracts["bills"])
    assert (mapping.encoding, mapping.delimiter, mapping.files) == ("gb18030", ";", "账单-{period}.txt")
    # A column with the name of a number's field and values that are no numbers is not taken.
    assert mapping.fields == {
        "subscription_id": "`用户编号`",
        "month": "parse_date(`账期`, 'yyyyMMdd')",
        "total": "`账单总额`",
    }
    assert "# recurring: optional decimal, 月租及固定费 / Recurring charges: no column looks like it" in text
    assert "# Columns not used: 月租及固定费, 备注" in text
    assert columns_used(mapping, contracts["bills"]) == ["用户编号", "账期", "账单总额"]
    assert all(parse(expression) for expression in mapping.fields.values())


def test_parquet_and_json_lines_are_told_by_the_ending_of_the_name(
    tmp_path: Path, contracts: dict[str, ExtractContract]
) -> None:
    path = tmp_path / "bills_202605.parquet"
    rows = {"subscription_id": ["S1", None], "month": [date(2026, 5, 1)] * 2, "amount": [1.5, 2.0]}
    pq.write_table(pa.table({**rows, "total": pa.array(["1.50", None])}), path)
    _, mapping = drafted(path, contracts["bills"])
    assert mapping.format == "parquet"
    assert mapping.fields == {"subscription_id": "`subscription_id`", "month": "`month`", "total": "`total`"}
    path = tmp_path / "bills_202605.jsonl"
    line = '{"who": {"subscription_id": "S1"}, "month": "2026-05-01", "total": 1.50, "recurring": null}\n'
    path.write_text(line * 3, encoding="utf-8")
    text, mapping = drafted(path, contracts["bills"])
    assert (mapping.format, mapping.files) == ("jsonl", "bills_{period}.jsonl")
    assert mapping.fields == {
        "subscription_id": "`who.subscription_id`", "month": "`month`", "total": "`total`"
    }  # fmt: skip
    assert "# recurring: optional decimal" in text


def test_codes_of_another_set_are_named(tmp_path: Path, contracts: dict[str, ExtractContract]) -> None:
    path = tmp_path / "v.csv"
    path.write_text("SubscriptionId,direction\n1,MO\n2,MT\n", encoding="utf-8")
    text, mapping = drafted(path, contracts["voice_usage"])
    assert mapping.fields == {"subscription_id": "`SubscriptionId`", "direction": "`direction`"}
    assert "    # MO, MT must become one of out, in:\n    direction:" in text
    assert "period: YYYYMM" in text and "give the month YYYYMM" in text
    path.write_text("subscription,directions\n1,MO\n2,MT\n", encoding="utf-8")
    assert "direction" not in drafted(path, contracts["voice_usage"])[1].fields


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["30.00", "-1", ""], "`total`"),
        (["1.234,50", "7", "-0,5"], "parse_number(`total`, ',', '.')"),
        (["12,50"], "parse_number(`total`, ',', '.')"),
        (["1,234.50", "7", "12,345,678"], "parse_number(`total`, '.', ',')"),
        (["1,234.50", "1.234,50"], None),
        (["1,23,4"], None),
        (["many"], None),
    ],
)
def test_forms_of_numbers(
    tmp_path: Path, contracts: dict[str, ExtractContract], values: list[str], form: str | None
) -> None:
    path = tmp_path / "bills_202605.csv"
    path.write_text(
        "\n".join(["subscription_id;total", *(f"S;{value}" for value in values)]), encoding="utf-8"
    )
    fields = drafted(path, contracts["bills"])[1].fields
    assert isinstance(fields, dict) and fields.get("total") == form
    if form is not None and form.startswith("parse"):
        plain = {"1.234,50": "1234.50", "12,50": "12.50", "1,234.50": "1234.50"}[values[0]]
        assert evaluate(parse(form), {Name("total"): values[0]}.__getitem__) == Decimal(plain)


def test_a_date_that_no_name_tells_is_guessed_by_the_values(
    tmp_path: Path, contracts: dict[str, ExtractContract]
) -> None:
    """Laid out as a public list of complaints is: other words, two digits for the year."""
    path = tmp_path / "complaints_201512.csv"
    path.write_text(
        "Ticket #,Customer Complaint,Date,Time,Received Via\n7,slow,22-04-15,3:53:50 PM,Internet\n",
        encoding="utf-8",
    )
    text, mapping = drafted(path, contracts["complaints"])
    assert mapping.fields == {
        "complaint_id": "`Ticket #`", "occurred_on": "parse_date(`Date`, 'dd-MM-yy')", "channel": "`Received Via`",
    }  # fmt: skip
    assert "    # occurred_on is but a guess, by the values of the column:\n    occurred_on:" in text


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2026-05-31", ""], "`day`"),
        (["20260531"], "parse_date(`day`, 'yyyyMMdd')"),
        (["2026/5/1", "2026/12/31"], "parse_date(`day`, 'yyyy/M/d')"),
        (["2026/05/01", "2026/12/31"], "parse_date(`day`, 'yyyy/MM/dd')"),
        (["31.05.2026"], "parse_date(`day`, 'dd.MM.yyyy')"),
        (["31/05/2026"], "parse_date(`day`, 'dd/MM/yyyy')"),
        (["2026-05-31", "20260531"], None),
        (["2026-02-30"], None),
        (["soon"], None),
    ],
)
def test_forms_of_dates(
    tmp_path: Path, contracts: dict[str, ExtractContract], values: list[str], form: str | None
) -> None:
    path = tmp_path / "payments_202605.csv"
    path.write_text("\n".join(["payment_id,day", *(f"p,{value}" for value in values)]), encoding="utf-8")
    contract = contracts["payments"]
    named = contract.model_copy(
        update={"fields": {**contract.fields, "paid_on": contract.fields["paid_on"].model_copy(update={"en": "day"})}}
    )  # fmt: skip
    assert drafted(path, named)[1].fields.get("paid_on") == form  # type: ignore[union-attr]


def test_what_is_no_text_file_with_a_header_is_said(
    tmp_path: Path, issues_of: Callable[[Callable[[], object]], list[str]]
) -> None:
    double = tmp_path / "double.csv"
    double.write_text("a,b,a\n1,2,3\n", encoding="utf-8")
    assert issues_of(lambda: sample_of(str(double))) == [
        f"{double}:1:1 FILE_BAD_HEADER columns stand there twice: a"
    ]
    empty, binary = tmp_path / "empty.csv", tmp_path / "binary.csv"
    empty.write_bytes(b"\n")
    binary.write_bytes(b"\xff\xfe\xff\n")
    assert issues_of(lambda: sample_of(str(empty))) == [
        f"{empty}:1:1 FILE_BAD_HEADER is empty; expected a header"
    ]
    assert issues_of(lambda: sample_of(str(binary))) == [
        f"{binary} FILE_UNDECODABLE is in none of the encodings utf-8, gb18030"
    ]
    assert issues_of(lambda: sample_of(str(tmp_path / "gone.csv")))[0].startswith(
        f"{tmp_path}/gone.csv FILE_MISSING"
    )


def test_a_contract_that_is_none_is_said_on_the_command_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sources", "draft", "bils", str(tmp_path / "x.csv")])
    assert result.exit_code == 2
    assert "'bils' is not a contract (did you mean 'bills'?)" in result.stderr
