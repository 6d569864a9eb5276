"""Failures on demand, for stand-ins of HTTP APIs: what happens to the next calls instead of, or after, an answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(kw_only=True)
class Failure:
    """What happens to the next calls. `done` lets the call take effect all the same: the answer is what gets lost."""

    method: str = ""  # how they begin; empty: any
    error: str = ""
    status: int = 200
    retry_after: str = ""
    delay: float = 0.0
    body: str | None = None  # instead of JSON
    location: str = ""
    done: bool = False
    lost: bool = False  # it says that it is done, and it is not (of messages only)
    drop: bool = False  # the connection is cut instead of an answer
    times: int = 1


class Failures:
    """Those that are to come, used up in the order in which they were asked for. `worded` is the body in which this API
    says an error, which may be empty."""

    def __init__(self, worded: Callable[[str], dict[str, Any]]) -> None:
        self.always: Failure | None = None  # what happens to every call, as long as it stands here
        self._worded = worded
        self._to_come: list[Failure] = []

    def add(self, method: str = "", **how: Any) -> None:
        """See `Failure`."""
        self._to_come.append(Failure(method=method, **how))

    def routes(self, router: web.UrlDispatcher) -> None:
        """For other processes: POST /standin/fail takes the arguments of `add`, /standin/mend ends all failures."""
        router.add_post("/standin/fail", self._add)
        router.add_post("/standin/mend", self._mend)

    def due(self, call: str) -> Failure | None:
        """What happens to this call; None when it is answered as always."""
        if self.always is not None:
            return self.always
        for failure in self._to_come:
            if call.startswith(failure.method):
                failure.times -= 1
                if failure.times <= 0:
                    self._to_come.remove(failure)
                return failure
        return None

    async def answer(
        self, failure: Failure, request: web.Request, respond: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """The answer of a call that this happens to; `respond` lets it take effect."""
        done = respond() if failure.done else None
        await asyncio.sleep(failure.delay)
        if failure.drop and request.transport is not None:
            request.transport.abort()
        headers = {"Retry-After": failure.retry_after} if failure.retry_after else {}
        if failure.location:
            headers["Location"] = failure.location
        if failure.body is not None:
            return web.Response(status=failure.status, text=failure.body, headers=headers)
        if failure.error or failure.status != 200:
            return web.json_response(self._worded(failure.error), status=failure.status, headers=headers)
        return done or respond()

    async def _add(self, request: web.Request) -> web.Response:
        self.add(**await request.json())
        return web.json_response({"ok": True})

    async def _mend(self, _: web.Request) -> web.Response:
        self._to_come.clear()
        return web.json_response({"ok": True})
