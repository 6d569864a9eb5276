"""One request to a daemon: every way in which it may not answer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from pydantic import TypeAdapter, ValidationError

from agent.local_http import DaemonAddress, NoReply, ask
from tests.processes import descriptors
from tests.servers import Handler, answering, closing, drip, drip_header, endless_header, free_port, serve, silent

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@contextlib.asynccontextmanager
async def listening(path: Path, handler: Handler) -> AsyncIterator[str]:
    """A server on a unix socket; gives its address. Connections end with the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_unix_server(connected, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        pytest.param(HELLO, 200, b"hello", id="with a length"),
        pytest.param(CHUNKED, 200, b"hello", id="in chunks"),
        pytest.param(b"HTTP/1.0 500 No\r\n\r\nhello", 500, b"hello", id="to the end of the connection"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="without a body"),
    ],
)
async def test_an_answer_is_read_to_its_end(tmp_path: Path, raw: bytes, status: int, body: bytes) -> None:
    async with listening(tmp_path / "s", answering(raw)) as server:
        reply = await ask(server, "GET", "/", timeout=2)
    assert (reply.status, reply.body, reply.truncated) == (status, body, False)


async def test_the_request_is_whole(tmp_path: Path) -> None:
    seen = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4))
        writer.write(HELLO)
        await writer.drain()

    async with listening(tmp_path / "s", echo) as server:
        await ask(server, "POST", "/RPC2?x=1", body=b"<a/>", headers={"Content-Type": "text/xml"}, timeout=2)
    assert seen == [
        b"POST /RPC2?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n"
        b"Content-Type: text/xml\r\n\r\n<a/>"
    ]


async def test_a_daemon_on_tcp_is_asked_the_same_way() -> None:
    async with serve(answering(HELLO)) as port:
        assert (await ask(f"http://127.0.0.1:{port}", "GET", "/", timeout=2)).body == b"hello"


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(silent, "timeout", id="silent"),
        pytest.param(drip, "timeout", id="drips its body"),
        pytest.param(drip_header, "timeout", id="drips its header"),
        pytest.param(closing, "reset", id="closes without a word"),
        pytest.param(answering(b"220 smtp ready\r\n"), "protocol", id="is no HTTP"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell"), "protocol", id="breaks off"),
        pytest.param(answering(CHUNKED[:-8]), "protocol", id="breaks off between two chunks"),
        pytest.param(endless_header, "protocol", id="a header without an end"),
    ],
)
async def test_no_answer_has_a_reason(tmp_path: Path, handler: Handler, reason: str) -> None:
    before, began = descriptors(), monotonic()
    async with listening(tmp_path / "s", handler) as server:
        with pytest.raises(NoReply) as caught:
            await ask(server, "GET", "/", timeout=0.5)
    await asyncio.sleep(0)
    assert caught.value.reason == reason
    assert monotonic() - began < 1.5
    assert descriptors() <= before


async def test_a_socket_that_is_not_there_is_missing_and_one_without_a_listener_refuses(tmp_path: Path) -> None:
    with pytest.raises(NoReply, match="No such file") as missing:
        await ask(f"unix://{tmp_path}/s", "GET", "/", timeout=2)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with pytest.raises(NoReply, match="refused") as refused:
        await ask(f"unix://{tmp_path}/s", "GET", "/", timeout=2)
    with pytest.raises(NoReply) as refused_tcp:
        await ask(f"http://127.0.0.1:{free_port()}", "GET", "/", timeout=2)
    assert (missing.value.reason, refused.value.reason) == ("missing", "refused")
    assert refused_tcp.value.reason == "refused"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90000, id="with a length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"a\r\nxxxxxxxxxx\r\n" * 9000, id="in chunks"
        ),
    ],
)
async def test_an_answer_that_is_too_long_is_cut(tmp_path: Path, raw: bytes) -> None:
    async with listening(tmp_path / "s", answering(raw)) as server:
        reply = await ask(server, "GET", "/", timeout=2, limit=10_000)
    assert reply.truncated
    assert reply.body[:5] == b"xxxxx"
    assert len(reply.body) < 90_000


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("/run/docker.sock", "unix:///run/docker.sock"),
        ("unix:///run/docker.sock", "unix:///run/docker.sock"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
        ("http://127.0.0.1:9001/", "http://127.0.0.1:9001"),
        ("tcp://proxy:2375", "http://proxy:2375"),
        ("http://[::1]:9001", "http://[::1]:9001"),
    ],
)
def test_an_address_of_a_daemon(written: str, address: str) -> None:
    assert TypeAdapter(DaemonAddress).validate_python(written) == address


@pytest.mark.parametrize(
    "written",
    ["", "docker.sock", "unix://docker.sock", "/" + "x" * 107, "https://host:1", "http://host", "http://u:p@host:1",
     "http://host:port", "http://host:1/path", "/a\0b"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValidationError, match="expected the path of a socket"):
        TypeAdapter(DaemonAddress).validate_python(written)
