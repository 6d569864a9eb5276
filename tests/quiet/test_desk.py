"""What people ask of the book, and what they are told when it is not done."""

import re
from datetime import timedelta
from typing import Any

import pytest

from agent.core.events import EventKind, Noted
from agent.core.silence import State
from agent.operations import Refused
from agent.quiet.preview import covered, plain, preview
from agent.quiet.recurrence import upcoming
from tests.quiet.town import HOUR, NOW, Town, a_policy, a_window, happened, once


async def test_a_silence_says_in_one_sentence_what_it_hides() -> None:
    town = Town(incidents={"api": "api-1"})
    said = await town.desk.silence("service=api", "bob", span=2 * HOUR, comment="deploy", incident="api-1")
    assert said == "service=api (1 service) is silenced by bob until 14:00 UTC: deploy."
    said = await town.desk.silence("service=api", "ann", span=None)
    assert said == "service=api (1 service) is silenced by ann until it is resolved."


async def test_making_and_ending_stand_in_the_timeline_of_what_is_open() -> None:
    town = Town(incidents={"api": "api-1"})
    made = await town.desk.add_silence(town.wanted("team=~shop|storage"))
    await town.desk.expire([made.id], "ann")
    assert town.told == [
        ("api", Noted(at=NOW, text="bob made a silence: silenced by bob until 14:00 UTC: deploy", by="bob")),
        ("api", Noted(at=NOW, text="ann ended the silence of bob", by="ann")),
    ]
    assert town.book.silences[made.id].state(NOW) is State.EXPIRED
    assert town.why("api") == ""


@pytest.mark.parametrize(
    ("match", "more", "refusal"),
    [
        pytest.param("all", {}, "means every service there is: say --all", id="everything by its word"),
        pytest.param("service=~.*", {}, "means every service there is", id="everything by an expression"),
        pytest.param("severity!=nonsense", {}, "means every service there is", id="everything by accident"),
        pytest.param("service=apy", {}, "there is no service 'apy': did you mean 'api'?", id="a slip"),
        pytest.param("service=api", {"span": None}, "say for how long", id="no end"),
        pytest.param("service=api", {"span": timedelta(0)}, "longer than no time", id="no length"),
        pytest.param("service=api", {"span": timedelta(days=400)}, "lasts 366 d at most", id="for ever"),
        pytest.param("service=api", {"comment": "x" * 501}, "at most 500 characters", id="a novel"),
        pytest.param("service=api", {"span": None, "until_resolved": True}, "nothing to resolve", id="nothing is open"),
    ],
)
async def test_a_silence_that_nobody_can_have_meant_is_refused(match: str, more: dict[str, Any], refusal: str) -> None:
    town = Town()
    with pytest.raises(Refused, match=re.escape(refusal)):
        await town.desk.add_silence(town.wanted(match, **more))
    assert town.book.silences == {}


async def test_everything_can_be_silenced_by_whoever_says_so() -> None:
    town = Town()
    await town.desk.add_silence(town.wanted("all", everything=True))
    assert all(town.why(one.service) for one in town.policies)


async def test_the_only_service_can_be_silenced_by_its_name() -> None:
    town = Town(policies=[a_policy("api")])
    await town.desk.add_silence(town.wanted("service=api"))
    assert town.why("api")


async def test_what_was_said_about_an_old_message_silences_nothing_new() -> None:
    town = Town(incidents={"api": "api-2"})
    with pytest.raises(Refused, match="that incident is over"):
        await town.desk.silence("service=api", "bob", span=HOUR, incident="api-1")
    assert town.why("api") == ""


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("serivce=api", "did you mean 'service'?"), ("taem=shop", "did you mean 'team'?"), ("api", "write service=api")],
)
async def test_matchers_are_refused_with_the_nearest_attribute_that_services_have(text: str, refusal: str) -> None:
    with pytest.raises(Refused, match=re.escape(refusal)):
        await Town().desk.silence(text, "bob", span=HOUR)


async def test_of_several_to_expire_all_or_none_are_ended() -> None:
    town = Town()
    made = await town.desk.add_silence(town.wanted("service=api"))
    with pytest.raises(LookupError, match=r"there is no silence 's-nothing'"):
        await town.desk.expire([made.id, "s-nothing"], "ann")
    assert town.why("api")
    await town.desk.expire([made.id], "ann")
    with pytest.raises(Refused, match="has ended already"):
        await town.desk.expire([made.id], "ann")


async def test_a_window_by_hand_goes_when_it_is_ended_and_a_planned_one_comes_again() -> None:
    town = Town()
    town.book.configure([a_window(when=once(NOW), id="planned"), a_window(id="sundays")])
    await town.desk.add_window(a_window("service=api", when=once(NOW), id="m-1", made_at=NOW, by="ann"))
    assert town.why("api")
    await town.desk.end_window("m-1", "ann")
    assert town.why("api") == ""
    assert "m-1" not in [one.id for one in town.book.windows]
    await town.desk.end_window("planned", "ann")
    assert town.why("db") == ""
    with pytest.raises(Refused, match="is not in force now"):
        await town.desk.end_window("sundays", "ann")
    with pytest.raises(LookupError, match="did you mean 'sundays'"):
        await town.desk.end_window("sunday", "ann")


@pytest.mark.parametrize(
    ("window", "refusal"),
    [
        pytest.param(a_window("all", when=once(NOW)), "means every service", id="everything"),
        pytest.param(a_window(when=once(NOW - 3 * HOUR)), "is over already", id="in the past"),
        pytest.param(a_window("service=dbb", when=once(NOW)), "did you mean 'db'?", id="a slip"),
        pytest.param(a_window(when=once(NOW), length=timedelta(days=400)), "366 d at most", id="for ever"),
    ],
)
async def test_a_window_that_nobody_can_have_meant_is_refused(window: Any, refusal: str) -> None:
    with pytest.raises(Refused, match=re.escape(refusal)):
        await Town().desk.add_window(window)


async def test_a_preview_names_what_is_open_and_the_pages_that_would_not_have_been_sent() -> None:
    town = Town(incidents={"db": "db-9"})
    for service, hours, kind in [
        ("db", 1, EventKind.PAGED),
        ("db", 10, EventKind.REMINDED),
        ("db", 11, EventKind.MISSED),
        ("api", 2, EventKind.PAGED),
        ("db", 8 * 24, EventKind.PAGED),
    ]:
        await happened(town.store, service, NOW - hours * HOUR, kind)
    matchers = town.desk.read(["team=storage"])
    found = await preview(matchers, town.desk.meant(matchers), town.store, NOW)
    assert (found.services, found.incidents, found.complete) == (("db",), (("db", "db-9"),), True)
    assert [(one.kind, one.at) for one in found.pages] == [
        (EventKind.REMINDED, NOW - 10 * HOUR),
        (EventKind.PAGED, NOW - HOUR),
    ]
    assert plain(found)["match"] == "team=storage"


async def test_a_preview_of_a_window_counts_the_pages_within_its_times() -> None:
    town = Town()
    window = a_window()
    sunday = NOW - timedelta(days=6, hours=10)  # 02:00
    for hours in (-0.5, 0, 1.9, 2):
        await happened(town.store, "db", sunday + hours * HOUR, EventKind.PAGED)
    spans = upcoming(window, NOW - timedelta(days=7), NOW, 100)
    found = await preview(window.matchers, town.desk.meant(window.matchers), town.store, NOW, covered(spans))
    assert [one.at - sunday for one in found.pages] == [timedelta(0), 1.9 * HOUR]
