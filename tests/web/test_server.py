"""The server: how it starts, ends, and treats those who would hold it up."""

import asyncio
import signal
import socket
from contextlib import suppress

import pytest

from agent.core.state import Health
from agent.web import answers
from agent.web import server as ours
from agent.web.api import create_app
from agent.web.server import CannotListen, Server
from tests.web.site import Site, a_check, a_service, serving


async def test_an_address_in_use_is_one_clear_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port} is in use: another codeblue, or another program"):
            await Server(create_app(Site().deps()), "127.0.0.1", port).start()


@pytest.mark.parametrize(
    ("host", "says"),
    [
        pytest.param("192.0.2.1", "192.0.2.1:0 is no address of this machine", id="somebody else's address"),
        pytest.param("no.such.name.invalid", "no.such.name.invalid has no address", id="an unknown name"),
    ],
)
async def test_an_address_that_cannot_be_listened_on_is_one_clear_message(host: str, says: str) -> None:
    with pytest.raises(CannotListen, match=says):
        await Server(create_app(Site().deps()), host, 0).start()


async def test_it_listens_on_ipv6_too() -> None:
    server = Server(create_app(Site().deps()), "::1", 0)
    await server.start()
    reader, writer = await asyncio.open_connection("::1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await server.stop()


async def test_one_that_has_crashed_holds_up_no_clean_end(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(create_app(Site().deps()), "127.0.0.1", 0)
    await server.start()

    async def crash(_: int) -> bool:
        raise LookupError("a bug")

    monkeypatch.setattr(server._server, "on_tick", crash)
    assert server.task is not None
    await asyncio.wait([server.task], timeout=5)
    assert isinstance(server.task.exception(), LookupError)
    await server.stop()


async def test_signals_stay_with_the_agent_and_a_stopped_server_frees_its_port() -> None:
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(Site()) as browser:
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", browser.port)
    again = Server(create_app(Site().deps()), "127.0.0.1", browser.port)
    await again.start()
    await again.stop()
    await again.stop()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: 127", id="half of the headers"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /he", id="half of a second request"),
    ],
)
async def test_a_client_that_never_finishes_its_request_is_cut(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "HEADERS_WITHIN", 0.2)
    async with serving(Site()) as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        writer.write(sent)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(5):
                await reader.read()
        writer.close()


async def test_headers_without_end_are_cut() -> None:
    async with serving(Site()) as browser:
        _, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 50_000_000:
                writer.write(b"X-Long: " + b"x" * 8_000 + b"\r\n")
                sent += 8_000
                await writer.drain()
                await asyncio.sleep(0)
        assert sent < 20_000_000
        writer.close()


async def test_garbage_is_answered_with_400() -> None:
    async with serving(Site()) as browser:
        answer = await browser.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n")
        assert answer.status == 400
        assert (await browser.ask("/healthz")).status == 200


async def test_a_second_request_on_the_same_connection_is_answered() -> None:
    async with serving(Site()) as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"}\n")
        writer.close()


async def test_a_reader_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SEND_WITHIN", 0.3)
    site = Site(services=[a_service(f"s{number}", Health.UP, a_check()) for number in range(10_000)])
    async with serving(site) as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await asyncio.sleep(0.6)  # the kernel's buffers are full by now, and the time is over
        received = 0
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while part := await reader.read(65_536):
                    received += len(part)
        writer.close()
    whole = sum(map(len, site.metrics.render()[1]))
    assert received < whole
