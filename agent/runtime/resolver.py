"""Names to addresses on threads of our own.

The system's resolver can hold a thread for half a minute per name, and cannot be interrupted. libcurl's and asyncio's
shared pools (20 and often 6 threads) are used up by a few dead names, after which every healthy name times out too.
Here a name never holds more than one thread, the pool is large, and a lookup that no thread was free for is our own
lack ("local"), not the target's fault.
"""

import asyncio
import errno
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.ports import ResolveError

Lookup = Callable[[str, int], tuple[str, ...]]

_FAMILIES = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def look_up(host: str, family: int) -> tuple[str, ...]:
    """All stream addresses of a name as the system's resolver orders them. Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, None, _FAMILIES[family], socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True, eq=False)
class _Flight:
    """One lookup that is on its way, and everybody who waits for it."""

    host: str
    family: int
    loop: asyncio.AbstractEventLoop
    waiting: list[asyncio.Future[tuple[str, ...]]]
    started: bool = False


class ThreadResolver:
    """`ports.Resolver` by getaddrinfo. Threads are daemons, made on demand and gone after `linger` idle seconds."""

    def __init__(self, lookup: Lookup = look_up, *, threads: int = 128, linger: float = 30.0) -> None:
        self._lookup = lookup
        self._limit = threads
        self._linger = linger
        self._jobs: queue.SimpleQueue[_Flight] = queue.SimpleQueue()
        self._flights: dict[tuple[str, int], _Flight] = {}
        self._threads = 0
        self._lock = threading.Lock()

    async def resolve(self, host: str, *, family: int = 0, timeout: float) -> tuple[str, ...]:
        flight = self._join(host, family)
        future: asyncio.Future[tuple[str, ...]] = flight.loop.create_future()
        flight.waiting.append(future)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            if not flight.started:
                raise ResolveError("local", f"no free thread to look up {host}: too many other names hang") from None
            raise ResolveError("timeout", f"the name server did not answer for {host}") from None
        finally:
            if future in flight.waiting:
                flight.waiting.remove(future)

    def _join(self, host: str, family: int) -> _Flight:
        key = (host, family)
        flight = self._flights.get(key)
        loop = asyncio.get_running_loop()
        if flight is None or flight.loop is not loop:
            flight = self._flights[key] = _Flight(host, family, loop, [])
            self._jobs.put(flight)
        with self._lock:
            # One thread per lookup under way, as far as the limit goes: an idle one takes the job, else a new one.
            grow = self._threads < min(self._limit, len(self._flights))
            self._threads += grow
        if grow:
            self._add_thread()
        return flight

    def _add_thread(self) -> None:
        try:
            threading.Thread(target=self._work, name="resolver", daemon=True).start()
        except RuntimeError:  # the system has none to give: whoever asks next tries again
            with self._lock:
                self._threads -= 1

    def _work(self) -> None:
        while True:
            try:
                flight = self._jobs.get(timeout=self._linger)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            flight.started = True
            outcome: Any
            try:
                outcome = self._lookup(flight.host, flight.family)
            except (OSError, UnicodeError) as error:
                outcome = _explain(flight.host, error)
            try:
                flight.loop.call_soon_threadsafe(self._land, flight, outcome)
            except RuntimeError:
                continue  # that loop is closed: nobody waits any more

    def _land(self, flight: _Flight, outcome: tuple[str, ...] | ResolveError) -> None:
        if self._flights.get((flight.host, flight.family)) is flight:
            del self._flights[flight.host, flight.family]
        for future in flight.waiting:
            if not future.done():
                if isinstance(outcome, ResolveError):
                    future.set_exception(ResolveError(outcome.reason, str(outcome)))
                else:
                    future.set_result(outcome)


def _explain(host: str, error: OSError | UnicodeError) -> ResolveError:
    if isinstance(error, UnicodeError):
        return ResolveError("dns", f"{host} is not a host name")
    if isinstance(error, socket.gaierror):
        if error.errno in _NO_NAME:
            return ResolveError("dns", f"{host} is not known to DNS")
        if error.errno == socket.EAI_MEMORY or starved():
            return ResolveError("local", f"could not look up {host}: {error.strerror}")
        return ResolveError("dns", f"could not look up {host}: {error.strerror}")
    reason = "local" if error.errno in _LACKS else "dns"
    return ResolveError(reason, f"could not look up {host}: {error.strerror}")


def starved() -> bool:
    """Whether this process can open no more descriptors: then nothing can be said of any target."""
    try:
        socket.socket(socket.AF_UNIX).close()
    except OSError as error:
        return error.errno in _LACKS
    return False
