"""Rows that are wrong on purpose, and rows delivered twice, as real extracts have them.

Bad rows follow the header of their file and bear ids of their own (``BAD...``), so that they change nothing
else. From 100 customers on they are less than 2 % of any file, so that no delivery is refused for them.
Repeated rows are copies of a file's first good rows, at its end.
"""

from typing import Final, NamedTuple


class BadRow(NamedTuple):
    """One bad row of a file and the reason why it cannot be taken."""

    contract: str
    period: str
    reason: str
    text: str


BAD_ROWS: Final = (
    BadRow("voice_usage", "202604", "type", "BAD0000001,2026-04-31 10:00:00,out,13912345678,60,false"),
    BadRow("voice_usage", "202604", "range", "BAD0000002,2026-04-12 10:00:00,out,13912345678,-5,false"),
    BadRow("voice_usage", "202605", "set", "BAD0000003,2026-05-12 10:00:00,sideways,13912345678,60,false"),
    BadRow("voice_usage", "202605", "missing", "BAD0000004,2026-05-12 10:00:00,out,,60,false"),
    BadRow("voice_usage", "202605", "late", "BAD0000019,2026-01-28 10:00:00,out,13912345678,60,false"),
    BadRow("voice_usage", "20260531", "malformed", "BAD0000005,2026-05-31 10:00:00,out"),
    BadRow("data_usage", "202604", "missing", "BAD0000006,2026-04-11,,0,0"),
    BadRow("data_usage", "202605", "range", "BAD0000007,2026-05-11,-20,0,0"),
    BadRow("data_usage", "202605", "type", "BAD0000008,2026-05-11,12.5,0,0"),
    BadRow("message_usage", "202605", "set", "BAD0000009,2026-05-11 12:00:00,both,13912345678"),
    BadRow("message_usage", "202605", "type", "BAD0000010,30/05/2026 12:00,out,13912345678"),
    BadRow("network_quality", "202605", "range", "BAD0000011,2026-05-11,-1.00,,,"),
    BadRow("bills", "202603", "range", "BAD0000012,2026-03-01,-12.00,10.00,0.00,0.00"),
    BadRow("bills", "202604", "type", "BAD0000013,2026-04-01,twelve,10.00,0.00,0.00"),
    BadRow("bills", "202605", "missing", "BAD0000014,2026-05-01,,10.00,0.00,0.00"),
    BadRow("bills", "202602", "malformed", "BAD0000015,2026-02-01"),
    BadRow("payments", "202604", "type", "BADY000001,BAD0000016,2026-02-30,50.00,online"),
    BadRow("payments", "202605", "range", "BADY000002,BAD0000017,2026-05-20,-50.00,online"),
    BadRow(
        "subscriptions", "202511", "set", "BAD0000018,BADC000003,,2025-11-30,,,,lost,2020-01-01" + "," * 8
    ),
    BadRow("customers", "202511", "type", "BADC000001,2025-11-30,王伟,male,1990-02-31,,南京,玄武区"),
    BadRow("accounts", "202511", "missing", "BADA000001,,2025-11-30,cash,B"),
    BadRow("manager_assignments", "202511", "reference", "BADC000004,2025-11-30,M99999"),
)

REPEATED: Final = {
    ("voice_usage", "202604"): 6,
    ("voice_usage", "20260531"): 4,
    ("data_usage", "202605"): 5,
    ("message_usage", "202605"): 3,
    ("complaints", "202605"): 2,
    ("bills", "202605"): 4,
    ("payments", "202604"): 3,
    ("customers", "202511"): 3,
}
"""How many rows of a file come twice; fewer where the file has fewer."""
