"""What Slack says that people pressed or typed, in our terms. Pure.

`said` is an envelope of Socket Mode, {"type": "interactive" | "slash_commands", "payload": {...}, "envelope_id"}; what
comes over HTTP is brought into the same shape. Sources: docs.slack.dev, apis/events-api/using-socket-mode,
reference/interaction-payloads/block_actions-payload, interactivity/implementing-slash-commands.
"""

from dataclasses import dataclass
from typing import Any

from agent.core.plain_text import one_line
from agent.ports import Said
from alerts.slack_buttons import Carried, carried
from alerts.text import clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who said it, of which workspace and organisation (empty where Slack doesn't say), and where the answer goes."""

    user: str
    name: str
    channel: str
    channel_name: str = ""
    response_url: str = ""
    team: str = ""
    enterprise: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    speaker: Speaker
    button: Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    speaker: Speaker
    command: str
    text: str


def understand(said: Said) -> Press | Command | None:
    """None for whatever there is nothing to do about: a link that was followed, a kind that is not ours."""
    payload = _mapping(said.get("payload"))
    if said.get("type") == "slash_commands":
        return _command(payload)
    if said.get("type") == "interactive" and payload.get("type") == "block_actions":
        return _press(payload)
    return None


def marks(said: Said) -> tuple[str, ...]:
    """The envelope, which Slack repeats when it saw no acknowledgement, and the press or command itself, which may come
    in another envelope or another request."""
    payload = _mapping(said.get("payload"))
    found = [f"envelope/{said['envelope_id']}"] if said.get("envelope_id") else []
    if payload.get("trigger_id"):
        found.append(f"trigger/{payload['trigger_id']}")
    actions = payload.get("actions")
    first = _mapping(actions[0] if isinstance(actions, list) and actions else None)
    if first.get("action_ts"):
        user, place = _mapping(payload.get("user")), _mapping(payload.get("container"))
        what = (_text(user, "id"), _text(place, "message_ts"), first.get("action_id"), first["action_ts"])
        found.append("/".join(("press", *map(str, what))))
    return tuple(found)


def _press(payload: dict[str, Any]) -> Press | None:
    actions = payload.get("actions")
    button = carried(actions[0]) if isinstance(actions, list) and actions else None
    user, channel = _mapping(payload.get("user")), _mapping(payload.get("channel"))
    if button is None or not _text(user, "id"):
        return None
    speaker = Speaker(
        user=_text(user, "id"),
        name=_text(user, "name") or _text(user, "username"),
        channel=_text(channel, "id") or _text(_mapping(payload.get("container")), "channel_id"),
        channel_name=_text(channel, "name"),
        response_url=_text(payload, "response_url"),
        team=_text(user, "team_id"),
        enterprise=_text(_mapping(payload.get("enterprise")), "id"),
    )
    return Press(speaker=speaker, button=button)


def _command(payload: dict[str, Any]) -> Command | None:
    if not _text(payload, "user_id"):
        return None
    speaker = Speaker(
        user=_text(payload, "user_id"),
        name=_text(payload, "user_name"),
        channel=_text(payload, "channel_id"),
        channel_name=_text(payload, "channel_name"),
        response_url=_text(payload, "response_url"),
        team=_text(payload, "team_id"),
        enterprise=_text(payload, "enterprise_id"),
    )
    return Command(
        speaker=speaker, command=_text(payload, "command") or "/codeblue", text=_text(payload, "text", 3_000)
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: dict[str, Any], key: str, limit: int = 500) -> str:
    found = value.get(key)
    return clip(one_line(found), limit) if isinstance(found, str) else ""
