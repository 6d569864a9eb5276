"""What people type after /codeblue. Pure."""

import difflib
import html
import re
from dataclasses import dataclass
from datetime import timedelta

from agent.core.durations import parse_duration

SILENCE = timedelta(hours=1)  # where nobody says for how long

_ALIASES = {"acknowledge": "ack", "on-call": "oncall", "mute": "silence", "": "status"}
_COMMANDS = ("status", "ack", "silence", "oncall", "help")
_QUOTES = str.maketrans("“”„‘’", '"""\'\'')  # what phones make of them
_FOR = re.compile(r"(?:^|\s)(?:for\s+)?(\d[\d.]*(?:ms|[wdhms])(?:\s*\d[\d.]*(?:ms|[wdhms]))*)$")
_UNTIL_RESOLVED = re.compile(r"(?:^|\s)until[\s-]+resolved$")
_BECAUSE = re.compile(r"\s(?:because|--|#)\s+(.+)$")
_LONELY_FOR = re.compile(r"(?:^|\s)for\s+(\S+)$")


class NotUnderstood(Exception):
    """The text is a sentence for whoever typed it, and says what to type instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was typed: `what` is status, ack, silence, oncall or help. `subject` is a service or, for a silence, its
    matchers; `span` None where none was given (for a silence: until it is resolved)."""

    what: str
    subject: str = ""
    span: timedelta | None = None
    comment: str = ""


def understand_command(text: str, command: str = "/codeblue") -> Order:
    """Raises NotUnderstood."""
    text = html.unescape(text).translate(_QUOTES).strip()
    word, _, rest = text.partition(" ")
    what = _ALIASES.get(word.lower(), word.lower())
    rest = rest.strip()
    if what not in _COMMANDS:
        near = difflib.get_close_matches(what, [*_COMMANDS, *filter(None, _ALIASES)], n=1, cutoff=0.5)
        meant = f"did you mean `{command} {_ALIASES.get(near[0], near[0])}`?" if near else f"try `{command} help`."
        raise NotUnderstood(f"There is no `{command} {_shown(word)}`: {meant}")
    if what == "status":
        return Order(what=what, subject=rest)
    if what == "ack":
        rest, span = _span(rest)
        if not rest or " " in rest:
            raise NotUnderstood(f"Say which service: `{command} ack SERVICE`, or `{command} ack SERVICE for 2h`.")
        return Order(what=what, subject=rest, span=span)
    if what == "silence":
        return _silence(rest, command)
    return Order(what=what)


def help_text(command: str = "/codeblue") -> str:
    """What can be typed, in lines."""
    return "\n".join(
        (
            f"`{command} status` how everything is, or `{command} status SERVICE`",
            f"`{command} ack SERVICE` I am on it; `{command} ack SERVICE for 2h`",
            f"`{command} silence SERVICE for 2h` page nobody about it (1h where nothing is said, or `until resolved`)",
            f"`{command} silence group=db severity=warning for 30m because we are moving it`",
            f"`{command} oncall` who is on call, and who is next",
            f"`{command} help` this",
        )
    )


def _silence(rest: str, command: str) -> Order:
    comment = ""
    if because := _BECAUSE.search(rest):
        comment, rest = because[1].strip(), rest[: because.start()].strip()
    until_resolved = _UNTIL_RESOLVED.search(rest)
    if until_resolved:
        rest, span = rest[: until_resolved.start()].strip(), None
    else:
        rest, given = _span(rest)
        span = given or SILENCE
    if not rest:
        raise NotUnderstood(f"Say what to silence: `{command} silence SERVICE for 2h`.")
    words = rest.split()
    if len(words) == 1 and not re.search(r"[=~!]", rest):
        rest = f"service={rest}"
    return Order(what="silence", subject=rest, span=span, comment=comment)


def _span(text: str) -> tuple[str, timedelta | None]:
    """The text without the length of time at its end, and that. Raises NotUnderstood."""
    found = _FOR.search(text)
    if found is None:
        if lonely := _LONELY_FOR.search(text):
            raise NotUnderstood(f"`{_shown(lonely[1])}` is no length of time: write 30m, 2h or 1h30m.")
        return text, None
    try:
        return text[: found.start()].strip(), parse_duration(found[1])
    except ValueError as error:
        raise NotUnderstood(f"{_shown(str(error))}.") from None


def _shown(text: str) -> str:
    return text[:60].replace("`", "'")
