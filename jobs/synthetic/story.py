"""What a planted story may set for its customer.

A planted customer is plain: bills flat, no complaints, one old handset, one service. The story sets what
differs, to the fen, second and day, and says at which ``as_of`` dates its moment is then true.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

from jobs.synthetic.timeline import LAST, day

LOW: Final = 66.0
MID: Final = 168.0
BELOW_MID: Final = 119.99
"""Bills a month that put the customer in a value tier."""

LAST_DAY: Final = (LAST,)
DAY_BEFORE: Final = (LAST - 1,)
BOTH_DAYS: Final = (LAST - 1, LAST)

Truths: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]
"""Moments and the as_of dates at which each is true."""

CYCLES: Final = {
    "arrears_before_suspension": "daily",
    "bill_surge": "monthly",
    "bill_slump": "monthly",
    "birthday": "daily",
    "calling_circle_shrink": "weekly",
    "complaint": "daily",
    "contract_ending": "daily",
    "contract_lapse": "daily",
    "data_enquiry_follow_up": "monthly",
    "data_package_use": "daily",
    "do_not_disturb": "daily",
    "first_bill_new_tariff": "monthly",
    "first_bill_query": "daily",
    "first_data_use": "daily",
    "first_roaming_arrival": "daily",
    "first_service_activation": "daily",
    "intl_roaming_enabled": "daily",
    "join_anniversary": "daily",
    "leave_signal": "daily",
    "low_balance": "daily",
    "monthly_spend_drop": "monthly",
    "network_quality_drop": "weekly",
    "new_handset": "daily",
    "off_net_drift": "weekly",
    "order_progress": "daily",
    "package_overrun": "monthly",
    "plan_downgrade": "monthly",
    "plan_withdrawal": "daily",
    "repeat_contact": "weekly",
    "roaming_data_use": "daily",
    "service_unusable": "daily",
    "spend_and_call_drop": "monthly",
    "suspended": "daily",
    "terminal_change": "daily",
    "weekly_call_drop": "weekly",
}


def in_2026(month: int, day_of_month: int) -> int:
    """Returns the day number of a date in 2026."""
    return day(2026, month, day_of_month)


class Calls(NamedTuple):
    """Call seconds spread evenly over the days from ``first`` to ``last``, one call a day.

    The calls go in turn to so many contacts on the own network and on rival ones; to whomever chance has it
    when neither is given.
    """

    first: int
    last: int
    seconds: int
    own: int = 0
    rivals: int = 0


class Terminal(NamedTuple):
    """A handset first seen on a day, and how many models the operator says were used."""

    day: int
    model: str
    models_used: int | None = None


class Service(NamedTuple):
    """A service of a family started or ended."""

    day: int
    family: str
    action: str = "start"


class Balance(NamedTuple):
    """Balance and arrears from a day on."""

    since: int
    balance: float
    arrears: float = 0.0
    arrears_3m_ago: float = 0.0
    suspends_on: int | None = None


class Quiet(NamedTuple):
    """A do-not-disturb setting."""

    first: int
    last: int | None = None


class Contact(NamedTuple):
    """A contact with customer service, by a channel that chance chooses when none is given."""

    day: int
    topic: str = "bill"
    channel: str | None = None


class Complaint(NamedTuple):
    """A complaint, and the day it was closed."""

    opened: int
    closed: int | None = None


class Fault(NamedTuple):
    """A fault of a service, the day it was mended, and the day for which a visit is booked at once."""

    reported: int
    family: str = "broadband"
    mended: int | None = None
    visit: int | None = None


class Signal(NamedTuple):
    """A signalling event; abroad there is no province."""

    day: int
    kind: str = "attach"
    country: str = "CN"
    province: str | None = None


class PlanChange(NamedTuple):
    """Another tariff plan from a day on."""

    day: int
    plan: str


class Suspension(NamedTuple):
    """A suspension from a day on, and the day service came back."""

    first: int
    resumed: int | None = None


@dataclass(frozen=True)
class Story:
    """One planted story: its moment, when it is true, and what it sets.

    ``dates`` holds the as_of dates at which the moment newly fires (or, for exempt moments, holds); empty for
    a near miss. ``also`` names further moments that are true by design. ``data_mb`` is what May holds
    before its last day and in all, ``only_data`` all the days with data there ever were, ``abroad_mb`` days
    with data in other countries.
    """

    moment: str
    name: str
    dates: tuple[int, ...] = ()
    also: Truths = ()
    city: str | None = None
    plan: str | None = None
    numbers: int = 1
    spend: float = LOW
    bills: tuple[float, ...] | None = None
    out_of_package: float = 0.0
    back_charge: float = 0.0
    birthday: tuple[int, int] | None = None
    lunar_birthday: str | None = None
    joined: int | None = None
    contract_ends: int | None = None
    plan_change: PlanChange | None = None
    suspension: Suspension | None = None
    quiet: Quiet | None = None
    calls: tuple[Calls, ...] = ()
    data_mb: tuple[int, int] | None = None
    only_data: tuple[tuple[int, int], ...] = ()
    abroad_mb: tuple[tuple[int, int], ...] = ()
    signals: tuple[Signal, ...] = ()
    network: tuple[tuple[int, int], ...] = ()
    contacts: tuple[Contact, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    faults: tuple[Fault, ...] = ()
    services: tuple[Service, ...] = ()
    terminals: tuple[Terminal, ...] = ()
    balances: tuple[Balance, ...] = ()

    @property
    def monthly_bills(self) -> tuple[float, ...]:
        """The six monthly bills in yuan."""
        return self.bills or (self.spend,) * 6

    @property
    def label(self) -> str:
        """How the story is named in the truth files."""
        return f"{self.moment}:{self.name}" + ("" if self.dates else ":just_miss")


def stories_of(moment: str, **common: Any) -> Callable[..., Story]:
    """Returns a constructor of stories of one moment that share what they set.

    >>> hit = stories_of("birthday", spend=MID)
    >>> hit("in_three_days", LAST_DAY, birthday=(6, 3)).label
    'birthday:in_three_days'
    """
    shared = Story(moment, "shared", **common)

    def tell(name: str, dates: tuple[int, ...] = (), also: Truths = (), **sets: Any) -> Story:
        return replace(shared, name=name, dates=dates, also=also, **sets)

    return tell
