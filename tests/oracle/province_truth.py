"""An independent reading of the moments: plain Python over the raw extract files, compared as exact sets.

It imports nothing of the project and reads none of its YAML: contracts, items, thresholds and the rules of
state are written down here as understood from the domain. Slow and plain on purpose. What holds:

- A row is visible when it is dated no later than ``as_of`` (it comes a day later, before the cut-off).
  Rows that break their contract do not count; a row delivered twice counts once.
- The population are the subscriptions whose latest row is not closed and who have joined by ``as_of``.
- An item is rounded half up when computed, and items made from it use the rounded value. Null, division by
  zero and a window that begins before the source's data give unknown (None); unknown is not true.
- A moment fires on entry: true now, and not inside at its cycle's run before. Unknown keeps inside who was
  inside. A rule's first run is a baseline unless the rule fires on its first run. The audience is part of the
  condition: who is not of it is not inside.

Usage: ``python tests/oracle/province_truth.py EXTRACTS_DIR OUT.csv [PLANTED.csv]``
"""

import csv
import re
import sys
from calendar import isleap, monthrange
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Parser = Callable[[str], Any]
Run = tuple[str, date]
Firing = tuple[str, str, date]

RUNS: tuple[Run, ...] = (
    ("daily", date(2026, 5, 30)),
    ("daily", date(2026, 5, 31)),
    ("weekly", date(2026, 5, 31)),
    ("monthly", date(2026, 5, 31)),
)

# ---- the extracts ----


def whole(least: int, most: int = 10**18) -> Parser:
    return lambda cell: within(int(cell), least, most)


def amount(least: int, most: int = 10**18) -> Parser:
    return lambda cell: within(Decimal(cell), least, most)


def shaped(pattern: str) -> Parser:
    def parse(cell: str) -> str:
        if not re.fullmatch(pattern, cell):
            raise ValueError(cell)
        return cell

    return parse


def within(value: Any, least: int, most: int) -> Any:
    if not least <= value <= most:
        raise ValueError(value)
    return value


TYPES: dict[str, Parser] = {
    "text": str,
    "day": date.fromisoformat,
    "moment": datetime.fromisoformat,
    "count": whole(0),
    "counted": whole(1, 10_000),
    "age": whole(0, 120),
    "seconds": whole(0, 86_400),
    "mb": whole(0, 10_000_000),
    "yuan": amount(0, 1_000_000),
    "fee": amount(0, 100_000),
    "debt_or_credit": amount(-1_000_000, 1_000_000),
    "minutes": amount(0, 100_000),
    "events": amount(0),
    "own_number": shaped("[0-9+]{5,16}"),
    "number": shaped("[0-9+]{3,20}"),
    "imei": shaped("[0-9]{14,16}"),
}

# Contract -> (its key, its fields). A field is name:type, a type is one of TYPES or the values allowed, and !
# marks a required field.
CONTRACTS = {
    "subscriptions": (
        "subscription_id updated_on",
        """subscription_id!:text customer_id!:text account_id:text updated_on!:day number:own_number
        plan_id:text brand:text status!:active|suspended|closed joined_on:day contract_ends_on:day
        star_level:text data_mb:count city:text gender:male|female|unknown age_years:age
        mean_spend_3m:yuan plan_fee:fee""",
    ),
    "customers": (
        "customer_id updated_on",
        """customer_id!:text updated_on!:day name:text gender:male|female|unknown birth_date:day
        lunar_birthday:text city!:text
        county:text""",
    ),
    "tariff_plans": (
        "plan_id updated_on",
        """plan_id!:text updated_on!:day plan_name!:text brand!:text monthly_fee!:fee data_mb:count
        voice_minutes:count withdrawn_on:day""",
    ),
    "household_products": (
        "customer_id updated_on",
        """customer_id!:text updated_on!:day told_by:system|manager|survey household_id:text
        household_subscriptions:count broadband:own|rival|both|none broadband_mbps:count
        broadband_ends_on:day rival_operator:text rival_ends_on:day tv:own|rival|both|none
        bundle:own|rival|both|none plan_id:text employer_id:text employer:own|rival|both|none""",
    ),
    "do_not_disturb": (
        "customer_id updated_on",
        "customer_id!:text updated_on!:day from_date!:day to_date:day",
    ),
    "balances": (
        "subscription_id balance_date",
        """subscription_id!:text balance_date!:day balance:debt_or_credit arrears:yuan arrears_3m_ago:yuan
        suspends_on:day""",
    ),
    "bills": (
        "subscription_id month",
        "subscription_id!:text month!:day total!:yuan recurring:yuan out_of_package:yuan back_charge:yuan",
    ),
    "usage_monthly": (
        "subscription_id month",
        """subscription_id!:text month!:day voice_minutes:minutes calls:events data_mb:events messages:count
        contacts:count offnet_contacts:count roaming_minutes:minutes roaming_mb:events""",
    ),
    "voice_usage": (
        "subscription_id started_at direction counterpart",
        """subscription_id!:text started_at!:moment direction!:out|in counterpart!:number
        duration_s!:seconds roaming:true|false""",
    ),
    "data_usage": (
        "subscription_id used_on",
        "subscription_id!:text used_on!:day mb!:mb roaming_mb:mb abroad_mb:mb",
    ),
    "network_quality": (
        "subscription_id measured_on",
        """subscription_id!:text measured_on!:day dropped_calls:events blocked_calls:events
        poor_quality:events detaches:events""",
    ),
    "service_contacts": (
        "contact_id",
        """contact_id!:text subscription_id!:text contacted_at!:moment channel:hotline|counter|app|sms
        topic!:bill|plan|data|network|service|port_out|other count:counted""",
    ),
    "complaints": (
        "complaint_id stage",
        """complaint_id!:text subscription_id!:text stage!:opened|closed occurred_on!:day category:text
        channel:text count:counted""",
    ),
    "service_subscriptions": (
        "subscription_id service_id occurred_on action",
        "subscription_id!:text service_id!:text family!:text action!:start|end occurred_on!:day",
    ),
    "service_orders": (
        "order_id stage occurred_at",
        """order_id!:text subscription_id!:text kind!:new|change|cancel|fault
        stage!:accepted|assigned|visit_booked|visited|completed|failed|withdrawn occurred_at!:moment
        family:text service_id:text plan_id:text
        channel:hotline|counter|app|internet|sms|manager|partner partner_id:text confirmed:true|false
        promised_on:day visit_from:moment visit_to:moment
        symptom:no_service|interrupted|slow|function|equipment|other
        reason:customer|network|resource|equipment|system|other""",
    ),
    "roaming_signalling": (
        "subscription_id occurred_at kind",
        """subscription_id!:text occurred_at!:moment kind!:power_on|power_off|attach|detach country:text
        province:text""",
    ),
    "terminals": (
        "subscription_id first_seen_on model",
        """subscription_id!:text first_seen_on!:day model!:text vendor:text imei:imei
        network_generation:2G|3G|4G|5G models_used:count""",
    ),
}


def fields_of(contract: str) -> dict[str, tuple[Parser, bool]]:
    """Returns a contract's fields: how each is read, and whether it is required."""
    pairs = (word.split(":") for word in CONTRACTS[contract][1].split())
    return {name.rstrip("!"): (TYPES.get(kind) or shaped(kind), name.endswith("!")) for name, kind in pairs}


def read(folder: Path, contract: str) -> Iterator[Row]:
    """Yields the good rows of a contract, each once."""
    known, key = fields_of(contract), CONTRACTS[contract][0].split()
    seen: set[str] = set()
    for path in sorted(folder.glob(f"{contract}_[0-9]*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            header = next(lines)
            fields = [(name, *known[name]) for name in header]
            key_places = [header.index(name) for name in key]
            for cells in lines:
                row = parsed(fields, cells)
                if row is None or is_late(contract, path.stem, row):
                    continue
                identity = "\x1f".join([cells[place] for place in key_places])
                if identity not in seen:
                    seen.add(identity)
                    yield row


def is_late(contract: str, file: str, row: Row) -> bool:
    """Whether a usage row comes more than 92 days before the period in its file's name begins."""
    field = {"voice_usage": "started_at", "data_usage": "used_on", "message_usage": "sent_at"}.get(contract)
    if field is None:
        return False
    period = file.rpartition("_")[2]
    begin = date(int(period[:4]), int(period[4:6]), int(period[6:] or 1))
    moment = row[field]
    day = moment.date() if isinstance(moment, datetime) else moment
    return bool(day < begin - timedelta(days=92))


def parsed(fields: Sequence[tuple[str, Parser, bool]], cells: Sequence[str]) -> Row | None:
    """Returns a row's values, or None when the row breaks its contract."""
    if len(cells) != len(fields):
        return None
    row: Row = {}
    for (name, parse, required), cell in zip(fields, cells, strict=True):
        try:
            row[name] = parse(cell) if cell else None
        except (ValueError, InvalidOperation):
            return None
        if required and not cell:
            return None
    return row


# ---- what is known of each subscription ----

Days = dict[str, dict[date, Any]]


def _days() -> Days:
    return defaultdict(lambda: defaultdict(int))


def _rows() -> dict[str, list[Row]]:
    return defaultdict(list)


@dataclass
class Facts:
    """The good rows of the extracts, by subscription, customer or plan."""

    subscriptions: dict[str, list[Row]] = field(default_factory=_rows)
    customers: dict[str, list[Row]] = field(default_factory=_rows)
    plans: dict[str, list[Row]] = field(default_factory=_rows)
    quiet: dict[str, list[Row]] = field(default_factory=_rows)
    balances: dict[str, list[Row]] = field(default_factory=_rows)
    bills: dict[str, dict[date, Row]] = field(default_factory=lambda: defaultdict(dict))
    months: dict[str, dict[date, Row]] = field(default_factory=lambda: defaultdict(dict))
    people_called: dict[str, dict[date, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    signals: dict[str, list[Row]] = field(default_factory=_rows)
    call_seconds: Days = field(default_factory=_days)
    data_mb: Days = field(default_factory=_days)
    abroad_mb: Days = field(default_factory=_days)
    troubles: Days = field(default_factory=_days)
    queries: dict[str, Days] = field(default_factory=lambda: defaultdict(_days))
    opened: Days = field(default_factory=_days)
    closed: Days = field(default_factory=_days)
    faults: Days = field(default_factory=_days)
    mended: Days = field(default_factory=_days)
    order_steps: Days = field(default_factory=_days)
    orders: dict[str, list[Row]] = field(default_factory=_rows)
    data_enquiries: dict[str, list[date]] = field(default_factory=lambda: defaultdict(list))
    roaming_starts: Days = field(default_factory=_days)
    family_starts: dict[str, dict[str, date]] = field(default_factory=lambda: defaultdict(dict))
    terminals: dict[str, list[Row]] = field(default_factory=_rows)
    begins: dict[str, date] = field(default_factory=dict)

    def dated(self, source: str, when: date) -> date:
        """Notes that a source has data of a date."""
        self.begins[source] = min(when, self.begins.get(source, when))
        return when


def read_facts(folder: Path) -> Facts:
    """Reads all extracts that a rule needs."""
    facts = Facts()
    for name, rows_by, key, order in (
        ("subscriptions", facts.subscriptions, "subscription_id", "updated_on"),
        ("customers", facts.customers, "customer_id", "updated_on"),
        ("tariff_plans", facts.plans, "plan_id", "updated_on"),
        ("do_not_disturb", facts.quiet, "customer_id", "updated_on"),
        ("balances", facts.balances, "subscription_id", "balance_date"),
        ("terminals", facts.terminals, "subscription_id", "first_seen_on"),
    ):
        for row in read(folder, name):
            rows_by[row[key]].append(row)
        for rows in rows_by.values():
            rows.sort(key=lambda row, order=order: row[order])  # type: ignore[misc]
    for row in read(folder, "bills"):
        facts.bills[row["subscription_id"]][facts.dated("bills", row["month"])] = row
    for row in read(folder, "usage_monthly"):
        month = facts.dated("usage_monthly", row["month"])
        facts.months[row["subscription_id"]][month] = row
    for row in read(folder, "voice_usage"):
        on = facts.dated("voice_usage", row["started_at"].date())
        facts.call_seconds[row["subscription_id"]][on] += row["duration_s"]
        facts.people_called[row["subscription_id"]][on].add(row["counterpart"])
    for row in read(folder, "data_usage"):
        on = facts.dated("data_usage", row["used_on"])
        facts.data_mb[row["subscription_id"]][on] += row["mb"]
        facts.abroad_mb[row["subscription_id"]][on] += row["abroad_mb"] or 0
    for row in read(folder, "network_quality"):
        on = facts.dated("network_quality", row["measured_on"])
        counts = (row["dropped_calls"], row["blocked_calls"], row["poor_quality"], row["detaches"])
        facts.troubles[row["subscription_id"]][on] += sum((n for n in counts if n is not None), Decimal(0))
    for row in read(folder, "service_contacts"):
        on = facts.dated("service_contacts", row["contacted_at"].date())
        facts.queries[row["topic"]][row["subscription_id"]][on] += row["count"] or 1
        if (row["topic"], row["channel"]) == ("data", "hotline"):
            facts.data_enquiries[row["subscription_id"]].append(on)
    for row in read(folder, "service_orders"):
        on = facts.dated("service_orders", row["occurred_at"].date())
        facts.order_steps[row["subscription_id"]][on] += 1
        facts.orders[row["subscription_id"]].append(row)
        if row["kind"] == "fault" and row["stage"] == "accepted":
            facts.faults[row["subscription_id"]][on] += 1
        if row["kind"] == "fault" and row["stage"] in ("completed", "withdrawn"):
            facts.mended[row["subscription_id"]][on] += 1
    for row in read(folder, "roaming_signalling"):
        facts.dated("roaming_signalling", row["occurred_at"].date())
        facts.signals[row["subscription_id"]].append(row)
    for seen in facts.signals.values():
        seen.sort(key=lambda row: (row["occurred_at"], row["kind"]))
    for row in read(folder, "complaints"):
        on = facts.dated("complaints", row["occurred_on"])
        stage = facts.opened if row["stage"] == "opened" else facts.closed
        stage[row["subscription_id"]][on] += row["count"] or 1
    for row in read(folder, "service_subscriptions"):
        on = facts.dated("service_subscriptions", row["occurred_on"])
        if row["action"] == "start":
            started = facts.family_starts[row["subscription_id"]]
            started[row["family"]] = min(on, started.get(row["family"], on))
            if row["family"] == "intl_roaming":
                facts.roaming_starts[row["subscription_id"]][on] += 1
    return facts


# ---- arithmetic with unknowns ----

EXACT = Context(prec=60)


def rounded(value: Decimal | int | None, places: int = 2) -> Decimal | None:
    place = Decimal(1).scaleb(-places)
    return None if value is None else Decimal(value).quantize(place, ROUND_HALF_UP, EXACT)


def ratio(part: Any, whole_: Any, places: int = 2) -> Decimal | None:
    if part is None or whole_ is None or whole_ == 0:
        return None
    return rounded(EXACT.divide(Decimal(part), Decimal(whole_)), places)


def change_pct(now: Any, before: Any) -> Decimal | None:
    return None if now is None or before is None else ratio(100 * (now - before), before)


def is_so(value: Any, test: Callable[[Any, Any], bool], limit: Any) -> bool | None:
    return None if value is None or limit is None else test(value, limit)


def at_least(value: Any, limit: Any) -> bool | None:
    return is_so(value, lambda a, b: a >= b, limit)


def at_most(value: Any, limit: Any) -> bool | None:
    return is_so(value, lambda a, b: a <= b, limit)


def all_of(*conditions: bool | None) -> bool | None:
    return False if False in conditions else None if None in conditions else True


def any_of(*conditions: bool | None) -> bool | None:
    return True if True in conditions else None if None in conditions else False


# ---- one subscription at one date ----


def latest(rows: Sequence[Row], dated: str, as_of: date) -> Row | None:
    """Returns the last row that holds at a date."""
    return next((row for row in reversed(rows) if row[dated] <= as_of), None)


def months_back(as_of: date, months: int) -> date:
    """Returns the first day of the last complete month at ``as_of``, or of one so many months before it."""
    complete = as_of.day == monthrange(as_of.year, as_of.month)[1]
    index = as_of.year * 12 + as_of.month - 1 - (0 if complete else 1) - months
    return date(index // 12, index % 12 + 1, 1)


def month_end_before(as_of: date, months: int) -> date:
    """Returns the last day of the month before the one ``months_back`` gives."""
    return months_back(as_of, months) - timedelta(1)


class View:
    """The items of one subscription that rules ask for."""

    def __init__(self, facts: Facts, subscription: Row, as_of: date) -> None:
        self.facts, self.as_of, self.subscription = facts, as_of, subscription
        self.id: str = subscription["subscription_id"]
        known = facts.customers.get(subscription["customer_id"], [])
        self.customer = latest(known, "updated_on", as_of) or {}
        self.city: str | None = self.customer.get("city") or subscription["city"]
        self.balance = latest(facts.balances.get(self.id, []), "balance_date", as_of) or {}

    def over(self, source: str, days: Days, first: int, last: int) -> Any:
        """Sums from ``first`` to ``last`` days before as_of; unknown when the source begins later."""
        start, end = self.as_of - timedelta(first), self.as_of - timedelta(last)
        if source not in self.facts.begins or start < self.facts.begins[source]:
            return None
        return sum(n for on, n in days.get(self.id, {}).items() if start <= on <= end)

    def ever(self, days: Days, until: int = 0) -> Any:
        """Sums everything up to so many days before as_of."""
        end = self.as_of - timedelta(until)
        return sum(n for on, n in days.get(self.id, {}).items() if on <= end)

    def bill(self, months: int) -> Decimal | None:
        return self._of_month(months, lambda row: row["total"])

    def out_of_package(self) -> Decimal | None:
        parts = ("out_of_package", "back_charge")
        return self._of_month(0, lambda row: Decimal(sum(row[part] or 0 for part in parts)))

    def _of_month(self, months: int, value: Callable[[Row], Decimal]) -> Decimal | None:
        row = self.facts.bills.get(self.id, {}).get(months_back(self.as_of, months))
        return rounded(value(row)) if row else None

    def mean_bill(self, months_before: int) -> Decimal | None:
        """Returns the mean of three months' bills, of those there are."""
        months = [months_back(self.as_of, months_before + back) for back in range(3)]
        if months[-1] < self.facts.begins.get("bills", months[0]):
            return None
        bills = self.facts.bills.get(self.id, {})
        found = [bills[month]["total"] for month in months if month in bills]
        return ratio(sum(found), len(found)) if found else None

    def minutes(self, months: int) -> Decimal | None:
        row = self.facts.months.get(self.id, {}).get(months_back(self.as_of, months))
        return rounded(row["voice_minutes"]) if row else None

    def contacts_of_month(self, months: int) -> Row:
        return self.facts.months.get(self.id, {}).get(months_back(self.as_of, months)) or {}

    def offnet_share(self, months: int) -> Decimal | None:
        row = self.contacts_of_month(months)
        offnet, contacts = row.get("offnet_contacts"), row.get("contacts")
        return None if offnet is None or contacts is None else ratio(100 * offnet, contacts, 12)

    def people_called(self, first: int, last: int) -> int | None:
        """Counts the numbers talked with from ``first`` to ``last`` days before as_of."""
        start, end = self.as_of - timedelta(first), self.as_of - timedelta(last)
        if start < self.facts.begins.get("voice_usage", end + timedelta(1)):
            return None
        days = self.facts.people_called.get(self.id, {})
        return len(set().union(*(who for on, who in days.items() if start <= on <= end)))

    def months_of_data(self) -> Decimal:
        """Sums the mobile data of three months before the last complete one."""
        months = (months_back(self.as_of, back) for back in (1, 2, 3))
        rows = (self.facts.months.get(self.id, {}).get(month) or {} for month in months)
        return sum((row.get("data_mb") or Decimal(0) for row in rows), Decimal(0))

    def signals(self) -> list[Row]:
        """Returns what signalling shows until as_of, in order of time."""
        return [row for row in self.facts.signals.get(self.id, []) if row["occurred_at"].date() <= self.as_of]

    def silent_days(self, days: Days) -> int:
        """Returns the days since something above zero; many when there was nothing in eight weeks."""
        used = [on for on, much in days.get(self.id, {}).items() if much > 0 and on <= self.as_of]
        silent = (self.as_of - max(used)).days if used else 99
        return silent if silent < 56 else 99

    def called_days_ago(self) -> int:
        called = {on: 1 for on, who in self.facts.people_called.get(self.id, {}).items() if who}
        return self.silent_days({self.id: called})

    def state_on(self, day: date) -> Row | None:
        """Returns the subscription's state on an earlier day."""
        return latest(self.facts.subscriptions[self.id], "updated_on", day)

    def fee_on(self, day: date) -> Decimal | None:
        """Returns the monthly fee of the plan held on a day, by the price list of that day."""
        held = self.state_on(day)
        plan = held and latest(self.facts.plans.get(held["plan_id"], []), "updated_on", day)
        return rounded(plan["monthly_fee"]) if plan else None

    def contract_days_left(self) -> int | None:
        ends = self.subscription["contract_ends_on"]
        return None if ends is None else (ends - self.as_of).days

    def mean_spend(self) -> Decimal | None:
        """Returns the mean of the last three bills, or what the operator says it is."""
        mean = self.mean_bill(0)
        return rounded(self.subscription["mean_spend_3m"]) if mean is None else mean

    def value_tier(self) -> str | None:
        mean = self.mean_spend()
        return None if mean is None else "high" if mean >= 300 else "mid" if mean >= 120 else "low"

    def balance_days_left(self) -> Decimal | None:
        return ratio(self.balance.get("balance"), ratio(self.mean_spend(), 30, 4), 1)

    def days_to_suspension(self) -> int | None:
        on = self.balance.get("suspends_on")
        return None if on is None else (on - self.as_of).days

    def days_to_birthday(self) -> int | None:
        born = self.customer.get("birth_date")
        if born is None:
            return None
        days = (birthday_in(born, year) for year in (self.as_of.year, self.as_of.year + 1))
        return next((on - self.as_of).days for on in days if on >= self.as_of)

    def week_minutes(self) -> Decimal | None:
        return ratio(self.over("voice_usage", self.facts.call_seconds, 6, 0), 60)

    def usual_week_minutes(self) -> Decimal | None:
        return ratio(self.over("voice_usage", self.facts.call_seconds, 34, 7), 240)

    def new_families(self) -> int:
        """Returns how many service families were first started on as_of."""
        return sum(on == self.as_of for on in self.facts.family_starts.get(self.id, {}).values())

    def terminals(self) -> list[Row]:
        return [row for row in self.facts.terminals.get(self.id, []) if row["first_seen_on"] <= self.as_of]

    def terminal_age(self) -> int | None:
        seen = self.terminals()
        return (self.as_of - seen[-1]["first_seen_on"]).days if seen else None

    def models_used(self) -> int | None:
        seen = self.terminals()
        told = [row["models_used"] or 0 for row in seen]
        return max(len({row["model"] for row in seen}), *told) if seen else None

    def package_mb(self) -> int | None:
        plan = latest(self.facts.plans.get(self.subscription["plan_id"], []), "updated_on", self.as_of) or {}
        package: int | None = plan.get("data_mb")
        return self.subscription["data_mb"] if package is None else package

    def data_used_pct(self) -> Decimal | None:
        package = self.package_mb()
        used = self.over("data_usage", self.facts.data_mb, self.as_of.day - 1, 0)
        return None if used is None else ratio(100 * used, package)


def birthday_in(born: date, year: int) -> date:
    """Returns the birthday in a year; 29 February is kept on the 28th in common years."""
    leap_day = (born.month, born.day) == (2, 29) and not isleap(year)
    return date(year, 2, 28) if leap_day else date(year, born.month, born.day)


# ---- the moments ----


def everyone(view: View) -> bool | None:
    return view.subscription["status"] in ("active", "suspended")


def active(view: View) -> bool | None:
    return bool(view.subscription["status"] == "active")


def mid_high(view: View) -> bool | None:
    tier = view.value_tier()
    return all_of(active(view), None if tier is None else tier in ("mid", "high"))


def arrears_before_suspension(view: View) -> bool | None:
    days = view.days_to_suspension()
    return all_of(
        at_least(view.balance.get("arrears"), 10),
        any_of(
            all_of(at_least(days, 1), at_most(days, 5)),
            is_so(view.balance.get("arrears_3m_ago"), lambda a, b: a > b, 0),
        ),
    )


def bill_surge(view: View) -> bool | None:
    months = [view.bill(back) for back in (1, 2, 3)]
    last, usual = view.bill(0), None if None in months else view.mean_bill(1)
    rise = None if last is None or usual is None else last - usual
    percent = {"南京": 40, "苏州": 60}.get(view.city or "", 50)
    return all_of(at_least(change_pct(last, usual), percent), at_least(rise, 50))


def bill_slump(view: View) -> bool | None:
    months = [view.bill(back) for back in (1, 2, 3)]
    last, usual = view.bill(0), None if None in months else view.mean_bill(1)
    fall = None if last is None or usual is None else last - usual
    percent = {"南京": 45, "苏州": 55}.get(view.city or "", 50)
    return all_of(at_most(change_pct(last, usual), -percent), at_most(fall, -30))


def plan_downgrade(view: View) -> bool | None:
    then = month_end_before(view.as_of, 0)
    before, fee, fee_then = view.state_on(then), view.fee_on(view.as_of), view.fee_on(then)
    if before is None or fee is None or fee_then is None:
        return None
    return all_of(before["plan_id"] != view.subscription["plan_id"], fee - fee_then <= -10)


def first_bill_new_tariff(view: View) -> bool | None:
    begins, begins_before = months_back(view.as_of, 0), months_back(view.as_of, 1)
    held, held_before = view.state_on(begins), view.state_on(begins_before)
    at_end = view.state_on(months_back(view.as_of, -1) - timedelta(1))
    if held is None or at_end is None:
        whole_month = None
    else:
        joined_lately = view.subscription["joined_on"] > begins_before
        changed = None if held_before is None else held_before["plan_id"] != held["plan_id"]
        stayed = at_end["plan_id"] == held["plan_id"]
        in_time = view.subscription["joined_on"] <= begins
        whole_month = all_of(stayed, any_of(joined_lately and in_time, changed))
    return all_of(whole_month, at_least(view.bill(0), 10))


def calling_circle_shrink(view: View) -> bool | None:
    now, before = view.people_called(27, 0), view.people_called(55, 28)
    return all_of(at_most(change_pct(now, before), -50), at_least(before, 8))


def off_net_drift(view: View) -> bool | None:
    now, before = rounded(view.offnet_share(0)), view.offnet_share(1)
    rise = None if now is None or before is None else rounded(now - before)
    return all_of(at_least(rise, 20), at_least(view.contacts_of_month(0).get("contacts"), 10))


def repeat_contact(view: View) -> bool | None:
    topics = ("bill", "plan", "data", "network", "service", "port_out")
    counts = [view.over("service_contacts", view.facts.queries[topic], 29, 0) for topic in topics]
    return None if None in counts else max(counts) >= 3


def first_data_use(view: View) -> bool | None:
    return all_of(
        at_least(view.over("data_usage", view.facts.data_mb, 0, 0), 1),
        at_most(view.over("data_usage", view.facts.data_mb, 56, 1), 0),
        view.months_of_data() <= 0,
    )


def arrived_abroad(view: View) -> bool:
    signals = view.signals()
    now = {row["country"] for row in signals if row["occurred_at"].date() == view.as_of}
    before = {row["country"] for row in signals if row["occurred_at"].date() < view.as_of}
    return bool(now - before - {"CN", None})


def first_roaming_arrival(view: View) -> bool | None:
    home = [row for row in view.signals() if row["country"] == "CN" and row["province"]]
    before = {row["province"] for row in home if row["occurred_at"].date() < view.as_of}
    new = {row["province"] for row in home} - before
    return any_of(arrived_abroad(view), all_of(bool(new and before), at_least(view.mean_bill(0), 120)))


def leave_signal(view: View) -> bool | None:
    signals = view.signals()
    off = None
    if signals:
        last = signals[-1]
        is_off = last["kind"] == "power_off"
        off = (view.as_of - last["occurred_at"].date()).days if is_off else 0
    silent = view.called_days_ago() >= 7 and view.silent_days(view.facts.data_mb) >= 7
    return any_of(asked_to_leave(view), all_of(at_least(off, 7), silent))


def asked_to_leave(view: View) -> bool | None:
    return at_least(view.over("service_contacts", view.facts.queries["port_out"], 0, 0), 1)


def service_unusable(view: View) -> bool | None:
    ended = view.ever(view.facts.mended)
    still_open, too_long = view.ever(view.facts.faults) - ended, view.ever(view.facts.faults, 3) - ended
    return any_of(all_of(reported_a_fault(view), still_open >= 1), too_long >= 1)


def reported_a_fault(view: View) -> bool | None:
    return at_least(view.over("service_orders", view.facts.faults, 0, 0), 1)


def terminal_change(view: View) -> bool | None:
    seen = view.terminals()
    before = [row for row in seen if row["first_seen_on"] < view.as_of]
    # Of several on a day the last is the one whose model comes last, as the extract's key orders them.
    newest = max(seen, key=lambda row: (row["first_seen_on"], row["model"])) if seen else None
    older = max(before, key=lambda row: (row["first_seen_on"], row["model"])) if before else None
    lower = (
        None
        if newest is None or older is None
        else newest["network_generation"] < older["network_generation"]
    )
    lately = sum(row["first_seen_on"] > view.as_of - timedelta(30) for row in seen)
    return all_of(is_so(view.terminal_age(), lambda a, b: a < b, 1), any_of(lower, lately >= 3))


def contract_lapse(view: View) -> bool | None:
    days = view.contract_days_left()
    return all_of(at_most(days, -1), at_least(days, -30))


def contract_ending(view: View) -> bool | None:
    days = view.contract_days_left()
    return all_of(at_most(days, 30), at_least(days, 0))


# Those within a year of the province's last months.
FESTIVALS = {date(2026, month, day) for month, day in ((1, 1), (2, 17), (5, 1), (6, 19), (9, 25), (10, 1))}


def join_anniversary(view: View) -> bool | None:
    joined, on = view.subscription["joined_on"], view.as_of + timedelta(3)
    return birthday_in(joined, on.year) == on and on.year > joined.year


def holiday(view: View) -> bool | None:
    return view.as_of + timedelta(3) in FESTIVALS


def birthday(view: View) -> bool | None:
    lunar, on = view.customer.get("lunar_birthday"), view.as_of + timedelta(3)
    if lunar is not None:
        number, begins = next(month for month in reversed(tuple(enumerate(LUNAR, 1))) if month[1] <= on)
        # Who was born on the 30th keeps the last day of a short month.
        following = LUNAR[number] if number < 12 else date(2027, 2, 6)
        days = {(on - begins).days + 1} | ({30} if following - on == timedelta(1) else set())
        return lunar in {f"{number:02}-{day:02}" for day in days}
    return is_so(view.days_to_birthday(), lambda a, b: a == b, 3)


# The first days of the lunar months of 2026, after the calendar of the Hong Kong Observatory.
LUNAR = (
    *(date(2026, month, day) for month, day in ((2, 17), (3, 19), (4, 17), (5, 17), (6, 15), (7, 14))),
    *(date(2026, month, day) for month, day in ((8, 13), (9, 11), (10, 10), (11, 9), (12, 9))),
    date(2027, 1, 8),
)


def complaint(view: View) -> bool | None:
    opened_today = view.over("complaints", view.facts.opened, 0, 0)
    still_open = max(view.ever(view.facts.opened) - view.ever(view.facts.closed), 0)
    too_long = max(view.ever(view.facts.opened, 7) - view.ever(view.facts.closed), 0)
    return any_of(all_of(at_least(opened_today, 1), at_least(still_open, 1)), at_least(too_long, 1))


def complained_today(view: View) -> bool | None:
    return at_least(view.over("complaints", view.facts.opened, 0, 0), 1)


def do_not_disturb(view: View) -> bool | None:
    quiet = latest(view.facts.quiet.get(view.subscription["customer_id"], []), "updated_on", view.as_of)
    if quiet is None:
        return None
    dispatch = view.as_of + timedelta(1)
    return all_of(quiet["from_date"] <= dispatch, (quiet["to_date"] or dispatch) >= dispatch)


def first_bill_query(view: View) -> bool | None:
    queries = view.facts.queries["bill"]
    return all_of(
        at_least(view.over("service_contacts", queries, 0, 0), 1),
        at_most(view.over("service_contacts", queries, 60, 1), 0),
    )


def first_service_activation(view: View) -> bool | None:
    return at_least(view.new_families(), 1)


def intl_roaming_enabled(view: View) -> bool | None:
    return at_least(view.over("service_subscriptions", view.facts.roaming_starts, 0, 0), 1)


def low_balance(view: View) -> bool | None:
    days = {"南京": 4, "苏州": 2}.get(view.city or "", 3)
    return all_of(
        is_so(view.balance_days_left(), lambda a, b: a < b, days),
        is_so(view.balance.get("arrears"), lambda a, b: a == b, 0),
    )


def monthly_spend_drop(view: View) -> bool | None:
    last, before, earlier = view.bill(0), view.bill(1), view.bill(2)
    return all_of(at_most(change_pct(last, before), -20), at_most(change_pct(before, earlier), -20))


def network_quality_drop(view: View) -> bool | None:
    week = rounded(view.over("network_quality", view.facts.troubles, 6, 0))
    usual = ratio(view.over("network_quality", view.facts.troubles, 34, 7), 4)
    month = rounded(view.over("network_quality", view.facts.troubles, 29, 0))
    rises = at_least(week, None if usual is None else 3 * usual)
    return any_of(all_of(rises, at_least(week, 8)), at_least(month, 40))


def new_handset(view: View) -> bool | None:
    return all_of(is_so(view.terminal_age(), lambda a, b: a < b, 1), at_least(view.models_used(), 2))


def package_overrun(view: View) -> bool | None:
    return at_least(view.out_of_package(), 30)


def spend_and_call_drop(view: View) -> bool | None:
    percent = {"南京": 25, "苏州": 35}.get(view.city or "", 30)
    return all_of(
        at_most(change_pct(view.bill(0), view.bill(1)), -percent),
        at_most(change_pct(view.minutes(0), view.minutes(1)), -40),
    )


def suspended(view: View) -> bool | None:
    return bool(view.subscription["status"] == "suspended")


def weekly_call_drop(view: View) -> bool | None:
    week, usual = view.week_minutes(), view.usual_week_minutes()
    return all_of(at_most(change_pct(week, usual), -70), at_least(usual, 20))


def data_package_use(view: View) -> bool | None:
    return at_least(view.data_used_pct(), 80)


def roaming_data_use(view: View) -> bool | None:
    return at_least(abroad_mb(view), 20)


def abroad_mb(view: View) -> Any:
    return view.over("data_usage", view.facts.abroad_mb, view.as_of.day - 1, 0)


def roaming_step(view: View) -> int:
    """Returns the highest multiple of 20 MB."""
    return int(abroad_mb(view) // 20) * 20


def data_enquiry_follow_up(view: View) -> bool | None:
    asked = [on for on in view.facts.data_enquiries.get(view.id, []) if on <= view.as_of]
    return (view.as_of - max(asked)).days <= 92 if asked else None


def order_progress(view: View) -> bool | None:
    steps = view.over("service_orders", view.facts.order_steps, 0, 0)
    first, rows = view.as_of - timedelta(29), view.facts.orders.get(view.id, [])
    rows = [row for row in rows if first <= row["occurred_at"].date() <= view.as_of]
    booked = [(row["occurred_at"], row["visit_from"]) for row in rows if row["stage"] == "visit_booked"]
    ends = ("visited", "completed", "failed", "withdrawn")
    settled = [row["occurred_at"] for row in rows if row["stage"] in ends]
    visit = max(booked) if booked else None
    if visit is None or any(moment > visit[0] for moment in settled):
        return any_of(at_least(steps, 1), None)
    # Texts go out on the next day, the day before the visit.
    return any_of(at_least(steps, 1), visit[1].date() == view.as_of + timedelta(2))


def plan_withdrawal(view: View) -> bool | None:
    plan = latest(view.facts.plans.get(view.subscription["plan_id"], []), "updated_on", view.as_of) or {}
    on, dispatch = plan.get("withdrawn_on"), view.as_of + timedelta(1)
    return None if on is None else (on - dispatch).days in (30, 7, 1)


def package_digest(view: View) -> bool | None:
    return all_of((view.as_of + timedelta(1)).day in (1, 16), is_so(view.package_mb(), lambda a, b: a > b, 0))


def data_step(view: View) -> int:
    """Returns the highest step reached: 80, 100, then every further 100."""
    used = view.data_used_pct() or Decimal(0)
    return int(used // 100) * 100 if used >= 100 else 80 if used >= 80 else 0


@dataclass(frozen=True)
class Rule:
    """A moment's cycle, audience and condition, and how it fires."""

    cycle: str
    audience: Callable[[View], bool | None]
    when: Callable[[View], bool | None]
    baseline: bool = False
    exempt: bool = False
    always: bool = False
    step: Callable[[View], int] | None = None
    again: Callable[[View], bool | None] | None = None

    @property
    def moment(self) -> str:
        return self.when.__name__


RULES = (
    Rule("daily", active, arrears_before_suspension),
    Rule("monthly", active, bill_slump),
    Rule("monthly", active, bill_surge),
    Rule("daily", mid_high, birthday),
    Rule("weekly", mid_high, calling_circle_shrink),
    Rule("daily", active, contract_ending, baseline=True),
    Rule("daily", active, contract_lapse, baseline=True),
    Rule("daily", everyone, complaint, again=complained_today),
    Rule("daily", active, data_package_use, baseline=True, step=data_step),
    Rule("monthly", active, data_enquiry_follow_up, always=True),
    Rule("daily", everyone, do_not_disturb, exempt=True),
    Rule("daily", mid_high, first_bill_query),
    Rule("monthly", active, first_bill_new_tariff),
    Rule("daily", active, first_data_use),
    Rule("daily", active, first_roaming_arrival, again=arrived_abroad),
    Rule("daily", mid_high, first_service_activation),
    Rule("daily", mid_high, holiday),
    Rule("daily", active, intl_roaming_enabled),
    Rule("daily", mid_high, join_anniversary),
    Rule("daily", active, leave_signal, again=asked_to_leave),
    Rule("daily", mid_high, low_balance, baseline=True),
    Rule("monthly", active, monthly_spend_drop),
    Rule("weekly", everyone, network_quality_drop),
    Rule("daily", everyone, new_handset),
    Rule("weekly", mid_high, off_net_drift),
    Rule("daily", everyone, order_progress, always=True),
    Rule("daily", active, package_digest, always=True),
    Rule("monthly", active, package_overrun),
    Rule("monthly", active, plan_downgrade),
    Rule("daily", everyone, plan_withdrawal, always=True),
    Rule("weekly", everyone, repeat_contact),
    Rule("daily", active, roaming_data_use, baseline=True, step=roaming_step),
    Rule("monthly", active, spend_and_call_drop),
    Rule("daily", active, service_unusable, again=reported_a_fault),
    Rule("daily", everyone, suspended, exempt=True),
    Rule("daily", everyone, terminal_change),
    Rule("weekly", mid_high, weekly_call_drop),
)


# ---- runs and state ----


@dataclass
class Truth:
    """Who newly entered which moment when, and who was inside the exempt ones at each daily run."""

    entered: set[Firing] = field(default_factory=set)
    exempt: set[Firing] = field(default_factory=set)


@dataclass
class State:
    """What one rule remembers: that it ran, who is inside, and the highest step seen in which month."""

    ran: bool = False
    inside: set[str] = field(default_factory=set)
    steps: dict[str, tuple[date, int]] = field(default_factory=dict)


def population(facts: Facts, as_of: date) -> list[View]:
    """Returns the subscriptions in the network at a date."""
    rows = (latest(rows, "updated_on", as_of) for rows in facts.subscriptions.values())
    held = (row for row in rows if row and row["status"] != "closed" and row["joined_on"])
    return [View(facts, row, as_of) for row in held if row["joined_on"] <= as_of]


def read_truth(folder: Path, runs: Iterable[Run] = RUNS) -> Truth:
    """Returns the exact truth of the extracts in a folder for cycle runs in their order."""
    facts, truth = read_facts(folder), Truth()
    states = {rule.moment: State() for rule in RULES}
    for cycle, as_of in runs:
        views = population(facts, as_of)
        for rule in (rule for rule in RULES if rule.cycle == cycle):
            holds = {view.id: all_of(rule.audience(view), rule.when(view)) for view in views}
            state = states[rule.moment]
            if rule.exempt:
                truth.exempt |= {(who, rule.moment, as_of) for who, true in holds.items() if true}
            elif rule.always:
                truth.entered |= {(who, rule.moment, as_of) for who, true in holds.items() if true}
            elif rule.step:
                reached = {view.id: rule.step(view) for view in views if holds[view.id]}
                truth.entered |= {(who, rule.moment, as_of) for who in new_steps(state, reached, as_of)}
            else:
                entered = newly_inside(state, holds)
                if rule.again:
                    entered |= {view.id for view in views if holds[view.id] and rule.again(view)}
                if state.ran or not rule.baseline:
                    truth.entered |= {(who, rule.moment, as_of) for who in entered}
            state.ran = True
    return truth


def newly_inside(state: State, holds: Mapping[str, bool | None]) -> set[str]:
    """Moves the state on and returns who is inside now and was not before; unknown changes nothing."""
    before = state.inside
    state.inside = {who for who, true in holds.items() if true or (true is None and who in before)}
    return state.inside - before


def new_steps(state: State, reached: Mapping[str, int], as_of: date) -> set[str]:
    """Moves the steps seen on and returns who reached a higher one; each month begins anew."""
    month, higher = as_of.replace(day=1), set()
    for who, step in reached.items():
        seen_in, seen = state.steps.get(who, (month, 0))
        seen = seen if seen_in == month else 0
        if step > seen:
            higher.add(who)
            state.steps[who] = (month, step)
    return higher if state.ran else set()


def main(arguments: Sequence[str]) -> None:
    """Writes the truth, each row marked as planted or chance when the planted truth is given."""
    folder, out, planted_file = Path(arguments[0]), Path(arguments[1]), arguments[2:3]
    planted = set()
    if planted_file:
        with Path(planted_file[0]).open(encoding="utf-8", newline="") as file:
            planted = {(row["subscription_id"], row["moment"], row["date"]) for row in csv.DictReader(file)}
    truth = read_truth(folder)
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("subscription_id", "moment", "date", "state", "origin"))
        for state, firings in (("entered", truth.entered), ("inside", truth.exempt)):
            for who, what, when in sorted(firings):
                row = (who, what, when.isoformat())
                origin = ("planted" if row in planted else "chance") if planted_file else ""
                writer.writerow((*row, state, origin))


if __name__ == "__main__":
    main(sys.argv[1:])
