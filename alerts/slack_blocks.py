"""A notice as a Slack message: Block Kit blocks and the text that notifications show. Pure.

Sources of the limits: docs.slack.dev, reference/block-kit/blocks (header 150, section text 3,000, field 2,000 and 10
fields, 50 blocks) and changelog 2018-04 (40,000 characters a message). The sum over all blocks is limited too, at an
undocumented figure that users measured at 11,000 to 13,200 characters: all blocks of one message stay below
`WHOLE`, counted as JSON. Lengths are counted in UTF-16 units after escaping, the strictest way to read the rules.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agent.core.commands import Notice, NoticeKind
from agent.core.few import no_text
from agent.core.plain_text import one_line
from alerts.rendering import evidence, facts, headline, note, plain_text, references, summary
from alerts.slack_buttons import RUNBOOK, WEB_ADDRESS, Block, buttons, runbook_button
from alerts.text import clip, clip_lines, cost_of, utf16_units

HEADER = 150
SECTION = 3_000
FIELDS = 10  # a section; no message of ours has a second section of them
ALL_FACTS = 3_000  # shared by a message's facts
WIDE = 1_000  # of a fact that is read across
WHOLE = 10_000
PLAIN = 3_800  # of a message without blocks: Slack advises 4,000
PIECES = 8  # of evidence
LINK = 600  # of an address

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FENCE = re.compile("`(?=`)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", re.ASCII)
_GAP = "\u200b"  # zero width: keeps three backticks from being a fence
# facts that may be links, always shown with their addresses: the config's own, and those of alerts that come in
_LINKS = ("Runbook", "Dashboard", "Source", "Trace")
_WIDE = ("Next step", "Tried", "Heartbeat")  # facts that are read across, not in a column
_ORDER = {"Acknowledged": -2, "Down upstream": -1, "Agent": 1}  # others stay between, as they come
_PEOPLE = "Paged"
_NEWS = ("Since", "Acknowledged", "Quiet", "Flapping", "Tried", "Next step")  # what may have changed
_USER = re.compile(r"[UW][A-Z0-9]{2,}")


@dataclass(frozen=True, slots=True)
class View:
    """What a message shows beside the notice: which buttons are `useful`, under which `channel` they come back, and
    whom it mentions (`users` of people, by name)."""

    channel: str = ""
    useful: Collection[str] = ()
    users: Mapping[str, str] = field(default_factory=no_text)


PLAINLY = View()


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is what notifications and screen readers say, and the whole message where there are no blocks.
    `evidence` are those of the blocks that hold evidence: the part that later versions of the message keep."""

    text: str
    blocks: tuple[Block, ...] = ()
    evidence: tuple[Block, ...] = ()


def full_message(notice: Notice, kept: Sequence[Block] = (), view: View = PLAINLY) -> Message:
    """Everything: what, since when, why, what was tried, what can be done, where to read on, and the evidence; `kept`
    is the evidence of the opening message, shown where the notice brings none of its own."""
    actions = buttons(notice, view.channel, view.useful)
    shown = RUNBOOK if actions and runbook_button(notice, view.useful) else ""
    foot = [*actions, *_references(notice, without=shown)]
    for part in (1, 2, 4):
        head = _head(notice, view, part)
        room = WHOLE - _weight(head) - _weight(foot)
        if room >= 0:
            break
    proof = _evidence(notice, room) or _fitting(kept, room)
    return Message(_notification(notice), (*head, *foot, *proof), tuple(proof))


def news_message(notice: Notice, view: View = PLAINLY) -> Message:
    """What has changed, for the thread under the message that says everything; with whom it calls."""
    wanted = (*_NEWS, _PEOPLE) if notice.calls else _NEWS
    told = {label: value for label, value in notice.facts.items() if label in wanted}
    return full_message(replace(notice, facts=told, runbook="", trace_id=""), view=replace(view, useful=()))


def small_message(notice: Notice) -> Message:
    """What wakes nobody: the title, why, what was tried, and where to read on."""
    parts = [f"*{escape(clip(headline(notice), 300, escaped_cost))}*"]
    parts += [escape(text) for text in (clip(summary(notice), 1_000, escaped_cost),) if text]
    if text := note(notice):
        parts.append(f"⚠ {escape(clip(text, 600, escaped_cost))}")
    if tried := dict(facts(notice)).get("Tried"):
        parts.append(f"Tried: {escape(clip(tried, 600, escaped_cost))}")
    said = [f"{label}: {_value(label, value, 300)}" for label, value in _readings(notice)]
    blocks = [_section("\n".join(parts))]
    return Message(_notification(notice), (*blocks, *([_context(" · ".join(said))] if said else [])))


def bare_message(notice: Notice) -> Message:
    """The notice without any blocks, for the day on which Slack does not like ours: ugly beats undelivered."""
    return Message(escape(clip(plain_text(notice), PLAIN, escaped_cost)))


def escape(text: str) -> str:
    """Text that Slack shows as it is: no mention, no link, no entity, no end of a code block comes of it."""
    text = _FENCE.sub(f"`{_GAP}", text)
    return "".join(_ENTITIES.get(char, char) for char in text)


def escaped_cost(char: str) -> int:
    """The most that a character of a text can take after `escape`, and in JSON."""
    if char in _ENTITIES:
        return len(_ENTITIES[char])
    return 2 if char in '`"\\\n\t' else utf16_units(char)


def date_token(at: datetime) -> str:
    """A moment that Slack shows in its reader's own zone, and in UTC where it can't."""
    fallback = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{fallback}>"


def _head(notice: Notice, view: View, part: int) -> list[Block]:
    """What stands before the buttons; its facts have one `part`-th of their room."""
    told = [fact for fact in facts(notice) if fact[0] not in _LINKS]
    since = told.pop(0)[1] if told and told[0][0] == "Since" else ""
    blocks: list[Block] = [_header(headline(notice))]
    if text := note(notice):
        blocks.append(_section(f"⚠ *{escape(clip(text, 900, escaped_cost))}*"))
    lines = [escape(text) for text in (clip(summary(notice), 1_000, escaped_cost),) if text]
    if since:
        lines.append(f"Since {_localised(clip(since, 300, escaped_cost))}")
    if lines:
        blocks.append(_section("\n".join(lines)))
    wide = [_section(_field(*fact, WIDE // part, view)) for fact in told if fact[0] in _WIDE]
    narrow = sorted((fact for fact in told if fact[0] not in _WIDE), key=lambda fact: _ORDER.get(fact[0], 0))
    return [*blocks, *_columns(narrow, ALL_FACTS // part, view), *wide]


def _columns(told: list[tuple[str, str]], room: int, view: View) -> list[Block]:
    if len(told) > FIELDS:
        left = len(told) - FIELDS + 1
        told = [*told[: FIELDS - 1], ("And", f"… {left} more facts")]
    limit = min(1_500, room // max(1, len(told)))
    return [{"type": "section", "fields": [_mrkdwn(_field(*fact, limit, view)) for fact in told]}] if told else []


def _field(label: str, value: str, limit: int, view: View) -> str:
    shown = _mentioned(value, limit, view) if label == _PEOPLE else _value(label, value, limit)
    return f"*{escape(clip(label, 60, escaped_cost))}*\n{shown}"


def _mentioned(value: str, limit: int, view: View) -> str:
    """Names of people, each as a mention where his user is known: it is how Slack tells them."""
    users = [(name, view.users.get(name, "")) for name in clip(value, limit // 2, escaped_cost).split(", ")]
    return ", ".join(f"<@{user}>" if _USER.fullmatch(user) else escape(name) for name, user in users)


def _value(label: str, value: str, limit: int) -> str:
    """A fact's text; as a link where it is one, which only the config's own labels may be."""
    if label in _LINKS and WEB_ADDRESS.fullmatch(value) and cost_of(value, escaped_cost) <= LINK:
        return f"<{escape(value)}|{escape(clip(value.split('://', 1)[1], 80, escaped_cost))}>"
    return _localised(clip(value, limit, escaped_cost))


def _localised(text: str) -> str:
    """The escaped text with its first moment in UTC as a date token."""
    return _MOMENT.sub(lambda found: _token(found[0]), escape(text), count=1)


def _token(text: str) -> str:
    try:
        return date_token(datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return text


def _readings(notice: Notice, without: str = "") -> list[tuple[str, str]]:
    """Where to read on, labelled: each once, whether it is a fact or the notice's own."""
    found = dict(references(notice)) | {label: value for label, value in facts(notice) if label in _LINKS}
    return [(label, found[label]) for label in _LINKS if label in found and label.lower() != without]


def _references(notice: Notice, without: str) -> list[Block]:
    said = [f"*{label}*: {_value(label, value, 300)}" for label, value in _readings(notice, without)]
    return [_section(" · ".join(said))] if said else []


def _evidence(notice: Notice, room: int) -> list[Block]:
    pieces = evidence(notice)
    left_out = len(pieces) - PIECES
    pieces = pieces[:PIECES]
    if left_out > 0:
        room -= 200
    blocks: list[Block] = []
    for index, (name, text) in enumerate(pieces):
        share = min(SECTION, room // (len(pieces) - index))
        if share < 300:
            left_out = len(pieces) - index + max(0, left_out)
            break
        block = _code(name, text, share - 100)
        room -= _weight([block])
        blocks.append(block)
    if left_out > 0 and blocks:
        blocks.append(_context(f"… {left_out} more pieces of evidence"))
    return blocks


def _code(name: str, text: str, limit: int) -> Block:
    title = f"*{escape(clip(name, 60, escaped_cost))}*\n"
    shown = escape(clip_lines(text, limit - cost_of(title) - 10, escaped_cost))
    return _section(f"{title}```\n{shown}\n```")


def _fitting(blocks: Sequence[Block], room: int) -> list[Block]:
    fitting: list[Block] = []
    for block in blocks:
        room -= _weight([block])
        if room < 0:
            break
        fitting.append(block)
    return fitting


def _notification(notice: Notice) -> str:
    parts = [headline(notice), summary(notice), note(notice)]
    if notice.kind is NoticeKind.RESOLVED:
        parts[1] = ""  # the reason of the opening is no news in the closing one
    return escape(clip(one_line(" — ".join(part for part in parts if part)), 600, escaped_cost))


def _header(text: str) -> Block:
    # plain text has no escapes: look-alikes make sure that no reader of it takes it for a mention
    text = text.replace("<", "‹").replace(">", "›")
    return {"type": "header", "text": {"type": "plain_text", "text": clip(text, HEADER), "emoji": False}}


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> Block:
    # verbatim: addresses, @names and #channels in the text stay plain text
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _weight(blocks: Sequence[Block]) -> int:
    return cost_of(json.dumps(list(blocks), ensure_ascii=False))
