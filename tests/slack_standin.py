"""A stand-in for Slack's Web API that behaves as its documentation says, keeps what was posted, and fails on demand.

In a test:            async with SlackStandIn() as slack: … slack.url, slack.messages("oncall"), slack.fail_next(…)
For other processes:  python -m tests.slack_standin --port 8065
                      GET /standin/messages lists everything; how to make it fail is in `tests.failures`.
What people do in it, and how it tells the app, is in `tests.slack_people`.
Sources: docs.slack.dev/reference/methods (apps.connections.open, auth.test, chat.postEphemeral, chat.postMessage,
chat.update, conversations.history, conversations.open, conversations.replies, usergroups.list, users.conversations)
and /messaging/message-metadata.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.failures import Failures
from tests.slack_rooms import Posted, Refusal, Room, Whisper, checked_content, checked_metadata, page, public, since

TOKEN = "xoxb-1111-stand-in"
APP_TOKEN = "xapp-1-stand-in"
SCOPES = (
    *("chat:write", "channels:read", "groups:read", "channels:history", "groups:history"),
    *("im:write", "im:history", "usergroups:read"),
)
TEAM = "T0000000001"
NEEDS = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "users.conversations": "channels:read",
    "chat.postEphemeral": "chat:write",
    "conversations.open": "im:write",
    "usergroups.list": "usergroups:read",
}


class SlackStandIn:
    def __init__(self, *, token: str = TOKEN, port: int = 0, scopes: tuple[str, ...] = SCOPES) -> None:
        self.token = token
        self.scopes = scopes
        self.rooms = [Room("C0000000001", "oncall"), Room("C0000000002", "quiet")]
        self.users = {"U0ALICE": "alice", "U0BOB": "bob"}
        self.groups: dict[str, tuple[str, list[str]]] = {"S0000SRE": ("sre", ["U0BOB"])}  # id: handle, users
        self.whispers: list[Whisper] = []
        self.socket_url: Callable[[], str] = _no_sockets
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.called = asyncio.Event()  # set by every call
        self.news = asyncio.Event()  # set by whatever `until` may wait for
        self.url = ""
        self.more_routes: list[Callable[[web.UrlDispatcher], object]] = []
        self.swallow = 0  # messages that are lost after they were taken
        self._port = port
        self.failures = Failures(lambda error: {"ok": False, "error": error or "internal_error"})
        self._last_ts = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "SlackStandIn":
        app = web.Application(client_max_size=4_194_304)
        app.router.add_get("/standin/messages", self._list)
        self.failures.routes(app.router)
        app.router.add_route("*", "/api/{method}", self._answer)
        for add in self.more_routes:
            add(app.router)
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

    def direct(self, user: str) -> Room:
        """The direct messages between the app and that user, opened where they are not."""
        room = next((room for room in self.rooms if room.user == user), None)
        if room is None:
            room = Room(f"D{len(self.rooms):010}", f"direct-{user}", user=user)
            self.rooms.append(room)
        return room

    def count(self, method: str) -> int:
        return sum(1 for called, _ in self.calls if called == method)

    async def until(self, so: Callable[[], bool], within: float = 10.0) -> None:
        """Wait for what people see or what connections there are."""
        async with asyncio.timeout(within):
            while not so():
                self.news.clear()
                await self.news.wait()

    def fail_next(self, method: str = "", **how: Any) -> None:
        """See `Failure`."""
        self.failures.add(method, **how)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        self.calls.append((method, arguments))
        self.called.set()
        failure = self.failures.due(method)
        if failure is None:
            return self._respond(method, request, arguments)
        self.swallow += failure.lost
        return await self.failures.answer(failure, request, lambda: self._respond(method, request, arguments))

    def _respond(self, method: str, request: web.Request, arguments: dict[str, Any]) -> web.Response:
        try:
            self._authorise(method, request)
            handler = {
                "apps.connections.open": self._connections_open,
                "chat.postEphemeral": self._whisper,
                "conversations.open": self._open_direct,
                "usergroups.list": self._usergroups,
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
        if method == "apps.connections.open":
            if given != APP_TOKEN:
                raise Refusal("not_allowed_token_type" if given == self.token else "invalid_auth")
            return
        if given != self.token:
            raise Refusal("invalid_auth")
        needed = NEEDS.get(method)
        if needed and needed not in self.scopes:
            raise Refusal("missing_scope", needed=needed, provided=",".join(self.scopes))

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        team = {"team": "Example", "team_id": TEAM}
        return {"url": "https://example.slack.com/", "user": "codeblue", "bot_id": "B0000000001"} | team

    def _connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": self.socket_url()}

    def _open_direct(self, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("users") not in self.users:
            raise Refusal("user_not_found")
        return {"channel": {"id": self.direct(given["users"]).id}}

    def _usergroups(self, given: dict[str, Any]) -> dict[str, Any]:
        whole = str(given.get("include_users")).lower() == "true"
        found = [{"id": id, "handle": handle, "users": users} for id, (handle, users) in self.groups.items()]
        return {"usergroups": [group if whole else group | {"users": []} for group in found]}

    def _whisper(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False)
        if not given.get("text"):
            raise Refusal("no_text")
        if given.get("user") not in self.users:
            raise Refusal("user_not_in_channel")
        self.whispers.append(Whisper(room.id, given["user"], given["text"]))
        self.news.set()
        return {"message_ts": self._next_ts()}

    def _post(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=True)
        thread = given.get("thread_ts") or ""
        if thread and all(m.ts != thread or m.thread_ts for m in room.posted):
            raise Refusal("thread_not_found")
        posted = Posted(
            channel=room.id,
            ts=self._next_ts(),
            text=given.get("text") or "",
            blocks=checked_content(given),
            metadata=checked_metadata(given.get("metadata")),
            thread_ts=thread,
            broadcast=bool(thread and given.get("reply_broadcast")),
            unfurls=given.get("unfurl_links") is not False,
        )
        if self.swallow:
            self.swallow -= 1  # it says that it took it
        else:
            room.posted.append(posted)
        return {"channel": room.id, "ts": posted.ts, "message": public(posted, metadata=True)}

    def _update(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False)
        found = next((m for m in room.posted if m.ts == given.get("ts")), None)
        if found is None:
            raise Refusal("message_not_found")
        blocks = checked_content(given)
        if given.get("metadata") is not None:
            found.metadata = checked_metadata(given["metadata"])
        found.text, found.blocks, found.edits = given.get("text") or "", blocks, found.edits + 1
        return {"channel": room.id, "ts": found.ts, "text": found.text}

    def _history(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False, archived=True)
        seen = [m for m in room.posted if not m.thread_ts or m.broadcast]
        return page(list(reversed(since(seen, given))), given)

    def _replies(self, given: dict[str, Any]) -> dict[str, Any]:
        room = self._open_room(given, by_name=False, archived=True)
        thread = [m for m in room.posted if given.get("ts") in (m.ts, m.thread_ts)]
        if not thread:
            raise Refusal("thread_not_found")
        return page(thread[:1] + since(thread[1:], given), given)

    def _conversations(self, given: dict[str, Any]) -> dict[str, Any]:
        rooms = [room for room in self.rooms if room.member and not room.user]
        mine = [{"id": r.id, "name": r.name, "is_archived": r.archived} for r in rooms]
        return {"channels": mine, "response_metadata": {"next_cursor": ""}}

    def _open_room(self, given: dict[str, Any], *, by_name: bool, archived: bool = False) -> Room:
        wanted = given.get("channel")
        if by_name and wanted in self.users:
            return self.direct(wanted)
        for room in self.rooms:
            if wanted == room.id or (by_name and wanted in (room.name, f"#{room.name}")):
                if archived and room.user and "im:history" not in self.scopes:
                    raise Refusal("missing_scope", needed="im:history")
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


def _no_sockets() -> str:
    raise Refusal("internal_error")


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
