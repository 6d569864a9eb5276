"""What is watched: servers, senders of heartbeats, files, logs, processes; each can be broken in ways of its own."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable
from functools import partial

from bench.soak.journal import Journal, Span
from bench.soak.services import Places, Service
from bench.web import get

PULSE = 0.4  # seconds between two beats, touches, lines
CURE = 0.3  # seconds after which a restart has helped
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nall is fine"
ANSWERS = {
    "": FINE,
    "status": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nlogin please",
}
BANNERS = {"": b"ok\n", "wrong": b"no\n", "hangup": b""}


class Thing:
    """One target. `broken` is the outage that it is in; one that is not `curable` is not mended by a restart."""

    def __init__(self, service: Service, places: Places, journal: Journal) -> None:
        self.service = service
        self.places = places
        self.journal = journal
        self.mode = ""
        self.broken: Span | None = None
        self.curable = True
        self._mending = asyncio.Lock()

    async def start(self) -> None:
        """Be well."""

    async def stop(self) -> None:
        """Leave nothing behind."""

    async def fall(self, mode: str) -> None:
        """Begin to fail in that way."""
        self.mode = mode

    async def rise(self) -> None:
        """Be well again."""
        self.mode = ""

    async def restarted(self) -> None:
        """Somebody restarted it."""
        if self.broken is not None and self.curable:
            await asyncio.sleep(CURE)
            await self.mend(self.broken)

    async def break_(self, mode: str, *, curable: bool) -> Span:
        """`fall`, as the journal has it: an outage begins no later than what can be seen of it, and ends no sooner."""
        self.curable = curable
        span = self.broken = self.journal.broken(self.service.target, mode)
        await self.fall(mode)
        return span

    async def mend(self, span: Span) -> None:
        """End that outage; another one, or none, is left alone."""
        async with self._mending:
            if self.broken is span:
                await self.rise()
                if self.mode == "" and self.broken is span:
                    self.broken = None
                    self.journal.over(span)


class Server(Thing):
    """Answers on a port of its own, over HTTP or with a banner."""

    def __init__(self, service: Service, places: Places, journal: Journal) -> None:
        super().__init__(service, places, journal)
        self._server: asyncio.Server | None = None
        self._flapping: asyncio.Task[None] | None = None
        self.open: set[asyncio.Transport] = set()

    async def start(self) -> None:
        if self._server is None:
            make = partial(_Http if self.service.kind == "http" else _Banner, self)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(make, self.service.address, self.places.port, backlog=200)

    async def stop(self) -> None:
        await self.rise()
        self._close()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self.open):
            transport.abort()

    async def fall(self, mode: str) -> None:
        if mode == "refuse":
            self._close()
        elif mode == "flap":
            self._flapping = asyncio.get_running_loop().create_task(self._flap())
        self.mode = mode

    async def rise(self) -> None:
        if self._flapping is not None:
            self._flapping.cancel()
            self._flapping = None
        self.mode = ""
        for transport in list(self.open):
            transport.abort()  # what hung does not hang on
        await self.start()

    async def _flap(self) -> None:
        bad = "status" if self.service.kind == "http" else "wrong"
        while True:
            self.mode = bad if self.mode != bad else "flap"  # of which nobody knows a bad answer
            await asyncio.sleep(random.uniform(0.5, 2.5))


class _Protocol(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.open.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._transport is not None:
            self._server.open.discard(self._transport)


class _Banner(_Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        mode = self._server.mode
        if self._transport is not None and mode != "mute":
            self._transport.write(BANNERS.get(mode, BANNERS[""]))
            self._transport.close()


class _Http(_Protocol):
    def data_received(self, data: bytes) -> None:
        mode, transport = self._server.mode, self._transport
        if transport is None or not data.endswith(b"\r\n\r\n") or mode == "hang":
            return
        if mode == "reset":
            transport.abort()
        elif mode == "drip":
            self._drip(FINE)
        else:
            transport.write(ANSWERS.get(mode, FINE))
            transport.close()

    def _drip(self, left: bytes) -> None:
        if self._transport is not None and left and not self._transport.is_closing():
            self._transport.write(left[:1])
            asyncio.get_running_loop().call_later(0.1, self._drip, left[1:])


class Pulsing(Thing):
    """Does something all the time while it is well, and something else, or nothing, while it is not."""

    def __init__(self, service: Service, places: Places, journal: Journal) -> None:
        super().__init__(service, places, journal)
        self._task: asyncio.Task[None] | None = None
        self._do: Callable[[], Awaitable[None]] = {"beat": self._beat, "age": self._touch, "log": self._log}[
            service.kind
        ]
        self.name = service.name  # by which the agent knows it now

    async def start(self) -> None:
        if self.service.kind != "beat":
            await self._do()
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def fall(self, mode: str) -> None:
        self.mode = mode
        if mode == "deleted":
            self.places.of(self.service.target, "age").unlink(missing_ok=True)
        elif mode in ("says_fail", "errors"):
            await self._do()

    async def rise(self) -> None:
        self.mode = ""
        await self._do()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(PULSE)
            with contextlib.suppress(OSError):
                await self._do()

    async def _beat(self) -> None:
        if self.mode != "silent":
            end = "/fail" if self.mode == "says_fail" else ""
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(2.0):
                    await get(f"http://127.0.0.1:{self.places.listen}/beat/{self.name}/beat{end}")

    async def _touch(self) -> None:
        if not self.mode:
            self.places.of(self.service.target, "age").write_text("fresh\n")

    async def _log(self) -> None:
        if self.mode != "silent":
            with self.places.of(self.service.target, "log").open("a") as log:
                log.write("ERROR boom\nalive\n" if self.mode == "errors" else "alive\n")

    def rotate(self, *, copy: bool) -> None:
        """Give its log a new file, or, with `copy`, the old one's content another place."""
        path = self.places.of(self.service.target, "log")
        old = path.with_suffix(".log.1")
        if copy:
            old.write_bytes(path.read_bytes())
            os.truncate(path, 0)
        else:
            path.replace(old)
            path.touch()


class Plugin(Thing):
    """Its check is a program that reads a word from a file."""

    async def start(self) -> None:
        self._write("ok")

    async def fall(self, mode: str) -> None:
        self.mode = mode
        self._write(mode)

    async def rise(self) -> None:
        self.mode = ""
        self._write("ok")

    def _write(self, word: str) -> None:
        path = self.places.of(self.service.target, "mode")
        fresh = path.with_suffix(".new")
        fresh.write_text(word + "\n")
        fresh.replace(path)
