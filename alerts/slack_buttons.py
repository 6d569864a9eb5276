"""The buttons under a message: what they offer, and what each carries back. Pure.

Limits by docs.slack.dev, reference/block-kit: button text 75, value 2,000, url 3,000, action_id 255; confirmation title
100, text 300, its two answers 30; an actions block 25 elements. What a button carries comes back as it was written:
nobody can change it, but it may be pressed long after, so it names the incident that it was shown with.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from agent.core.commands import Notice
from agent.core.plain_text import one_line
from alerts.text import clip, utf16_units

Block = dict[str, Any]

WEB_ADDRESS = re.compile(r"https?://[^\s<>|\"`\\]+", re.ASCII | re.IGNORECASE)
PREFIX = "codeblue_"
RUNBOOK = "runbook"
VALUE = 500  # of 2,000: all blocks of a message share what Slack takes
URL = 3_000

_LABELS = {
    "ack": "Ack",
    "approve": "Approve restart",
    "silence": "Silence 1 h",
    "restart": "Restart now",
    "seen": "I have seen it",
}
_STYLES = {"approve": "primary", "restart": "danger"}


@dataclass(frozen=True, slots=True)
class Carried:
    """What a button says when it is pressed: where it was shown, about which incident of which service, and for an
    approval the key of the question (for a drill, its name)."""

    action: str
    channel: str
    service: str
    incident: str
    key: str = ""


def buttons(notice: Notice, channel: str, useful: Collection[str]) -> list[Block]:
    """One block with what the notice offers of `useful`, and its runbook; nothing where that is nothing. `channel` is
    the name under which they come back."""
    elements: list[Block] = []
    for offer in dict.fromkeys(notice.offers):
        action, _, key = offer.partition(":")
        known = any(element["action_id"] == PREFIX + action for element in elements)
        if action in _LABELS and action in useful and not known:
            value = _value(channel, notice.service, notice.incident, key)
            if _units(value) <= VALUE:
                elements.append(_button(action, value, one_line(notice.service)))
    first = next((element for element in elements if "style" not in element), None)
    if first is not None and all(element.get("style") != "primary" for element in elements):
        first["style"] = "primary"
    if runbook := runbook_button(notice, useful):
        elements.append(runbook)
    return [{"type": "actions", "block_id": f"{PREFIX}actions", "elements": elements}] if elements else []


def runbook_button(notice: Notice, useful: Collection[str]) -> Block | None:
    """The runbook as a button, where there is one and the message has buttons at all."""
    address = one_line(notice.runbook)
    if RUNBOOK not in useful or not notice.offers or not WEB_ADDRESS.fullmatch(address) or _units(address) > URL:
        return None
    return {"type": "button", "action_id": PREFIX + RUNBOOK, "text": _plain("Runbook"), "url": address}


def carried(action: object) -> Carried | None:
    """What the pressed one of our buttons says; None for any other, and for the runbook's, which is only a link."""
    if not isinstance(action, dict) or not str(action.get("action_id", "")).startswith(PREFIX):
        return None
    name = str(action["action_id"]).removeprefix(PREFIX)
    try:
        value = json.loads(action.get("value") or "")
        said = [str(value[part]) for part in ("c", "s", "i", "k")]
    except (ValueError, TypeError, KeyError):
        return None
    return Carried(name, *said) if name in _LABELS else None


def _value(channel: str, service: str, incident: str, key: str) -> str:
    return json.dumps({"c": channel, "s": service, "i": incident, "k": key}, separators=(",", ":"))


def _button(action: str, value: str, service: str) -> Block:
    found: Block = {
        "type": "button",
        "action_id": PREFIX + action,
        "text": _plain(_LABELS[action]),
        "value": value,
    }
    if action in _STYLES:
        found["style"] = _STYLES[action]
    if action == "restart":
        found["confirm"] = _confirm(
            f"Restart {service} now?",
            "It is restarted at once, as its configuration says, whatever automatic restarts have done so far.",
            "Restart",
        )
    if action == "approve":
        found["confirm"] = _confirm(
            f"Approve the restart of {service}?",
            "The answer counts once, and for what this message shows: if it fails in another way by now, or somebody "
            "else has answered, nothing is done.",
            "Approve",
        )
    return found


def _confirm(title: str, text: str, yes: str) -> Block:
    style = "danger" if yes == "Restart" else "primary"
    said = {"title": _plain(clip(title, 100)), "text": _plain(clip(text, 300))}
    return said | {"confirm": _plain(yes), "deny": _plain("Not now"), "style": style}


def _plain(text: str) -> Block:
    # plain text has no escapes: look-alikes make sure that no reader of it takes it for a mention
    return {"type": "plain_text", "text": text.replace("<", "‹").replace(">", "›"), "emoji": False}


def _units(text: str) -> int:
    return sum(map(utf16_units, text))
