"""Text from outside (logs, outputs, answers), made safe to show. Pure."""

import re

_ESCAPES = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    "|\x1b[\\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\\\)"  # OSC and other strings that do end: titles, links, clipboard
    "|\x1b[ -/]*[0-~]?"  # the two-character rest; a string without an end stays, as text: it must not hide what follows
)
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069]"  # bidirectional overrides, which show a text in another order than it has
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def without_escapes(text: str) -> str:
    """The text without terminal escapes: colours, cursor movements, window titles."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def clean(text: str) -> str:
    """The text without terminal escapes, control characters (but newline and tab), bidirectional overrides and
    halves of surrogate pairs. A carriage return ends a line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATES.sub("\ufffd", _HIDDEN.sub("", without_escapes(text)))


def one_line(text: str) -> str:
    """The cleaned text with every run of white space as one space."""
    return " ".join(clean(text).split())
