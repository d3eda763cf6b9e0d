"""Planted stories of reminders: use abroad, orders on their way, plans that go; and of lunar birthdays."""

from typing import Final

from jobs.synthetic.story import (
    DAY_BEFORE,
    LAST_DAY,
    MID,
    Contact,
    Fault,
    PlanChange,
    Quiet,
    Story,
    Terminal,
    in_2026,
    stories_of,
)
from jobs.synthetic.timeline import day

_LAST = in_2026(5, 31)
_REPORTED = in_2026(5, 29)

_roaming = stories_of("roaming_data_use")
_enquiry = stories_of("data_enquiry_follow_up")
_order = stories_of("order_progress")
_withdrawal = stories_of("plan_withdrawal", plan="P008")

_handset = stories_of("new_handset")
_lunar = stories_of("birthday", spend=MID, birthday=(6, 3))

REMINDERS: Final[tuple[Story, ...]] = (
    _roaming("reaches_20", LAST_DAY, abroad_mb=((in_2026(5, 20), 12), (_LAST, 8))),
    _roaming("reaches_40", LAST_DAY, abroad_mb=((in_2026(5, 10), 25), (_LAST, 20))),
    _roaming("stays_below_20", abroad_mb=((_LAST, 19),)),
    _roaming("no_new_step", abroad_mb=((in_2026(5, 10), 25), (_LAST, 5))),
    _roaming("of_last_month", abroad_mb=((in_2026(4, 28), 60),)),
    _enquiry("asked_yesterday", LAST_DAY, contacts=(Contact(_LAST - 1, "data", "hotline"),)),
    _enquiry("asked_92_days_ago", LAST_DAY, contacts=(Contact(_LAST - 92, "data", "hotline"),)),
    _enquiry("asked_93_days_ago", contacts=(Contact(_LAST - 93, "data", "hotline"),)),
    _enquiry("asked_in_the_app", contacts=(Contact(_LAST - 1, "data", "app"),)),
    _enquiry("asked_for_a_plan", contacts=(Contact(_LAST - 1, "plan", "hotline"),)),
    _order("accepted", LAST_DAY, (("service_unusable", LAST_DAY),), faults=(Fault(_LAST),)),
    _order("mended", LAST_DAY, faults=(Fault(_REPORTED, mended=_LAST),)),
    _order("visit_on_the_next_day", LAST_DAY, faults=(Fault(_REPORTED, visit=in_2026(6, 2)),)),
    _order("visit_later", faults=(Fault(_REPORTED, visit=in_2026(6, 3)),)),
    _order("no_new_stage", faults=(Fault(_REPORTED),)),
    _withdrawal("in_seven_days", LAST_DAY),
    _withdrawal("of_both_numbers", LAST_DAY, numbers=2),
    _withdrawal("moved_in_time", plan_change=PlanChange(in_2026(5, 28), "P018")),
    _withdrawal("of_another_plan", plan="P018"),
    # 3 June 2026 is the 18th day of the fourth month.
    _lunar("by_the_lunar_calendar", LAST_DAY, birthday=(11, 7), lunar_birthday="04-18"),
    _lunar("by_the_lunar_calendar_later", lunar_birthday="04-19"),
    # Not disturbed for a day, the customer is called on the next.
    _handset(
        "on_a_quiet_day",
        DAY_BEFORE,
        (("do_not_disturb", DAY_BEFORE),),
        quiet=Quiet(_LAST, _LAST),
        terminals=(Terminal(day(2024, 6, 15), "Mate 40"), Terminal(_LAST - 1, "Mate 60")),
    ),
)
