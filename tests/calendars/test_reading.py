"""What a calendar says: people, times, repetitions; and what strangers may not do with one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.builders import NOW
from tests.calendars.test_feed import USERS, a_schedule, written
from tocsin.calendars import box
from tocsin.calendars.box import read_boxed
from tocsin.calendars.reading import (
    MAX_BYTES,
    MAX_OCCURRENCES,
    MAX_PEOPLE,
    Event,
    Unreadable,
    read,
)

ANN = "SUMMARY:Ann"
TIMES = ("DTSTART:20260106T090000Z", "DTEND:20260106T170000Z")


def calendar(*events: tuple[str, ...], head: tuple[str, ...] = ()) -> bytes:
    """Write a calendar of events, each given by its lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *head]
    for number, event in enumerate(events):
        uid = () if any(line.startswith("UID:") for line in event) else (f"UID:{number}@x",)
        lines += ["BEGIN:VEVENT", *uid, *event, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def begins(events: list[Event]) -> list[str]:
    return [event["from"] for event in events]


def one(*lines: str, head: tuple[str, ...] = ()) -> Event:
    (event,) = read(calendar(lines, head=head), NOW)
    return event


# -- who


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["SUMMARY:Ann"], [["Ann"]]),
        (["SUMMARY:ann@example.com"], [["ann@example.com"]]),
        (["SUMMARY:On call: Ann"], [["On call: Ann"], ["Ann"]]),
        (["SUMMARY:on-call - Ann"], [["on-call - Ann"], ["Ann"]]),
        (["SUMMARY:ONCALL: Ann"], [["ONCALL: Ann"], ["Ann"]]),
        (["SUMMARY:Ann is on call"], [["Ann is on call"], ["Ann"]]),
        (["SUMMARY:Ann on call: primary"], [["Ann on call: primary"], ["Ann"]]),
        (["SUMMARY:Ann\\, Bob"], [["Ann, Bob"], ["Ann", "Bob"]]),
        (["SUMMARY:Ann & Bob"], [["Ann & Bob"], ["Ann", "Bob"]]),
        (["SUMMARY:Ann / Bob"], [["Ann / Bob"], ["Ann", "Bob"]]),
        (["SUMMARY:Ann and Bob"], [["Ann and Bob"], ["Ann", "Bob"]]),
        (["SUMMARY:Ann + Bob"], [["Ann + Bob"], ["Ann", "Bob"]]),
        (["SUMMARY:Andy Sandman"], [["Andy Sandman"]]),
        (["SUMMARY:ann+pager@example.com"], [["ann+pager@example.com"]]),
        (
            ["SUMMARY:Ann <ann@example.com>\\, Bob"],
            [["Ann <ann@example.com>, Bob"], ["ann@example.com", "Bob"]],
        ),
        (["ATTENDEE;CN=Ann:mailto:ann@example.com"], [["ann@example.com"]]),
        (["ATTENDEE:MAILTO:Ann@Example.com"], [["Ann@Example.com"]]),
        (
            ["ATTENDEE:mailto:ann@example.com", "ATTENDEE:mailto:bob@example.com"],
            [["ann@example.com", "bob@example.com"]],
        ),
        (
            [
                "SUMMARY:Primary",
                "ATTENDEE:mailto:ann@example.com",
                "ORGANIZER:mailto:boss@example.com",
            ],
            [["ann@example.com"], ["Primary"], ["boss@example.com"]],
        ),
        (
            ["ATTENDEE;PARTSTAT=DECLINED:mailto:ann@example.com", "SUMMARY:Bob"],
            [["Bob"]],
        ),
        (["ATTENDEE;CUTYPE=ROOM:mailto:room@example.com", "SUMMARY:Bob"], [["Bob"]]),
        (["ATTENDEE:urn:uuid:1", "SUMMARY:Bob"], [["Bob"]]),
        (["ORGANIZER:mailto:ann@example.com"], [["ann@example.com"]]),
        (["SUMMARY:Jürgen Müßig"], [["Jürgen Müßig"]]),
    ],
)
def test_an_event_names_people(lines: list[str], names: list[list[str]]):
    event = one(*TIMES, *lines)
    assert [event["names"], *event["otherwise"]] == names


def test_an_event_that_names_nobody_puts_nobody_on_call():
    assert read(calendar((*TIMES, "SUMMARY: ")), NOW) == []


# -- when


@pytest.mark.parametrize(
    ("lines", "begin", "end"),
    [
        pytest.param(TIMES, "2026-01-06T09:00:00+00:00", "2026-01-06T17:00:00+00:00", id="UTC"),
        pytest.param(
            ("DTSTART;TZID=Europe/Berlin:20260106T090000", "DURATION:PT2H"),
            "2026-01-06T08:00:00+00:00", "2026-01-06T10:00:00+00:00", id="Olson zone, duration",
        ),
        pytest.param(
            ("DTSTART;TZID=W. Europe Standard Time:20260706T090000",
             "DTEND;TZID=W. Europe Standard Time:20260706T100000"),
            "2026-07-06T07:00:00+00:00", "2026-07-06T08:00:00+00:00", id="Windows zone",
        ),
        pytest.param(
            ("DTSTART;TZID=Tocsin/Half:20260106T090000", "DTEND;TZID=Tocsin/Half:20260106T100000"),
            "2026-01-06T03:30:00+00:00", "2026-01-06T04:30:00+00:00", id="a zone of its own",
        ),
        pytest.param(
            ("DTSTART;VALUE=DATE:20260106", "DTEND;VALUE=DATE:20260108"),
            "2026-01-06T00:00:00", "2026-01-08T00:00:00", id="days, on the wall clock",
        ),
        pytest.param(
            ("DTSTART;VALUE=DATE:20260106",),
            "2026-01-06T00:00:00", "2026-01-07T00:00:00", id="a day without an end",
        ),
        pytest.param(
            ("DTSTART:20260106T090000", "DTEND:20260106T100000"),
            "2026-01-06T09:00:00", "2026-01-06T10:00:00", id="floating",
        ),
        pytest.param(
            ("DTSTART;TZID=America/New_York:20260106T220000", "DTEND:20260107T110000Z"),
            "2026-01-07T03:00:00+00:00", "2026-01-07T11:00:00+00:00", id="two zones",
        ),
    ],
)  # fmt: skip
def test_an_event_has_a_time(lines: tuple[str, ...], begin: str, end: str):
    """Floating times and days are for the schedule's zone to say: OnCall #4247 was an hour off."""
    event = one(*lines, ANN, head=HALF_HOUR)
    assert (event["from"], event["to"]) == (begin, end)


HALF_HOUR = (
    "BEGIN:VTIMEZONE", "TZID:Tocsin/Half", "BEGIN:STANDARD", "DTSTART:19700101T000000",
    "TZOFFSETFROM:+0530", "TZOFFSETTO:+0530", "END:STANDARD", "END:VTIMEZONE",
)  # fmt: skip


def test_a_zone_may_be_described_after_the_events_that_name_it():
    body = calendar(("DTSTART;TZID=Tocsin/Late:20260106T090000", "DURATION:PT1H", ANN))
    zone = "\r\n".join(HALF_HOUR).replace("Tocsin/Half", "Tocsin/Late")
    body = body.replace(b"END:VCALENDAR", f"{zone}\r\nEND:VCALENDAR".encode())
    assert begins(read(body, NOW)) == ["2026-01-06T03:30:00+00:00"]


def test_a_calendar_of_one_zone_may_say_so_once():
    event = one(
        "DTSTART:20260706T090000", "DTEND:20260706T100000", ANN,
        head=("X-WR-TIMEZONE:America/New_York",),
    )  # fmt: skip
    assert event["from"] == "2026-07-06T13:00:00+00:00"


def test_an_event_of_no_duration_puts_nobody_on_call():
    assert read(calendar(("DTSTART:20260106T090000Z", ANN)), NOW) == []


# -- how often


def test_a_weekly_event_stays_on_the_wall_clock_over_dst():
    """OnCall #2950 and #3576: shifts moved by an hour."""
    events = read(
        calendar((
            "DTSTART;TZID=Europe/Berlin:20260309T090000",
            "DTEND;TZID=Europe/Berlin:20260309T170000",
            "RRULE:FREQ=WEEKLY;COUNT=4", ANN,
        )), NOW,
    )  # fmt: skip
    assert begins(events) == [
        "2026-03-09T08:00:00+00:00", "2026-03-16T08:00:00+00:00",
        "2026-03-23T08:00:00+00:00", "2026-03-30T07:00:00+00:00",
    ]  # fmt: skip
    assert events[-1]["to"] == "2026-03-30T15:00:00+00:00"


def test_exceptions_additions_and_changes_are_honoured():
    events = read(
        calendar(
            (
                "UID:series", "DTSTART:20260105T090000Z", "DTEND:20260105T100000Z",
                "RRULE:FREQ=DAILY;COUNT=5", "EXDATE:20260106T090000Z", "RDATE:20260201T090000Z",
                ANN,
            ),
            (
                "UID:series", "RECURRENCE-ID:20260107T090000Z",
                "DTSTART:20260107T200000Z", "DTEND:20260107T210000Z", "SUMMARY:Bob",
            ),
            (
                "UID:series", "RECURRENCE-ID:20260108T090000Z", "STATUS:CANCELLED",
                "DTSTART:20260108T090000Z", "DTEND:20260108T100000Z", ANN,
            ),
        ), NOW,
    )  # fmt: skip
    assert [(event["from"][:13], event["names"]) for event in events] == [
        ("2026-01-05T09", ["Ann"]),
        ("2026-01-07T20", ["Bob"]),
        ("2026-01-09T09", ["Ann"]),
        ("2026-02-01T09", ["Ann"]),
    ]


def test_a_cancelled_event_is_left_out():
    assert read(calendar((*TIMES, ANN, "STATUS:CANCELLED")), NOW) == []


def test_an_endless_event_is_read_as_far_as_it_matters():
    events = read(
        calendar(("DTSTART:20100101T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY", ANN)), NOW
    )
    assert 425 <= len(events) <= 432
    assert begins(events)[0] >= "2025-12-05"
    assert begins(events)[-1] >= "2027-02-08"


def test_what_is_long_over_or_far_ahead_is_left_out():
    old, far = NOW - timedelta(days=40), NOW + timedelta(days=410)
    both = [(f"DTSTART:{at:%Y%m%dT%H%M%SZ}", "DURATION:PT1H", ANN) for at in (old, far)]
    assert read(calendar(*both), NOW) == []


def test_the_same_bytes_say_the_same_all_day():
    body = calendar(("DTSTART:20200101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY", ANN))
    assert read(body, NOW) == read(body, NOW + timedelta(hours=11))
    assert read(body, NOW) != read(body, NOW + timedelta(hours=13))


def test_two_calendars_in_one_file_are_both_read():
    second = calendar(("DTSTART:20260107T090000Z", "DURATION:PT1H", "SUMMARY:Bob"))
    events = read(calendar((*TIMES, ANN)) + second, NOW)
    assert [event["names"] for event in events] == [["Ann"], ["Bob"]]


def test_a_calendar_without_events_is_one():
    assert read(calendar(), NOW) == []


def test_what_we_write_ourselves_we_read():
    """A schedule's feed as another's calendar: the same people at the same instants."""
    body = written(a_schedule())
    names = {user.name for user in USERS.values()}
    events = read(body, NOW)
    assert len(events) > 20
    assert all(names & set(event["otherwise"][0]) for event in events)


# -- what is refused


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "not a calendar", id="nothing"),
        pytest.param(b"<html>log in</html>", "not a calendar", id="a login page"),
        pytest.param(b"\x00" * 1000, "not a calendar", id="NUL"),
        pytest.param(b"\xff\xfe" * 1000, "not a calendar", id="not UTF-8"),
        pytest.param(b"BEGIN:VCALENDAR\r\n", "is cut off", id="cut off at once"),
        pytest.param(calendar((*TIMES, ANN))[:-20], "is cut off", id="cut off"),
        pytest.param(b"BEGIN:VCALENDAR\r\n" * 5000, "is cut off", id="opened again and again"),
        pytest.param(b"x" * (MAX_BYTES + 1), "larger than 10 MiB", id="too large"),
        pytest.param(calendar((ANN,)), "no DTSTART", id="no begin"),
        pytest.param(calendar(("DTSTART:tomorrow", ANN)), "DTSTART cannot be read", id="begin"),
        pytest.param(
            calendar(("DTSTART:20260106T090000Z", "DTEND:20260105T090000Z", ANN)),
            "ends before it begins", id="reversed",
        ),
        pytest.param(
            calendar(("DTSTART;TZID=Mars/Olympus:20260106T090000", "DURATION:PT1H", ANN)),
            "'Mars/Olympus' is not known", id="unknown zone",
        ),
        pytest.param(
            calendar((
                *TIMES, "RRULE:FREQ=WEEKLY", "EXDATE;TZID=Mars/Olympus:20260113T090000", ANN,
            )),
            "'Mars/Olympus' is not known", id="unknown zone of an exception",
        ),
        pytest.param(
            calendar(("DTSTART:20260106T090000", "DURATION:PT1H", ANN),
                     head=("X-WR-TIMEZONE:Mars/Olympus",)),
            "cannot be read", id="unknown zone of all",
        ),
        pytest.param(
            calendar((*TIMES, "RRULE:FREQ=SECONDLY", ANN)), "more often than once an hour",
            id="every second",
        ),
        pytest.param(
            calendar((*TIMES, "RRULE:FREQ=MINUTELY;INTERVAL=30", ANN)),
            "more often than once an hour", id="every 30 minutes",
        ),
        pytest.param(
            calendar((*TIMES, "RRULE:FREQ=DAILY;BYMINUTE=0,1,2,3;BYHOUR=0,1,2,3,4,5,6,7,8,9", ANN)),
            "more often than once an hour", id="forty a day",
        ),
        pytest.param(
            calendar((*TIMES, "RRULE:FREQ=DAILY;INTERVAL=0", ANN)), "INTERVAL", id="a step of 0"
        ),
        pytest.param(
            calendar((*TIMES, "RRULE:FREQ=SOMETIMES", ANN)), "RRULE cannot be read", id="no rule"
        ),
        pytest.param(
            calendar(*[(*TIMES, "RRULE:FREQ=HOURLY", ANN)] * 3),
            f"more than {MAX_OCCURRENCES} events", id="too many occurrences",
        ),
        pytest.param(
            calendar((*TIMES, *[f"ATTENDEE:mailto:{n}@example.com" for n in range(10_000)])),
            f"more than {MAX_PEOPLE} attendees", id="10,000 attendees",
        ),
        pytest.param(
            calendar((*TIMES, f"SUMMARY:{'a/' * 400}")), f"more than {MAX_PEOPLE} people",
            id="a summary of names",
        ),
        pytest.param(
            calendar((
                *TIMES, "RRULE:FREQ=HOURLY",
                *[f"ATTENDEE:mailto:{n}@example.com" for n in range(90)],
            )),
            "names people more than", id="too many names in all",
        ),
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_taken_says_why(body: bytes, says: str):
    with pytest.raises(Unreadable, match=says) as caught:
        read(body, NOW)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((*TIMES, "SUMMARY:A\x00nn\u202e"), id="NUL and writing backwards"),
        pytest.param((*TIMES, "SUMMARY:" + "x" * 1_000_000), id="a long line"),
        pytest.param((*TIMES, ANN, "ATTENDEE:mailto:" + "a" * 10_000), id="a long address"),
        pytest.param((*TIMES, ANN, "X-ANYTHING;X=Y:" + ";" * 1000), id="what nobody knows"),
        pytest.param(("DTSTART:00010101T000000", "DTEND:99991231T235959", ANN), id="for ever"),
        pytest.param(("DTSTART:99991231T000000Z", "DURATION:P99999D", ANN), id="past the end"),
        pytest.param(
            ("DTSTART:20260101T000000Z", "DURATION:P9999999999D", ANN), id="a duration of no size"
        ),
        pytest.param(
            (*TIMES, ANN, "RRULE:FREQ=YEARLY;COUNT=-1;BYMONTH=2;BYMONTHDAY=30"), id="never"
        ),
        pytest.param((*TIMES, ANN, "BEGIN:VALARM", "TRIGGER:x", "END:VALARM"), id="an alarm"),
        pytest.param((*TIMES, ANN, "RDATE;VALUE=PERIOD:20260106T090000Z/PT1H"), id="a period"),
        pytest.param((*TIMES, ANN, "RECURRENCE-ID;RANGE=THISANDFUTURE:20260106T090000Z"),
                     id="an exception to nothing"),
    ],
)  # fmt: skip
def test_odd_events_have_a_bounded_answer(lines: tuple[str, ...]):
    try:
        events = read(calendar(lines), NOW)
    except Unreadable:
        return
    assert len(events) <= 3
    for event in events:
        assert "\x00" not in repr(event)
        datetime.fromisoformat(event["from"])


# -- in a process of its own


def boxed(body: bytes) -> list[Event]:
    return asyncio.run(read_boxed(body, NOW))


def test_the_box_says_what_is_read_in_it():
    body = calendar((*TIMES, "SUMMARY:Jürgen & Ann"))
    assert boxed(body) == read(body, NOW)


def test_the_box_says_why_something_cannot_be_read():
    with pytest.raises(Unreadable, match="not a calendar"):
        boxed(b"<html>")


def test_ten_megabytes_are_read_or_refused():
    body = calendar((*TIMES, ANN)).replace(b"PRODID:x", b"PRODID:" + b"x" * (MAX_BYTES - 500))
    assert len(boxed(body)) == 1


@pytest.mark.parametrize(
    "limits", [{"CPU_SECONDS": 1}, {"CLOCK_SECONDS": 0.5}, {"MEMORY_BYTES": 2**24}]
)
def test_what_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]):
    """An hourly event since the year 1, many times: no check sees how long it takes."""
    for name, value in limits.items():
        monkeypatch.setattr(box, name, value)
    rule = ("DTSTART:00010101T000000Z", "DURATION:PT1M", "RRULE:FREQ=HOURLY", ANN)
    with pytest.raises(Unreadable, match=r"takes (more than|too much)"):
        boxed(calendar(*[rule] * 20))


def test_whoever_reads_and_is_stopped_leaves_no_child(monkeypatch: pytest.MonkeyPatch):
    """A worker that ends takes its child with it."""
    children: list[asyncio.subprocess.Process] = []
    make = asyncio.create_subprocess_exec
    is_made = asyncio.Event()

    async def made(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
        children.append(await make(*arguments, **options))
        is_made.set()
        return children[-1]

    async def begin_and_stop() -> None:
        reading = asyncio.create_task(read_boxed(calendar(endless), NOW))
        await is_made.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    endless = ("DTSTART:00010101T000000Z", "DURATION:PT1M", "RRULE:FREQ=HOURLY", ANN)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", made)
    asyncio.run(begin_and_stop())
    assert children[0].returncode is not None


def test_the_box_knows_no_secret(monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, str] = {}
    make = asyncio.create_subprocess_exec

    async def made(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
        seen.update(options["env"])
        return await make(*arguments, **options)

    monkeypatch.setenv("TOCSIN_SECRET_KEYS", "secret")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", made)
    boxed(calendar())
    assert seen
    assert not [name for name in seen if name.startswith("TOCSIN_")]


def test_a_day_begins_at_midnight_in_utc():
    late = datetime(2026, 1, 5, 23, 59, 59, tzinfo=UTC)
    body = calendar(("DTSTART:20200101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY", ANN))
    assert read(body, NOW) == read(body, late)
