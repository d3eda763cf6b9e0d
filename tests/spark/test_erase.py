"""A person who is erased is in no file any more, and does not come back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import DataFrame

from jobs.contracts.columns import Table
from jobs.kernel.errors import StorageError
from jobs.kernel.project import Project
from jobs.stages.context import configure, open_run
from jobs.stages.erase import erase
from jobs.storage.layout import Partition
from jobs.storage.warehouse import Warehouse
from tests.spark.little import HEADER, ROOT, SOURCE, Killed, Little, files_with

pytestmark = [pytest.mark.spark, pytest.mark.slow]

MORE = """
  - contract: customers
    files: customers_{period}_{sequence}.csv
    max_bad_share: 1
    fields: same
  - contract: accounts
    files: accounts_{period}.csv
    fields: same
  - contract: message_usage
    files: messages_{period}.csv
    max_bad_share: 1
    fields: same
"""
CUSTOMERS = """customer_id,updated_on,name,birth_date,city
CUSTX1,2026-05-01,张小白,1980-02-03,南京
CUSTX2,2026-05-01,李大山,1981-02-03,苏州
"""
# SUBSX1 and SUBSX2 are the erased one's; SUBSX3 was, and SUBSX4 has always been another's. One account has an id like a customer.
SUBSCRIPTIONS = """subscription_id,customer_id,account_id,updated_on,number,status
SUBSX1,CUSTX1,ACCTX1,2026-05-01,13400000071,active
SUBSX2,CUSTX1,ACCTX1,2026-05-02,13400000072,active
SUBSX3,CUSTX1,ACCTX1,2026-05-01,13400000073,active
SUBSX3,CUSTX2,CUSTX1,2026-05-09,13400000073,active
SUBSX4,CUSTX2,CUSTX1,2026-05-01,13400000074,active
"""
ACCOUNTS = """account_id,customer_id,updated_on
ACCTX1,CUSTX1,2026-05-01
CUSTX1,CUSTX2,2026-05-01
"""
MESSAGES = """subscription_id,sent_at,direction,counterpart
SUBSX1,2026-05-03 10:00:00,out,13900000001
SUBSX4,2026-05-03 11:00:00,out,13900000002
SUBSX2,2026-05-03 12:00:00,sideways,13900000003
SUBSX4,2026-05-03 13:00:00,sideways,13900000004
SUBSX4,2026-05-03 14:00:00,nowhere,13400000072
"""
# Refused rows that name the erased one by a number as people write it, and by name alone.
ODD_MESSAGE = "SUBSX4,2026-05-03 15:00:00,sideways,+8613400000071\n"
ODD_CUSTOMER = ",2026-05-01,张小白,1980-02-03,南京\n"
PERSON = ("SUBSX1", "SUBSX2", "ACCTX1", "张小白", "13400000071", "13400000072")


def usage(*amounts: int) -> str:
    return HEADER + "".join(f"SUBSX{n},2026-05-03,{mb}\n" for n, mb in enumerate(amounts, start=1))


FILES = [
    "accounts_202605.csv", "customers_202605_1.csv", "data_usage_20260503_1.csv",
    "data_usage_20260503_2.csv", "messages_202605.csv", "subscriptions_202605.csv",
]  # fmt: skip


@pytest.fixture
def little(tmp_path: Path) -> Little:
    found = Little(tmp_path, SOURCE + MORE)
    for name, text in {
        "subscriptions_202605.csv": SUBSCRIPTIONS, "customers_202605_1.csv": CUSTOMERS + ODD_CUSTOMER,
        "accounts_202605.csv": ACCOUNTS, "messages_202605.csv": MESSAGES + ODD_MESSAGE,
        "data_usage_20260503_1.csv": usage(1, 2, 3, 4),
    }.items():  # fmt: skip
        found.put(name, text)
    found.run()
    # A correction leaves files of an earlier version behind.
    found.put("data_usage_20260503_2.csv", usage(10, 20, 30, 40))
    found.run()
    return found


def check_erased(little: Little) -> None:
    """Nothing of the person is there, and all of the others is."""
    assert files_with(little.folder / "warehouse", *PERSON) == []
    # Still there: another's account that is called CUSTX1, and nothing else of that name.
    assert {name.split("/")[0] for name in files_with(little.folder / "warehouse", "CUSTX1")} == {
        "raw_subscriptions", "clean_subscriptions", "raw_accounts", "clean_accounts",
    }  # fmt: skip
    # SUBSX3 was still theirs on that day.
    assert little.usage() == [("SUBSX4", "2026-05-03", 40)]
    subscriptions = little.table("clean_subscriptions").select("subscription_id", "customer_id")
    assert sorted(subscriptions.rows()) == [("SUBSX3", "CUSTX2"), ("SUBSX4", "CUSTX2")]
    assert little.table("clean_accounts").select("account_id", "customer_id").rows() == [("CUSTX1", "CUSTX2")]
    # A refused row of another who wrote to the person's number names the person too.
    assert [row[0] for row in little.table("quarantine").select("line").rows()] == [5]
    assert sorted(little.table("identity")["subject"].unique()) == ["CUSTX2", "SUBSX3", "SUBSX4"]
    stones = little.table("erasures")
    assert sorted(stones["field"]) == ["account_id", "customer_id", *["subscription_id"] * 3]


def counted(little: Little) -> dict[str, tuple[int, ...]]:
    """Of each delivery that holds: rows read, loaded, quarantined, duplicate, erased."""
    active = little.table("deliveries").filter(pl.col("status") == "active")
    names = ["file", *(f"rows_{what}" for what in ("read", "loaded", "quarantined", "duplicate", "erased"))]
    found = {file: tuple(one or 0 for one in counts) for file, *counts in active.select(names).rows()}
    assert all(read == sum(others) for read, *others in found.values())
    return found


def test_an_erasure_that_is_killed_is_made_good_by_running_it_again(
    little: Little, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each table that tells what names the person in the others."""
    fatal = ["identity", "quarantine", "clean_customers"]
    context, delete = little.run(), Warehouse.delete

    def wounded(warehouse: Warehouse, table: Table, keys: DataFrame) -> None:
        delete(warehouse, table, keys)
        if table.name in fatal:
            fatal.remove(table.name)
            raise Killed

    monkeypatch.setattr(Warehouse, "delete", wounded)
    for left in (2, 1, 0):
        with pytest.raises(Killed):
            erase(context, "CUSTX1")
        assert len(fatal) == left
    # Rows that told of files are gone; what was found at first is still told.
    assert erase(context, "CUSTX1").files == FILES
    check_erased(little)
    told = counted(little)
    assert told["messages_202605.csv"] == (6, 1, 1, 0, 4)
    assert told["data_usage_20260503_2.csv"] == (4, 1, 0, 0, 3)


def test_a_person_is_erased_from_every_file_and_does_not_come_back(little: Little) -> None:
    warehouse = little.folder / "warehouse"
    before = files_with(warehouse, *PERSON)
    assert {name.split("/")[0] for name in before} >= {
        "raw_subscriptions", "clean_subscriptions", "raw_accounts", "clean_accounts", "raw_data_usage",
        "clean_data_usage", "tiles_data_usage", "quarantine", "identity", "clean_message_usage",
    }  # fmt: skip
    # What a correction has left out is in no table, so nobody can say whether the file before it held it.
    little.put("data_usage_20260502_1.csv", usage(1).replace("05-03", "05-02"))
    little.run()
    little.put("data_usage_20260502_2.csv", HEADER)
    context = little.run()
    with pytest.raises(StorageError) as caught:
        erase(context, "CUSTX9")
    assert "knows the customer 'CUSTX9'" in caught.value.issues[0].message
    erased = erase(context, "CUSTX1")
    context.flush_log()
    check_erased(little)
    assert erased.files == FILES
    assert erased.replaced == ["data_usage_20260502_1.csv"]
    assert erased.rows["quarantine"] == 4 and erased.rows["clean_data_usage"] == 3
    ledger = little.table("run_ledger").filter(pl.col("stage") == "erase")
    assert ledger.select("result", "rows_out").rows() == [("complete", sum(erased.rows.values()))]
    assert counted(little) == {
        "accounts_202605.csv": (2, 1, 0, 0, 1),
        "customers_202605_1.csv": (3, 1, 0, 0, 2),
        "data_usage_20260502_2.csv": (0, 0, 0, 0, 0),
        "data_usage_20260503_2.csv": (4, 1, 0, 0, 3),
        "messages_202605.csv": (6, 1, 1, 0, 4),
        "subscriptions_202605.csv": (5, 2, 0, 0, 3),
    }
    # The person's rows come again, new ones and old ones, good ones and bad ones.
    little.put("data_usage_20260504_1.csv", usage(5, 6, 7, 8).replace("05-03", "05-04"))
    little.put("customers_202605_2.csv", CUSTOMERS.replace("苏州", "无锡"))
    little.put("messages_202606.csv", MESSAGES.replace("2026-05", "2026-06"))
    little.put("messages_202607.csv", MESSAGES.splitlines()[0] + "\nSUBSX1,2026-07-03\nSUBSX4,2026-07-03\n")
    context = little.run()
    assert {name.split("/")[0] for name in files_with(warehouse, *PERSON[:-1])} == {"quarantine"}
    # SUBSX3 passed to another on 9 May.
    assert [row for row in little.usage() if row[1] == "2026-05-04"] == [("SUBSX4", "2026-05-04", 8)]
    deliveries = little.table("deliveries").filter(pl.col("file") == "messages_202606.csv")
    columns = ["rows_in_file", "rows_not_applicable", "rows_read", "rows_loaded", "rows_quarantined"]
    assert deliveries.select(columns).rows() == [(5, 2, 3, 1, 2)]
    # A delivery that is counted again, as another has rows on its day, calls nobody erased a duplicate.
    little.put("data_usage_20260505_1.csv", HEADER + "SUBSX4,2026-05-03,44\n")
    context = little.run()
    assert counted(little)["data_usage_20260503_2.csv"] == (4, 0, 0, 1, 3)

    # A row that cannot be read names nobody when it comes; erasing again finds the ids in its text, and is no
    # complaint, as after one that was cut off.
    assert files_with(warehouse, "SUBSX1") != []
    assert erase(context, "CUSTX1").rows == {"quarantine": 1}
    assert files_with(warehouse, *PERSON[:-1]) == [] and files_with(warehouse, "SUBSX4,2026-07-03") != []
    assert little.table("erasures").height == 5
    assert counted(little)["messages_202607.csv"] == (2, 0, 1, 0, 1)


BUILT = """
source: built
zh: 自编号
en: Ids that the mapping builds
defaults: {format: csv, encoding: utf-8, delimiter: ',', header: true, max_bad_share: 1}
extracts:
  - contract: subscriptions
    files: subscriptions_{period}.csv
    fields: same
  - contract: customers
    files: customers_{period}.jsonl
    format: jsonl
    fields: {customer_id: "concat('C', `id`)", updated_on: told, name: name, birth_date: born, city: city}
  - contract: data_usage
    files: data_usage_{period}.csv
    fields: {subscription_id: "concat('S', `line`)", used_on: day, mb: mb}
"""
OWNED = """subscription_id,customer_id,updated_on,number,status
S77,C1,2026-05-01,13400000077,active
S78,C2,2026-05-01,13400000078,active
"""
NAMED = r"""{"id": "1", "told": "2026-05-01", "name": "\u5f20\u5c0f\u767d", "born": "1980-02-03", "city": "南京"}
{"id": "1", "told": "never", "name": "nobody", "city": "a refused row that tells its id"}
{"id": "", "told": "2026-05-01", "name": "\u5f20\u5c0f\u767d", "city": "refused"}
{"id": "2", "told": "never", "name": "李大山", "city": "refused too"}
"""
# Refused: one of the person, one of another with the person's bare id as amount, and lines that cannot be read.
USED = """line,day,mb
77,2026-05-03,5
78,2026-05-03,6
77,never,1
78,never,77
78,never,S77-1
77,2026-05-03
78,2026-05-03
"""


def test_refused_rows_are_found_by_what_their_mapping_makes_of_them(tmp_path: Path) -> None:
    """An id that the mapping builds does not stand in the text of a row, and JSON may escape a name."""
    little = Little(tmp_path, BUILT)
    little.put("subscriptions_202605.csv", OWNED)
    little.put("customers_202605.jsonl", NAMED)
    little.put("data_usage_202605.csv", USED)
    context = little.run()

    def refused() -> list[tuple[str, int]]:
        return sorted(little.table("quarantine").select("file", "line").rows())

    usage, people = "data_usage_202605.csv", "customers_202605.jsonl"
    assert refused() == [(people, n) for n in (2, 3, 4)] + [(usage, n) for n in (4, 5, 6, 7, 8)]
    erased = erase(context, "C1")
    # Whose a line is that cannot be read any word of it may tell.
    assert refused() == [(people, 4), (usage, 5), (usage, 6), (usage, 8)]
    assert erased.rows["quarantine"] == 4
    assert erased.files == [people, usage, "subscriptions_202605.csv"]
    # Lines that come later and cannot be read are found by erasing again.
    little.put("data_usage_202606.csv", "line,day,mb\n77,2026-06-03\n78,2026-06-03\n")
    assert len(refused()) == 4 and erase(little.run(), "C1").rows == {"quarantine": 1}
    assert refused()[-1] == ("data_usage_202606.csv", 3)


SHARED = """subscription_id,customer_id,account_id,updated_on,number,status
SUBS1,CUST1,ACCT1,2026-05-01,13400000071,active
SUBS5,CUST2,ACCT1,2026-05-01,13400000075,active
SUBS6,CUST1,ACCT1,2026-05-01,13400000076,frozen
SUBS8,CUST7,ACCT7,2026-05-01,13400000078,frozen
SUBS5,CUST2,ACCT1,2026-05-02,13400000075,frozen
"""
STAFFED = """
  - contract: manager_assignments
    files: assigned_{period}.csv
    fields: same
"""
LENIENT = SOURCE.replace("fields: same\n", "fields: same\n    max_bad_share: 1\n") + STAFFED


def test_an_erasure_takes_whatever_is_the_persons_and_nothing_of_those_who_share_an_account(
    tmp_path: Path,
) -> None:
    """Also where only a refused row tells whose a subscription is, or nothing else knows the person."""
    little = Little(tmp_path, LENIENT)
    little.put("subscriptions_202605.csv", SHARED)
    little.put(
        "assigned_202605.csv", "customer_id,updated_on,manager_id\nCONLY,2026-05-01,M1\nCUST2,2026-05-01,M1\n"
    )
    rows = "".join(f"SUBS{n},2026-05-03,{n}\n" for n in (1, 5, 6, 8))
    garbled = b"\xffSUBS1,2026-05-04,1\n\xff13400000071\n\xffSUBS5,2026-05-04,1\n"
    little.put("data_usage_20260503_1.csv", (HEADER + rows).encode() + garbled)
    context = little.run()
    erase(context, "CUST1")
    warehouse = little.folder / "warehouse"
    assert files_with(warehouse, "CUST1", "SUBS1", "SUBS6", "13400000071", "13400000076") == []
    assert [row[0] for row in little.usage()] == ["SUBS5", "SUBS8"]
    subscriptions = little.table("clean_subscriptions").select("subscription_id", "customer_id", "account_id")
    assert subscriptions.rows() == [("SUBS5", "CUST2", "ACCT1")]
    assert sorted(little.table("quarantine").select("file", "line").rows()) == [
        ("data_usage_20260503_1.csv", 8), ("subscriptions_202605.csv", 5), ("subscriptions_202605.csv", 6),
    ]  # fmt: skip
    # Nor are they kept out from then on.
    little.put("subscriptions_202606.csv", SHARED.replace("2026-05", "2026-06").replace("frozen", "active"))
    context = little.run()
    found = little.table("clean_subscriptions").filter(pl.col("updated_on").dt.month() == 6)
    assert sorted(found["subscription_id"]) == ["SUBS5", "SUBS5", "SUBS8"]
    # One whose rows were all refused, and one whom a single table knows.
    for who, texts in (("CUST7", ("CUST7", "SUBS8", "ACCT7", "13400000078")), ("CONLY", ("CONLY",))):
        assert files_with(warehouse, *texts) != []
        erase(context, who)
        assert files_with(warehouse, *texts) == []
    assert little.table("clean_manager_assignments")["customer_id"].to_list() == ["CUST2"]
    assert [row[0] for row in little.usage()] == ["SUBS5"]


def test_the_file_of_a_killed_load_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little = Little(tmp_path)
    little.put("data_usage_20260502_1.csv", HEADER)
    little.run()
    little.put("data_usage_20260503_1.csv", HEADER + "S1,2026-05-03,1\n")
    put = Warehouse._put

    def shooting(warehouse: Warehouse, rows: DataFrame, table: Table, partition: Partition) -> None:
        put(warehouse, rows, table, partition)
        if table.name == "clean_data_usage":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "_put", shooting)
        with pytest.raises(Killed):
            little.run()
    configuration = configure(Project(ROOT), "local", str(little.folder / "little.yaml"))
    context = open_run(configuration, str(little.folder / "warehouse"), str(little.extracts))
    assert erase(context, "C1").files == ["data_usage_20260503_1.csv", "subscriptions_202605.csv"]
    assert little.table("clean_data_usage").height == 0


def test_ids_that_are_short_numbers(tmp_path: Path) -> None:
    """In a row whose id a table knows such a number is an amount, in any other it tells of the person."""
    source = SOURCE.replace("fields: same\n", "fields: same\n    max_bad_share: 1\n")
    little = Little(tmp_path, source)
    head = "subscription_id,customer_id,updated_on,number,status\n"
    mine = "3000002,3000002,2026-05-01,13400000071,active\n3000009,3000009,2026-05-01,13400000079,active\n"
    # Refused rows that do not agree whose a subscription is tell nothing.
    torn = "S9,3000002,2026-05-01,13400000077,frozen\nS9,3000009,2026-05-09,13400000077,frozen\n"
    little.put("subscriptions_202605.csv", head + mine + torn)
    bad = " 3000002,never,1\n3000002.0,never,1\n0003000002,never,1\n2026-05-03,3000002,5\n3000009,never,3000002\n"
    little.put("data_usage_202605_1.csv", HEADER + "S9,2026-05-03,9\n3000009,2026-05-03,3\n" + bad)
    erase(little.run(), "3000002")
    assert little.usage() == [("3000009", "2026-05-03", 3), ("S9", "2026-05-03", 9)]
    assert sorted(little.table("quarantine").select("file", "line").rows()) == [
        ("data_usage_202605_1.csv", 8), ("subscriptions_202605.csv", 5),
    ]  # fmt: skip
    assert sorted(little.table("erasures")["field"]) == ["customer_id", "subscription_id"]


def test_what_only_later_files_call_the_persons_goes_too(little: Little) -> None:
    """A number that the person takes after the erasure, or that no table tied to anybody before it."""
    little.put("data_usage_20260504_1.csv", HEADER + "SUBSX9,2026-05-04,9\nSUBSX4,2026-05-04,4\n")
    # Who had a number before the person did has no right to what comes after.
    head = SUBSCRIPTIONS.split("\n")[0]
    earlier = f"{head}\nSUBSX2,CUSTX2,CUSTX1,2025-01-01,13400000072,active\n"
    little.put("subscriptions_202604.csv", earlier)
    erase(little.run(), "CUSTX1")
    assert "SUBSX9" in little.table("clean_data_usage")["subscription_id"]
    later = """subscription_id,customer_id,account_id,updated_on,number,status
SUBSX9,CUSTX1,ACCTX9,2026-06-01,13400000079,active
SUBSX3,CUSTX1,ACCTX1,2026-04-01,13400000073,active
SUBSX5,CUSTX2,CUSTX1,2026-06-01,13400000075,active
"""
    little.put("subscriptions_202606.csv", later)
    # Blanks around an id are no part of it.
    little.put(
        "customers_202606_1.csv", CUSTOMERS.replace("05-01", "06-01").replace("CUSTX1,", "CUSTX1\u3000,")
    )
    usage = "".join(f"SUBSX{n},2026-06-02,{n}\n" for n in (1, 2, 3, 4, 5, 9))
    little.put("data_usage_20260602_1.csv", HEADER + usage + " SUBSX4 , 2026-06-03 , 6 \n")
    context = little.run()
    assert (
        "subscriptions_202606.csv: 2 rows of erased persons left out; they stand in the file" in little.said
    )
    june = little.table("clean_data_usage").filter(pl.col("used_on") > pl.date(2026, 6, 1))
    # SUBSX3 is another's by now, whatever an old row says.
    assert sorted(june.select("subscription_id", "mb").rows()) == [
        ("SUBSX3", 3), ("SUBSX4", 4), ("SUBSX4", 6), ("SUBSX5", 5),
    ]  # fmt: skip
    assert sorted(little.table("clean_customers")["customer_id"].unique()) == ["CUSTX2"]
    assert "张小白" not in little.table("identity")["clear"]
    found = erase(context, "CUSTX1")
    assert set(found.files) >= {"data_usage_20260504_1.csv"}
    assert files_with(little.folder / "warehouse", "SUBSX9", "13400000079", "张小白", "SUBSX1") == []
    assert little.run().deliveries is not None
    assert counted(little)["data_usage_20260504_1.csv"] == (2, 1, 0, 0, 1)
    # The numbers pass to others: what was theirs stays away, what comes from then on is the others'. SUBSX5 was
    # called theirs by mistake.
    moved = """subscription_id,customer_id,account_id,updated_on,number,status
SUBSX5,CUSTX1,ACCTX1,2026-06-05,13400000075,active
SUBSX6,CUSTX1,ACCTX1,2026-06-05,13400000076,active
"""
    little.put("subscriptions_202607.csv", moved)
    little.run()
    late = "".join(f"SUBSX{n},2026-07-{day},{n}{day}\n" for n in (1, 6, 9) for day in (10, 20))
    little.put("subscriptions_202607.csv", moved.replace("X1,A", "X2,A").replace("06-05", "07-01"))
    little.put(
        "subscriptions_202608.csv",
        moved.split("\n")[0] + "\nSUBSX1,CUSTX2,CUSTX1,2026-07-15,13400000071,active\n",
    )
    little.put("data_usage_20260720_1.csv", HEADER + late)
    little.run()
    july = little.table("clean_data_usage").filter(pl.col("used_on") > pl.date(2026, 7, 1))
    assert sorted(july["mb"]) == [120, 610, 620]
    # One comes back to them: what follows stays away, and refused rows tell of it when the command is run again.
    back = SUBSCRIPTIONS.split("\n")[0] + "\nSUBSX1,CUSTX1,ACCTX1,2026-08-01,13400000071,active\n"
    little.put("subscriptions_202609.csv", back)
    little.run()
    head = MESSAGES.split("\n")[0]
    refused = [f"SUBSX{n},2026-08-02 10:00:00,sideways,13900000003\n" for n in (1, 6, 4)]
    little.put("messages_202608.csv", f"{head}\n{''.join(refused)}")
    little.put("data_usage_20260803_1.csv", HEADER + "SUBSX1,2026-08-03,1\nSUBSX6,2026-08-03,6\n")
    context = little.run()
    august = little.table("clean_data_usage").filter(pl.col("used_on") > pl.date(2026, 8, 1))
    assert august["mb"].to_list() == [6]
    erase(context, "CUSTX1")
    kept = little.table("quarantine").filter(pl.col("file") == "messages_202608.csv")
    assert sorted(kept["line"]) == [3, 4]
