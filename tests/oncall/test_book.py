"""The book of who is on call: whom an escalation reaches, and what people change, over restarts and reloads."""

from datetime import timedelta

import pytest

from agent.core.contact import Contact
from agent.core.policy import Escalation, EscalationStep
from agent.core.rota import Override, Schedule
from tests.oncall.duty import NOW, PRIMARY, Desk, override, utc

ALICE = (
    Contact(channel="slack", to="U1", person="alice"),
    Contact(channel="sms", to="+49 170 1", person="alice"),
)
BOB = (Contact(channel="mail", to="bob@example.org", person="bob"),)


def escalation(*notify: str) -> Escalation:
    return Escalation(name="default", steps=(EscalationStep(notify=notify, wait=timedelta(minutes=5)),))


@pytest.mark.parametrize(
    ("target", "at", "contacts"),
    [
        pytest.param("oncall:primary", "2026-01-06 12:00", ALICE, id="who is on call, by all of his contacts"),
        pytest.param("oncall:primary", "2026-01-13 12:00", BOB, id="the next week somebody else"),
        pytest.param("oncall:primary", "2026-01-20 12:00", (), id="who has no contact is not reached"),
        pytest.param("oncall:primary", "2026-01-01 12:00", (), id="nobody is on call"),
        pytest.param("oncall:gone", "2026-01-06 12:00", (), id="a schedule that is no more"),
        pytest.param("oncall:primary/sms", "2026-01-06 12:00", ALICE[1:], id="by one channel only"),
        pytest.param("oncall:primary/sms", "2026-01-13 12:00", (), id="which bob does not have"),
        pytest.param("person:bob", "2026-01-06 12:00", BOB, id="a person"),
        pytest.param("person:gone", "2026-01-06 12:00", (), id="a person who is no more"),
        pytest.param("person:alice/slack", "2026-01-06 12:00", ALICE[:1], id="a person by one channel"),
        pytest.param("channel:ops", "2026-01-06 12:00", (Contact(channel="ops"),), id="a channel"),
    ],
)
def test_a_target_is_whoever_it_is_at_that_moment(target: str, at: str, contacts: tuple[Contact, ...]) -> None:
    assert Desk().book.reach(escalation(target), utc(at)) == {target: contacts}


def test_every_target_of_every_step_has_an_answer() -> None:
    found = Desk().book.reach(escalation("oncall:primary", "person:bob", "channel:ops"), NOW)
    assert set(found) == {"oncall:primary", "person:bob", "channel:ops"}


async def test_an_override_counts_at_once_and_after_a_restart_of_the_agent() -> None:
    desk = Desk()
    made = await desk.book.add(override("bob", by="alice"))
    assert (made.id, made.made_at) == ("o1", NOW)
    assert desk.book.on_call("primary", NOW) == ("bob",)
    again = Desk(store=desk.store)
    await again.duty.load()
    assert again.book.overrides == (made,)
    assert again.book.on_call("primary", NOW) == ("bob",)


async def test_an_override_that_is_taken_back_is_gone_and_its_id_is_not_given_again() -> None:
    desk = Desk()
    await desk.book.add(override("bob"))
    await desk.book.remove("o1")
    assert desk.book.on_call("primary", NOW) == ("alice",)
    again = Desk(store=desk.store)
    await again.duty.load()
    assert (await again.book.add(override("carol"))).id == "o2"


async def test_a_store_that_is_away_stops_nobody_and_is_told_later() -> None:
    desk = Desk()
    desk.store.away = True
    await desk.book.add(override("bob"))
    assert desk.book.on_call("primary", NOW) == ("bob",)
    await desk.duty.look_after()
    desk.store.away = False
    await desk.duty.look_after()
    again = Desk(store=desk.store)
    await again.duty.load()
    assert again.book.on_call("primary", NOW) == ("bob",)


async def test_a_reload_keeps_overrides_and_those_of_somebody_who_left_count_no_more_and_say_so() -> None:
    desk = Desk()
    await desk.book.add(override("bob"))
    desk.configure()
    assert desk.book.on_call("primary", NOW) == ("bob",)
    desk.configure(people=("alice", "carol"))
    await desk.duty.look_after()
    assert desk.book.on_call("primary", NOW) == ("alice",)
    assert desk.vitals.oncall_trouble == {"primary": "override o1 is void: config no longer names bob"}
    desk.configure()
    await desk.duty.look_after()
    assert desk.book.on_call("primary", NOW) == ("bob",)
    assert desk.vitals.oncall_trouble == {}


async def test_overrides_that_have_long_been_over_are_forgotten_when_another_is_made() -> None:
    desk = Desk()
    await desk.book.add(override("bob"))
    desk.now = NOW + timedelta(days=20)
    await desk.book.add(override("bob", "2026-01-26", "2026-02-01"))
    assert [one.id for one in desk.book.overrides] == ["o1", "o2"]
    desk.now = NOW + timedelta(days=70)
    await desk.book.add(override("bob", "2026-03-06", "2026-04-01"))
    assert [one.id for one in desk.book.overrides] == ["o3"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(override(schedule="primray"), "no schedule 'primray'", id="a schedule that there is not"),
        pytest.param(override("zoe"), "no person 'zoe'", id="a person who is not"),
        pytest.param(override("bob", instead_of="zoe"), "no person 'zoe'", id="in the place of nobody"),
        pytest.param(override("bob", instead_of="bob"), "cannot stand in for", id="for himself"),
        pytest.param(override("bob", swap=True), "between two people", id="a swap with nobody"),
        pytest.param(override("bob", "2026-01-08", "2026-01-07"), "ends before it begins", id="backwards"),
        pytest.param(override("bob", "2026-01-01", "2026-01-06"), "over already", id="in the past"),
        pytest.param(override("bob", "2026-01-01", "2027-06-06"), "longer than a year", id="for ever"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(asked: Override, said: str) -> None:
    desk = Desk()
    with pytest.raises(ValueError, match=said):
        await desk.book.add(asked)
    assert desk.book.overrides == ()


async def test_a_note_that_cannot_be_read_is_left_out() -> None:
    desk = Desk()
    await desk.store.set_note("oncall/overrides", '{"overrides": [{"id": "o1"}]}')
    await desk.duty.load()
    assert desk.book.overrides == ()
    assert desk.book.on_call("primary", NOW) == ("alice",)


def test_the_book_says_who_is_on_call_until_when_and_who_is_next() -> None:
    desk = Desk()
    desk.configure(schedules=(PRIMARY, Schedule(name="empty")))
    assert desk.book.now() == [
        {"schedule": "primary", "people": ("alice",), "until": utc("2026-01-12 08:00"), "next": ("bob",)},
        {"schedule": "empty", "people": (), "until": None, "next": ()},
    ]
    assert desk.book.in_words() == ("primary: Alice Miller until Mon 2026-01-12 08:00 UTC, then bob\nempty: nobody")


def test_without_schedules_that_is_said() -> None:
    desk = Desk()
    desk.configure(schedules=())
    assert desk.book.in_words() == "no on-call schedule is configured"
