"""Draining a server of HAProxy by its runtime API: no new sessions, and those that are there may end."""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import Field

from agent.core.durations import format_duration
from agent.durations import Duration
from agent.haproxy_api import SOCKET, Forced, NoServer, ServerName, forced, sessions, set_state
from agent.local_http import DaemonAddress
from agent.ports import DrainType, NotDrained, Options

POLL = 0.2  # seconds between two looks at the sessions
LONGEST = timedelta(minutes=5)  # a drain is part of a restart, which is given up after ten minutes


class HaproxyOptions(Options):
    """A server of a backend. The socket must be of `level admin`, and the agent's user must be let in."""

    server: ServerName = Field(description="As HAProxy calls it: BACKEND/SERVER", examples=["web/web-1"])
    socket: DaemonAddress = Field(
        default=SOCKET, validate_default=True, description="Its stats socket: a path, or tcp://host:port"
    )
    wait: Annotated[Duration, Ge(timedelta(0)), Le(LONGEST)] = Field(
        default=timedelta(seconds=30), description="How long its sessions may take to end before it is restarted"
    )
    timeout: Annotated[Duration, Gt(timedelta(0)), Le(LONGEST)] = Field(
        default=timedelta(seconds=2), description="How long HAProxy may take for an answer"
    )


class HaproxyDrain:
    """`set server … state drain` and `ready`. A server that an operator has drained or put into maintenance is his."""

    def __init__(self, options: HaproxyOptions) -> None:
        self._server = options.server
        self._address = options.socket
        self._wait = options.wait
        self._timeout = options.timeout.total_seconds()

    async def held(self) -> str:
        state = await self._forced()
        if state.maintenance:
            return f"{self._server} is in maintenance by somebody's command"
        return f"{self._server} is drained by somebody's command" if state.drain else ""

    async def drain(self) -> str:
        began = monotonic()
        try:
            await set_state(self._address, self._server, "drain", self._timeout)
            left = await self._sessions_after(began)
        except NoServer as trouble:
            raise NotDrained(str(trouble)) from None
        took = format_duration(timedelta(seconds=round(monotonic() - began, 1)))
        if left:
            return f"{self._server} is drained; {left} sessions were left after {took}"
        return f"{self._server} is drained, its last session ended after {took}"

    async def undrain(self) -> str:
        state = await self._forced()
        if state.maintenance:
            return f"{self._server} is in maintenance by somebody's command, and stays so"
        if not state.drain:
            return f"{self._server} takes sessions already"
        try:
            await set_state(self._address, self._server, "ready", self._timeout)
        except NoServer as trouble:
            raise NotDrained(str(trouble)) from None
        return f"{self._server} takes sessions again"

    async def _sessions_after(self, began: float) -> int:
        ends = began + self._wait.total_seconds()
        while left := await sessions(self._address, self._server, self._timeout):
            if monotonic() >= ends:
                break
            await asyncio.sleep(min(POLL, max(0.0, ends - monotonic())))
        return left

    async def _forced(self) -> Forced:
        try:
            return await forced(self._address, self._server, self._timeout)
        except NoServer as trouble:
            raise NotDrained(str(trouble)) from None


HAPROXY = DrainType(
    name="haproxy",
    options=HaproxyOptions,
    build=HaproxyDrain,
    short="server",
    about="Drains a server of HAProxy by its runtime API, and waits for its sessions to end.",
)
