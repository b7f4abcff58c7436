"""Shifts as a calendar: what is parsed back is what the engine says."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import icalendar
import pytest
from dateutil.tz import tzical
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.builders import NOW, a_user
from tocsin.calendars import feed
from tocsin.core.plans import (
    Layer,
    Override,
    OverrideKind,
    Restriction,
    Rotation,
    RotationUnit,
    Schedule,
    Shift,
)
from tocsin.core.schedule import shifts

USERS = {user.id: user for user in (a_user("ann"), a_user("bob"), a_user("cat"))}


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def a_layer(**changes: Any) -> Layer:
    """Return a layer where Ann and Bob take turns by week."""
    plain = Layer(
        name="weekly",
        rotation=Rotation(unit=RotationUnit.WEEK, length=1, start=wall("2023-06-05T09:00")),
        participants=(("usr_ann",), ("usr_bob",)),
    )
    return replace(plain, **changes)


def a_schedule(*layers: Layer, **changes: Any) -> Schedule:
    plain = Schedule(
        id="sch_1", name="primary", time_zone="Europe/Berlin", layers=layers or (a_layer(),)
    )
    return replace(plain, **changes)


def events(body: bytes) -> list[icalendar.Event]:
    parsed = icalendar.Calendar.from_ical(body)
    assert parsed.errors == []
    return list(parsed.walk("VEVENT"))


def written(schedule: Schedule, now: datetime = NOW, user_id: str | None = None) -> bytes:
    return feed.render(schedule.name, feed.duties([schedule], USERS, now, user_id), now)


def spans(body: bytes) -> list[tuple[datetime, datetime, str]]:
    return sorted(
        (
            event["DTSTART"].dt.astimezone(UTC),
            event["DTEND"].dt.astimezone(UTC),
            str(event["SUMMARY"]),
        )
        for event in events(body)
    )


def engine(schedule: Schedule, now: datetime) -> list[tuple[datetime, datetime, str]]:
    """What the engine says of the window, as a feed words it."""
    window = feed.Window.at(now)
    return sorted(
        (one.begins_at, one.ends_at, f"{USERS[one.user_id].name} on call: {schedule.name}")
        for one in shifts(schedule, window.looks_from, window.ends_at)
        if one.ends_at > window.begins_at
    )


def test_case_c3_a_wall_clock_shift_stays_on_the_wall_clock_over_dst():
    """Case C3, in iCal: OnCall #3261 was an hour off."""
    daily = a_layer(
        rotation=Rotation(unit=RotationUnit.DAY, length=1, start=wall("2023-06-05T08:30")),
        participants=(("usr_ann",),),
        restrictions=(
            Restriction(
                days=frozenset(),
                begins=wall("2023-06-05T08:30").time(),
                ends=wall("2023-06-05T17:30").time(),
            ),
        ),
    )
    schedule = a_schedule(daily, time_zone="Europe/London")
    body = written(schedule, datetime(2023, 10, 28, 12, tzinfo=UTC))
    found = {begin.date().isoformat(): (begin, end) for begin, end, _ in spans(body)}

    def z(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert found["2023-10-27"] == (z("2023-10-27T07:30"), z("2023-10-27T16:30"))
    assert found["2023-10-30"] == (z("2023-10-30T08:30"), z("2023-10-30T17:30"))
    walls = {event["DTSTART"].dt.time().isoformat() for event in events(body)}
    assert walls == {"08:30:00"}


@pytest.mark.parametrize(
    "zone",
    [
        "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
        "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Africa/Casablanca",
        "Antarctica/Troll", "Europe/Dublin", "America/Sao_Paulo", "Etc/GMT+5",
    ],
)  # fmt: skip
@pytest.mark.parametrize("now", [datetime(2026, 3, 20, 12, tzinfo=UTC), NOW])
def test_a_feed_says_what_the_engine_says(zone: str, now: datetime):
    hourly = a_layer(
        name="nights",
        priority=2,
        rotation=Rotation(unit=RotationUnit.HOUR, length=7, start=wall("2024-01-01T00:15")),
        participants=(("usr_cat",), ("usr_bob",)),
        restrictions=(
            Restriction(
                days=frozenset({5, 6}),
                begins=wall("2023-06-05T22:00").time(),
                ends=wall("2023-06-05T06:00").time(),
            ),
        ),
    )
    override = Override(
        id="ovr_1",
        kind=OverrideKind.REPLACE,
        user_id="usr_cat",
        begins=datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
        ends=wall("2026-03-29T03:00"),
    )
    schedule = a_schedule(a_layer(), hourly, time_zone=zone, overrides=(override,))
    body = written(schedule, now)
    assert spans(body) == engine(schedule, now)
    assert by_the_calendars_own_zone(body) == engine(schedule, now)


def by_the_calendars_own_zone(body: bytes) -> list[tuple[datetime, datetime, str]]:
    """Read a feed by the zone it carries, as a program does that has no zones of its own."""
    text = body.decode().replace("\r\n ", "")
    zones = tzical(io.StringIO(text)) if "VTIMEZONE" in text else None

    def instant(value: Any) -> datetime:
        at = value.dt
        if at.tzinfo is not None and "TZID" in value.params:
            assert zones is not None
            at = at.replace(tzinfo=zones.get(value.params["TZID"]))
        return at.astimezone(UTC)

    return sorted(
        (instant(event["DTSTART"]), instant(event["DTEND"]), str(event["SUMMARY"]))
        for event in events(body)
    )


def test_the_second_of_two_equal_wall_times_is_written_in_utc():
    """RFC 5545 has no word for it on the wall clock."""
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 in Berlin, for the second time
    layer = a_layer(
        rotation=None,
        participants=(),
        calendar="https://x",
        shifts=(
            Shift(
                user_id="usr_ann",
                begins_at=second,
                ends_at=second + timedelta(hours=2),
                layer="weekly",
            ),
        ),
    )
    (event,) = events(written(a_schedule(layer), datetime(2026, 10, 20, tzinfo=UTC)))
    assert event["DTSTART"].to_ical() == b"20261025T013000Z"
    assert event["DTEND"].to_ical() == b"20261025T043000"
    assert event["DTEND"].params["TZID"] == "Europe/Berlin"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(available_timezones() - {"localtime"})),
    st.datetimes(wall("1975-01-01T00:00"), wall("2037-01-01T00:00")),
    st.integers(1, 1000),
)
@example("Africa/Casablanca", wall("2025-01-01T00:00"), 900)
@example("Pacific/Apia", wall("2011-06-01T00:00"), 400)
@example("Asia/Pyongyang", wall("2015-01-01T00:00"), 1500)
def test_a_described_zone_shows_the_offsets_of_the_real_one(
    name: str, first: datetime, days: int
) -> None:
    """At every change of the clock, just before and after it, and in between."""
    begin, zone = first.replace(microsecond=0, tzinfo=UTC), ZoneInfo(name)
    end = begin + timedelta(days=days)
    described = feed.timezone(name, begin, end)
    seen = [begin, *feed.changes(zone, begin, end), end]
    observances = sorted(
        (one["DTSTART"].dt - one["TZOFFSETFROM"].td, one["TZOFFSETTO"].td)
        for one in described.subcomponents
    )
    for before, after in pairwise(seen):
        for at in (before, before + (after - before) / 2, after - timedelta(seconds=1)):
            if at < before:
                continue
            naive = at.replace(tzinfo=None)
            offset = [to for begins, to in observances if begins <= naive][-1]
            assert offset == at.astimezone(zone).utcoffset()


def test_a_shift_keeps_its_uid():
    """Over days, over regenerations, and while it is running."""
    schedule = a_schedule()

    def uids(now: datetime) -> dict[datetime, str]:
        return {e["DTSTART"].dt: str(e["UID"]) for e in events(written(schedule, now))}

    first, later = uids(NOW), uids(NOW + timedelta(days=25, hours=7))
    both = first.keys() & later.keys()
    assert len(both) > 20
    assert {at: first[at] for at in both} == {at: later[at] for at in both}
    assert len(set(first.values())) == len(first)


def test_a_shift_without_an_end_in_sight_is_one_event_for_ever():
    schedule = a_schedule(a_layer(participants=(("usr_ann",),)))
    uids = {
        str(event["UID"])
        for weeks in range(20)
        for event in events(written(schedule, NOW + timedelta(weeks=5 * weeks)))
    }
    assert len(uids) == 1


def test_an_override_leaves_the_other_shifts_uids_alone():
    plain = a_schedule()
    change = Override(
        id="ovr_1",
        kind=OverrideKind.REPLACE,
        user_id="usr_cat",
        begins=wall("2026-01-20T00:00"),
        ends=wall("2026-01-21T00:00"),
    )
    before = {e["UID"] for e in events(written(plain))}
    after = {e["UID"] for e in events(written(replace(plain, overrides=(change,))))}
    assert before <= after
    assert len(after - before) == 2  # Cat's day, and what Ann has left after it


def test_layers_and_people_of_any_name_have_uids_of_their_own():
    two = a_schedule(a_layer(), a_layer(name="weekly2", participants=(("usr_cat",),)))
    found = events(written(two))
    assert len({e["UID"] for e in found}) == len(found)


def test_a_persons_feed_has_their_shifts_of_all_schedules():
    other = a_schedule(
        a_layer(name="nights", participants=(("usr_cat",), ("usr_ann",))),
        id="sch_2",
        name="secondary",
        time_zone="Asia/Kolkata",
    )
    nothing = a_schedule(a_layer(participants=(("usr_bob",),)), id="sch_3", name="none of hers")
    found = feed.duties([a_schedule(), other, nothing], USERS, NOW, "usr_ann")
    body = feed.render("Ann on call", found, NOW)
    summaries = {str(event["SUMMARY"]) for event in events(body)}
    assert summaries == {"Ann on call: primary", "Ann on call: secondary"}
    zones = {str(z["TZID"]) for z in icalendar.Calendar.from_ical(body).walk("VTIMEZONE")}
    assert zones == {"Europe/Berlin", "Asia/Kolkata"}


def test_a_person_who_comes_by_an_override_has_it_in_their_feed():
    change = Override(
        id="ovr_1",
        kind=OverrideKind.ADD,
        user_id="usr_cat",
        begins=wall("2026-01-20T00:00"),
        ends=wall("2026-01-21T00:00"),
    )
    (event,) = events(written(a_schedule(overrides=(change,)), user_id="usr_cat"))
    assert "an override" in event["DESCRIPTION"]
    assert event["DTSTART"].dt.isoformat() == "2026-01-20T00:00:00+01:00"


def test_a_feed_says_what_programs_ask_of_it():
    body = written(a_schedule())
    calendar = icalendar.Calendar.from_ical(body)
    assert calendar["X-WR-CALNAME"] == "primary"
    assert calendar["REFRESH-INTERVAL"].dt == timedelta(hours=1)
    assert b"REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in body
    event = calendar.walk("VEVENT")[0]
    assert event["DESCRIPTION"] == "Schedule primary, layer weekly"
    assert event["TRANSP"] == "TRANSPARENT"
    assert all(len(line) <= 75 for line in body.split(b"\r\n"))


def test_a_feed_is_the_same_all_day_and_another_one_tomorrow():
    schedule = a_schedule()
    assert written(schedule, NOW) == written(schedule, NOW + timedelta(hours=11))
    assert written(schedule, NOW) != written(schedule, NOW + timedelta(hours=13))


def test_names_cannot_break_out_of_their_line():
    name = 'A\r\nEND:VEVENT\r\nX:";,\\\x00'
    users = {"usr_ann": replace(a_user("ann"), name=name), "usr_bob": a_user("bob")}
    found = feed.duties([a_schedule()], users, NOW)
    body = feed.render(name, found, NOW)
    assert len(events(body)) == len(found)
    assert b"\x00" not in body


def test_a_feed_is_bounded():
    """Ann and Bob change every hour: more shifts than a feed has; the nearest are in it."""
    hourly = a_layer(
        rotation=Rotation(unit=RotationUnit.HOUR, length=1, start=wall("2023-06-05T09:00"))
    )
    found = feed.duties([a_schedule(hourly)], USERS, NOW)
    assert len(found) == feed.MAX_EVENTS
    assert found[0].shift.ends_at > NOW - feed.BEFORE - timedelta(days=1)


def test_an_empty_feed_is_a_calendar():
    body = feed.render("Ann on call", [], NOW)
    assert events(body) == []
    assert body.startswith(b"BEGIN:VCALENDAR")
