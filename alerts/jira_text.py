"""What stands in an issue and its comments. Pure.

Texts are Jira's wiki markup, which version 2 of its API takes on Cloud and on Data Center alike. Everything that comes
from outside stands in {noformat}, in which nothing means anything: no mention, no link, no macro comes of it.
"""

import hashlib
import re

from agent.core.commands import Notice
from alerts.rendering import layout, references, title
from alerts.text import clip, utf16_units

SUMMARY = 250  # characters; Jira takes 255
TEXT = 30_000  # Jira takes 32,767 unless its administrator says otherwise
_MACRO = re.compile(r"\{(?=noformat)", re.IGNORECASE)
_PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#@&=%+,;-]{1,2000}")
_GAP = "\u200b"  # zero width: keeps the end of the block from being one


def story(notice: Notice) -> str:
    """What one issue is about: an incident, for everybody whom one channel asks; or a note of its own."""
    channel = notice.channel.partition("/")[0]
    return f"{notice.incident}/{channel}" if notice.incident else notice.key


def story_label(notice: Notice) -> str:
    """By which an issue is found again: the same for the same story, and for no other."""
    return f"codeblue-{_digest(story(notice))}"


def mark(notice: Notice) -> str:
    """What tells a text in an issue from all others. Notices of one moment that say the same to several people are one
    comment."""
    return f"codeblue:{_digest(f'{notice.incident}/{notice.kind}/{notice.at.isoformat()}/{notice.title}')}"


def summary_of(notice: Notice) -> str:
    return clip(title(notice), SUMMARY, utf16_units)


def text_of(notice: Notice, *more: str) -> str:
    """The whole notice, then where to read on as links, then `more` lines of our own, and the mark."""
    links = [f"{label}: {link}" for label, link in _links(notice)]
    end = "\n".join([*links, *more, f"_{mark(notice)}_"])
    room = TEXT - len(end) - 50
    shown = clip("\n".join(line.text for line in layout(notice)), room, utf16_units)
    return f"{{noformat}}\n{literal(shown)}\n{{noformat}}\n{end}"


def literal(text: str) -> str:
    """Text that stays what it is inside {noformat}."""
    return _MACRO.sub(f"{{{_GAP}", text)


def _links(notice: Notice) -> list[tuple[str, str]]:
    facts = [(label, link) for label, link in notice.facts.items() if label in ("Dashboard", "Source", "Trace")]
    return [(label, link) for label, link in (*references(notice), *facts) if _PLAIN_ADDRESS.fullmatch(link)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:20]
