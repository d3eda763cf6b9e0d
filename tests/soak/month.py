"""Dates of the synthetic province one after the other, with managers who report and customers who react.

    python -m tests.soak.month --customers 5000 --from 2026-05-03 --to 2026-06-01

Every date is run like any other; then managers report of its alerts, some customers of some moments complain
a few days later (how many depends on whether they were served), and all invariants are checked.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.config.settings import load_keys
from jobs.kernel.errors import HeldError
from jobs.kernel.project import Project
from jobs.stages.context import Configuration, RunContext, configure, open_run
from jobs.stages.effects import write_effects
from jobs.stages.plan import run_date
from jobs.synthetic import make_province
from jobs.synthetic.responder import (
    COMPLAINT,
    REPORT,
    Effect,
    complaints_of,
    reports_of,
    write_day,
)
from tests.soak.invariants import SERVED, Day

ROOT = Path(__file__).parents[2]
# Of whom help is kept back, so many more complain; one moment's service does harm.
EFFECTS = {"new_handset": Effect(0.05, 0.4), "first_roaming_arrival": Effect(0.3, 0.05)}
CONTROL = 0.4
COMPLAINT_DAYS = 6
ANSWERS = """
  - contract: feedback
    files: feedback_{period}.csv
    fields: same
  - contract: complaints
    files: care_complaints_{period}.csv
    part: care
    fields: same
"""


@dataclass
class Month:
    """A province that lives through dates.

    Attributes:
        folder: Where everything of it is.
        customers: How many there are.
        say: Is told of each date.
        broken: What did not hold so far.
        held: Moments held so far, by date.
        control: Share of customers who are kept back.
    """

    folder: Path
    customers: int
    say: Callable[[str], None]
    broken: list[str] = field(default_factory=list)
    held: dict[date, str] = field(default_factory=dict)
    control: float = CONTROL

    @property
    def extracts(self) -> Path:
        """Where the files are."""
        return self.folder / "extracts"

    @property
    def warehouse(self) -> Path:
        """Where the tables are."""
        return self.folder / "warehouse"

    def prepare(self) -> None:
        """Makes the province, and a project whose control group is large enough to see something by."""
        make_province(self.folder, self.customers, 7)
        project = self.folder / "project"
        for name in ("conf", "schemas", "rules"):
            shutil.copytree(ROOT / name, project / name)
        change(project / "conf" / "dispatch.yaml", r"(?m)^  share: .*$", f"  share: {self.control}")
        change(
            project / "conf" / "effects.yaml",
            r"(?m)(^  complaint:\n(?:    .*\n)*?    days: )30",
            rf"\g<1>{COMPLAINT_DAYS}",
        )
        mapping = project / "conf" / "sources" / "synthetic.yaml"
        mapping.write_text(mapping.read_text(encoding="utf-8").rstrip() + ANSWERS, encoding="utf-8")

    @cached_property
    def configuration(self) -> Configuration:
        """What the dates are run with."""
        project = Project(self.folder / "project")
        return configure(project, "local", str(project.root / "conf" / "sources" / "synthetic.yaml"))

    def open(self) -> RunContext:
        """A run of its own, as every date has one."""
        return open_run(self.configuration, str(self.warehouse), str(self.extracts), lambda _: None)

    def run(self, first: date, last: date) -> None:
        """Lives through dates, and checks each."""
        for contract, columns in (("feedback", REPORT), ("care_complaints", COMPLAINT)):
            write_day(self.extracts, contract, columns, first - timedelta(days=1), [])
        for number in range((last - first).days + 1):
            day, began = first + timedelta(days=number), time.monotonic()
            try:
                run_date(self.open(), day)
            except HeldError as error:
                self.held[day] = "; ".join(str(issue) for issue in error.issues)
            alerts = self.table("alerts")
            self._answer(alerts, day)
            found = self.look(alerts, day).broken()
            self.broken += found
            counts = Counter(alerts.filter(pl.col("dispatch_date") == day)["status"])
            told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
            cycles = "+".join(str(cycle.kind) for cycle in self.configuration.calendar.due(day))
            self.say(f"{day} {cycles}: {told}; {len(found)} broken; {time.monotonic() - began:.0f} s")

    def effects(self, first: date, last: date) -> list[dict[str, Any]]:
        """What is told of complaints after alerts of some dates, by moment; and whether it is what was planted."""
        told = write_effects(self.open(), first, last).effects
        found = [row for row in told if (row["outcome"], row["by"]) == ("complaint", "moment")]
        verdicts = {row["name"]: row["verdict"] for row in found}
        for moment, effect in EFFECTS.items():
            planted = "helps" if effect.served < effect.not_served else "harms"
            if verdicts.get(moment) != planted:
                self.broken.append(f"service of {moment} {planted}, but is told as {verdicts.get(moment)}")
        for row in found:
            means = tuple(row[name] if row[name] is None else float(row[name]) for name in _MEANS)
            counted = self._counted(row["name"], first, last)
            if (row["served"], row["control"]) != counted[:2] or means != pytest.approx(
                counted[2:], abs=1e-6
            ):
                self.broken.append(f"{row['name']}: told {row}, counted {counted}")
        return found

    def _counted(self, moment: str, first: date, last: date) -> tuple[int, int, float | None, float | None]:
        """Customers served and kept back, and the share of each who complained; read from the tables."""
        complaints: dict[str, list[date]] = {}
        for row in self.table("clean_complaints").filter(pl.col("stage") == "opened").to_dicts():
            complaints.setdefault(row["subscription_id"], []).append(row["row_date"])
        # A date is told of once all days after it have been delivered.
        delivered = self.table("deliveries").filter(pl.col("contract") == "complaints")["covers_to"].max()
        assert isinstance(delivered, date)
        last = min(last, delivered - timedelta(days=COMPLAINT_DAYS))
        firsts: dict[str, dict[str, Any]] = {}
        for row in self.table("alerts").sort("dispatch_date", "alert_id").to_dicts():
            if (
                row["status"] in SERVED
                and row["moment_id"] == moment
                and first <= row["dispatch_date"] <= last
            ):
                firsts.setdefault(row["customer_id"] or row["subscription_id"], row)
        hits: dict[bool, list[bool]] = {True: [], False: []}
        for row in firsts.values():
            after = [(day - row["dispatch_date"]).days for day in complaints.get(row["subscription_id"], [])]
            hits[row["status"] == "dispatched"].append(any(0 < days <= COMPLAINT_DAYS for days in after))
        shares = [sum(one) / len(one) if one else None for one in (hits[True], hits[False])]
        return len(hits[True]), len(hits[False]), shares[0], shares[1]

    def table(self, name: str) -> pl.DataFrame:
        """A table as it stands."""
        return pl.read_delta(str(self.warehouse / name))

    def _answer(self, alerts: pl.DataFrame, day: date) -> None:
        """Writes what managers and customers make of a date's alerts; it is known from the next date on."""
        dispatched = alerts.filter(pl.col("status") == "dispatched").to_dicts()
        found = alerts.filter(pl.col("status").is_in(SERVED)).to_dicts()
        write_day(self.extracts, "feedback", REPORT, day, reports_of(dispatched, day))
        complaints = complaints_of(found, day, EFFECTS)
        write_day(self.extracts, "care_complaints", COMPLAINT, day, complaints)

    def look(self, alerts: pl.DataFrame, day: date) -> Day:
        """A date and all that was known on it."""
        due = self.configuration.calendar.due(day)
        moments = self.table("moments").filter(
            pl.any_horizontal((pl.col("cycle") == str(c.kind)) & (pl.col("as_of") == c.as_of) for c in due)
        )
        states = {name: self._states(name, due[0].as_of, day) for name in _STATES}
        reports = self.table("clean_feedback").filter(
            (pl.col("event_date") <= day) & (pl.col("available_at") <= day)
        )
        tasks = self.table("tasks").filter(pl.col("dispatch_date") == day)
        key = load_keys(self.configuration.settings, self.configuration.profile).control
        return Day(
            day, self.configuration, key, alerts, moments, states, reports.to_dicts(), tasks.to_dicts()
        )

    def _states(self, name: str, as_of: date, cutoff: date) -> list[dict[str, Any]]:
        known = self.table(f"clean_{name}").filter(
            (pl.col("updated_on") <= as_of) & (pl.col("available_at") <= cutoff)
        )
        key = list(self.configuration.contracts[name].key)
        return known.sort("updated_on").group_by(key).last().to_dicts()


_MEANS = ("served_mean", "control_mean")
_STATES = ("managers", "manager_leave", "consents", "quiet_hours")


def change(path: Path, pattern: str, new: str) -> None:
    """Puts a text in the one place of a file that a pattern matches."""
    text, times = re.subn(pattern, new, path.read_text(encoding="utf-8"))
    assert times == 1, path
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Runs a month, and tells what did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=5000)
    parser.add_argument("--from", dest="first", type=date.fromisoformat, default=date(2026, 5, 3))
    parser.add_argument("--to", dest="last", type=date.fromisoformat, default=date(2026, 6, 1))
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "soak")
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    month = Month(given.out, given.customers, lambda text: print(text, flush=True))
    month.prepare()
    month.run(given.first, given.last)
    for row in sorted(month.effects(given.first, given.last), key=lambda row: -row["served"]):
        told = ", ".join(f"{name} {row[name]}" for name in ("served", "control", *_MEANS, "verdict"))
        print(f"complaints after {row['name']}: {told}")
    for day, text in month.held.items():
        print(f"held on {day}: {text}")
    for text in month.broken:
        print(text)
    print(f"{len(month.broken)} invariants broken")
    return 1 if month.broken else 0


if __name__ == "__main__":
    sys.exit(main())
