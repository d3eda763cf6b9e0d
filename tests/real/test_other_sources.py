"""Copenhagen and Comcast: what was loaded, and items of the view, found again by SQL over the files."""

import pytest
from crosscheck import DATA, CrossCheck

COPENHAGEN, COMCAST = DATA / "copenhagen-cdr", DATA / "comcast-complaints"
pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.real_data]


@pytest.fixture(scope="module")
def copenhagen(tmp_path_factory: pytest.TempPathFactory) -> CrossCheck:
    if not COPENHAGEN.is_dir():
        pytest.skip("the Copenhagen files are not in ../shared/data")
    check = CrossCheck()
    for name in ("calls", "sms", "genders"):
        check.raw(name, COPENHAGEN / f"{name}.csv")
    check.load("copenhagen", COPENHAGEN, tmp_path_factory.mktemp("copenhagen"))
    return check


@pytest.fixture(scope="module")
def comcast(tmp_path_factory: pytest.TempPathFactory) -> CrossCheck:
    if not COMCAST.is_dir():
        pytest.skip("the Comcast file is not in ../shared/data")
    check = CrossCheck()
    check.raw("tickets", COMCAST / "Comcast_telecom_complaints_data.csv")
    check.load("comcast", COMCAST, tmp_path_factory.mktemp("comcast"))
    return check


def test_every_call_and_message_is_loaded_for_both_ends(copenhagen: CrossCheck) -> None:
    calls = copenhagen.one("select count(*) from calls where duration <> '-1'")
    missed = copenhagen.one("select count(*) from calls where duration = '-1'")
    messages = copenhagen.one("select count(*) from sms")
    twice = messages - copenhagen.one("select count(*) from (select distinct * from sms)")
    assert calls > 2_000 and missed > 300 and twice > 0
    found = copenhagen.deliveries()
    for part in ("out", "in"):
        voice = (calls + missed, missed, calls, calls, 0, 0)
        assert found["voice_usage", "201403", part] == voice
        assert found["message_usage", "201403", part] == (messages, 0, messages, messages - twice, 0, twice)
    loaded = copenhagen.rows("select direction, sum(duration_s)::bigint from clean_voice_usage group by all")
    seconds = copenhagen.one("select sum(duration::bigint)::bigint from calls where duration <> '-1'")
    assert dict(loaded) == {"out": seconds, "in": seconds}


def test_everybody_who_calls_or_writes_is_in_the_view(copenhagen: CrossCheck) -> None:
    people = """
        select "user" from genders union select caller from calls union select callee from calls
        union select sender from sms union select recipient from sms"""
    expected = {f"U{row[0]}" for row in copenhagen.rows(people)}
    assert {row[0] for row in copenhagen.rows("select subscription_id from customer_view")} == expected
    women = {f"U{row[0]}" for row in copenhagen.rows("select \"user\" from genders where female = '1'")}
    found = copenhagen.rows("select subscription_id from customer_view where gender = 'female'")
    assert {row[0] for row in found} == women and len(women) == 173


def test_contacts_minutes_and_messages_of_the_last_weeks(copenhagen: CrossCheck) -> None:
    """The dates are read off the seconds: the last 7 of 28 days start after 21 x 86,400 of them."""
    expected = copenhagen.rows(
        """
        with ends as (
            select caller as one, callee as other, timestamp::bigint as second, duration::bigint as seconds from calls
            where duration <> '-1'
            union all select callee, caller, timestamp::bigint, duration::bigint from calls where duration <> '-1'
        ),
        texts as (
            select distinct 'out' as way, sender as one, recipient as other, timestamp from sms
            union all select distinct 'in', recipient, sender, timestamp from sms
        ),
        voice as (
            select one, count(distinct other) as contacts,
                coalesce(sum(seconds) filter (where second >= 21 * 86400), 0) as seconds
            from ends group by 1
        ),
        messages as (select one, count(*) as messages from texts group by 1)
        select 'U' || one, coalesce(contacts, 0), coalesce(seconds, 0) / 60.0, coalesce(messages, 0)
        from voice full join messages using (one)
        """
    )
    items = "subscription_id, contacts_28d, voice_minutes_7d, messages_28d"
    found = {row[0]: row[1:] for row in copenhagen.rows(f"select {items} from customer_view")}
    assert len(expected) > 500
    for person, contacts, minutes, messages in expected:
        assert found[person][0] == contacts and found[person][2] == messages, person
        assert float(found[person][1]) == pytest.approx(float(minutes), abs=0.0051), person
    assert sum(row[2] for row in found.values()) == sum(row[3] for row in expected)


def test_tickets_are_complaints_opened_and_closed(comcast: CrossCheck) -> None:
    total = comcast.one("select count(*) from tickets")
    closed = comcast.one("select count(*) from tickets where Status in ('Closed', 'Solved')")
    assert (total, closed) == (2224, 1707)
    found = comcast.deliveries()
    assert found["complaints", "201512", "opened"] == (total, 0, total, total, 0, 0)
    assert found["complaints", "201512", "closed"] == (total, total - closed, closed, closed, 0, 0)
    # The file writes each date twice; the one with the month's name is not the one that is loaded.
    by_day = """
        select strptime(Date_month_year, '%d-%b-%y')::date, case "Received Via" when 'Internet' then 'internet'
            else 'hotline' end, count(*) from tickets group by all"""
    loaded = "select occurred_on, channel, count(*) from clean_complaints where stage = 'opened' group by all"
    assert set(comcast.rows(loaded)) == set(comcast.rows(by_day))


def test_open_complaints_are_those_neither_closed_nor_solved(comcast: CrossCheck) -> None:
    expected = comcast.rows("""select 'T' || "Ticket #" from tickets where Status in ('Open', 'Pending')""")
    found = comcast.rows("select subscription_id from customer_view where complaints_open = 1")
    assert set(found) == set(expected)
    cities = comcast.rows("select 'T' || \"Ticket #\", City from tickets")
    assert set(comcast.rows("select subscription_id, city from customer_view")) == set(cities)
