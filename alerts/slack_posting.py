"""Posting and editing messages so that none is lost, none comes twice, and none is put back to what it was before."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from agent.core.commands import Notice, NoticeKind
from agent.ports import DeliveryError, Receipt
from alerts.rendering import title
from alerts.slack_api import SlackApi
from alerts.slack_blocks import Message, bare_message, escape
from alerts.slack_buttons import Block
from alerts.slack_errors import FIXED, UNLIKED, UNLIKED_METADATA, SlackRefused
from alerts.slack_search import find_posted, shown_by

log = structlog.get_logger()

_REMEMBERED = 2_000  # posts that were cut off, and messages that were edited

Moment = tuple[datetime, bool]  # of what a message shows; the closing notice is the last of its moment


class SlackPosting:
    """Writes for one channel. `made` is when: what is older may have been sent in a life before."""

    def __init__(self, name: str, api: SlackApi, made: datetime) -> None:
        self._name = name
        self._api = api
        self._made = made
        self._uncertain: dict[str, None] = {}
        self._shown: dict[tuple[str, str], Moment] = {}

    async def edit(self, notice: Notice, opening: Receipt, message: Message) -> bool:
        """Bring the opening message up to date, unless it shows something newer; False where Slack does not let us
        change it any more. Raises SlackRefused or DeliveryError."""
        where, ts = opening.data["channel"], opening.data["ts"]
        moment = _moment(notice)
        if await self._shows_newer(notice, where, ts, moment):
            return True
        arguments: dict[str, Any] = {"channel": where, "ts": ts, "parse": "none"}
        if key := opening.data.get("key"):
            kept = {"key": key, "kind": str(NoticeKind.OPENED)}  # it stays what it was posted as
            arguments["metadata"] = _metadata(notice, **kept, shows=str(notice.kind), shown=notice.at.isoformat())
        try:
            await self._write("chat.update", arguments, message, notice)
        except SlackRefused as refused:
            if refused.code not in FIXED:
                raise
            log.info("slack_message_not_editable", channel=self._name, error=refused.code)
            return False
        _remember(self._shown, (where, ts), moment)
        return True

    async def post(
        self, notice: Notice, message: Message, where: str, *, thread: str = "", loud: bool = False
    ) -> Receipt:
        """Post it once, in that channel (id or name) or to that user (id), or in a thread there. Raises SlackRefused
        or DeliveryError."""
        if notice.key in self._uncertain or notice.at < self._made:
            posted = await self._search(notice, where, thread)
            if posted is not None:
                return self._receipt(notice, posted, message)
        arguments = {
            "channel": where,
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
                _remember(self._uncertain, notice.key, None)
            raise
        except asyncio.CancelledError:  # whoever called us has run out of patience
            _remember(self._uncertain, notice.key, None)
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
            return await find_posted(self._api, where, notice.key, notice.at, thread)
        except SlackRefused as refused:
            log.info("slack_history_unavailable", channel=self._name, error=refused.code)
            return None

    async def _shows_newer(self, notice: Notice, where: str, ts: str, moment: Moment) -> bool:
        """An update that had to wait must not take a closing message back."""
        known = self._shown.get((where, ts))
        if known is None and notice.at < self._made:
            try:
                said = await shown_by(self._api, where, ts)
                known = datetime.fromisoformat(said["shown"]), said.get("shows") == NoticeKind.RESOLVED
            except (SlackRefused, KeyError, ValueError):
                return False
        return known is not None and known > moment

    def _receipt(self, notice: Notice, posted: Mapping[str, Any], message: Message) -> Receipt:
        self._uncertain.pop(notice.key, None)
        data = {"channel": str(posted.get("channel", "")), "ts": str(posted.get("ts", ""))}
        if notice.kind is NoticeKind.OPENED:
            data["key"] = notice.key
            if notice.calls:
                data["calls"] = json.dumps(notice.calls)
            if message.evidence:
                data["evidence"] = json.dumps(message.evidence)
        return Receipt(data=data)


def differs(notice: Notice, message: Mapping[str, Any] | None) -> str:
    """What is wrong with a message that stands in a channel, compared with what was posted; empty where nothing is."""
    if message is None:
        return "Slack has taken the message, and it does not stand in the channel"
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    if payload and payload.get("key") != notice.key:
        return f"another message stands in its place: {payload.get('key')}"
    if escape(title(notice)) not in str(message.get("text", "")):
        return "a message stands in the channel, and does not say what was sent"
    return ""


def kept_evidence(opening: Receipt) -> list[Block]:
    """The blocks of evidence that the opening message showed."""
    return _listed(opening, "evidence")


def called_by(opening: Receipt) -> list[str]:
    """The people whom the opening message mentioned, as far as it could."""
    return _listed(opening, "calls")


def _listed(opening: Receipt, name: str) -> list[Any]:
    try:
        found = json.loads(opening.data.get(name, "[]"))
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _moment(notice: Notice) -> Moment:
    return notice.at, notice.kind is NoticeKind.RESOLVED


def _metadata(notice: Notice, **changed: str) -> dict[str, Any]:
    payload = {"key": notice.key, "incident": notice.incident, "service": notice.service, "kind": str(notice.kind)}
    return {"event_type": "codeblue_notice", "event_payload": payload | changed}


def _remember(where: dict[Any, Any], key: object, value: object) -> None:
    where.pop(key, None)
    where[key] = value
    if len(where) > _REMEMBERED:
        del where[next(iter(where))]
