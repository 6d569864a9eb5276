"""A stand-in for Slack's Web API that behaves as its documentation says, keeps what was posted, and fails on demand.

In a test:            async with SlackStandIn() as slack: … slack.url, slack.messages("oncall"), slack.fail_next(…)
For other processes:  python -m tests.slack_standin --port 8065
                      GET /standin/messages lists everything; POST /standin/fail takes the arguments of `fail_next`.
Sources: docs.slack.dev/reference/methods (auth.test, chat.postMessage, chat.update, conversations.history,
conversations.replies, users.conversations) and /messaging/message-metadata.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.slack_limits import TEXT, mentions, problems_of, shown, texts_of, too_long, units

TOKEN = "xoxb-1111-stand-in"
SCOPES = ("chat:write", "channels:read", "groups:read", "channels:history", "groups:history")
NEEDS = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "users.conversations": "channels:read",
}


class Refusal(Exception):
    """An answer with ok: false."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.body = {"ok": False, "error": error} | more


@dataclass
class Posted:
    """One message. `shown` is what a reader sees; `edits` counts its chat.update."""

    channel: str
    ts: str
    text: str
    blocks: list[Any] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    thread_ts: str = ""
    broadcast: bool = False
    unfurls: bool = True
    edits: int = 0

    @property
    def shown(self) -> str:
        if not self.blocks:
            return shown(self.text)
        return "\n".join(shown(text) if kind == "mrkdwn" else text for kind, text in texts_of(self.blocks))

    @property
    def pings(self) -> list[str]:
        return mentions(self.text) + [ping for kind, text in texts_of(self.blocks) for ping in mentions(text)]


@dataclass
class Room:
    id: str
    name: str
    archived: bool = False
    member: bool = True
    posted: list[Posted] = field(default_factory=list)


@dataclass(kw_only=True)
class Failure:
    """What happens to the next calls. `done` lets the call take effect all the same: the answer is what gets lost."""

    method: str = ""  # empty: any
    error: str = ""
    status: int = 200
    retry_after: str = ""
    delay: float = 0.0
    body: str | None = None  # instead of JSON
    location: str = ""
    done: bool = False
    drop: bool = False  # the connection is cut instead of an answer
    times: int = 1


class SlackStandIn:
    def __init__(self, *, token: str = TOKEN, port: int = 0, scopes: tuple[str, ...] = SCOPES) -> None:
        self.token = token
        self.scopes = scopes
        self.rooms = [Room("C0000000001", "oncall"), Room("C0000000002", "quiet")]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.called = asyncio.Event()  # set by every call
        self.url = ""
        self._port = port
        self._failures: list[Failure] = []
        self._last_ts = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "SlackStandIn":
        app = web.Application(client_max_size=4_194_304)
        app.router.add_get("/standin/messages", self._list)
        app.router.add_post("/standin/fail", self._fail)
        app.router.add_route("*", "/api/{method}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def room(self, name: str) -> Room:
        return next(room for room in self.rooms if name in (room.id, room.name, f"#{room.name}"))

    def messages(self, channel: str = "oncall") -> list[Posted]:
        """What stands in the channel itself, oldest first: no replies."""
        return [m for m in self.room(channel).posted if not m.thread_ts]

    def thread(self, ts: str, channel: str = "oncall") -> list[Posted]:
        return [m for m in self.room(channel).posted if m.thread_ts == ts]

    def count(self, method: str) -> int:
        return sum(1 for called, _ in self.calls if called == method)

    def fail_next(self, method: str = "", **how: Any) -> None:
        """See `Failure`. Failures are used up in the order in which they were asked for."""
        self._failures.append(Failure(method=method, **how))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        self.calls.append((method, arguments))
        self.called.set()
        failure = self._due(method)
        if failure is None:
            return self._respond(method, request, arguments)
        done = self._respond(method, request, arguments) if failure.done else None
        await asyncio.sleep(failure.delay)
        if failure.drop and request.transport is not None:
            request.transport.abort()
        headers = {"Retry-After": failure.retry_after} if failure.retry_after else {}
        if failure.location:
            headers["Location"] = failure.location
        if failure.body is not None:
            return web.Response(status=failure.status, text=failure.body, headers=headers)
        if failure.error or failure.status != 200:
            body = {"ok": False, "error": failure.error or "internal_error"}
            return web.json_response(body, status=failure.status, headers=headers)
        return done or self._respond(method, request, arguments)

    def _due(self, method: str) -> Failure | None:
        for failure in self._failures:
            if failure.method in ("", method):
                failure.times -= 1
                if failure.times <= 0:
                    self._failures.remove(failure)
                return failure
        return None

    def _respond(self, method: str, request: web.Request, arguments: dict[str, Any]) -> web.Response:
        try:
            self._authorise(method, request)
            handler = {
                "auth.test": self._auth_test,
                "chat.postMessage": self._post,
                "chat.update": self._update,
                "conversations.history": self._history,
                "conversations.replies": self._replies,
                "users.conversations": self._conversations,
            }.get(method)
            if handler is None:
                raise Refusal("unknown_method", req_method=method)
            body = {"ok": True} | handler(arguments)
        except Refusal as refusal:
            body = refusal.body
        return web.json_response(body, headers={"x-oauth-scopes": ",".join(self.scopes)})

    def _authorise(self, method: str, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given:
            raise Refusal("not_authed")
        if given != self.token:
            raise Refusal("invalid_auth")
        needed = NEEDS.get(method)
        if needed and needed not in self.scopes:
            raise Refusal("missing_scope", needed=needed, provided=",".join(self.scopes))

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": "https://example.slack.com/", "team": "Example", "user": "codeblue", "bot_id": "B0000000001"}

    def _post(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=True)
        thread = given.get("thread_ts") or ""
        if thread and all(m.ts != thread or m.thread_ts for m in room.posted):
            raise Refusal("thread_not_found")
        posted = Posted(
            channel=room.id,
            ts=self._next_ts(),
            text=given.get("text") or "",
            blocks=_checked_content(given),
            metadata=_checked_metadata(given.get("metadata")),
            thread_ts=thread,
            broadcast=bool(thread and given.get("reply_broadcast")),
            unfurls=given.get("unfurl_links") is not False,
        )
        room.posted.append(posted)
        return {"channel": room.id, "ts": posted.ts, "message": _public(posted, metadata=True)}

    def _update(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False)
        found = next((m for m in room.posted if m.ts == given.get("ts")), None)
        if found is None:
            raise Refusal("message_not_found")
        blocks = _checked_content(given)
        if given.get("metadata") is not None:
            found.metadata = _checked_metadata(given["metadata"])
        found.text, found.blocks, found.edits = given.get("text") or "", blocks, found.edits + 1
        return {"channel": room.id, "ts": found.ts, "text": found.text}

    def _history(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False, archived=True)
        seen = [m for m in room.posted if not m.thread_ts or m.broadcast]
        return _page(list(reversed(_since(seen, given))), given)

    def _replies(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False, archived=True)
        thread = [m for m in room.posted if given.get("ts") in (m.ts, m.thread_ts)]
        if not thread:
            raise Refusal("thread_not_found")
        return _page(thread[:1] + _since(thread[1:], given), given)

    def _conversations(self, given: dict[str, Any]) -> dict[str, Any]:
        mine = [{"id": r.id, "name": r.name, "is_archived": r.archived} for r in self.rooms if r.member]
        return {"channels": mine, "response_metadata": {"next_cursor": ""}}

    def _open_room(self, given: dict[str, Any], *, by_name: bool, archived: bool = False) -> Room:
        wanted = given.get("channel")
        for room in self.rooms:
            if wanted == room.id or (by_name and wanted in (room.name, f"#{room.name}")):
                if not room.member:
                    raise Refusal("not_in_channel")
                if room.archived and not archived:
                    raise Refusal("is_archived")
                return room
        raise Refusal("channel_not_found")

    def _next_ts(self) -> str:
        self._last_ts = max(self._last_ts + 1, time.time_ns() // 1000)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    async def _list(self, _: web.Request) -> web.Response:
        rooms = {r.name: [dataclasses.asdict(m) | {"shown": m.shown} for m in r.posted] for r in self.rooms}
        return web.json_response(rooms)

    async def _fail(self, request: web.Request) -> web.Response:
        self.fail_next(**await request.json())
        return web.json_response({"ok": True})


def _checked_content(given: dict[str, Any]) -> list[Any]:
    blocks = given.get("blocks") or []
    if not given.get("text") and not blocks:
        raise Refusal("no_text")
    if units(given.get("text") or "") > TEXT:
        raise Refusal("msg_too_long")
    if problems := problems_of(blocks):
        raise Refusal("invalid_blocks", response_metadata={"messages": [f"[ERROR] {p}" for p in problems]})
    if too_long(blocks):
        raise Refusal("msg_blocks_too_long")
    return list(blocks)


def _checked_metadata(metadata: Any) -> dict[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        raise Refusal("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or len(json.dumps(metadata)) > 8_000:
        raise Refusal("metadata_too_large")
    return metadata


def _since(messages: list[Posted], given: dict[str, Any]) -> list[Posted]:
    return [m for m in messages if float(m.ts) > float(given.get("oldest") or 0)]


def _page(messages: list[Posted], given: dict[str, Any]) -> dict[str, Any]:
    start, limit = int(given.get("cursor") or 0), min(int(given.get("limit") or 100), 200)
    end = start + limit
    whole = str(given.get("include_all_metadata", "")).lower() in ("true", "1")
    return {
        "messages": [_public(m, metadata=whole) for m in messages[start:end]],
        "has_more": end < len(messages),
        "response_metadata": {"next_cursor": str(end) if end < len(messages) else ""},
    }


def _public(posted: Posted, *, metadata: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "message", "ts": posted.ts, "text": posted.text, "blocks": posted.blocks}
    if posted.thread_ts:
        found["thread_ts"] = posted.thread_ts
    return found | ({"metadata": posted.metadata} if metadata and posted.metadata else {})


async def _arguments(request: web.Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query)
    if request.content_type == "application/json":
        return dict(await request.json())
    return dict(await request.post())


async def _serve(port: int) -> None:
    async with SlackStandIn(port=port) as slack:
        print(json.dumps({"url": slack.url, "token": slack.token}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().port))
