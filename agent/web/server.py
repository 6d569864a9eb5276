"""The HTTP server inside the agent's own loop. It handles no signals: the agent owns them."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server as Uvicorn

from agent import SERVER

BACKLOG = 2048
MOST_CONNECTIONS = 4096
HEADERS_WITHIN = 10.0  # seconds
LONGEST_HEADERS = 64 * 1024  # bytes
START_WITHIN = 10.0
STOP_WITHIN = 3

_REMEDY = {
    errno.EADDRINUSE: "is in use: another codeblue, or another program, listens there; end it or set agent.listen",
    errno.EACCES: "needs root or CAP_NET_BIND_SERVICE: ports below 1024 are reserved",
    errno.EADDRNOTAVAIL: "is no address of this machine",
}


class CannotListen(Exception):
    """The address cannot be listened on; the text says why."""


class Server:
    """Serves an app on `host:port`; port 0 takes any free one, which `port` tells after the start."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self.host = host
        self.port = port
        config = Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("server", SERVER)],
            proxy_headers=False,
            backlog=BACKLOG,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=STOP_WITHIN,
        )
        self._server = _InsideTheLoop(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What serves, as long as it does."""
        return self._task

    async def start(self) -> None:
        """Returns when connections are taken. Raises CannotListen."""
        listener = await _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]), name="web")
        async with asyncio.timeout(START_WITHIN):
            while not self._server.started:
                if self._task.done():
                    await self._task
                    raise CannotListen(f"{_shown(self.host, self.port)}: the server ended at once")
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Take no more connections, let answers that are on their way end, for a few seconds at most."""
        if self._task is not None:
            self._server.should_exit = True
            self._server.stopping.set()
            await asyncio.gather(self._task, return_exceptions=True)  # whoever saw it crash has told of it
            for listening in self._server.servers:
                listening.close()
            self._task = None


class _InsideTheLoop(Uvicorn):
    """uvicorn without its signal handlers, and with one wake-up a second (for the Date header) in place of ten."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.stopping.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _listen(host: str, port: int) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotListen(f"{_shown(host, port)}: {host} has no address: {error.strerror or error}") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = _REMEDY.get(error.errno or 0, f"cannot be listened on: {error.strerror or error}")
        raise CannotListen(f"{_shown(host, port)} {why}") from error
    return listener


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class PatientProtocol(HttpToolsProtocol):
    """Patient within limits: a request's headers must arrive within some seconds and some KiB, so that clients that
    send slowly, nothing, or headers without end hold neither connections nor memory."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers_by: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._header_bytes += len(data)
        super().data_received(data)
        if self._headers_by is not None and self._header_bytes > LONGEST_HEADERS:
            self._headers_are_here()
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._headers_by is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_are_here()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._headers_by = self.loop.call_later(HEADERS_WITHIN, self._give_up)

    def _headers_are_here(self) -> None:
        if self._headers_by is not None:
            self._headers_by.cancel()
            self._headers_by = None

    def _give_up(self) -> None:
        self._headers_by = None
        self.transport.abort()
