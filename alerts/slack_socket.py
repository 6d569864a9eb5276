"""Socket Mode: the connection through which Slack tells what people press and type, without a port of ours.

Source: docs.slack.dev, apis/events-api/using-socket-mode. slack-sdk's own client closes the old connection before it
opens the new one, and asks no one when it fails; this one is on the same aiohttp, and never deaf in between.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from agent.ports import DeliveryError, Said
from alerts.slack_api import SlackApi
from alerts.slack_errors import SlackRefused

log = structlog.get_logger()

_REFRESH = frozenset({"warning", "refresh_requested"})
_WHY = {
    "link_disabled": "Socket Mode is switched off: switch it on at api.slack.com/apps",
    "too_many_websockets": "too many connections: at most ten agents can share an app",
}

_HINT = {
    "missing_scope": ": the app token needs the scope connections:write",
    "invalid_auth": ": make a new app token and put it in the config",
    "not_allowed_token_type": ": it takes the app-level token, xapp-…",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds. A silent connection is noticed after one and a half heartbeats; every new one must say hello; the wait
    between failures doubles; an old connection is left open for `farewell` when the new one is there; one that lasted
    for less than `lasting` counts as a failure."""

    heartbeat: float = 15.0
    hello: float = 10.0
    acknowledge: float = 3.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    farewell: float = 5.0
    lasting: float = 5.0


@dataclass(slots=True, eq=False)
class _Connection:
    ws: Any
    began: float
    ends: asyncio.Future[str]  # why it ends, as soon as that is known: it may be read for a while yet
    reader: asyncio.Task[None] | None = field(default=None)


class SlackSocket:
    """Keeps one connection open. `trouble` says why nothing can be heard now, empty while all is well. An envelope is
    acknowledged before anything is done about it."""

    def __init__(self, api: SlackApi, name: str, pace: Pace | None = None) -> None:
        self.trouble = ""
        self._api = api
        self._name = name
        self._pace = pace or Pace()
        self._ticket: tuple[str, float] | None = None
        self._readers: set[asyncio.Task[None]] = set()

    async def prove(self, *, listening: bool) -> None:
        """That the app's token opens a connection or, once it is listening, that there is one. Raises DeliveryError."""
        if listening:
            if self.trouble:
                raise DeliveryError("deaf", self.trouble, retryable=True)
        elif self._ticket is None:
            try:
                self._ticket = await self._address(), asyncio.get_running_loop().time()
            except SlackRefused as refused:
                raise DeliveryError(
                    refused.delivery_error("").reason, _said(refused), retryable=refused.retryable
                ) from None

    async def run(self, heard: Callable[[Said], None], trouble: Callable[[str], None]) -> None:
        """For ever, until cancelled."""
        loop, wait, last = asyncio.get_running_loop(), self._pace.first_wait, None
        try:
            while True:
                failed: SlackRefused | DeliveryError | None = None
                try:
                    connection = await self._open(heard)
                except (SlackRefused, DeliveryError) as error:
                    failed = error
                else:
                    self._tell(trouble, "")
                    self._retire(last)
                    last = connection
                    why = await asyncio.shield(connection.ends)
                    log.info("slack_socket_ends", channel=self._name, why=why)
                    if why not in _REFRESH and why != "closed":
                        self._tell(trouble, f"buttons: {_WHY.get(why, why)}")
                    if why in _REFRESH or loop.time() - connection.began >= self._pace.lasting:
                        wait = self._pace.first_wait
                        continue
                if failed is not None:
                    self._tell(trouble, f"buttons: {_said(failed)}")
                pause = max(wait, failed.retry_after or 0.0) if failed is not None else wait
                wait = min(2 * wait, self._pace.longest_wait)
                await asyncio.sleep(pause)
        finally:
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)

    async def _open(self, heard: Callable[[Said], None]) -> _Connection:
        """A connection that has said hello, and is being read. Raises SlackRefused or DeliveryError."""
        loop = asyncio.get_running_loop()
        ticket, self._ticket = self._ticket, None
        url = ticket[0] if ticket and loop.time() - ticket[1] < 15 else await self._address()
        ws = await self._api.websocket(url, self._pace.heartbeat)
        try:
            async with asyncio.timeout(self._pace.hello):
                first = _envelope(await ws.receive())
        except TimeoutError:
            first = None
        except BaseException:
            await ws.close()
            raise
        if first is None or first.get("type") != "hello":
            await ws.close()
            why = str((first or {}).get("reason") or "it did not say hello")
            raise DeliveryError("network", f"Slack's socket: {_WHY.get(why, why)}", retryable=True)
        connection = _Connection(ws, loop.time(), loop.create_future())
        reader = loop.create_task(self._read(connection, heard), name=f"slack socket {self._name}")
        connection.reader = reader
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        return connection

    async def _address(self) -> str:
        answer, _ = await self._api.call("apps.connections.open")
        return str(answer.get("url", ""))

    async def _read(self, connection: _Connection, heard: Callable[[Said], None]) -> None:
        ws, ends, why = connection.ws, connection.ends, "closed"
        try:
            while True:
                message = await ws.receive()
                if message.type.name not in ("TEXT", "BINARY"):
                    why = "Slack's socket fell silent; connecting anew" if message.type.name == "ERROR" else why
                    return
                said = _envelope(message)
                if said is None or not said:
                    log.warning("slack_envelope_unreadable", channel=self._name)
                elif said.get("type") == "disconnect":
                    if not ends.done():
                        ends.set_result(str(said.get("reason") or "closed"))
                elif said.get("envelope_id"):
                    await self._acknowledge(ws, str(said["envelope_id"]))
                    heard(said)
        finally:
            if not ends.done():
                ends.set_result(why)
            await ws.close()

    async def _acknowledge(self, ws: Any, envelope: str) -> None:
        """What could not be acknowledged is done all the same: Slack says it again, and it is known by its marks."""
        try:
            async with asyncio.timeout(self._pace.acknowledge):
                await ws.send_str(json.dumps({"envelope_id": envelope}))
        except (TimeoutError, ConnectionError, RuntimeError) as error:
            log.warning("slack_envelope_not_acknowledged", channel=self._name, error=type(error).__name__)

    def _retire(self, old: _Connection | None) -> None:
        """What was on its way through the old connection still arrives; then it is closed, if Slack has not done so."""
        if old is not None and old.reader is not None and not old.reader.done():
            asyncio.get_running_loop().call_later(self._pace.farewell, old.reader.cancel)

    def _tell(self, trouble: Callable[[str], None], text: str) -> None:
        if text != self.trouble:
            self.trouble = text
            (log.warning if text else log.info)("slack_socket", channel=self._name, trouble=text or "none")
            trouble(text)


def _envelope(message: Any) -> dict[str, Any] | None:
    if message.type.name not in ("TEXT", "BINARY"):
        return None
    try:
        said = json.loads(message.data)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _said(error: SlackRefused | DeliveryError) -> str:
    if isinstance(error, SlackRefused):
        return f"Slack opens no socket for app_token: {error.code}{_HINT.get(error.code, '')}"
    return str(error)
