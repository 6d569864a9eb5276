"""Schedules from calendars: what their events mean, and what happens when they cannot be read. The server is real."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest
from pydantic import SecretStr

from agent.core.rota import Schedule
from agent.oncall.calendar import LARGEST, CannotRead, Event, events
from agent.ports import CalendarSpec
from tests.oncall.duty import NOW, Desk, calendar, utc

MINUTE = timedelta(minutes=1)
ROTA = Schedule(name="rota", zone="Europe/Berlin")
WEEK_OF_ALICE = calendar("DTSTART:20260105T080000Z DTEND:20260112T080000Z SUMMARY:Alice~Miller")
WEEK_OF_BOB = calendar("DTSTART:20260105T080000Z DTEND:20260112T080000Z SUMMARY:bob")


class Site:
    """A server of one calendar, which can fail in all the ways that servers do."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = WEEK_OF_ALICE, 200, 0
        self.go_on = Flag()
        self.go_on.set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                site.go_on.wait(30)
                self.send_response(site.status)
                self.send_header("Content-Length", str(len(site.body)))
                self.end_headers()
                self.wfile.write(site.body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/private-s3cret/basic.ics"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.go_on.set()
    made.server.shutdown()
    made.server.server_close()


def from_web(site: Site) -> Desk:
    desk = Desk()
    spec = CalendarSpec(schedule="rota", zone="Europe/Berlin", url=SecretStr(site.url))
    desk.configure(schedules=(ROTA,), calendars=(spec,))
    return desk


async def test_who_is_on_call_stands_in_the_calendar(site: Site) -> None:
    desk = from_web(site)
    await desk.later(timedelta(0))
    assert desk.book.on_call("rota", NOW) == ("alice",)
    assert desk.book.on_call("rota", utc("2026-01-12 08:00")) == ()
    assert desk.vitals.oncall_trouble == {}
    assert desk.vitals.calendar_ages == {"rota": 0.0}


async def test_it_is_read_every_few_minutes_and_not_more_often(site: Site) -> None:
    desk = from_web(site)
    await desk.later(timedelta(0))
    site.body = WEEK_OF_BOB
    await desk.later(4 * MINUTE)
    assert (desk.book.on_call("rota", desk.now), site.asked) == (("alice",), 1)
    await desk.later(MINUTE)
    assert (desk.book.on_call("rota", desk.now), site.asked) == (("bob",), 2)


async def test_a_clock_that_is_set_back_puts_no_reading_off(site: Site) -> None:
    desk = from_web(site)
    await desk.later(timedelta(0))
    await desk.later(-120 * MINUTE)
    assert site.asked == 2
    await desk.later(MINUTE)
    assert site.asked == 2


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        pytest.param(500, b"", "its server answered 500", id="a server's error"),
        pytest.param(302, b"", "its server answered 302: give the address that it leads to", id="moved"),
        pytest.param(200, b"<html>Sign in</html>", "is no iCalendar that can be read", id="a page to sign in"),
        pytest.param(200, WEEK_OF_BOB[:90], "is no iCalendar that can be read", id="cut off"),
        pytest.param(200, b" " * (LARGEST + 1), "is larger than 4 MiB", id="far too much"),
    ],
)
async def test_when_it_cannot_be_read_the_last_good_copy_counts_and_that_is_said(
    site: Site, status: int, body: bytes, why: str
) -> None:
    desk = from_web(site)
    await desk.later(timedelta(0))
    site.status, site.body = status, body
    await desk.later(5 * MINUTE)
    assert desk.book.on_call("rota", desk.now) == ("alice",)
    said = desk.vitals.oncall_trouble["rota"]
    assert why in said
    assert said.endswith("what was read 5m ago is used")
    assert "s3cret" not in said
    site.status, site.body = 200, WEEK_OF_BOB
    await desk.later(MINUTE)  # sooner than the next five minutes
    assert desk.book.on_call("rota", desk.now) == ("bob",)
    assert desk.vitals.oncall_trouble == {}


async def test_the_last_good_copy_survives_a_restart_of_the_agent(site: Site) -> None:
    desk = from_web(site)
    await desk.later(timedelta(0))
    site.status = 500
    fresh = Desk(store=desk.store)
    spec = CalendarSpec(schedule="rota", zone="Europe/Berlin", url=SecretStr(site.url))
    fresh.configure(schedules=(ROTA,), calendars=(spec,))
    await fresh.duty.load()
    await fresh.later(2 * MINUTE)
    assert fresh.book.on_call("rota", NOW) == ("alice",)
    assert "what was read 2m ago is used" in fresh.vitals.oncall_trouble["rota"]


async def test_one_that_was_never_read_is_said_to_leave_nobody_on_call(site: Site) -> None:
    site.status = 404
    desk = from_web(site)
    await desk.later(timedelta(0))
    assert desk.vitals.oncall_trouble == {
        "rota": "the calendar its server answered 404; it was never read, so nobody is on call by it"
    }


async def test_a_server_that_hangs_holds_up_neither_the_book_nor_another_calendar(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rota.ics"
    file.write_bytes(WEEK_OF_BOB)
    desk = Desk()
    slow = CalendarSpec(schedule="rota", zone="UTC", url=SecretStr(site.url))
    quick = CalendarSpec(schedule="quick", zone="UTC", file=file)
    desk.configure(schedules=(ROTA, Schedule(name="quick")), calendars=(slow, quick))
    site.go_on.clear()
    reading = asyncio.create_task(desk.duty.read_calendars())
    while not desk.book.on_call("quick", NOW):  # noqa: ASYNC110 - what is waited for is set in another thread
        await asyncio.sleep(0.01)
    assert not reading.done()
    assert desk.book.on_call("rota", NOW) == ()
    site.go_on.set()
    await reading
    assert desk.book.on_call("rota", NOW) == ("alice",)


async def test_a_file_is_a_calendar_too_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    desk, file = Desk(), tmp_path / "rota.ics"
    spec = CalendarSpec(schedule="rota", zone="UTC", file=file)
    desk.configure(schedules=(ROTA,), calendars=(spec,))
    await desk.later(timedelta(0))
    assert "the calendar rota.ics cannot be read: No such file or directory" in desk.vitals.oncall_trouble["rota"]
    file.write_bytes(WEEK_OF_ALICE)
    await desk.later(MINUTE)
    assert desk.book.on_call("rota", NOW) == ("alice",)


async def test_events_that_name_nobody_are_told_and_a_reload_that_adds_the_person_mends_it(tmp_path: Path) -> None:
    desk, file = Desk(), tmp_path / "rota.ics"
    file.write_bytes(calendar("DTSTART:20260105T080000Z DTEND:20260112T080000Z SUMMARY:bob"))
    spec = CalendarSpec(schedule="rota", zone="UTC", file=file)
    desk.configure(people=("alice",), schedules=(ROTA,), calendars=(spec,))
    await desk.later(timedelta(0))
    assert desk.vitals.oncall_trouble == {"rota": "1 event names nobody under people:, the first 'bob'"}
    desk.configure(people=("alice", "bob"), schedules=(ROTA,), calendars=(spec,))
    await desk.later(timedelta(0))
    assert desk.vitals.oncall_trouble == {}
    assert desk.book.on_call("rota", NOW) == ("bob",)


async def test_a_schedule_that_becomes_layers_forgets_its_calendar(site: Site) -> None:
    desk = from_web(site)
    await desk.later(timedelta(0))
    desk.configure(schedules=(ROTA,), calendars=())
    await desk.later(timedelta(0))
    assert desk.book.on_call("rota", NOW) == ()
    assert desk.vitals.calendar_ages == {}


# ---------------------------------------------------------------------------------------------------- what events mean


def spans(raw: bytes, zone: str = "Europe/Berlin") -> list[tuple[str, str, str]]:
    """Start, end and summary of the first few events since the start of 2026."""
    found = [event for event in events(raw, zone, NOW) if event.start >= utc("2026-01-01")][:3]
    return [(f"{one.start:%m-%d %H:%M}", f"{one.end:%m-%d %H:%M}", one.summary) for one in found]


@pytest.mark.parametrize(
    ("event", "found"),
    [
        pytest.param(
            "DTSTART;VALUE=DATE:20260105 SUMMARY:a",
            [("01-04 23:00", "01-05 23:00", "a")],
            id="a whole day, in the zone",
        ),
        pytest.param(
            "DTSTART:20260105T090000 DURATION:PT8H SUMMARY:a",
            [("01-05 08:00", "01-05 16:00", "a")],
            id="a time without a zone, and a length",
        ),
        pytest.param(
            "DTSTART;TZID=America/New_York:20260105T090000 DTEND;TZID=America/New_York:20260105T170000 SUMMARY:a",
            [("01-05 14:00", "01-05 22:00", "a")],
            id="a zone of its own",
        ),
        pytest.param(
            "DTSTART;TZID=Europe/Berlin:20260323T090000 DTEND;TZID=Europe/Berlin:20260324T090000 "
            "RRULE:FREQ=WEEKLY;COUNT=2 SUMMARY:a",
            [("03-23 08:00", "03-24 08:00", "a"), ("03-30 07:00", "03-31 07:00", "a")],
            id="what recurs keeps its hour over the change of the clocks",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20260105 RRULE:FREQ=DAILY;COUNT=3 EXDATE;VALUE=DATE:20260106 SUMMARY:a",
            [("01-04 23:00", "01-05 23:00", "a"), ("01-06 23:00", "01-07 23:00", "a")],
            id="an exception",
        ),
        pytest.param("DTSTART:20260105T090000Z DTEND:20260105T100000Z STATUS:CANCELLED SUMMARY:a", [], id="cancelled"),
        pytest.param("DTSTART:20260105T090000Z SUMMARY:a", [], id="no length"),
        pytest.param("DTSTART:20290105T090000Z DTEND:20290105T100000Z SUMMARY:a", [], id="years ahead"),
    ],
)
def test_an_event_is_a_span_of_time(event: str, found: list[tuple[str, str, str]]) -> None:
    assert spans(calendar(event)) == found


def test_who_has_declined_does_not_attend() -> None:
    raw = calendar(
        "DTSTART:20260105T080000Z DTEND:20260112T080000Z SUMMARY:x "
        "ATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.org ATTENDEE;CN=Bob:MAILTO:bob@example.org"
    )
    assert events(raw, "UTC", NOW) == (
        Event(utc("2026-01-05 08:00"), utc("2026-01-12 08:00"), "x", ("bob@example.org",)),
    )


@pytest.mark.parametrize(
    ("event", "why"),
    [
        pytest.param(
            "DTSTART:20200101T000000Z DURATION:PT1S RRULE:FREQ=SECONDLY SUMMARY:a", "recurs secondly", id="seconds"
        ),
        pytest.param(
            "DTSTART:20260101T000000Z DURATION:PT1S SUMMARY:a "
            "RRULE:FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11;BYMINUTE=0,15,30,45",
            "more than 5000 events",
            id="too many",
        ),
        pytest.param(
            "DTSTART;TZID=Moon/Base:20260105T090000 DTEND;TZID=Moon/Base:20260105T100000 SUMMARY:a",
            "a time in the zone 'Moon/Base', which is not known",
            id="no such zone",
        ),
        pytest.param("DTSTART:20260105T090000Z DTEND:garbage SUMMARY:a", "no iCalendar that can be read", id="garbage"),
    ],
)
def test_a_calendar_that_cannot_be_meant_is_refused(event: str, why: str) -> None:
    with pytest.raises(CannotRead, match=why):
        events(calendar(event), "UTC", NOW)
