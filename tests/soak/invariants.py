"""What has to hold after every date: read from the tables alone, each a question that somebody could ask."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl

from jobs.stages.context import Configuration
from tests.oracle.naive_dispatch import Dispatcher, Row, rejected, serving

SERVED = ("dispatched", "control")
WAITING = {
    ("overflow", "capacity"),
    ("suppressed", "exempt"),
    ("suppressed", "feedback"),
    ("suppressed", "cap"),
}


class Day:
    """A dispatch date, and all that was known on it."""

    def __init__(
        self,
        day: date,
        configuration: Configuration,
        key: bytes,
        alerts: pl.DataFrame,
        moments: pl.DataFrame,
        states: dict[str, list[Row]],
        reports: list[Row],
        tasks: list[Row],
    ) -> None:
        """Sorts the rows of all dates into those of the date and those before it.

        Args:
            day: The date.
            configuration: What it was run with.
            key: Key of the control group.
            alerts: All alerts up to the date.
            moments: Rows of the table moments that were due on it.
            states: Newest rows of state extracts as known, by contract.
            reports: Rows of clean_feedback as known.
            tasks: Rows of the table tasks of the date.
        """
        rows = alerts.to_dicts()
        self.day, self.tasks, self.reports, self.states = day, tasks, reports, states
        self.now = [row for row in rows if row["dispatch_date"] == day]
        self.past = [row for row in rows if row["dispatch_date"] < day]
        refused = rejected(reports)
        self.arrived = [row for row in self.past if row["alert_id"] not in refused]
        self.moments = moments.to_dicts()
        self.settings = configuration.dispatch
        self.rules = {rule.id: rule for rule in configuration.rules.rules}
        self.plans = configuration.rules.plans
        self.dispatcher = Dispatcher(day, self.rules, configuration.dispatch, key, self.plans)
        managers = {row["manager_id"]: row["daily_visits"] for row in states["managers"]}
        self.serves = serving(managers, states["manager_leave"], day)

    def broken(self) -> list[str]:
        """Everything that does not hold, in words."""
        checks = (
            self._counts, self._once, self._caps, self._exempt, self._capacity, self._cooldown, self._control,
            self._refused, self._hours, self._quiet, self._tasks, self._decisions,
        )  # fmt: skip
        return [f"{self.day}: {text}" for check in checks for text in check()]

    def _counts(self) -> Iterator[str]:
        """From candidates to statuses: what fired, and what waited, is there once, with a status each."""
        fired = {row["alert_id"] for row in self.moments if row["category"] != "exempt" and not row["shadow"]}
        before = max((row["dispatch_date"] for row in self.past), default=None)
        waited = {
            row["alert_id"]: row
            for row in self.past
            if row["dispatch_date"] == before and (row["status"], row["status_reason"]) in WAITING
        }
        ids = [row["alert_id"] for row in self.now]
        if len(set(ids)) != len(ids):
            yield "an alert stands there twice"
        if not fired <= set(ids):
            yield f"{len(fired - set(ids))} moments that fired are no candidates"
        for row in self.now:
            if row["carried_from"] is None and row["alert_id"] not in fired:
                yield f"{row['alert_id']} neither fired nor waited"
            elif row["carried_from"] is not None and row["alert_id"] not in waited:
                yield f"{row['alert_id']} did not wait on {before}"
        known = {"dispatched", "control", "overflow", "suppressed", "held"}
        if not {row["status"] for row in self.now} <= known:
            yield "a status is not known"

    def _once(self) -> Iterator[str]:
        """No alert is served on two dates."""
        served = Counter(row["alert_id"] for row in [*self.past, *self.now] if row["status"] in SERVED)
        yield from (f"{alert} was served {times} times" for alert, times in served.items() if times > 1)

    def _caps(self) -> Iterator[str]:
        for cap in self.settings.caps:
            since = self.day - timedelta(days=cap.days)
            contacts: dict[str, set[tuple[date, str]]] = defaultdict(set)
            owed: dict[str, set[tuple[date, str]]] = defaultdict(set)
            for row in [*self.arrived, *self.now]:
                rule = self.rules[row["moment_id"]]
                counts = row["status"] in SERVED and row["channel"] == cap.channel and not rule.is_reminder
                if counts and row["dispatch_date"] > since:
                    visit = self.settings.channels[cap.channel].uses_manager
                    contact = (row["dispatch_date"], "" if visit else row["alert_id"])
                    contacts[row["customer_id"]].add(contact)
                    if rule.file.service_owed:
                        owed[row["customer_id"]].add(contact)
            for customer, made in contacts.items():
                # What is owed passes the cap, so only the others may not go beyond it.
                if len(made) > max(cap.contacts, len(owed[customer])) and len(made - owed[customer]) > max(
                    cap.contacts - len(owed[customer]), 0
                ):
                    last = max(made - owed[customer])
                    if last[0] == self.day and len({one for one in made if one < last}) >= cap.contacts:
                        yield f"{customer} was contacted {len(made)} times against {cap.name}"

    def _exempt(self) -> Iterator[str]:
        quiet = defaultdict(set)
        for row in self.moments:
            if row["category"] == "exempt" and not row["shadow"]:
                quiet[row["subscription_id"]].add(row["moment_id"])
        for row in self.now:
            ignored = set(self.rules[row["moment_id"]].file.ignores_exempt)
            if row["status"] in SERVED and quiet[row["subscription_id"]] - ignored:
                yield f"{row['alert_id']} serves one who is exempt"

    def _capacity(self) -> Iterator[str]:
        """Nobody makes more visits than there is time for, and nobody is idle while a visit waits for him."""
        made: dict[str, set[str]] = defaultdict(set)
        waits: dict[str, set[str]] = defaultdict(set)
        room: dict[str, int] = {}
        teams = self.settings.teams
        for row in self.now:
            if row["served_by"] is None:
                continue
            kind, _, who = row["served_by"].partition(":")
            theirs = [capacity for server, capacity in self.serves.values() if server == who]
            room[row["served_by"]] = (
                theirs[0]
                if kind == "manager"
                else teams.daily_visits_by_city.get(who, teams.daily_visits_default)
            )
            if row["status"] == "dispatched":
                made[row["served_by"]].add(row["visit_id"])
            elif row["status"] == "overflow":
                waits[row["served_by"]].add(row["visit_id"])
        for who, capacity in room.items():
            if len(made[who]) > capacity:
                yield f"{who} makes {len(made[who])} visits of {capacity}"
            if waits[who] and len(made[who]) < capacity:
                yield f"{who} makes {len(made[who])} visits of {capacity} while {len(waits[who])} wait"

    def _cooldown(self) -> Iterator[str]:
        last = {}
        for row in self.arrived:
            if row["status"] in SERVED:
                key = row["moment_id"], row["subscription_id"]
                last[key] = max(last.get(key, row["dispatch_date"]), row["dispatch_date"])
        for row in self.now:
            was = last.get((row["moment_id"], row["subscription_id"]))
            days = self.rules[row["moment_id"]].file.cooldown_days
            if row["status"] in SERVED and was is not None and (self.day - was).days < days:
                yield f"{row['alert_id']}: {row['moment_id']} was served on {was}"

    def _control(self) -> Iterator[str]:
        for row in self.now:
            whom = row["customer_id"] or row["subscription_id"]
            withheld = self.rules[row["moment_id"]].in_control and self.dispatcher.in_control(whom)
            if row["status"] == ("dispatched" if withheld else "control"):
                yield f"{row['alert_id']} is {row['status']}"

    def _refused(self) -> Iterator[str]:
        refused = {
            (row["customer_id"], row["channel"], row["purpose"])
            for row in self.states["consents"]
            if row["status"] != "granted"
        }
        for row in self.now:
            rule = self.rules[row["moment_id"]]
            purpose = "reminder" if rule.is_reminder else self.plans[row["plan_id"]].purpose
            hits = {(row["customer_id"], channel, purpose) for channel in (row["channel"], "any")} & refused
            if row["status"] in SERVED and hits and not rule.file.service_owed:
                yield f"{row['alert_id']} uses what the customer refused: {sorted(hits)}"

    def _hours(self) -> Iterator[str]:
        """Nobody is contacted at hours at which the customer is not to be disturbed."""
        quiet = {
            row["customer_id"]: (row["quiet_from"], row["quiet_to"])
            for row in self.states["quiet_hours"]
            if row["quiet_from"] is not None and row["quiet_to"] is not None
        }
        for row in self.now:
            if row["status"] not in SERVED or self.rules[row["moment_id"]].file.service_owed:
                continue
            start, end = quiet.get(row["customer_id"], ("24:00", "24:00"))
            for window in row["allowed_contact_windows"]:
                last = max(window["from_time"], start) if start < end else start
                within = last < min(window["to_time"], end) if start < end else window["to_time"] > last
                if within or (start >= end and window["from_time"] < end and start != "24:00"):
                    yield f"{row['alert_id']} is for {window}, the customer not to be disturbed {start}-{end}"

    def _quiet(self) -> Iterator[str]:
        whose = {row["alert_id"]: row["customer_id"] for row in self.past}
        days = self.settings.quiet_after.refused
        quiet = {
            whose.get(one["alert_id"])
            for one in self.reports
            if one["contact_result"] == "refused" and (self.day - one["event_date"]).days < days
        }
        for row in self.now:
            rule = self.rules[row["moment_id"]]
            anyway = rule.file.service_owed or rule.is_reminder
            if row["status"] in SERVED and row["customer_id"] in quiet - {None} and not anyway:
                yield f"{row['alert_id']} serves one who refused lately"

    def _tasks(self) -> Iterator[str]:
        """Each dispatched alert is a task, in the state of its newest report."""
        newest: dict[str, Row] = {}
        for one in self.reports:
            if one["alert_id"] not in newest or one["reported_at"] > newest[one["alert_id"]]["reported_at"]:
                newest[one["alert_id"]] = one
        dispatched = {row["alert_id"] for row in [*self.past, *self.now] if row["status"] == "dispatched"}
        if {row["alert_id"] for row in self.tasks} != dispatched:
            yield "the tasks are not the dispatched alerts"
        for task in self.tasks:
            report = newest.get(task["alert_id"])
            told = report["state"] if report else "unprocessed"
            if task["state"] not in (told, "processed_new_alert"):
                yield f"the task {task['alert_id']} is {task['state']}, its report says {told}"
            if task["state"] == "processed_new_alert" and told != "processed":
                yield f"the task {task['alert_id']} has a new alert, but its report says {told}"

    def _decisions(self) -> Iterator[str]:
        """Every decision is that of the plain reading of the whole chain."""
        rows = [
            {
                **row,
                "risk_probability": None
                if row["risk_probability"] is None
                else float(row["risk_probability"]),
            }
            for row in self.now
            if row["status"] != "held" and row["status_reason"] != "superseded"
        ]
        exempt = [row for row in self.moments if row["category"] == "exempt" and not row["shadow"]]
        history = [row for row in self.past if row["status"] in SERVED]
        expected = self.dispatcher.decide(
            rows,
            exempt,
            history,
            self.serves,
            self.states["consents"],
            self.states["quiet_hours"],
            self.reports,
        )
        for row in rows:
            one = expected[row["alert_id"]]
            found = (
                row["status"], row["status_reason"], row["suppressed_by"], row["priority"], row["channel"],
                row["rank_province"], row["served_by"],
                [(one["from_time"], one["to_time"]) for one in row["allowed_contact_windows"]],
            )  # fmt: skip
            wanted = (
                one.status,
                one.reason,
                one.by,
                one.priority,
                one.channel,
                one.rank_province,
                one.resource,
                one.windows,
            )
            if found != wanted:
                yield f"{row['alert_id']} {row['moment_id']} is {found}, the plain reading says {wanted}"
