"""Columns and delivery of every extract the province writes, and the rows that generators hand over."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jobs.synthetic.arrays import Ints
from jobs.synthetic.timeline import EVENT_PERIODS, MONTH_PERIODS, SNAPSHOT_PERIODS, STATE_PERIODS, Periods


class Batch(NamedTuple):
    """Rows for one extract: the day that decides each row's file, and the columns by name."""

    contract: str
    days: Ints
    columns: Mapping[str, Any]


class Layout(NamedTuple):
    """How an extract is laid out: its columns in order, its periods, the files written even when empty."""

    columns: tuple[str, ...]
    periods: Periods
    always: tuple[str, ...]


def _layout(columns: str, periods: Periods, always: tuple[str, ...] | None = None) -> Layout:
    return Layout(tuple(columns.split()), periods, periods.names if always is None else always)


def _state(columns: str) -> Layout:
    return _layout(columns, STATE_PERIODS)


def _rare_state(columns: str) -> Layout:
    """Delivered at first, and then when something has changed."""
    return _layout(columns, STATE_PERIODS, STATE_PERIODS.names[:1])


def _events(columns: str) -> Layout:
    return _layout(columns, EVENT_PERIODS)


_OLD_EVENTS: Final = EVENT_PERIODS._replace(
    names=("202603", *EVENT_PERIODS.names), last_days=(MONTH_PERIODS.last_days[3], *EVENT_PERIODS.last_days)
)


def _old_events(columns: str) -> Layout:
    return _layout(columns, _OLD_EVENTS)


LAYOUTS: Final[Mapping[str, Layout]] = {
    "customers": _state("customer_id updated_on name gender birth_date lunar_birthday city county"),
    "accounts": _state("account_id customer_id updated_on payment_method credit_class"),
    "household_products": _rare_state(
        "customer_id updated_on told_by household_id household_subscriptions broadband broadband_mbps "
        "broadband_ends_on rival_operator rival_ends_on tv bundle plan_id employer_id employer"
    ),
    "tariff_plans": _rare_state(
        "plan_id updated_on plan_name brand monthly_fee data_mb voice_minutes withdrawn_on"
    ),
    "subscriptions": _state(
        "subscription_id customer_id account_id updated_on number plan_id brand status joined_on "
        "contract_ends_on star_level data_mb city gender age_years mean_spend_3m plan_fee"
    ),
    "managers": _rare_state("manager_id updated_on city daily_visits"),
    "manager_leave": _rare_state(
        "manager_id from_date updated_on to_date status kind daily_visits stand_in_manager_id"
    ),
    "manager_assignments": _rare_state("customer_id updated_on manager_id"),
    "number_segments": _rare_state("prefix updated_on operator"),
    "do_not_disturb": _rare_state("customer_id updated_on from_date to_date"),
    "quiet_hours": _rare_state("customer_id updated_on quiet_from quiet_to"),
    "consents": _rare_state(
        "customer_id channel purpose updated_on status to_date obtained_through terms_version"
    ),
    "bills": _layout("subscription_id month total recurring out_of_package back_charge", MONTH_PERIODS),
    "usage_monthly": _layout(
        "subscription_id month voice_minutes calls data_mb messages contacts offnet_contacts "
        "roaming_minutes roaming_mb",
        MONTH_PERIODS,
    ),
    "balances": _layout(
        "subscription_id balance_date balance arrears arrears_3m_ago suspends_on", SNAPSHOT_PERIODS
    ),
    "voice_usage": _events("subscription_id started_at direction counterpart duration_s roaming"),
    "data_usage": _events("subscription_id used_on mb roaming_mb abroad_mb"),
    "message_usage": _events("subscription_id sent_at direction counterpart"),
    "roaming_signalling": _events("subscription_id occurred_at kind country province"),
    "network_quality": _events(
        "subscription_id measured_on dropped_calls blocked_calls poor_quality detaches"
    ),
    "payments": _events("payment_id subscription_id paid_on amount channel"),
    "service_contacts": _old_events("contact_id subscription_id contacted_at channel topic count"),
    "complaints": _old_events("complaint_id subscription_id stage occurred_on category channel count"),
    "service_subscriptions": _old_events("subscription_id service_id family action occurred_on"),
    "service_orders": _events(
        "order_id subscription_id kind stage occurred_at family service_id plan_id channel partner_id "
        "confirmed promised_on visit_from visit_to symptom reason"
    ),
    "terminals": _old_events(
        "subscription_id first_seen_on model vendor imei network_generation models_used"
    ),
    "surveys": _old_events("subscription_id answered_on question score"),
    "churn_labels": _old_events("subscription_id churned_on kind"),
}
