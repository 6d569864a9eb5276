"""What stands in the channels of the stand-in for Slack, and what it does not take."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.slack_limits import TEXT, mentions, problems_of, shown, texts_of, too_long, units


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
    def buttons(self) -> dict[str, Any]:
        """The buttons by their labels, as they stand there now."""
        rows = [block["elements"] for block in self.blocks if block["type"] == "actions"]
        return {button["text"]["text"]: button for row in rows for button in row}

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
    user: str = ""  # whose direct messages these are


@dataclass(frozen=True)
class Whisper:
    """What only one person saw."""

    channel: str
    user: str
    text: str

    @property
    def shown(self) -> str:
        return shown(self.text)


def checked_content(given: dict[str, Any]) -> list[Any]:
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


def checked_metadata(metadata: Any) -> dict[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        raise Refusal("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or len(json.dumps(metadata)) > 8_000:
        raise Refusal("metadata_too_large")
    return metadata


def since(messages: list[Posted], given: dict[str, Any]) -> list[Posted]:
    oldest, latest = float(given.get("oldest") or 0), float(given.get("latest") or "inf")
    edges = {oldest, latest} if str(given.get("inclusive", "")).lower() in ("true", "1") else set()
    return [m for m in messages if oldest < float(m.ts) < latest or float(m.ts) in edges]


def page(messages: list[Posted], given: dict[str, Any]) -> dict[str, Any]:
    start, limit = int(given.get("cursor") or 0), min(int(given.get("limit") or 100), 200)
    end = start + limit
    whole = str(given.get("include_all_metadata", "")).lower() in ("true", "1")
    return {
        "messages": [public(m, metadata=whole) for m in messages[start:end]],
        "has_more": end < len(messages),
        "response_metadata": {"next_cursor": str(end) if end < len(messages) else ""},
    }


def public(posted: Posted, *, metadata: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "message", "ts": posted.ts, "text": posted.text, "blocks": posted.blocks}
    if posted.thread_ts:
        found["thread_ts"] = posted.thread_ts
    return found | ({"metadata": posted.metadata} if metadata and posted.metadata else {})
