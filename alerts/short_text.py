"""A notice as one short line, for a telephone: what, why, since when. Pure."""

import unicodedata

from agent.core.commands import Notice, NoticeKind
from agent.core.plain_text import one_line
from alerts.rendering import note, summary, title
from alerts.text import clip

_WORDS = {
    NoticeKind.OPENED: "DOWN",
    NoticeKind.REMINDER: "STILL DOWN",
    NoticeKind.UPDATE: "UPDATE",
    NoticeKind.RESOLVED: "OK",
    NoticeKind.NOTE: "NOTE",
}
_WORTH_IT = 25  # characters; of a text that has less room nothing is shown
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "→": "->", "×": "x"})


def short_text(notice: Notice, limit: int = 160) -> str:
    """One line of at most `limit` characters (40 or more), the most important first. Accents and typographic marks are
    replaced by plain letters, because one of them would halve what a text message can hold."""
    since = f" since {notice.opened_at:%H:%M} UTC" if notice.kind is NoticeKind.OPENED else ""
    told = title(notice) if notice.drill else f"{_WORDS[notice.kind]}: {title(notice)}{since}"
    line = clip(plain(told), limit, len)
    for text in (summary(notice), note(notice)):
        room = limit - len(line) - 2
        if text and room >= _WORTH_IT:
            line = f"{line}; {clip(plain(text), room, len)}"
    runbook = plain(one_line(notice.runbook))
    return f"{line}; {runbook}" if runbook and len(line) + 2 + len(runbook) <= limit else line


def plain(text: str) -> str:
    """The text without accents and typographic marks, as far as that leaves it readable."""
    return "".join(
        char for char in unicodedata.normalize("NFKD", text.translate(_PLAIN)) if not unicodedata.combining(char)
    )
