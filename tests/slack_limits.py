"""Slack's rules for messages, as its documentation states them: what a message breaks, and what a person sees of it."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

TEXT = 40_000
ALL_BLOCKS = 11_000  # the lowest sum, as JSON, that users saw refused (msg_blocks_too_long); it is not documented

_TOKEN = re.compile(r"<([^<>]*)>")
_DATE = re.compile(r"!date\^\d+\^[^|]+\|(?P<fallback>[^|]+)")
_LINK = re.compile(r"(?P<url>https?://[^|\s]+)\|(?P<label>.+)")
_MENTION = re.compile(r"<(?:!channel|!here|!everyone|!subteam|@[UW]|#C)")


def units(text: str) -> int:
    """Length in UTF-16 units, of what travels: the escaped text."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def problems_of(blocks: Any) -> list[str]:
    """Every rule that the blocks break, in words; empty when Slack would take them."""
    if not isinstance(blocks, list):
        return ["blocks must be an array"]
    found = ["no more than 50 items allowed [/blocks]"] if len(blocks) > 50 else []
    ids = [block["block_id"] for block in blocks if isinstance(block, dict) and "block_id" in block]
    found += ["block_id occurs twice [/blocks]"] if len(ids) != len(set(ids)) else []
    for index, block in enumerate(blocks):
        found += [f"{problem} [/blocks/{index}]" for problem in _block_problems(block)]
    return found


def too_long(blocks: list[Any]) -> bool:
    return units(json.dumps(blocks, ensure_ascii=False)) > ALL_BLOCKS


def mentions(text: str) -> list[str]:
    """What would ping people, or link to them."""
    return _MENTION.findall(text)


def shown(text: str) -> str:
    """Mrkdwn as a reader in UTC sees it: date tokens as their fallback, links as "label (url)", entities resolved."""

    def token(found: re.Match[str]) -> str:
        if date := _DATE.fullmatch(found[1]):
            return date["fallback"]
        if link := _LINK.fullmatch(found[1]):
            return f"{link['label']} ({link['url']})"
        return f"[{found[1]}]"

    return html.unescape(_TOKEN.sub(token, text)).replace("\u200b", "")


def texts_of(blocks: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """(type, text) of every text object, in order; the text of a button has the type "button"."""
    for block in blocks:
        if block["type"] == "actions":
            yield from (("button", element["text"]["text"]) for element in block["elements"])
            continue
        objects = [block["text"]] if "text" in block else []
        objects += block.get("fields", []) + block.get("elements", [])
        for item in objects:
            yield item["type"], item["text"]


def _block_problems(block: Any) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "header":
        yield from _text_problems(block.get("text"), 150, {"plain_text"})
    elif kind == "section":
        yield from _section_problems(block)
    elif kind == "context":
        elements = block.get("elements", [])
        if not 1 <= len(elements) <= 10:
            yield "1 to 10 elements"
        for item in elements:
            yield from _text_problems(item, 3_000)
    elif kind == "actions":
        yield from _actions_problems(block)
    elif kind != "divider":
        yield f"unsupported type: {kind}"


def _section_problems(block: dict[str, Any]) -> Iterator[str]:
    fields = block.get("fields", [])
    if "text" not in block and not fields:
        yield "a section needs text or fields"
    if "text" in block:
        yield from _text_problems(block["text"], 3_000)
    if len(fields) > 10:
        yield "no more than 10 fields"
    for item in fields:
        yield from _text_problems(item, 2_000)


def _actions_problems(block: dict[str, Any]) -> Iterator[str]:
    elements = block.get("elements", [])
    if not 1 <= len(elements) <= 25:
        yield "1 to 25 elements"
    if len(block.get("block_id", "")) > 255:
        yield "block_id: must be less than 256 characters"
    ids = [element.get("action_id") for element in elements]
    if len(ids) != len(set(ids)):
        yield "action_id occurs twice"
    for element in elements:
        yield from _button_problems(element)


def _button_problems(button: Any) -> Iterator[str]:
    """docs.slack.dev, reference/block-kit/block-elements/button-element and composition-objects/confirmation-dialog."""
    if not isinstance(button, dict) or button.get("type") != "button":
        yield "unsupported element"
        return
    yield from _text_problems(button.get("text"), 75, {"plain_text"})
    for key, limit in (("action_id", 255), ("value", 2_000), ("url", 3_000)):
        if key in button and not 0 < units(button[key]) <= limit:
            yield f"{key}: must be 1 to {limit} characters"
    if button.get("style", "primary") not in ("primary", "danger"):
        yield "style: must be primary or danger"
    if "confirm" in button:
        confirm = button["confirm"]
        for key, limit in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
            yield from _text_problems(confirm.get(key), limit, {"plain_text"})


def _text_problems(item: Any, limit: int, kinds: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    allowed = kinds or {"plain_text", "mrkdwn"}
    if not isinstance(item, dict) or item.get("type") not in allowed or not isinstance(item.get("text"), str):
        yield f"a text object of type {sorted(allowed)} is needed"
        return
    if not item["text"]:
        yield "must be more than 0 characters"
    if units(item["text"]) > limit:
        yield f"must be less than {limit + 1} characters"
    if item["type"] == "plain_text" and "verbatim" in item:
        yield "verbatim is for mrkdwn"
    if item["type"] == "mrkdwn" and item["text"].count("```") % 2:
        yield "a code block is not closed"  # our own rule: Slack would show it as it is
