"""Draining a server of a real HAProxy: whose will is respected, and what is waited for."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions.drains import DRAINS
from agent.ports import Drain, NotDrained
from tests.haproxy import Haproxy, haproxy, why_not
from tests.servers import serve

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "HAProxy runs here")
HAPROXY = DRAINS["haproxy"]


@pytest.fixture
def ha(tmp_path: Path) -> Iterator[Haproxy]:
    with haproxy(tmp_path, web_1=1, web_2=2) as found:
        yield found


def made(ha: Haproxy, server: str = "web/web-1", **options: Any) -> Drain:
    return HAPROXY.build(
        HAPROXY.options.model_validate({"server": server, "socket": str(ha.socket), "wait": "5s", **options})
    )


async def test_a_server_is_drained_and_takes_sessions_again(ha: Haproxy) -> None:
    drain = made(ha)
    assert await drain.held() == ""
    assert (await drain.drain()).startswith("web/web-1 is drained, its last session ended after ")
    assert (ha.state("web-1"), ha.state("web-2")) == (8, 0)
    assert await drain.undrain() == "web/web-1 takes sessions again"
    assert ha.state("web-1") == 0


async def test_it_is_put_back_twice_without_harm(ha: Haproxy) -> None:
    drain = made(ha)
    await drain.drain()
    await drain.undrain()
    assert await drain.undrain() == "web/web-1 takes sessions already"


async def test_over_tcp_as_well(ha: Haproxy) -> None:
    await made(ha, socket=f"tcp://127.0.0.1:{ha.api}").drain()
    assert ha.state("web-1") == 8


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param("set server web/web-1 state maint", "in maintenance by somebody's command", id="maintenance"),
        pytest.param("set server web/web-1 state drain", "drained by somebody's command", id="drained by hand"),
    ],
)
async def test_what_an_operator_has_taken_out_is_his(ha: Haproxy, command: str, why: str) -> None:
    ha(command)
    assert why in await made(ha).held()


async def test_a_server_that_an_operator_put_into_maintenance_meanwhile_stays_there(ha: Haproxy) -> None:
    drain = made(ha)
    await drain.drain()
    ha("set server web/web-1 state maint")
    assert "stays so" in await drain.undrain()
    assert ha.state("web-1") & 1


async def test_a_session_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with serve(slow) as port:
        with haproxy(tmp_path, web_1=port) as ha:
            reader, writer = await asyncio.open_connection("127.0.0.1", ha.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await asyncio.wait_for(asked.wait(), 5)
            waiting = asyncio.ensure_future(made(ha, wait="30s").drain())
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            assert not done
            assert ha.state("web-1") == 8
            answer.set()
            assert b"200 OK" in await asyncio.wait_for(reader.read(), 5)
            assert "its last session ended" in await asyncio.wait_for(waiting, 10)
            writer.close()


async def test_a_session_that_does_not_end_is_left_after_the_time_that_it_was_given(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        writer.close()

    async with serve(never) as port:
        with haproxy(tmp_path, web_1=port) as ha:
            _, writer = await asyncio.open_connection("127.0.0.1", ha.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(asked.wait(), 5)
            assert "1 sessions were left after" in await made(ha, wait="400ms").drain()
            writer.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        pytest.param({"server": "web/nobody"}, "HAProxy has no server web/nobody", id="no such server"),
        pytest.param({"server": "nowhere/web-1"}, "Can't find backend", id="no such backend"),
        pytest.param({"socket": "/nowhere/ha.sock"}, "can't be asked", id="no such socket"),
    ],
)
async def test_what_haproxy_does_not_do_is_told_in_its_words(ha: Haproxy, options: dict[str, str], why: str) -> None:
    with pytest.raises(NotDrained, match=why):
        await made(ha, **{"server": "web/web-1", **options}).undrain()


async def test_one_that_hangs_is_given_up() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serve(deaf) as port:
        options = {"server": "web/web-1", "socket": f"tcp://127.0.0.1:{port}", "timeout": "200ms"}
        with pytest.raises(NotDrained, match=r"did not answer at .* within 0.2 s"):
            await HAPROXY.build(HAPROXY.options.model_validate(options)).drain()


@pytest.mark.parametrize(
    "server", ["web-1", "web/web-1; disable server web/web-2", "web/web-1\nshutdown", "web/", "/x"]
)
def test_a_name_can_hold_no_other_command(server: str) -> None:
    with pytest.raises(ValidationError, match="expected BACKEND/SERVER"):
        HAPROXY.options.model_validate({"server": server})
