"""Text from outside, made short enough to send. Pure."""

import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from agent.core.durations import format_duration

_JOINER = "\u200d"

CharCost = Callable[[str], int]


def utf16_units(char: str) -> int:
    """What a character counts where lengths are counted as JavaScript does: never less than one."""
    return 2 if ord(char) > 0xFFFF else 1


def cost_of(text: str, cost: CharCost = utf16_units) -> int:
    return sum(map(cost, text))


def clip(text: str, limit: int, cost: CharCost = utf16_units) -> str:
    """The beginning of the text that costs at most `limit` (20 or more), by whole characters, ending in "… N more"
    where N characters were left out. `cost` is at least 1 for every character."""
    if len(text) <= limit and cost_of(text, cost) <= limit:
        return text
    room = limit - cost_of(_more(len(text)), cost)
    cut = _whole(text, _fitting(text, room, cost))
    return text[:cut] + _more(len(text) - cut)


def clip_lines(text: str, limit: int, cost: CharCost = utf16_units) -> str:
    """The last lines of the text that cost at most `limit` (40 or more), after a line "… N more lines" where N were
    left out: in a log or a traceback the end says most. A single line keeps its beginning."""
    text = text.strip("\n")
    lines = text.split("\n")
    if len(lines) == 1 or (len(text) <= limit and cost_of(text, cost) <= limit):
        return clip(text, limit, cost)
    room = limit - cost_of(_more_lines(len(lines)), cost)
    kept = _that_fit(reversed(lines), room, cost) or [clip(lines[-1], room, cost)]
    return _more_lines(len(lines) - len(kept)) + "\n".join(reversed(kept))


def first_lines(text: str, limit: int, cost: CharCost = utf16_units) -> str:
    """The first lines of the text that cost at most `limit` (40 or more), before a line "… N more lines" where N were
    left out: in a listing the beginning says most. A single line keeps its beginning."""
    text = text.strip("\n")
    lines = text.split("\n")
    if len(lines) == 1 or (len(text) <= limit and cost_of(text, cost) <= limit):
        return clip(text, limit, cost)
    room = limit - cost_of(_more_lines(len(lines)), cost)
    kept = _that_fit(lines, room, cost) or [clip(lines[0], max(20, room), cost)]
    left = len(lines) - len(kept)
    return "\n".join(kept) + (f"\n{_more_lines(left).rstrip()}" if left else "")


def _that_fit(lines: Iterable[str], room: int, cost: CharCost) -> list[str]:
    """As many of these from the first on as cost at most that, each with its end."""
    kept: list[str] = []
    for line in lines:
        spent = cost_of(line[: room + 1], cost) + cost("\n")
        if spent > room:
            break
        room -= spent
        kept.append(line)
    return kept


def when(at: datetime) -> str:
    """A moment for people: "2026-03-01 03:12:05 UTC"."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(length: timedelta) -> str:
    """A length of time for people, in whole seconds: "5m12s"; never negative."""
    return format_duration(timedelta(seconds=max(0, int(length.total_seconds()))))


def _more(count: int) -> str:
    return f"… {count:,} more"


def _more_lines(count: int) -> str:
    return f"… {count:,} more lines\n"


def _fitting(text: str, room: int, cost: CharCost) -> int:
    """How many characters from the start cost no more than that."""
    for index, char in enumerate(text):
        room -= cost(char)
        if room < 0:
            return index
    return len(text)


def _whole(text: str, cut: int) -> int:
    """The nearest place at or before `cut` that splits neither an accent from its letter nor a joined emoji; a
    heap of accents is split all the same."""
    for place in range(cut, max(0, cut - 16), -1):
        after = text[place : place + 1]
        joined = after and (unicodedata.combining(after) or after in (_JOINER, "\ufe0e", "\ufe0f"))
        if not joined and text[place - 1] != _JOINER:
            return place
    return cut
