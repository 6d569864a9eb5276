"""What people do in the stand-in for Slack, and how it tells the app: Socket Mode, signed requests, response URLs.

    async with SlackStandIn() as slack, People(slack) as people: …
    await people.press(message, "Ack")            # over the newest socket; over HTTP where `people.http` is set
    await people.command("status")
    await people.disconnect("refresh_requested")  # as Slack does it now and then

Sources: docs.slack.dev, apis/events-api/using-socket-mode (hello, disconnect, acknowledgements, at most ten
connections), interactivity/handling-user-interaction and implementing-slash-commands (payloads, three seconds, response
URLs: five times), authentication/verifying-requests-from-slack (v0 signatures).
"""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.slack_rooms import Posted, Refusal, Whisper
from tests.slack_standin import TEAM, SlackStandIn

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TIMES = 5  # that a response URL may be used
MOST_SOCKETS = 10


@dataclass(eq=False)
class Link:
    """One connection of the app, as Slack sees it."""

    ws: web.WebSocketResponse
    number: int
    acknowledged: dict[str, float] = field(default_factory=dict)  # envelope: seconds from sending it
    deaf: asyncio.Event = field(default_factory=asyncio.Event)  # set: neither reads nor answers pings


class People:
    """Everybody but the app. `links` are its open connections, the newest last."""

    def __init__(self, slack: SlackStandIn) -> None:
        self.slack = slack
        self.links: list[Link] = []
        self.opened = 0  # connections, all in all
        self.hello = True
        self.http = ""  # where signed requests go, when not over a socket: "http://127.0.0.1:9797"
        self.statuses: list[int] = []  # of the answers to signed requests
        self._numbers = count(1)
        self._sent: dict[str, float] = {}
        self._tickets: set[str] = set()
        self._urls: dict[str, list[Any]] = {}  # response URL: channel, user, uses
        self._stop = asyncio.Event()
        slack.socket_url = self._ticket
        slack.more_routes = [lambda routes: routes.add_get("/link", self._link)]
        slack.more_routes.append(lambda routes: routes.add_post("/respond/{number}", self._respond))

    async def __aenter__(self) -> "People":
        await self.slack.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        for link in self.links:
            await link.ws.close()
        await self.slack.__aexit__(*error)

    # ------------------------------------------------------------------------------------------ what people do

    async def press(self, message: Posted, label: str, user: str = "U0ALICE", **changed: Any) -> dict[str, Any]:
        """Press a button of a message as it stands there now. Returns the payload, for pressing the same again."""
        return await self.press_button(message, message.buttons[label], user, **changed)

    async def press_button(
        self, message: Posted, button: dict[str, Any], user: str = "U0ALICE", team: str = TEAM, **changed: Any
    ) -> dict[str, Any]:
        """The same for a button that may have gone from the message: somebody had it open."""
        action = {"action_id": button["action_id"], "value": button.get("value"), "type": "button"}
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": self.slack.users[user], "name": self.slack.users[user], "team_id": team},
            "team": {"id": TEAM, "domain": "example"},
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "channel": {"id": message.channel, "name": self.slack.room(message.channel).name},
            "message": {"ts": message.ts, "text": message.text, "blocks": message.blocks},
            "trigger_id": f"{next(self._numbers)}.trigger",
            "response_url": self._response_url(message.channel, user),
            "actions": [action | {"block_id": "codeblue_actions", "action_ts": f"{time.time():.6f}"}],
        }
        await self.say("interactive", payload | changed)
        return payload | changed

    async def command(
        self, text: str, user: str = "U0ALICE", channel: str = "C0000000001", **changed: Any
    ) -> dict[str, Any]:
        room = next((room for room in self.slack.rooms if room.id == channel), None)
        payload = {
            "command": "/codeblue",
            "text": text,
            "user_id": user,
            "user_name": self.slack.users[user],
            "team_id": TEAM,
            "channel_id": channel,
            "channel_name": "directmessage" if channel.startswith("D") else (room.name if room else "elsewhere"),
            "trigger_id": f"{next(self._numbers)}.trigger",
            "response_url": self._response_url(channel, user),
        }
        await self.say("slash_commands", payload | changed)
        return payload | changed

    async def whispered(self, number: int = 1, within: float = 10.0) -> Whisper:
        """The so-manieth thing that only one person saw, once it is there."""
        await self.slack.until(lambda: len(self.slack.whispers) >= number, within)
        return self.slack.whispers[number - 1]

    # ------------------------------------------------------------------------------------------ how the app is told

    async def say(self, kind: str, payload: dict[str, Any], *, link: int = -1, envelope: str = "") -> str:
        """Over HTTP, or in an envelope over one of the sockets. Returns the envelope's id."""
        if self.http:
            self.statuses.append(await self.post(kind, payload))
            return ""
        envelope = envelope or f"e-{next(self._numbers)}"
        self._sent[envelope] = time.monotonic()
        said = {"envelope_id": envelope, "type": kind, "payload": payload, "accepts_response_payload": False}
        await self.links[link].ws.send_json(said)
        return envelope

    async def post(self, kind: str, payload: dict[str, Any], **how: Any) -> int:
        """A signed request. `secret`, `at` (seconds), `signature` make it a wrong one. Returns the answer's status."""
        form = {"payload": json.dumps(payload)} if kind == "interactive" else payload
        body, path = urlencode(form).encode(), "interactive" if kind == "interactive" else "command"
        return await self.post_raw(path, body, **how)

    async def post_raw(
        self, path: str, body: bytes, *, secret: str = SIGNING_SECRET, at: float = 0.0, signature: str | None = None
    ) -> int:
        stamp = str(int(at or time.time()))
        signed = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signed}" if signature is None else signature,
        }
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{self.http}/slack/{path}", data=body) as answer,
        ):
            await answer.read()
            return answer.status

    async def disconnect(self, reason: str = "refresh_requested", link: int = -1) -> None:
        """As Slack announces it; the connection itself lives on until somebody closes it."""
        await self.links[link].ws.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "wss-1"}})

    async def connected(self, number: int = 1, within: float = 10.0) -> Link:
        """The newest connection, once there have been so many."""
        await self.slack.until(lambda: self.opened >= number and bool(self.links), within)
        return self.links[-1]

    # ------------------------------------------------------------------------------------------ Slack's side

    def _ticket(self) -> str:
        ticket = f"t-{next(self._numbers)}"
        self._tickets.add(ticket)
        return f"{self.slack.url.replace('http', 'ws', 1).removesuffix('api/')}link?ticket={ticket}"

    async def _link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=404)
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(autoping=False, timeout=0.2)
        await ws.prepare(request)
        if len(self.links) >= MOST_SOCKETS:
            await ws.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await ws.close()
            return ws
        link = Link(ws, next(self._numbers))
        if self.hello:
            info = {"connection_info": {"app_id": "A0000000001"}, "num_connections": len(self.links) + 1}
            await ws.send_json({"type": "hello", **info, "debug_info": {"host": "wss-1"}})
            self.links.append(link)
            self.opened += 1
            self.slack.news.set()
        try:
            await self._read(link)
        finally:
            if link in self.links:
                self.links.remove(link)
            self.slack.news.set()
        return ws

    async def _read(self, link: Link) -> None:
        while True:
            if link.deaf.is_set():
                await self._stop.wait()
                return
            message = await link.ws.receive()
            if message.type is aiohttp.WSMsgType.PING:
                if not link.deaf.is_set():
                    await link.ws.pong(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                envelope = json.loads(message.data)["envelope_id"]
                link.acknowledged[envelope] = time.monotonic() - self._sent[envelope]
                self.slack.news.set()
            else:
                return

    def _response_url(self, channel: str, user: str) -> str:
        url = f"{self.slack.url.removesuffix('api/')}respond/{next(self._numbers)}"
        self._urls[url.rpartition("/")[2]] = [channel, user, 0]
        return url

    async def _respond(self, request: web.Request) -> web.Response:
        found = self._urls.get(request.match_info["number"])
        given = await request.json()
        if found is None or found[2] >= TIMES:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        found[2] += 1
        if given.get("response_type") != "ephemeral" or given.get("replace_original"):
            raise Refusal("the original is not to be touched")
        self.slack.whispers.append(Whisper(found[0], found[1], given["text"]))
        self.slack.news.set()
        return web.Response(text="ok")
