"""Planted stories of the weekly, monthly and exempt moments."""

from typing import Final

from jobs.synthetic.story import (
    BELOW_MID,
    BOTH_DAYS,
    DAY_BEFORE,
    LAST_DAY,
    MID,
    Calls,
    Contact,
    PlanChange,
    Quiet,
    Story,
    Suspension,
    in_2026,
    stories_of,
)

_APRIL, _MAY, _LAST = in_2026(4, 1), in_2026(5, 1), in_2026(5, 31)
_LAST_WEEK = in_2026(5, 25)
_FOUR_WEEKS = in_2026(4, 27)


def _weeks(usual: int, last_week: int) -> tuple[Calls, ...]:
    """Call seconds in all of the four weeks before the last one, and in the last one."""
    return (
        Calls(_APRIL, _FOUR_WEEKS - 1, usual),
        Calls(_FOUR_WEEKS, _LAST_WEEK - 1, usual),
        Calls(_LAST_WEEK, _LAST, last_week),
    )


def _months(april: int, may: int) -> tuple[Calls, ...]:
    """Call seconds in April and in May."""
    return (Calls(_APRIL, _MAY - 1, april), Calls(_MAY, _LAST, may))


def _to(*last: float, base: float = 100.0) -> tuple[float, ...]:
    """Six bills: the base, until the last ones given."""
    return (base,) * (6 - len(last)) + last


def _trouble(usual: int, last_week: int) -> tuple[tuple[int, int], ...]:
    """Network troubles on one day of each of the four weeks before the last, and in the last."""
    return (*((_FOUR_WEEKS + 7 * week + 1, usual) for week in range(4)), (_LAST - 3, last_week))


def _circle(usual: int, lately: int) -> tuple[Calls, ...]:
    """A call a day, to so many contacts until 3 May and in the last 28 days."""
    turn = in_2026(5, 4)
    return (
        Calls(_APRIL, turn - 1, 300 * (turn - _APRIL), own=usual),
        Calls(turn, _LAST, 300 * 28, own=lately),
    )


def _rivals(april: tuple[int, int], may: tuple[int, int]) -> tuple[Calls, ...]:
    """A call a day, to contacts on the own network and on rival ones in April and in May."""
    return (
        Calls(_APRIL, _MAY - 1, 300 * 30, *april),
        Calls(_MAY, _LAST, 300 * 31, *may),
    )


def _contacts(topic: str, *days: tuple[int, int]) -> tuple[Contact, ...]:
    return tuple(Contact(in_2026(*on), topic) for on in days)


_surge = stories_of("bill_surge")
_slump = stories_of("bill_slump")
_downgrade = stories_of("plan_downgrade")
_first_bill = stories_of("first_bill_new_tariff")
_shrink = stories_of("calling_circle_shrink", spend=MID)
_drift = stories_of("off_net_drift", spend=MID)
_repeat = stories_of("repeat_contact")
_spend_drop = stories_of("monthly_spend_drop")
_stacked = stories_of("spend_and_call_drop", calls=_months(18_000, 10_800))
_overrun = stories_of("package_overrun", spend=88.0)
_call_drop = stories_of("weekly_call_drop", spend=MID)
_network = stories_of("network_quality_drop")
_quiet = stories_of("do_not_disturb")
_suspended = stories_of("suspended")

_TOPICS: Final = ("network", "service", "data")
_AWAY: Final = Suspension(in_2026(5, 20))
_IS_AWAY: Final = (("suspended", BOTH_DAYS),)
_SLUMPS: Final = (("bill_slump", LAST_DAY),)
_IS_NEW_ON_PLAN: Final = (("first_bill_new_tariff", LAST_DAY),)

CYCLIC: Final[tuple[Story, ...]] = (
    _surge("half_as_much_again", LAST_DAY, city="无锡", bills=_to(150.0)),
    _surge("by_rounding", LAST_DAY, city="南通", bills=_to(299.99, base=200.0)),
    _surge("two_fifths_in_nanjing", LAST_DAY, city="南京", bills=_to(175.0, base=125.0)),
    _surge("three_fifths_in_suzhou", LAST_DAY, city="苏州", bills=_to(160.0)),
    _surge(
        "on_do_not_disturb",
        LAST_DAY,
        (("do_not_disturb", BOTH_DAYS),),
        city="徐州",
        quiet=Quiet(in_2026(4, 15), in_2026(9, 30)),
        bills=_to(180.0),
    ),
    _surge("less_than_half", city="无锡", bills=_to(299.98, base=200.0)),
    _surge("few_yuan", city="常州", bills=_to(129.99, base=80.0)),
    _surge("less_in_nanjing", city="南京", bills=_to(181.99, base=130.0)),
    _surge("half_in_suzhou", city="苏州", bills=_to(155.0)),
    _surge("of_suspended", also=_IS_AWAY, suspension=_AWAY, city="无锡", bills=_to(180.0)),
    _spend_drop("a_fifth_twice", LAST_DAY, bills=_to(80.0, 64.0)),
    _spend_drop("steep", LAST_DAY, _SLUMPS, city="无锡", bills=_to(70.0, 45.0)),
    _spend_drop("by_rounding", LAST_DAY, bills=_to(160.01, 128.0, base=200.0)),
    _spend_drop("less_than_a_fifth", bills=_to(80.02, 60.0)),
    _spend_drop("of_suspended", also=_IS_AWAY, suspension=_AWAY, bills=_to(70.0, 45.0)),
    _spend_drop("once", bills=_to(60.0)),
    _stacked("both", LAST_DAY, city="泰州", bills=_to(70.0)),
    _stacked("a_quarter_in_nanjing", LAST_DAY, city="南京", bills=_to(75.0)),
    _stacked("more_in_suzhou", LAST_DAY, city="苏州", bills=_to(65.0)),
    _stacked("of_suspended", also=_IS_AWAY, suspension=_AWAY, city="泰州", bills=_to(70.0)),
    _stacked("spend_only", city="盐城", bills=_to(70.0), calls=_months(18_000, 10_804)),
    _stacked("calls_only", city="盐城", bills=_to(70.01)),
    _stacked("a_third_in_suzhou", city="苏州", bills=_to(66.0)),
    _slump("half", LAST_DAY, city="无锡", bills=_to(50.0)),
    _slump("by_rounding", LAST_DAY, city="南通", bills=_to(100.01, base=200.0)),
    _slump("less_in_nanjing", LAST_DAY, city="南京", bills=_to(55.0)),
    _slump("more_in_suzhou", LAST_DAY, city="苏州", bills=_to(45.0)),
    _slump("less_than_half", city="无锡", bills=_to(100.02, base=200.0)),
    _slump("few_yuan", city="无锡", bills=_to(29.01, base=59.0)),
    _slump("half_in_suzhou", city="苏州", bills=_to(50.0)),
    _slump("of_suspended", also=_IS_AWAY, suspension=_AWAY, city="无锡", bills=_to(40.0)),
    _downgrade("in_mid_month", LAST_DAY, plan="P128", plan_change=PlanChange(in_2026(5, 12), "P088")),
    _downgrade("on_the_first", LAST_DAY, _IS_NEW_ON_PLAN, plan="P128", plan_change=PlanChange(_MAY, "P088")),
    _downgrade("few_yuan", plan="P028", plan_change=PlanChange(in_2026(5, 12), "P019")),
    _downgrade("upgrade", plan="P088", plan_change=PlanChange(in_2026(5, 12), "P128")),
    _downgrade(
        "a_month_earlier", also=_IS_NEW_ON_PLAN, plan="P128", plan_change=PlanChange(in_2026(4, 20), "P088")
    ),
    _downgrade(
        "of_suspended",
        also=_IS_AWAY,
        suspension=_AWAY,
        plan="P128",
        plan_change=PlanChange(in_2026(5, 12), "P088"),
    ),
    _first_bill("changed_in_april", LAST_DAY, plan="P088", plan_change=PlanChange(in_2026(4, 12), "P128")),
    _first_bill("changed_on_the_first", LAST_DAY, plan="P088", plan_change=PlanChange(_MAY, "P128")),
    _first_bill("joined_in_april", LAST_DAY, joined=in_2026(4, 10)),
    _first_bill("joined_on_the_first", LAST_DAY, joined=_MAY),
    _first_bill("joined_a_month_earlier", joined=_APRIL),
    _first_bill("joined_in_may", joined=in_2026(5, 2)),
    _first_bill("changed_a_month_earlier", plan="P088", plan_change=PlanChange(_APRIL, "P128")),
    _first_bill("changed_in_may", plan="P088", plan_change=PlanChange(in_2026(5, 2), "P128")),
    _first_bill("hardly_billed", joined=in_2026(4, 10), bills=(9.99,) * 6),
    _overrun("out_of_package", LAST_DAY, out_of_package=30.0),
    _overrun("with_back_charge", LAST_DAY, out_of_package=12.0, back_charge=18.0),
    _overrun("below", out_of_package=29.99),
    _overrun(
        "of_suspended",
        also=_IS_AWAY,
        suspension=_AWAY,
        out_of_package=45.0,
    ),
    _call_drop("seven_tenths", LAST_DAY, calls=_weeks(16_800, 1_260)),
    _call_drop("silence", LAST_DAY, calls=_weeks(4_800, 0)),
    _call_drop("less_than_seven_tenths", calls=_weeks(16_800, 1_262)),
    _call_drop("never_called_much", calls=_weeks(4_797, 0)),
    _call_drop("of_low_value", spend=BELOW_MID, calls=_weeks(16_800, 600)),
    _shrink("half", LAST_DAY, calls=_circle(10, 5)),
    _shrink("to_nearly_nobody", LAST_DAY, calls=_circle(8, 1)),
    _shrink("less_than_half", calls=_circle(10, 6)),
    _shrink("of_few", calls=_circle(7, 3)),
    _shrink("of_low_value", spend=BELOW_MID, calls=_circle(10, 5)),
    _drift("a_fifth", LAST_DAY, calls=_rivals((12, 3), (9, 6))),
    _drift("of_ten", LAST_DAY, calls=_rivals((8, 2), (5, 5))),
    _drift("less_than_a_fifth", calls=_rivals((12, 3), (10, 5))),
    _drift("of_few", calls=_rivals((7, 2), (4, 5))),
    _drift("of_low_value", spend=BELOW_MID, calls=_rivals((12, 3), (9, 6))),
    _repeat("three_times", LAST_DAY, contacts=_contacts("network", (5, 2), (5, 15), (5, 31))),
    _repeat("before_the_week", LAST_DAY, contacts=_contacts("service", (5, 5), (5, 15), (5, 16))),
    _repeat("twice", contacts=_contacts("network", (5, 15), (5, 31))),
    _repeat("on_three_topics", contacts=tuple(Contact(_LAST - n, t) for n, t in enumerate(_TOPICS))),
    _repeat("in_31_days", contacts=_contacts("network", (5, 1), (5, 15), (5, 31))),
    _network("three_times", LAST_DAY, network=_trouble(4, 12)),
    _network("out_of_nothing", LAST_DAY, network=_trouble(0, 8)),
    _network("many_in_a_month", LAST_DAY, network=_trouble(10, 10)),
    _network("less_than_three_times", network=_trouble(4, 11)),
    _network("few", network=_trouble(0, 7)),
    _network("fewer_in_a_month", network=_trouble(10, 9)),
    _quiet("from_the_dispatch_date", LAST_DAY, quiet=Quiet(in_2026(6, 1))),
    _quiet("current", BOTH_DAYS, quiet=Quiet(in_2026(5, 1), in_2026(6, 30))),
    _quiet("until_the_dispatch_date", BOTH_DAYS, quiet=Quiet(in_2026(5, 1), in_2026(6, 1))),
    _quiet("over_a_day_later", DAY_BEFORE, quiet=Quiet(in_2026(5, 1), _LAST)),
    _quiet("from_a_day_later", quiet=Quiet(in_2026(6, 2))),
    _quiet("over_a_day_before", quiet=Quiet(in_2026(5, 1), in_2026(5, 30))),
    _suspended("for_weeks", BOTH_DAYS, suspension=Suspension(in_2026(5, 10))),
    _suspended("on_the_last_day", LAST_DAY, suspension=Suspension(_LAST)),
    _suspended("resumed", suspension=Suspension(in_2026(5, 10), in_2026(5, 30))),
    _suspended("resumed_long_ago", suspension=Suspension(in_2026(4, 10), in_2026(4, 25))),
)
