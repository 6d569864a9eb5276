"""Where messages go: two Slacks and a webhook, each with moods of its own, which write down what they took."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.failures import Failure
from tests.slack_standin import SlackStandIn

MOODS = ("limited", "error", "mute", "garbage", "lost", "drop")
MUTE = 6.0  # seconds: longer than any channel here waits


@dataclass(frozen=True, slots=True)
class Message:
    """One message that a channel holds. `sure`: whoever sent it was told so, and need not send it again."""

    at: float
    channel: str
    key: str
    kind: str
    incident: str
    service: str
    sure: bool = True


class MoodySlack(SlackStandIn):
    """The stand-in, which can be unwell for as long as somebody says. `lost` posts and then answers an error."""

    def __init__(self) -> None:
        super().__init__()
        self.mood = ""

    async def __aenter__(self) -> "MoodySlack":
        await super().__aenter__()
        return self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.failures.always = _failure(self.mood) if self.mood else None
        answer = await super()._answer(request)
        self.calls.clear()  # an hour of them is nothing to keep
        return answer

    def messages_of(self, channel: str) -> list[Message]:
        """Everything that stands there, and in the messages to persons."""
        found = []
        for room in self.rooms:
            place = f"{channel}/{self.users[room.user]}" if room.user else channel
            found += [_message(float(one.ts), place, one.metadata.get("event_payload", {})) for one in room.posted]
        return found


def _message(at: float, channel: str, said: Mapping[str, Any], *, sure: bool = True) -> Message:
    key, kind, incident, service = (str(said.get(name, "")) for name in ("key", "kind", "incident", "service"))
    return Message(at, channel, key, kind, incident, service, sure)


def _failure(mood: str) -> Failure:
    return {
        "limited": Failure(status=429, error="ratelimited", retry_after="2"),
        "error": Failure(status=500, body="<html>oops</html>"),
        "mute": Failure(delay=MUTE, status=500),
        "garbage": Failure(body="{not json"),
        "lost": Failure(done=True, status=503, body="gateway"),
        "drop": Failure(drop=True, status=500),
    }[mood]


class MoodyHook:
    """A receiver of webhooks. Whoever sends a key again, having been answered, or not, is seen."""

    def __init__(self) -> None:
        self.mood = ""
        self.taken: list[Message] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "MoodyHook":
        app = web.Application(client_max_size=4_194_304)
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        moods: dict[str, Callable[[web.Request, str], Awaitable[web.StreamResponse]]] = {
            "limited": self._limited,
            "mute": self._mute,
            "lost": self._lost,
            "drop": self._drop,
        }
        if not self.mood:
            self._note(text, sure=True)
            return web.Response(status=204)
        return await moods.get(self.mood, self._error)(request, text)

    def _note(self, text: str, *, sure: bool) -> None:
        self.taken.append(_message(time.time(), "hook", json.loads(text), sure=sure))

    async def _limited(self, _: web.Request, __: str) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "2"})

    async def _error(self, _: web.Request, __: str) -> web.StreamResponse:
        return web.Response(status=500, text="oops")

    async def _mute(self, _: web.Request, __: str) -> web.StreamResponse:
        await asyncio.sleep(MUTE)
        return web.Response(status=500)

    async def _lost(self, _: web.Request, text: str) -> web.StreamResponse:
        self._note(text, sure=False)
        return web.Response(status=502)

    async def _drop(self, request: web.Request, _: str) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
