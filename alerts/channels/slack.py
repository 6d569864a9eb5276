"""The slack channel: one message per incident, kept up to date in place, with its history in its thread.

An opening notice is posted. What follows edits that message and is added to its thread; reminders and the closing
message are shown in the channel too (`reply_broadcast`), because an edit notifies nobody. The edit always comes first:
it can be repeated without harm, so that a retry after half of the work never posts a second reply.

Slack has no idempotency key for bots. Each message carries its notice's key as metadata instead, and a message that may
have been posted already (its try was cut off, or it is older than this channel object) is looked for in the history
before it is posted. For that the app needs channels:history (groups:history for private channels), and channels:read
(groups:read) where config names the channel instead of giving its id; without them such a retry posts a second time.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from annotated_types import Gt
from pydantic import Field, SecretStr, field_validator

from agent.core.model import Notice, NoticeKind
from agent.durations import Duration
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from alerts.rendering import as_seen_here
from alerts.slack_api import SlackApi
from alerts.slack_blocks import Block, Message, bare_message, full_message, small_message
from alerts.slack_errors import FIXED, GONE, UNLIKED, UNLIKED_METADATA, SlackRefused
from alerts.slack_search import find_posted

log = structlog.get_logger()

_POSTING_SCOPES = frozenset({"chat:write", "chat:write:bot", "chat:write:user", "bot"})
_UNCERTAIN = 1_000  # keys of posts that were cut off, remembered at most
_OPENING_GONE = "The message that opened this incident is gone."


class SlackOptions(Options):
    """`channel` is a name ("#oncall") or, better, an id ("C0123456789"), which survives a renaming. `timeout` is for
    one call of the API. A proxy is taken from the environment (HTTPS_PROXY, NO_PROXY)."""

    token: SecretStr = Field(description="The app's bot token, xoxb-…; it needs the scope chat:write")
    channel: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s<>]+$")] = Field(
        description='Where it posts: a name such as "#oncall" or, better, an id such as C0123456789, which survives a '
        "renaming. Quote the name: # begins a comment"
    )
    api_url: str = Field(default="https://slack.com/api/", description="Where Slack's API is")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=10), description="How long one call of the API may take"
    )

    @field_validator("token")
    @classmethod
    def _like_a_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("expected a bot token (xoxb-…)")
        return token

    @field_validator("api_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://slack.com/api/")
        return url


class SlackChannel:
    """Receipts hold `channel` (id), `ts` and, of an opening message, `evidence`: its blocks as JSON, which every later
    version of the message keeps."""

    def __init__(
        self, name: str, options: SlackOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._name = name
        self._channel = options.channel
        self._api = SlackApi(options.token.get_secret_value(), options.api_url, options.timeout.total_seconds())
        self._made = now()
        self._uncertain: dict[str, None] = {}

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        try:
            return await self._send(as_seen_here(notice, opening), opening)
        except SlackRefused as refused:
            raise refused.delivery_error(self._channel) from None

    async def verify(self) -> None:
        """`auth.test`, and that the token's scopes let it post."""
        try:
            _, headers = await self._api.call("auth.test")
        except SlackRefused as refused:
            raise refused.delivery_error(self._channel) from None
        scopes = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",")} - {""}
        if scopes and not scopes & _POSTING_SCOPES:
            has = ", ".join(sorted(scopes))
            raise DeliveryError("auth", f"the Slack token lacks the scope chat:write (it has {has})", retryable=False)

    async def close(self) -> None:
        await self._api.close()

    async def _send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        if notice.kind is NoticeKind.NOTE:
            return await self._post(notice, small_message(notice))
        if opening is None:
            return await self._post(notice, full_message(notice))
        where, ts = opening.data.get("channel", ""), opening.data.get("ts", "")
        if not where or not ts:  # delivered when this name was a channel of another type
            return await self._post(notice, full_message(notice))
        loud = notice.kind is not NoticeKind.UPDATE
        try:
            loud = not await self._edit(notice, where, ts, full_message(notice, _kept(opening))) or loud
            return await self._post(notice, full_message(notice), where, thread=ts, loud=loud)
        except SlackRefused as refused:
            if refused.code not in GONE:
                raise
        orphan = replace(notice, note=f"{notice.note} {_OPENING_GONE}".strip())
        return await self._post(orphan, full_message(orphan, _kept(opening)))

    async def _edit(self, notice: Notice, where: str, ts: str, message: Message) -> bool:
        """Bring the opening message up to date; False where Slack does not let us change it any more."""
        try:
            await self._write("chat.update", {"channel": where, "ts": ts, "parse": "none"}, message, notice)
        except SlackRefused as refused:
            if refused.code not in FIXED:
                raise
            log.info("slack_message_not_editable", channel=self._name, error=refused.code)
            return False
        return True

    async def _post(
        self, notice: Notice, message: Message, where: str = "", *, thread: str = "", loud: bool = False
    ) -> Receipt:
        """Post it once, in the channel or in a thread. Raises SlackRefused or DeliveryError."""
        if notice.key in self._uncertain or notice.at < self._made:
            posted = await self._search(notice, where, thread)
            if posted is not None:
                return self._receipt(notice, posted, message)
        arguments = {
            "channel": where or self._channel,
            "metadata": _metadata(notice),
            "unfurl_links": False,
            "unfurl_media": False,
            "parse": "none",
            "link_names": False,
        }
        if thread:
            arguments |= {"thread_ts": thread, "reply_broadcast": loud}
        try:
            answer = await self._write("chat.postMessage", arguments, message, notice)
        except (SlackRefused, DeliveryError) as error:
            if error.retryable:  # perhaps it was posted, and only the answer was lost
                self._doubt(notice.key)
            raise
        except asyncio.CancelledError:  # whoever called us has run out of patience
            self._doubt(notice.key)
            raise
        return self._receipt(notice, answer, message)

    async def _write(
        self, method: str, arguments: Mapping[str, Any], message: Message, notice: Notice
    ) -> Mapping[str, Any]:
        """Call it with the message's blocks; without them, or without the metadata, where Slack does not like those."""
        sent = dict(arguments) | {"text": message.text, "blocks": list(message.blocks)}
        while True:
            try:
                answer, _ = await self._api.call(method, **sent)
                return answer
            except SlackRefused as refused:
                if refused.code in UNLIKED and sent["blocks"]:
                    sent |= {"text": bare_message(notice).text, "blocks": []}
                elif refused.code in UNLIKED_METADATA and "metadata" in sent:
                    del sent["metadata"]
                else:
                    raise
                log.warning("slack_message_simplified", channel=self._name, error=refused.code)

    async def _search(self, notice: Notice, where: str, thread: str) -> Mapping[str, str] | None:
        """Where the notice was posted by an earlier try. Not being able to look is no reason not to page."""
        try:
            return await find_posted(self._api, where or self._channel, notice.key, notice.at, thread)
        except SlackRefused as refused:
            log.info("slack_history_unavailable", channel=self._name, error=refused.code)
            return None

    def _receipt(self, notice: Notice, posted: Mapping[str, Any], message: Message) -> Receipt:
        self._uncertain.pop(notice.key, None)
        data = {"channel": str(posted.get("channel", "")), "ts": str(posted.get("ts", ""))}
        if notice.kind is NoticeKind.OPENED and message.evidence:
            data["evidence"] = json.dumps(message.evidence)
        return Receipt(data=data)

    def _doubt(self, key: str) -> None:
        self._uncertain[key] = None
        if len(self._uncertain) > _UNCERTAIN:
            del self._uncertain[next(iter(self._uncertain))]


def _metadata(notice: Notice) -> dict[str, Any]:
    payload = {"key": notice.key, "incident": notice.incident, "service": notice.service, "kind": str(notice.kind)}
    return {"event_type": "codeblue_notice", "event_payload": payload}


def _kept(opening: Receipt) -> list[Block]:
    try:
        blocks = json.loads(opening.data.get("evidence", "[]"))
    except ValueError:
        return []
    return blocks if isinstance(blocks, list) else []


SLACK = ChannelType(
    name="slack",
    options=SlackOptions,
    build=SlackChannel,
    about="Posts one message per incident to a Slack channel, edits it as the incident goes on, and keeps its thread.",
    per_second=1.0,
)
