"""The chain of dispatch once more, candidate by candidate in plain Python: what semantics ask, not how."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from jobs.config.dispatch import DispatchSettings
from jobs.rulelang.model import Plan
from jobs.rulelang.ruleset import Rule

Row = dict[str, Any]
Serving = dict[str, tuple[str, int]]
Windows = list[tuple[str, str]]
_SIX = Decimal("0.000001")


@dataclass
class Decision:
    """What becomes of a candidate."""

    channel: str
    windows: Windows
    status: str | None = None
    reason: str | None = None
    by: str | None = None
    priority: Decimal | None = None
    lead: bool | None = None
    rank_province: int | None = None
    rank_manager: int | None = None
    resource: str | None = None


def rejected(reports: Sequence[Row]) -> set[str]:
    """The alerts that were refused at import in the end, and of which nobody was contacted in between."""
    newest: dict[str, Row] = {}
    for one in sorted(reports, key=lambda one: (one["reported_at"], one["state"] != "rejected")):
        newest[one["alert_id"]] = one
    made = {one["alert_id"] for one in reports if one["contacted_at"] or one["state"] == "processed"}
    return {alert for alert, one in newest.items() if one["state"] == "rejected"} - made


def serving(managers: dict[str, int], absences: Iterable[Row], day: date) -> dict[str, tuple[str, int]]:
    """Who serves the customers of each manager on a day, and with how many visits; without whom the team does."""
    away: dict[str, Row] = {}
    for one in sorted(absences, key=lambda one: one["from_date"]):
        if one["status"] == "planned" and one["from_date"] <= day <= one["to_date"]:
            away[one["manager_id"]] = one
    here = {
        manager: visits if manager not in away else away[manager]["daily_visits"]
        for manager, visits in managers.items()
        if manager not in away or away[manager]["daily_visits"] > 0
    }
    found = {}
    for manager in managers:
        server = manager if manager in here else away[manager]["stand_in_manager_id"]
        if server in here:
            found[manager] = (server, here[server])
    return found


@dataclass(frozen=True)
class Dispatcher:
    """Decides a date.

    Attributes:
        day: The dispatch date.
        rules: Rules by moment id.
        settings: conf/dispatch.yaml.
        key: Key of the control group.
        plans: Service plans by name.
    """

    day: date
    rules: dict[str, Rule]
    settings: DispatchSettings
    key: bytes
    plans: Mapping[str, Plan]

    def decide(
        self,
        rows: Sequence[Row],
        exempt: Iterable[Row],
        history: Sequence[Row],
        managers: Serving,
        consents: Sequence[Row],
        hours: Sequence[Row],
        reports: Sequence[Row],
    ) -> dict[str, Decision]:
        """Decisions by alert_id."""
        ways = {row["alert_id"]: self.way_to(row, consents, hours) for row in rows}
        rows = [{**row, "channel": ways[row["alert_id"]][0]} for row in rows]
        decisions = {row["alert_id"]: Decision(*ways[row["alert_id"]][:2]) for row in rows}
        refused = rejected(reports)
        arrived = [old for old in history if old["alert_id"] not in refused]
        exempt_of = defaultdict(set)
        for one in exempt:
            exempt_of[one["subscription_id"]].add(one["moment_id"])
        for row in rows:
            decision = decisions[row["alert_id"]]
            for reason, by in (
                ("over", self._over(row)),
                ("exempt", self._exempt(row, exempt_of[row["subscription_id"]])),
                ways[row["alert_id"]][2] or ("", None),
                ("feedback", self._quiet(row, history, reports)),
                ("cooldown", self._cooling(row, arrived)),
            ):
                if decision.status is None and by is not None:
                    decision.status, decision.reason, decision.by = "suppressed", reason, by or None
        for row in rows:
            decisions[row["alert_id"]].priority = self.priority(row)
        self._cap_by_past(rows, arrived, decisions)
        self._inhibit(rows, decisions)
        self._cap(rows, arrived, decisions)
        self._visit(rows, managers, decisions)
        return decisions

    def _purpose(self, row: Row) -> str:
        rule = self._rule(row)
        return "reminder" if rule.is_reminder else self.plans[rule.file.plan or ""].purpose

    def way_to(
        self, row: Row, consents: Sequence[Row], hours: Sequence[Row]
    ) -> tuple[str, Windows, tuple[str, str] | None]:
        """By which channel and at which times the customer is reached; and why not, as reason and by."""
        refused = {
            one["channel"]
            for one in consents
            if one["customer_id"] == row["customer_id"]
            and one["purpose"] == self._purpose(row)
            and one["status"] != "granted"
        }
        plan = self.plans[self._rule(row).file.plan or ""]
        quiet = next((_filled(one) for one in hours if one["customer_id"] == row["customer_id"]), None)
        wanted = [one for one in (plan.channel, *plan.otherwise) if not refused & {one, "any"}]
        timely = [one for one in wanted if self._windows(one, quiet)]
        limit = self.settings.spend_at_most.get(row["value_tier"])
        worth = [one for one in timely if limit is None or self.settings.channels[one].cost <= limit]
        why = None
        if not timely and not self._rule(row).file.service_owed:
            if wanted and quiet is not None:
                why = "hours", f"hours: {quiet['quiet_from']}-{quiet['quiet_to']}"
            else:
                why = "consent", f"consent: {self._purpose(row)}"
        channel = (*worth, *timely, *wanted, plan.channel)[0]
        return channel, self._windows(channel, quiet) or self._windows(channel, None), why

    def _windows(self, channel: str, quiet: Row | None) -> Windows:
        """The minutes of a day that are left, put together."""
        usual = self.settings.channels[channel]
        minutes = list(range(_minute(usual.contact_from), _minute(usual.contact_to)))
        if quiet is not None:
            start, end = _minute(quiet["quiet_from"]), _minute(quiet["quiet_to"])
            lasts = (end - start) % 1440 or 1440
            no = {(start + number) % 1440 for number in range(lasts)}
            minutes = [one for one in minutes if one not in no]
        first = [one for one in minutes if one - 1 not in minutes]
        last = [one + 1 for one in minutes if one + 1 not in minutes]
        return [(_clock(a), _clock(b)) for a, b in zip(first, last, strict=True)]

    def _over(self, row: Row) -> str | None:
        return "" if row["valid_until"] < self.day else None

    def _exempt(self, row: Row, exempt: set[str]) -> str | None:
        return min(exempt - set(self.rules[row["moment_id"]].file.ignores_exempt), default=None)

    def _quiet(self, row: Row, history: Sequence[Row], reports: Sequence[Row]) -> str | None:
        if self._rule(row).file.service_owed or self._rule(row).is_reminder:
            return None
        days = self.settings.quiet_after
        whose = {old["alert_id"]: _whom(old) for old in history}
        found = [
            (one["event_date"], one["alert_id"])
            for one in reports
            if whose.get(one["alert_id"]) == _whom(row)
            and (
                (one["contact_result"] == "refused" and (self.day - one["event_date"]).days < days.refused)
                or (one["outcome"] == "no_need" and (self.day - one["event_date"]).days < days.no_need)
            )
        ]
        return max(found)[1] if found else None

    def _cooling(self, row: Row, history: Sequence[Row]) -> str | None:
        days = self.rules[row["moment_id"]].file.cooldown_days
        found = [
            (old["dispatch_date"], old["alert_id"])
            for old in history
            if (old["moment_id"], old["subscription_id"]) == (row["moment_id"], row["subscription_id"])
            and (old["alert_id"] == row["alert_id"] or (self.day - old["dispatch_date"]).days < days)
        ]
        return max(found)[1] if found else None

    def _inhibit(self, rows: Sequence[Row], decisions: dict[str, Decision]) -> None:
        """All at once: what is muted here mutes others all the same."""
        live = [row for row in rows if decisions[row["alert_id"]].status is None]
        for row in live:
            stronger = [
                other["moment_id"]
                for other in live
                if other["subscription_id"] == row["subscription_id"]
                and row["moment_id"] in self.rules[other["moment_id"]].file.inhibits
            ]
            if stronger:
                decision = decisions[row["alert_id"]]
                decision.status, decision.reason, decision.by = "suppressed", "inhibited", min(stronger)

    def priority(self, row: Row) -> Decimal:
        """The product of the four factors, each rounded as it is stored."""
        weighing = self.settings.priority
        risk, value = row["risk_probability"], row["value_tier"]
        wait = max((row["valid_until"] - self.day).days, 0)
        half = weighing.urgency.half_after_days
        factors = [
            weighing.risk.neutral
            if risk is None
            else max(min(risk / weighing.risk.full_at, 1.0), weighing.risk.floor),
            weighing.value.by_tier.get(value, weighing.value.neutral),
            weighing.severity.levels[row["severity"]],
            half / (half + wait),
        ]
        product = Decimal(1)
        for factor in factors:
            rounded = Decimal(repr(factor)).quantize(_SIX, ROUND_HALF_UP)
            product = (product * rounded).quantize(_SIX, ROUND_HALF_UP)
        return product

    def _cap(self, rows: Sequence[Row], history: Sequence[Row], decisions: dict[str, Decision]) -> None:
        def order(row: Row) -> tuple[Any, ...]:
            decision = decisions[row["alert_id"]]
            assert decision.priority is not None
            return (not self._rule(row).file.service_owed, -decision.priority, row["alert_id"])

        contacts: dict[tuple[str, str], list[tuple[date, str]]] = defaultdict(list)
        for old in history:
            if not self._rule(old).is_reminder:
                contacts[_whom(old), old["channel"]].append(self._contact(old, old["dispatch_date"]))
        live = [
            row
            for row in rows
            if decisions[row["alert_id"]].status is None and not self._rule(row).is_reminder
        ]
        for row in sorted(live, key=order):
            made = contacts[_whom(row), row["channel"]]
            this = self._contact(row, self.day)
            full = None
            if this not in made and not self._rule(row).file.service_owed:
                full = next((cap.name for cap in self.settings.caps if self._is_full(cap, row, made)), None)
            if full is None:
                made.append(this)
            else:
                decision = decisions[row["alert_id"]]
                decision.status, decision.reason, decision.by = "suppressed", "cap", full

    def _cap_by_past(
        self, rows: Sequence[Row], history: Sequence[Row], decisions: dict[str, Decision]
    ) -> None:
        """What could not be contacted if nothing else were there on the date, but a visit that is owed."""
        live = [row for row in rows if decisions[row["alert_id"]].status is None]
        owed = {self._slot(row) for row in live if self._rule(row).file.service_owed}
        for row in live:
            rule = self._rule(row)
            visit = self.settings.channels[row["channel"]].uses_manager
            if rule.is_reminder or rule.file.service_owed or (visit and self._slot(row) in owed):
                continue
            made = [
                self._contact(old, old["dispatch_date"])
                for old in history
                if not self._rule(old).is_reminder and self._slot(old) == self._slot(row)
            ]
            full = next((cap.name for cap in self.settings.caps if self._is_full(cap, row, made)), None)
            if full is not None:
                decision = decisions[row["alert_id"]]
                decision.status, decision.reason, decision.by = "suppressed", "cap", full

    def _slot(self, row: Row) -> tuple[str, str]:
        return _whom(row), row["channel"]

    def _is_full(self, cap: Any, row: Row, made: list[tuple[date, str]]) -> bool:
        since = self.day - timedelta(days=cap.days)
        return cap.channel == row["channel"] and len({one for one in made if one[0] > since}) >= cap.contacts

    def _contact(self, row: Row, on: date) -> tuple[date, str]:
        """What counts once: the visit of a day, or each message."""
        by_manager = self.settings.channels[row["channel"]].uses_manager
        return on, "visit" if by_manager else row["alert_id"]

    def _visit(self, rows: Sequence[Row], managers: Serving, decisions: dict[str, Decision]) -> None:
        visits: dict[tuple[str, bool], list[Row]] = defaultdict(list)
        for row in rows:
            decision = decisions[row["alert_id"]]
            if decision.status is not None:
                continue
            withheld = self._rule(row).in_control and self.in_control(_whom(row))
            if self.settings.channels[row["channel"]].uses_manager:
                visits[_whom(row), withheld].append(row)
            else:
                decision.status = "control" if withheld else "dispatched"

        def order(row: Row) -> tuple[Any, ...]:
            priority = decisions[row["alert_id"]].priority
            assert priority is not None
            return -priority, row["alert_id"]

        leads = []
        for (whom, withheld), moments in visits.items():
            moments.sort(key=order)
            # Had it not been withheld, it would have shared the customer's other visit.
            shared = [*moments, *visits.get((whom, False), [])] if withheld else moments
            leads.append((order(min(shared, key=order)), not withheld, min(shared, key=order), moments))
        made: Counter[str] = Counter()
        for _, is_made, lead, moments in sorted(leads, key=lambda one: one[:2]):
            withheld = not is_made
            manager = lead["manager_id"]
            if manager in managers:
                server, capacity = managers[manager]
                resource = f"manager:{server}"
            else:
                resource = f"team:{lead['city'] or 'unknown'}"
                capacity = self.settings.teams.daily_visits_by_city.get(
                    lead["city"], self.settings.teams.daily_visits_default
                )
            taken = made[f"taken {resource}"]
            fits = taken < capacity
            for row in moments:
                decision = decisions[row["alert_id"]]
                decision.lead, decision.resource = row is moments[0], resource
                decision.rank_province, decision.rank_manager = made["province"] + 1, made[resource] + 1
                if fits:
                    decision.status = "control" if withheld else "dispatched"
                else:
                    decision.status, decision.reason, decision.by = "overflow", "capacity", resource
            if not withheld:
                made["province"] += 1
                made[resource] += 1
                made[f"taken {resource}"] += fits

    def in_control(self, whom: str) -> bool:
        """Whether a customer is in the control group."""
        digest = hmac.new(self.key, whom.encode(), hashlib.sha256).digest()
        return int.from_bytes(digest[:4], "big") / 2**32 < self.settings.control.share

    def _rule(self, row: Row) -> Rule:
        return self.rules[row["moment_id"]]


def _whom(row: Row) -> str:
    whom: str = row["customer_id"] or row["subscription_id"]
    return whom


def _filled(hours: Row) -> Row | None:
    """Do-not-disturb hours with both ends; none without any."""
    start, end = hours["quiet_from"], hours["quiet_to"]
    return (start or end) and {"quiet_from": start or "00:00", "quiet_to": end or "24:00"}


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
