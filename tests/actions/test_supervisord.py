"""Restarting a program of a real supervisord: what is restarted, what is left alone, and what the page is told."""

import asyncio
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions.supervisord import SUPERVISORD
from agent.core.commands import Outcome
from agent.ports import ActionOutcome, Remediator
from tests.actions.orders import ORDER, NoChildren
from tests.processes import frozen
from tests.servers import answering, free_port, serve
from tests.supervisor import Supervisor, supervisord, why_not

real = pytest.mark.skipif(bool(why_not()), reason=why_not() or "supervisord runs here")
SERVES = "echo serving\nwhile :; do sleep 0.1; done\n---\nstartsecs=0\n"
DEAF = "trap '' TERM\nwhile :; do sleep 0.1; done\n---\nstartsecs=0\nstopwaitsecs=3\n"
PROGRAMS = {
    "steady": SERVES,
    "hangs": SERVES,
    "stopped": SERVES,
    "slow": DEAF,
    "resting": SERVES + "autostart=false\n",
    "quits": "echo '\x1b[31mno space\x1b[0m' >&2\n[ -e $0.again ] && exec sleep 99\n>$0.again\nexit 3\n"
             "---\nstartsecs=0\nautorestart=false\n",
    "broken": "exit 7\n---\nstartsecs=1\nstartretries=0\nautorestart=false\n",
    "flaps": "exit 7\n---\nstartsecs=1\nstartretries=99\n",
    "reloads": "trap '>$0.reloaded' HUP\ntrap 'exit 0' TERM\nwhile :; do sleep 0.1; done\n---\nstartsecs=0\n",
    "turned": SERVES,
    "halfway": SERVES,
    "young": "exec sleep 99\n---\nstartsecs=90\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with supervisord(tmp_path_factory.mktemp("supervisord"), PROGRAMS) as supervisor:
        yield supervisor


def made(supervisor: Supervisor, name: str, **options: Any) -> Remediator:
    written = {"program": name, "server": str(supervisor.socket), **options}
    return SUPERVISORD.build(SUPERVISORD.options.model_validate(written), NoChildren())


async def restart(supervisor: Supervisor, name: str, **options: Any) -> ActionOutcome:
    return await made(supervisor, name, **options).perform(ORDER)


@real
async def test_a_program_that_ended_is_started_with_its_end_and_its_logs_as_evidence(supervisor: Supervisor) -> None:
    supervisor.wait("quits", "EXITED")
    outcome = await restart(supervisor, "quits")
    assert outcome.outcome is Outcome.DONE
    assert outcome.detail.startswith("quits is RUNNING: pid ")
    assert outcome.evidence["program"].startswith("quits is EXITED: exit code 3 at ")
    assert outcome.evidence["program stderr"] == "?[31mno space?[0m"
    assert supervisor.state("quits") == "RUNNING"


@real
async def test_a_running_program_becomes_a_new_process_and_the_old_one_is_told(supervisor: Supervisor) -> None:
    before = supervisor.pid("hangs")
    outcome = await restart(supervisor, "hangs")
    assert any(row.split()[0] == str(before) for row in outcome.evidence["processes"].splitlines()[1:])
    assert (outcome.outcome, outcome.evidence["program stdout"]) == (Outcome.DONE, "serving")
    assert supervisor.pid("hangs") not in (0, before)


@real
async def test_a_reload_is_a_sighup_to_the_same_process(supervisor: Supervisor) -> None:
    supervisor.wait("reloads", "RUNNING")
    await asyncio.sleep(0.5)
    before = supervisor.pid("reloads")
    outcome = await restart(supervisor, "reloads", verb="reload")
    assert (outcome.outcome, supervisor.pid("reloads")) == (Outcome.DONE, before)
    for _ in range(100):
        if found := list(supervisor.socket.parent.rglob("*.reloaded")):
            break
        await asyncio.sleep(0.05)
    assert found


@real
async def test_start_and_stop_do_just_that_and_nothing_where_it_is_so_already(supervisor: Supervisor) -> None:
    supervisor.wait("turned", "RUNNING")
    before = supervisor.pid("turned")
    assert (await restart(supervisor, "turned", verb="start")).outcome is Outcome.DONE
    assert supervisor.pid("turned") == before
    assert (await restart(supervisor, "turned", verb="stop")).outcome is Outcome.DONE
    assert supervisor.state("turned") == "STOPPED"
    assert (await restart(supervisor, "turned", verb="start")).outcome is Outcome.REFUSED, "somebody stopped it"
    assert (await restart(supervisor, "turned", verb="start", when_stopped="start")).outcome is Outcome.DONE
    assert supervisor.state("turned") == "RUNNING"


@real
async def test_a_program_that_an_operator_stopped_is_left_alone(supervisor: Supervisor) -> None:
    supervisor("stop", "stopped")
    outcome = await restart(supervisor, "stopped")
    assert outcome.outcome is Outcome.REFUSED
    assert "STOPPED: since " in outcome.detail
    assert outcome.detail.endswith("so left alone (when_stopped: start changes that)")
    assert supervisor.state("stopped") == "STOPPED"
    assert (await restart(supervisor, "stopped", when_stopped="start")).outcome is Outcome.DONE


@real
async def test_what_a_killed_agent_had_stopped_is_started_by_the_order_after_it(supervisor: Supervisor) -> None:
    """Between its stop and its start: the next life can't know it but from the order that was interrupted."""
    supervisor.wait("halfway", "RUNNING")
    began = datetime.now(UTC)
    await restart(supervisor, "halfway", verb="stop")
    assert supervisor.state("halfway") == "STOPPED"
    remediator = made(supervisor, "halfway")
    later = replace(ORDER, interrupted_at=began + timedelta(minutes=1))
    assert (await remediator.perform(later)).outcome is Outcome.REFUSED, "stopped before that order: by somebody else"
    assert (await remediator.perform(replace(ORDER, interrupted_at=began))).outcome is Outcome.DONE
    assert supervisor.state("halfway") == "RUNNING"


@real
async def test_a_program_that_is_not_started_by_itself_is_left_alone(supervisor: Supervisor) -> None:
    outcome = await restart(supervisor, "resting")
    assert "resting is STOPPED: it was never started: stopped on purpose or never started" in outcome.detail
    assert supervisor.state("resting") == "STOPPED"


@real
async def test_a_program_that_is_still_starting_is_left_alone(supervisor: Supervisor) -> None:
    outcome = await restart(supervisor, "young")
    assert outcome.outcome is Outcome.LATER
    assert outcome.detail.endswith("it is still starting")


@real
async def test_a_program_that_supervisord_gave_up_is_tried_and_its_failure_told(supervisor: Supervisor) -> None:
    supervisor.wait("broken", "FATAL")
    outcome = await restart(supervisor, "broken")
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.startswith("supervisord: ")
    # supervisord may still be between the exit and its verdict on it when it is asked
    assert "Exited too quickly" in outcome.detail or "exit code 7" in outcome.detail


@real
async def test_a_program_that_waits_for_its_next_try_is_started_at_once(supervisor: Supervisor) -> None:
    supervisor.wait("flaps", "BACKOFF")
    outcome = await restart(supervisor, "flaps")
    assert outcome.outcome is Outcome.FAILED
    assert "ABNORMAL_TERMINATION" in outcome.detail or "SPAWN_ERROR" in outcome.detail
    assert "flaps is BACKOFF" in outcome.evidence["program"]


@real
async def test_a_stop_that_takes_too_long_is_a_timeout_and_the_next_order_starts_it(supervisor: Supervisor) -> None:
    """It looks like an operator's stop by then, but it was the agent's own."""
    action = made(supervisor, "slow", timeout="500ms")
    first = await action.perform(ORDER)
    assert first.outcome is Outcome.TIMEOUT
    assert first.detail.startswith("supervisord did not restart it within 500ms; slow is STOPPING: pid ")
    assert "it is being stopped" in (await action.perform(ORDER)).detail
    supervisor.wait("slow", "STOPPED")
    assert "left alone" in (await restart(supervisor, "slow")).detail
    assert (await action.perform(ORDER)).outcome is Outcome.DONE


@real
async def test_a_program_that_is_not_there_can_not_be_restarted(supervisor: Supervisor) -> None:
    outcome = await restart(supervisor, "nowhere")
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "not restarted: supervisord: BAD_NAME: nowhere")


@real
async def test_a_supervisord_that_hangs_is_a_timeout(supervisor: Supervisor) -> None:
    assert supervisor.process is not None
    with frozen(supervisor.process.pid):
        began = monotonic()
        outcome = await restart(supervisor, "steady")
    assert outcome.outcome is Outcome.TIMEOUT
    assert outcome.detail.endswith("did not answer within 2 s")
    assert monotonic() - began < 10


@real
async def test_a_supervisord_on_tcp_wants_its_password(tmp_path: Path) -> None:
    port = free_port()
    inet = f"port=127.0.0.1:{port}\nusername=agent\npassword=s3cr3t\n"
    with supervisord(tmp_path, {"photos": SERVES}, inet=inet) as supervisor:
        before = supervisor.pid("photos")
        written = {"program": "photos", "server": f"http://127.0.0.1:{port}", "username": "agent"}
        outcomes = []
        for password in ("wrong", "s3cr3t"):
            options = SUPERVISORD.options.model_validate({**written, "password": password})
            outcomes.append(await SUPERVISORD.build(options, NoChildren()).perform(ORDER))
        assert supervisor.pid("photos") not in (0, before)
    assert outcomes[0].detail == "not restarted: supervisord does not take the username and password"
    assert [outcome.outcome for outcome in outcomes] == [Outcome.FAILED, Outcome.DONE]


async def test_without_supervisord_there_is_no_restart_and_no_exception(tmp_path: Path) -> None:
    options = SUPERVISORD.options.model_validate({"program": "photos", "server": str(tmp_path / "s")})
    outcome = await SUPERVISORD.build(options, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert "can't be asked: No such file or directory" in outcome.detail


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"hi", id="no XML"),
        pytest.param(b"<methodResponse><params/></methodResponse>", id="no value"),
        pytest.param(b"<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
                     id="a number that is none"),
        pytest.param(b"<methodResponse><params><param><value><int>7</int></value></param></params></methodResponse>",
                     id="no state"),
    ],
)  # fmt: skip
async def test_something_else_that_answers_is_no_supervisord(body: bytes) -> None:
    async with serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as port:
        options = SUPERVISORD.options.model_validate({"program": "photos", "server": f"http://127.0.0.1:{port}"})
        outcome = await SUPERVISORD.build(options, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.startswith("not restarted: supervisord")


def returned(value: object) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True).encode()


async def unmoved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A supervisord that says yes to every order, and does nothing."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split()[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    asked = (await reader.readexactly(length)).decode()
    facts = {"statename": "RUNNING", "now": 1767323045, "start": 1767320000, "stop": 0, "exitstatus": 0}
    info = {**facts, "pid": 2**22 + 7, "spawnerr": ""}  # more than a process can have as its number
    body = returned(info if "getProcessInfo" in asked else ["", 0, False] if "tail" in asked else True)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()


async def test_a_restart_that_leaves_the_same_process_is_a_failed_one() -> None:
    async with serve(unmoved) as port:
        options = SUPERVISORD.options.model_validate({"program": "photos", "server": f"http://127.0.0.1:{port}"})
        outcome = await SUPERVISORD.build(options, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.startswith("the process was not replaced; photos is RUNNING: pid ")


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param({"program": "workers:*"}, "is no name of a program", id="a whole group"),
        pytest.param({"program": "photos", "username": "agent"}, "belong together", id="no password"),
        pytest.param({"program": "photos", "timeout": "0s"}, "greater than", id="no time"),
    ],
)
def test_options_that_can_not_work_are_refused(written: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SUPERVISORD.options.model_validate(written)
