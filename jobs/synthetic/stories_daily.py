"""Planted stories of the daily moments: first uses, complaints, money running out, birthdays, reminders."""

from typing import Any, Final

from jobs.synthetic.story import (
    BELOW_MID,
    BOTH_DAYS,
    DAY_BEFORE,
    LAST_DAY,
    LOW,
    MID,
    Balance,
    Calls,
    Complaint,
    Contact,
    Fault,
    Quiet,
    Service,
    Signal,
    Story,
    Suspension,
    Terminal,
    in_2026,
    stories_of,
)
from jobs.synthetic.timeline import day

_LAST = in_2026(5, 31)
_SINCE_MAY = in_2026(5, 1)
_OLD_HANDSET = Terminal(day(2024, 6, 15), "Mate 40")
_SUSPENDED = Suspension(in_2026(5, 20))
_IS_SUSPENDED = (("suspended", BOTH_DAYS),)
_OPEN_ENDED = Quiet(in_2026(3, 1))
_IS_QUIET = (("do_not_disturb", BOTH_DAYS),)


def _owes(
    amount: float, suspends_on: int | None, three_months: float = 0.0, since: int = _SINCE_MAY
) -> tuple[Balance]:
    return (Balance(since, -amount, amount, three_months, suspends_on),)


def _falls_to(balance: float, before: float = 60.0) -> tuple[Balance, Balance]:
    return (Balance(_SINCE_MAY, before), Balance(_LAST, balance))


def _switched_off(since: int, called_on: int | None = None, *later: Signal) -> dict[str, Any]:
    """No call from a day on, no data in May, and the phone's last signal: switched off."""
    silent = (Calls(since, _LAST, 0),)
    called = () if called_on is None else (Calls(called_on, called_on, 60),)
    return {
        "calls": (Calls(in_2026(5, 1), since - 1, 3_000), *silent, *called),
        "data_mb": (0, 0),
        "signals": (Signal(since, "power_off", province="江苏"), *later),
    }


_arrears = stories_of("arrears_before_suspension")
_birthday = stories_of("birthday", spend=MID)
_complaint = stories_of("complaint")
_BOTH_DAYS = (*DAY_BEFORE, *LAST_DAY)
_data_use = stories_of("data_package_use", plan="P088")
_bill_query = stories_of("first_bill_query", spend=MID)
_first_service = stories_of("first_service_activation", spend=MID)
_intl_roaming = stories_of("intl_roaming_enabled")
_low_balance = stories_of("low_balance", spend=150.0)
_handset = stories_of("new_handset")
_anniversary = stories_of("join_anniversary", spend=MID)
_lapse = stories_of("contract_lapse")
_ending = stories_of("contract_ending")
_first_data = stories_of("first_data_use")
_arrival = stories_of("first_roaming_arrival")
_leaving = stories_of("leave_signal")
_fault = stories_of("service_unusable")
_worse_handset = stories_of("terminal_change")
_IS_NEW_HANDSET = (("new_handset", LAST_DAY),)
_AT_HOME = Signal(in_2026(5, 1), province="江苏")

DAILY: Final[tuple[Story, ...]] = (
    _arrears("five_days_left", LAST_DAY, balances=_owes(45.60, in_2026(6, 5))),
    _arrears("five_days_left_a_day_earlier", DAY_BEFORE, balances=_owes(45.60, in_2026(6, 4))),
    _arrears("long_in_arrears", LAST_DAY, balances=_owes(25.00, None, three_months=25.00, since=_LAST)),
    _arrears("least_amount", LAST_DAY, balances=_owes(10.00, in_2026(6, 5))),
    _arrears(
        "already_suspended",
        also=_IS_SUSPENDED,
        suspension=_SUSPENDED,
        balances=_owes(80.00, in_2026(5, 20)),
    ),
    _arrears("suspended_tomorrow", DAY_BEFORE, balances=_owes(45.60, _LAST)),
    _arrears("day_of_suspension", balances=_owes(45.60, _LAST - 1)),
    _arrears("day_has_passed", balances=_owes(45.60, _LAST - 3)),
    _arrears(
        "suspended_before_the_day",
        also=_IS_SUSPENDED,
        suspension=_SUSPENDED,
        balances=_owes(80.00, in_2026(6, 3)),
    ),
    _arrears("too_little", balances=_owes(9.99, in_2026(6, 5))),
    _arrears("six_days_left", balances=_owes(45.60, in_2026(6, 6))),
    _arrears("no_suspension_planned", balances=_owes(60.00, None)),
    _birthday("in_three_days", LAST_DAY, birthday=(6, 3)),
    _birthday("in_three_days_a_day_earlier", DAY_BEFORE, birthday=(6, 2)),
    _birthday("in_four_days", birthday=(6, 4)),
    _birthday("of_low_value", spend=BELOW_MID, birthday=(6, 3)),
    _anniversary("in_three_days", LAST_DAY, joined=day(2020, 6, 3)),
    _anniversary("in_three_days_a_day_earlier", DAY_BEFORE, joined=day(2019, 6, 2)),
    _anniversary("in_four_days", joined=day(2020, 6, 4)),
    _anniversary("of_low_value", spend=BELOW_MID, joined=day(2020, 6, 3)),
    _lapse("ended_yesterday", LAST_DAY, contract_ends=_LAST - 1),
    _lapse("ended_yesterday_on_mid_value", LAST_DAY, spend=MID, contract_ends=_LAST - 1),
    _lapse("ends_today", contract_ends=_LAST),
    _lapse("ended_before_the_first_run", contract_ends=_LAST - 2),
    _lapse("of_suspended", also=_IS_SUSPENDED, suspension=_SUSPENDED, contract_ends=_LAST - 1),
    _ending("in_thirty_days", LAST_DAY, contract_ends=_LAST + 30),
    _ending("in_thirty_days_on_both_numbers", LAST_DAY, numbers=2, contract_ends=_LAST + 30),
    _ending("in_thirty_one_days", contract_ends=_LAST + 31),
    _ending("near_at_the_first_run", contract_ends=_LAST + 29),
    _complaint("opened", LAST_DAY, spend=MID, complaints=(Complaint(_LAST),)),
    # Phoned about the complaint, the customer is not phoned again on the next day: a cap.
    _complaint(
        "opened_a_day_earlier",
        DAY_BEFORE,
        _IS_NEW_HANDSET,
        complaints=(Complaint(_LAST - 1),),
        terminals=(_OLD_HANDSET, Terminal(_LAST, "Mate 60")),
    ),
    _complaint("open_for_seven_days", LAST_DAY, spend=360.0, complaints=(Complaint(in_2026(5, 24)),)),
    _complaint("on_both_numbers", LAST_DAY, numbers=2, complaints=(Complaint(_LAST),)),
    _complaint("on_do_not_disturb", LAST_DAY, _IS_QUIET, quiet=_OPEN_ENDED, complaints=(Complaint(_LAST),)),
    _complaint(
        "on_suspended", LAST_DAY, _IS_SUSPENDED, suspension=_SUSPENDED, complaints=(Complaint(_LAST),)
    ),
    _complaint("again_next_day", _BOTH_DAYS, complaints=(Complaint(_LAST - 1), Complaint(_LAST))),
    _complaint(
        "again_while_open_for_long",
        _BOTH_DAYS,
        complaints=(Complaint(in_2026(5, 20)), Complaint(_LAST)),
    ),
    _complaint("closed_on_the_day", complaints=(Complaint(_LAST, _LAST),)),
    _complaint("closed_in_time", complaints=(Complaint(in_2026(5, 22), in_2026(5, 30)),)),
    _complaint("open_for_six_days", complaints=(Complaint(in_2026(5, 25)),)),
    _data_use("reaches_80", LAST_DAY, data_mb=(15_000, 16_384)),
    _data_use("reaches_80_by_rounding", LAST_DAY, data_mb=(15_000, 16_383)),
    _data_use("reaches_100", LAST_DAY, data_mb=(19_000, 20_480)),
    _data_use("reaches_200", LAST_DAY, data_mb=(40_000, 40_960)),
    _data_use("jumps_two_steps", LAST_DAY, data_mb=(10_000, 45_000)),
    _data_use("stays_below_80", data_mb=(15_000, 16_382)),
    _data_use("no_new_step", data_mb=(16_500, 20_000)),
    _data_use("of_suspended", also=_IS_SUSPENDED, suspension=_SUSPENDED, data_mb=(15_000, 16_500)),
    _first_data("first_ever", LAST_DAY, only_data=((_LAST, 120),)),
    _first_data("first_ever_a_day_earlier", DAY_BEFORE, only_data=((_LAST - 1, 120), (_LAST, 90))),
    _first_data("used_in_april", only_data=((in_2026(4, 4), 5), (_LAST, 120))),
    _first_data("used_the_day_before", only_data=((in_2026(5, 29), 5), (_LAST, 120))),
    _first_data("of_suspended", also=_IS_SUSPENDED, suspension=_SUSPENDED, only_data=((_LAST, 120),)),
    _arrival("abroad", LAST_DAY, signals=(_AT_HOME, Signal(_LAST, country="JP"))),
    _arrival("abroad_a_day_earlier", DAY_BEFORE, signals=(_AT_HOME, Signal(_LAST - 1, country="JP"))),
    _arrival(
        "in_two_countries", BOTH_DAYS, signals=(Signal(_LAST - 1, country="SG"), Signal(_LAST, country="TH"))
    ),
    _arrival("in_shanghai", LAST_DAY, spend=MID, signals=(_AT_HOME, Signal(_LAST, province="上海"))),
    _arrival(
        "abroad_again", signals=(Signal(in_2026(4, 8), country="JP"), Signal(_LAST, "detach", country="JP"))
    ),
    _arrival("in_shanghai_of_low_value", signals=(_AT_HOME, Signal(_LAST, province="上海"))),
    _arrival("first_seen_at_home", spend=MID, signals=(Signal(_LAST, province="江苏"),)),
    _leaving("asked", LAST_DAY, contacts=(Contact(_LAST, "port_out"),)),
    _leaving("asked_a_day_earlier", DAY_BEFORE, contacts=(Contact(_LAST - 1, "port_out"),)),
    _leaving("asked_twice", BOTH_DAYS, contacts=(Contact(_LAST - 1, "port_out"), Contact(_LAST, "port_out"))),
    _leaving("switched_off", LAST_DAY, **_switched_off(_LAST - 7)),
    _leaving("switched_off_a_day_earlier", DAY_BEFORE, **_switched_off(_LAST - 8)),
    _leaving("asked_for_a_plan", contacts=(Contact(_LAST, "plan"),)),
    _leaving("switched_off_for_six_days", **_switched_off(_LAST - 6)),
    _leaving("called_meanwhile", **_switched_off(_LAST - 9, _LAST - 5)),
    _leaving("switched_on_again", **_switched_off(_LAST - 9, None, Signal(_LAST - 2, "power_on"))),
    _leaving(
        "of_suspended",
        also=_IS_SUSPENDED,
        suspension=_SUSPENDED,
        contacts=(Contact(_LAST, "port_out"),),
    ),
    _worse_handset(
        "simpler", LAST_DAY, _IS_NEW_HANDSET, terminals=(_OLD_HANDSET, Terminal(_LAST, "老人机 L8"))
    ),
    _worse_handset(
        "simpler_a_day_earlier",
        DAY_BEFORE,
        (("new_handset", DAY_BEFORE),),
        terminals=(_OLD_HANDSET, Terminal(_LAST - 1, "OPPO A5")),
    ),
    _worse_handset(
        "swings",
        LAST_DAY,
        _IS_NEW_HANDSET,
        terminals=(
            _OLD_HANDSET,
            Terminal(in_2026(5, 2), "Mate 60"),
            Terminal(in_2026(5, 20), "Mate 40"),
            Terminal(_LAST, "Mate 60"),
        ),
    ),
    _worse_handset(
        "swung_before",
        also=_IS_NEW_HANDSET,
        terminals=(
            _OLD_HANDSET,
            Terminal(in_2026(5, 1), "Mate 60"),
            Terminal(in_2026(5, 20), "Mate 40"),
            Terminal(_LAST, "Mate 60"),
        ),
    ),
    _worse_handset("two_days_ago", terminals=(_OLD_HANDSET, Terminal(_LAST - 2, "老人机 L8"))),
    _fault("reported", LAST_DAY, faults=(Fault(_LAST),)),
    _fault("reported_a_day_earlier", DAY_BEFORE, faults=(Fault(_LAST - 1, "video"),)),
    _fault("reported_on_both_days", BOTH_DAYS, faults=(Fault(_LAST - 1), Fault(_LAST, "cloud"))),
    _fault("open_for_three_days", LAST_DAY, faults=(Fault(in_2026(5, 28)),)),
    _fault("mended_on_the_day", faults=(Fault(_LAST, mended=_LAST),)),
    _fault("open_for_two_days", faults=(Fault(in_2026(5, 29)),)),
    _fault("mended_in_time", faults=(Fault(in_2026(5, 27), mended=_LAST - 1),)),
    _fault("of_suspended", also=_IS_SUSPENDED, suspension=_SUSPENDED, faults=(Fault(_LAST),)),
    _bill_query("asked", LAST_DAY, contacts=(Contact(_LAST),)),
    _bill_query("asked_a_day_earlier", DAY_BEFORE, contacts=(Contact(_LAST - 1),)),
    _bill_query("asked_61_days_before", LAST_DAY, contacts=(Contact(in_2026(3, 31)), Contact(_LAST))),
    _bill_query("on_do_not_disturb", LAST_DAY, _IS_QUIET, quiet=_OPEN_ENDED, contacts=(Contact(_LAST),)),
    _bill_query("asked_60_days_before", contacts=(Contact(in_2026(4, 1)), Contact(_LAST))),
    _bill_query("asked_for_a_plan", contacts=(Contact(_LAST, "plan"),)),
    _bill_query("of_low_value", spend=BELOW_MID, contacts=(Contact(_LAST),)),
    _first_service("new_family", LAST_DAY, services=(Service(_LAST, "cloud"),)),
    _first_service("new_family_a_day_earlier", DAY_BEFORE, services=(Service(_LAST - 1, "video"),)),
    _first_service(
        "family_used_before",
        services=(
            Service(in_2026(1, 10), "cloud"),
            Service(in_2026(3, 10), "cloud", "end"),
            Service(_LAST, "cloud"),
        ),
    ),
    _first_service("of_low_value", spend=BELOW_MID, services=(Service(_LAST, "cloud"),)),
    _intl_roaming("switched_on", LAST_DAY, services=(Service(_LAST, "intl_roaming"),)),
    _intl_roaming("switched_on_a_day_earlier", DAY_BEFORE, services=(Service(_LAST - 1, "intl_roaming"),)),
    _intl_roaming(
        "of_mid_value",
        LAST_DAY,
        (("first_service_activation", LAST_DAY),),
        spend=MID,
        services=(Service(_LAST, "intl_roaming"),),
    ),
    _intl_roaming("two_days_before", services=(Service(_LAST - 2, "intl_roaming"),)),
    _intl_roaming(
        "of_suspended", also=_IS_SUSPENDED, suspension=_SUSPENDED, services=(Service(_LAST, "intl_roaming"),)
    ),
    _low_balance("below_three_days", LAST_DAY, city="扬州", balances=_falls_to(14.70)),
    _low_balance("of_high_value", LAST_DAY, city="南通", spend=360.0, balances=_falls_to(35.00)),
    _low_balance("four_days_in_nanjing", LAST_DAY, city="南京", balances=_falls_to(17.50)),
    _low_balance("below_two_days_in_suzhou", LAST_DAY, city="苏州", balances=_falls_to(9.50)),
    _low_balance("three_days_by_rounding", city="无锡", balances=_falls_to(14.80)),
    _low_balance("three_days_in_suzhou", city="苏州", balances=_falls_to(12.50)),
    _low_balance("low_before", city="常州", balances=_falls_to(9.00, before=14.00)),
    _low_balance("in_arrears", city="徐州", balances=(Balance(_SINCE_MAY, 60.0), Balance(_LAST, 5.0, 0.01))),
    _handset("second_model", LAST_DAY, terminals=(_OLD_HANDSET, Terminal(_LAST, "Mate 60"))),
    _handset(
        "second_model_a_day_earlier", DAY_BEFORE, terminals=(_OLD_HANDSET, Terminal(_LAST - 1, "小米 14"))
    ),
    _handset("counted_by_the_operator", LAST_DAY, spend=LOW, terminals=(Terminal(_LAST, "iPhone 15", 3),)),
    _handset("two_days_old", terminals=(_OLD_HANDSET, Terminal(_LAST - 2, "Mate 60"))),
    _handset("first_ever", terminals=(Terminal(_LAST, "Mate 60"),)),
    _handset("same_model_again", terminals=(_OLD_HANDSET, Terminal(_LAST, "Mate 40"))),
)
