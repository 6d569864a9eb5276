"""How an operator's stop is told from a crash, and what Docker's answers are read as."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.containers import (
    Container,
    ContainerEvent,
    container_name,
    is_being_stopped,
    operators_stop,
    parse_events,
    parse_inspect,
    plain_log,
    who_ended_it,
)

END = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def told(*steps: str) -> list[ContainerEvent]:
    """ "kill:15@-1 die stop": an action, a signal where there is one, and when, in seconds from the end."""
    found = []
    for step in steps:
        what, _, seconds = step.partition("@")
        action, _, signal = what.partition(":")
        found.append(ContainerEvent(action=action, signal=signal, at=END + timedelta(seconds=float(seconds or 0))))
    return found


STOPPED = told("start@-99", "kill:15@-1", "die", "stop")
KILLED = told("start@-99", "kill:9@-0.1", "die")
CRASHED = told("start@-99", "die")
FORGOTTEN = told()


@pytest.mark.parametrize(
    ("events", "asked"),
    [
        pytest.param(STOPPED, True, id="docker stop"),
        pytest.param(told("start@-99", "kill:15@-60", "kill:9@-0.1", "die", "stop"), True, id="docker stop -t 60"),
        pytest.param(told("kill:15@-60", "die", "stop"), True, id="docker stop, which took a minute"),
        pytest.param(KILLED, True, id="docker kill"),
        pytest.param(CRASHED, False, id="a crash"),
        pytest.param(told("start@-99", "kill:1@-50", "die"), False, id="a crash long after a reload by signal"),
        pytest.param(told("start@-99", "kill:1@-1", "die"), False, id="a crash over a reload by signal"),
        pytest.param(told("kill:15@-9", "die@-8", "stop@-8", "start@-7", "die"), False, id="a crash after a restart"),
        pytest.param(told("start@-99"), None, id="its end is not remembered"),
        pytest.param(FORGOTTEN, None, id="nothing is remembered"),
    ],
)
def test_dockers_events_tell_who_ended_a_container(events: list[ContainerEvent], asked: bool | None) -> None:
    assert who_ended_it(events) is asked


@pytest.mark.parametrize(
    ("state", "events", "why"),
    [
        pytest.param({"exit_code": 143}, STOPPED, "Docker was asked", id="docker stop"),
        pytest.param({"exit_code": 0, "policy": "always"}, STOPPED, "Docker was asked", id="docker stop, it said bye"),
        pytest.param({"exit_code": 137}, KILLED, "Docker was asked", id="docker kill"),
        pytest.param({"exit_code": 3}, CRASHED, "", id="crashed, no restart policy"),
        pytest.param({"exit_code": 0}, CRASHED, "", id="quit by itself, no restart policy"),
        pytest.param({"exit_code": 137}, CRASHED, "", id="killed by the kernel or on the host"),
        pytest.param({"exit_code": 137, "oom_killed": True}, FORGOTTEN, "", id="out of memory"),
        pytest.param({"exit_code": 128, "error": "port is taken"}, STOPPED, "", id="could not be started again"),
        pytest.param({"exit_code": 1, "policy": "always"}, FORGOTTEN, "restart policy (always)", id="always, yet down"),
        pytest.param(
            {"exit_code": 1, "policy": "unless-stopped"}, CRASHED, "(unless-stopped)", id="stopped between two crashes"
        ),
        pytest.param(
            {"exit_code": 1, "policy": "on-failure", "retries": 3, "restarts": 3}, FORGOTTEN, "", id="Docker gave up"
        ),
        pytest.param(
            {"exit_code": 1, "policy": "on-failure", "retries": 3, "restarts": 1}, FORGOTTEN, "(on-failure)",
            id="stopped before Docker gave up",
        ),
        pytest.param(
            {"exit_code": 1, "policy": "on-failure"}, FORGOTTEN, "(on-failure)", id="Docker never gives up, yet down"
        ),
        pytest.param({"exit_code": 0, "policy": "on-failure"}, CRASHED, "", id="quit by itself, which is no failure"),
        pytest.param({"exit_code": 0}, FORGOTTEN, "no longer tell", id="0 and nothing remembered"),
        pytest.param({"exit_code": 143}, FORGOTTEN, "no longer tell", id="143 and nothing remembered"),
        pytest.param({"exit_code": 137}, FORGOTTEN, "no longer tell", id="137 and nothing remembered"),
        pytest.param({"exit_code": 3}, FORGOTTEN, "", id="3 is no stop, whatever is remembered"),
        pytest.param({"status": "created"}, FORGOTTEN, "never started", id="created only"),
        pytest.param({"status": "created", "error": "no such file"}, FORGOTTEN, "", id="its first start failed"),
    ],
)  # fmt: skip
def test_an_operators_stop_is_told_from_a_crash(state: dict[str, Any], events: list[ContainerEvent], why: str) -> None:
    said = operators_stop(Container(**({"name": "photos", "status": "exited"} | state)), events)
    assert why in said
    assert bool(why) == bool(said)


@pytest.mark.parametrize(
    ("events", "being"),
    [
        pytest.param(told("start@-99", "kill:15@0"), True, id="docker stop waits for it"),
        pytest.param(told("start@-99", "kill:1@0"), False, id="told to reload"),
        pytest.param(told("start@-99", "kill:15@-90"), False, id="it ignored that long ago"),
        pytest.param(STOPPED, False, id="it has ended"),
        pytest.param(FORGOTTEN, False, id="nothing is remembered"),
    ],
)
def test_a_stop_under_way_is_seen(events: list[ContainerEvent], being: bool) -> None:
    assert is_being_stopped(events, END + timedelta(seconds=2)) is being


def test_a_described_container_says_what_a_person_asks_first() -> None:
    crashed = Container(
        name="photos", status="exited", exit_code=137, oom_killed=True, finished_at=END, restarts=1, health="unhealthy"
    )
    assert crashed.describe() == (
        "photos is exited: killed for lack of memory, killed by SIGKILL (137) at 03:04:05 UTC, 1 restart by Docker"
    )
    assert Container(name="photos", status="running", health="healthy").describe() == "photos is running (healthy)"


def test_the_frames_of_a_log_are_taken_apart() -> None:
    framed = b"\x01\0\0\0\0\0\0\x03hi\n\x02\0\0\0\0\0\0\x04no!\n"
    assert plain_log(framed, tty=False) == "hi\nno!\n"
    assert plain_log(b"hi\r\n", tty=True) == "hi\r\n"
    assert plain_log(framed[:-2], tty=False) == "hi\nno"


@given(st.binary())
def test_any_bytes_are_a_log(raw: bytes) -> None:
    assert isinstance(plain_log(raw, tty=False), str)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"7", b'{"State": null}', b'{"State": {"Status": 3}}'])
def test_an_answer_without_a_state_is_none(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"State|JSON|Expecting"):
        parse_inspect(text, "photos")


def test_a_container_that_was_never_started_has_no_times() -> None:
    never = {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    found = parse_inspect(json.dumps({"Id": "c0ffee", "State": never}).encode(), "photos")
    assert (found.started_at, found.finished_at, found.id, found.policy) == (None, None, "c0ffee", "no")


def test_an_event_that_was_cut_off_is_left() -> None:
    line = b'{"Action": "die", "Actor": {"Attributes": {}}, "timeNano": 1767323045000000000}'
    assert parse_events(line + b"\n" + line[:30]) == told("die")


@pytest.mark.parametrize("name", ["", "-rf", "a/b", "a b", "photos?x=1", "ä", "x" * 256])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a container"):
        container_name(name)
