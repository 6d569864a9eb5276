"""Finding a message that an earlier try has posted, by the key in its metadata."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from alerts.slack_api import SlackApi

_ID = re.compile(r"[CGD][A-Z0-9]{6,}")
_USER = re.compile(r"[UW][A-Z0-9]{2,}")
_PAGES = 5
_SKEW = 300.0  # seconds that our clock may be ahead of Slack's


async def find_posted(
    api: SlackApi, channel: str, key: str, since: datetime, thread: str = ""
) -> Mapping[str, str] | None:
    """The `channel` id and `ts` of our message with that key, posted since then to the channel (id or name) or the user
    (id), or to that thread of it; None where there is none among the newest thousand. Raises SlackRefused or
    DeliveryError."""
    where = await _id_of(api, channel)
    if where is None:
        return None
    method = "conversations.replies" if thread else "conversations.history"
    arguments: dict[str, Any] = {
        "channel": where,
        "oldest": f"{since.timestamp() - _SKEW:.6f}",
        "include_all_metadata": "true",
        "limit": 200,
    }
    if thread:
        arguments["ts"] = thread
    async for message in _items(api, method, "messages", arguments):
        payload = (message.get("metadata") or {}).get("event_payload") or {}
        if payload.get("key") == key:
            return {"channel": where, "ts": str(message["ts"])}
    return None


async def shown_by(api: SlackApi, channel: str, ts: str) -> Mapping[str, str]:
    """What our message says of itself by now (`shown` is the moment of the notice that it was last edited for, `shows`
    that notice's kind); empty where that can't be seen. Raises SlackRefused or DeliveryError."""
    message = await what_stands(api, channel, ts) or {}
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    return {name: str(payload[name]) for name in ("shown", "shows") if name in payload}


async def what_stands(api: SlackApi, channel: str, ts: str) -> Mapping[str, Any] | None:
    """The message that is in that channel (id) at that moment, None where there is none. Raises SlackRefused or
    DeliveryError."""
    arguments = {"channel": channel, "latest": ts, "oldest": ts, "inclusive": "true", "include_all_metadata": "true"}
    answer, _ = await api.call("conversations.history", read=True, limit=1, **arguments)
    found: Sequence[Mapping[str, Any]] = answer.get("messages") or ()
    return next((message for message in found if message.get("ts") == ts), None)


async def _id_of(api: SlackApi, channel: str) -> str | None:
    if _ID.fullmatch(channel):
        return channel
    if _USER.fullmatch(channel):
        answer, _ = await api.call("conversations.open", users=channel)
        return str(answer["channel"]["id"])
    return await _channel_id(api, channel.lstrip("#"))


async def _channel_id(api: SlackApi, name: str) -> str | None:
    """The id of a channel that the app is a member of."""
    arguments = {"types": "public_channel,private_channel", "exclude_archived": "true", "limit": 200}
    async for channel in _items(api, "users.conversations", "channels", arguments):
        if channel.get("name") == name:
            return str(channel["id"])
    return None


async def _items(api: SlackApi, method: str, field: str, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
    """All items of a listing, at most five pages of them."""
    cursor = ""
    for _ in range(_PAGES):
        sent = {**arguments, "cursor": cursor} if cursor else arguments
        answer, _ = await api.call(method, read=True, **sent)
        for item in answer.get(field) or ():
            yield item
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
