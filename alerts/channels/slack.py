"""The slack channel: one message per incident, kept up to date in place, with its history in its thread.

An opening notice is posted, with buttons where somebody listens. What follows edits that message and is added to its
thread; reminders and the closing message are shown in the channel too (`reply_broadcast`), because an edit notifies
nobody. Whom the opening message mentions its later versions do too; who is asked by a later step is mentioned in the
thread, where it is news. The edit always comes first: it can be repeated without harm, so that a retry after half of
the work never posts a second reply. A notice to a person (`notice.to`, a user's id) is a direct message with a thread
of its own.

Slack has no idempotency key for bots. Each message carries its notice's key as metadata instead, and a message that may
have been posted already (its try was cut off, or it is older than this channel object) is looked for in the history
before it is posted. For that the app needs channels:history (groups:history for private channels, im:history and
im:write for direct messages), and channels:read (groups:read) where config names the channel instead of giving its id;
without them such a retry posts a second time.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import SecretStr

from agent.core.commands import Notice, NoticeKind
from agent.ports import ChannelType, DeliveryError, Desk, Receipt, Said
from alerts.rendering import as_seen_here
from alerts.slack_api import SlackApi
from alerts.slack_blocks import View, full_message, news_message, small_message
from alerts.slack_desk import SlackDesk
from alerts.slack_errors import GONE, SlackRefused
from alerts.slack_heard import Command, Press, marks, understand
from alerts.slack_may import Gatekeeper, Home, UserGroups, useful_actions
from alerts.slack_options import SlackOptions
from alerts.slack_posting import SlackPosting, called_by, differs, kept_evidence
from alerts.slack_search import what_stands
from alerts.slack_socket import Pace, SlackSocket

__all__ = ["SLACK", "SlackChannel", "SlackOptions"]

_POSTING_SCOPES = frozenset({"chat:write", "chat:write:bot", "chat:write:user", "bot"})
_OPENING_GONE = "The message that opened this incident is gone."


class SlackChannel:
    """Receipts hold `channel` (id), `ts` and, of an opening message, its `key` and `evidence`: its blocks as JSON,
    which every later version of the message keeps."""

    def __init__(
        self,
        name: str,
        options: SlackOptions,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Pace | None = None,
    ) -> None:
        self._name = name
        self._options = options
        self._id = ""  # of the channel, as Slack has told it
        timeout = options.timeout.total_seconds()
        self._api = SlackApi(options.token.get_secret_value(), options.api_url, timeout)
        self._posting = SlackPosting(name, self._api, now())
        self._app = SlackApi(_secret(options.app_token), options.api_url, timeout)
        self._socket = SlackSocket(self._app, name, pace) if options.app_token else None
        self._listening = False
        self._home = Home()
        self._desk: Desk | None = None
        self._answers: SlackDesk | None = None

    # ------------------------------------------------------------------------------------------ telling

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        try:
            return await self._send(as_seen_here(notice, opening), opening)
        except SlackRefused as refused:
            raise refused.delivery_error(notice.to or self._options.channel) from None

    async def verify(self) -> None:
        """`auth.test`, that the token's scopes let it post, and that what people press is heard."""
        try:
            answer, headers = await self._api.call("auth.test")
        except SlackRefused as refused:
            raise refused.delivery_error(self._options.channel) from None
        self._home = Home(str(answer.get("team_id") or ""), str(answer.get("enterprise_id") or ""))
        scopes = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",")} - {""}
        if scopes and not scopes & _POSTING_SCOPES:
            has = ", ".join(sorted(scopes))
            raise DeliveryError("auth", f"the Slack token lacks the scope chat:write (it has {has})", retryable=False)
        if self._socket is not None:
            await self._socket.prove(listening=self._listening)

    async def read_back(self, notice: Notice, receipt: Receipt) -> str:
        """What `conversations.history` shows there; it needs the scope for the history of that kind of channel."""
        where, ts = receipt.data.get("channel", ""), receipt.data.get("ts", "")
        try:
            return differs(notice, await what_stands(self._api, where, ts))
        except SlackRefused as refused:
            if refused.retryable:
                raise refused.delivery_error(where) from None
            scopes = "channels:history, groups:history and im:history"
            text = f"Slack does not let the app read it: {refused.code}; the scopes for it are {scopes}"
            raise DeliveryError("auth", text, retryable=False) from None

    async def close(self) -> None:
        await self._api.close()
        await self._app.close()

    async def _send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        home, post = notice.to or self._options.channel, self._posting.post
        if notice.kind is NoticeKind.NOTE:
            return self._learn(notice, await post(notice, small_message(notice), home))
        whole = self._view(notice, notice.calls)
        if opening is None or not opening.data.get("channel") or not opening.data.get("ts"):
            # the opening never arrived, or arrived when this name was a channel of another type
            return self._learn(notice, await post(notice, full_message(notice, view=whole), home))
        where, ts, kept = opening.data["channel"], opening.data["ts"], kept_evidence(opening)
        edited = self._view(notice, called_by(opening))
        loud = notice.kind is not NoticeKind.UPDATE
        try:
            loud = not await self._posting.edit(notice, opening, full_message(notice, kept, edited)) or loud
            # never edited: a button would grow stale
            reply = full_message(notice, view=replace(whole, useful=())) if loud else news_message(notice, whole)
            return await post(notice, reply, where, thread=ts, loud=loud)
        except SlackRefused as refused:
            if refused.code not in GONE:
                raise
        orphan = replace(notice, note=f"{notice.note} {_OPENING_GONE}".strip())
        return await post(orphan, full_message(orphan, kept, whole), home)

    def _view(self, notice: Notice, calls: Collection[str]) -> View:
        """`calls` are the people whom it mentions, where it isn't for one of them alone."""
        if self._desk is None:
            return View()
        heard = self._socket is not None or self.signing_secret
        addresses = self._desk.contacts() if not notice.to else {}
        users = {person: addresses[person].get(self._name, "") for person in calls if person in addresses}
        return View(self._name, useful_actions(self._options.may) if heard else (), users)

    def _learn(self, notice: Notice, receipt: Receipt) -> Receipt:
        if not notice.to:
            self._id = receipt.data["channel"]
        return receipt

    # ------------------------------------------------------------------------------------------ listening

    @property
    def line(self) -> str:
        token = _secret(self._options.app_token)
        return hashlib.sha256(token.encode()).hexdigest() if token else ""

    @property
    def signing_secret(self) -> str:
        return _secret(self._options.signing_secret)

    def attach(self, desk: Desk) -> None:
        groups = UserGroups(self._api)
        gate = Gatekeeper(self._name, self._options.may, groups, desk.contacts, lambda: self._home)
        self._desk, self._answers = desk, SlackDesk(self._name, self._api, self._options.api_url, gate, desk)

    async def listen(self, heard: Callable[[Said], None], trouble: Callable[[str], None]) -> None:
        if self._socket is None:
            return
        self._listening = True
        try:
            await self._socket.run(heard, trouble)
        finally:
            self._listening = False

    def marks(self, said: Said) -> tuple[str, ...]:
        return marks(said) if understand(said) is not None else ()

    def concerns(self, said: Said) -> bool:
        meant = understand(said)
        if isinstance(meant, Press):
            return meant.button.channel == self._name
        return meant is not None and self._is_here(meant)

    async def answer(self, said: Said) -> None:
        meant = understand(said)
        if self._answers is None or meant is None:
            return
        if isinstance(meant, Press):
            await self._answers.press(meant)
        else:
            await self._answers.command(meant, here=self._is_here(meant))

    def _is_here(self, command: Command) -> bool:
        """Whether it was typed in this very channel. Slack calls every private channel by the same name."""
        speaker, known = command.speaker, {self._id, self._options.channel} - {""}
        return speaker.channel in known or speaker.channel_name == self._options.channel.lstrip("#")


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value is not None else ""


SLACK = ChannelType(
    name="slack",
    options=SlackOptions,
    build=SlackChannel,
    about="Posts one message per incident to a Slack channel, edits it as the incident goes on, and keeps its thread; "
    "people answer with its buttons and with /codeblue.",
    per_second=1.0,
)
