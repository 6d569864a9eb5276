"""The words and numbers by which log lines say how serious they are, and the one scale they are brought to."""

import re

LEVELS = ("", "debug", "info", "warning", "error", "critical")
RANK = {level: rank for rank, level in enumerate(LEVELS)}

_WORDS = {
    "debug": "trace debug verbose fine finer finest dbg d",
    "info": "info information informational notice note log i inf",
    "warning": "warn warning w wrn",
    "error": "error err severe failure e",
    "critical": "critical crit fatal panic alert emerg emergency dpanic f",
}
_LEVEL_OF = {word: level for level, words in _WORDS.items() for word in words.split()}
_SYSLOG = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")  # RFC 5424, 6.2.1
_TENS = ("", "debug", "debug", "info", "warning", "error", "critical")  # pino and bunyan: 10 trace .. 60 fatal
_PYTHON = ("", "debug", "info", "warning", "error", "critical")  # logging.DEBUG 10 .. logging.CRITICAL 50


def at_least(level: str) -> frozenset[str] | None:
    """The levels that are that serious or more; None, which is any and none, for an empty one."""
    return frozenset(LEVELS[RANK[level] :]) if level else None


def level_of_word(word: str) -> str:
    """The level that a word in any case stands for, "" for a word that is no level."""
    return _LEVEL_OF.get(word.lower(), "")


def level_of_priority(priority: int) -> str:
    """The level of a syslog PRI value or severity: the facility is ignored."""
    return _SYSLOG[priority & 7]


def level_of_number(number: float, *, python: bool = False) -> str:
    """0 to 7 are syslog severities (as in GELF), 10 and up the scale of pino and bunyan, or with `python` that of
    Python's `levelno`. "" for a number on neither scale."""
    if number < 0 or number > 69:
        return ""
    if python:
        return _PYTHON[min(int(number) // 10, 5)]
    if number <= 7:
        return _SYSLOG[int(number)]
    return _TENS[int(number) // 10]


def level_of_status(status: str) -> str:
    """What an HTTP status means for whoever keeps the server: 5xx an error, 4xx a warning."""
    return "error" if status[0] == "5" else "warning" if status[0] == "4" else "info"


_NAMES = "trace|debug|info|notice|warn(?:ing)?|err(?:or)?|severe|crit(?:ical)?|fatal|panic|alert|emerg(?:ency)?"
_CAPITALISED = "|".join(name[0].upper() + name[1:] for name in _NAMES.split("|"))
_WORD = re.compile(rf"\b(?=[TDINWESCFPAtdinwescfpa])(?:{_NAMES}|{_NAMES.upper()}|{_CAPITALISED})\b")


def level_in(text: str, within: int) -> str:
    """The level that a plain line names in its first characters: a level word in capitals wherever it stands, and in
    small letters only where it is set apart ("[error]", "<warn>", "error: ...", "level=info"). A sentence that
    merely speaks of an error is not one."""
    for found in _WORD.finditer(text, 0, within):
        word = found[0]
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        if (
            word.isupper()
            or (after and before and before in "[<(:" and after in "]>)")
            or (after == ":" and before in ("", " ", "]", "\t"))
            or text[: found.start()].lower().endswith(("level=", 'level="', "severity=", "lvl=", "level: "))
        ):
            return level_of_word(word)
    return ""
