"""YAML text to plain values: dicts with text keys, lists, str, int, float, bool, None.

Read as the YAML 1.2 core schema does: only `true` and `false` are booleans (`on`, `yes` are text), `08:00` and `0123`
are text. It works on the parser's stream of events, so nothing but the values themselves is ever held.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml
from yaml.reader import ReaderError

DEEPEST = 50  # levels of nesting
MOST_COPIES = 1_000_000  # values that aliases may stand for in all


class Events(yaml.CSafeLoader):
    """The C parser; scalars stay text, because it would read them as YAML 1.1 does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something in the text that is not acceptable; `value`: the value there could not be read for it."""

    line: int
    path: tuple[str | int, ...]
    message: str
    value: bool = False


def line_of(event: yaml.Event) -> int:
    """Where an event begins, counting from 1."""
    return event.start_mark.line + 1 if event.start_mark else 0


class _GiveUp(Exception):
    """The rest of the text cannot be read."""


_SPECIAL: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,29})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]{0,29})(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,2})?")
_STARTS_NUMBER = frozenset("+-.0123456789")
_TAG = "tag:yaml.org,2002:"


def plain_value(text: str) -> object:
    """What an unquoted scalar means."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if text[0] in _STARTS_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read. `size` counts the values in it, copies by aliases included."""

    value: dict[str, object] | list[object]
    anchor: str | None
    line: int
    size: int = 1
    key: str | None = None
    keys: dict[str, int] = field(default_factory=dict)  # where each key is written, for duplicates
    merged: list[object] = field(default_factory=list)


Expand = Callable[[str, Callable[[str], None]], str]


class _Reader:
    def __init__(self, expand: Expand) -> None:
        self.expand = expand
        self.troubles: list[Trouble] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[object, int]] = {}
        self.known: dict[str, str] = {}  # keys: ten thousand services write the same few
        self.copies = 0
        self.documents = 0
        self.root: object = None
        self.complete = True

    def read(self, text: str) -> None:
        try:
            for event in yaml.parse(text, Loader=Events):
                self._take(event)
        except _GiveUp:
            self.complete = False
        except yaml.YAMLError as error:
            self.complete = False
            self.troubles.append(_broken(error, text))

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event, {} if isinstance(event, yaml.MappingStartEvent) else [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._give_up(event, "expected one YAML document in a file, here a second one begins")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        top = self.stack[-1] if self.stack else None
        if "\0" in event.value:
            self._give_up(event, "expected a text without NUL characters")
        if top and top.key is None and isinstance(top.value, dict):
            self._key(top, event)
            return
        text = event.value
        if "${" in text:
            value: object = self.expand(text, lambda message: self._unread(event, message))
        elif event.tag:
            value = self._tagged(event)
        else:
            value = plain_value(text) if event.implicit[0] else text
        self._put(value, event.anchor, 1)

    def _key(self, top: _Open, event: yaml.ScalarEvent) -> None:
        key, line = self.known.setdefault(event.value, event.value), line_of(event)
        if key in top.keys and key != "<<":
            self._trouble(event, f"{key!r} is written twice in one mapping (the first is at line {top.keys[key]})", key)
        top.keys[key] = line
        top.key = key
        if event.anchor:
            self.anchors[event.anchor] = (key, 1)

    def _open(self, event: yaml.CollectionStartEvent, value: dict[str, object] | list[object]) -> None:
        top = self.stack[-1] if self.stack else None
        if top and top.key is None and isinstance(top.value, dict):
            self._give_up(event, "expected a text as key, got a mapping or a list")
        if len(self.stack) >= DEEPEST:
            self._give_up(event, f"expected at most {DEEPEST} levels of nesting")
        if event.tag and event.tag != _TAG + ("map" if isinstance(value, dict) else "seq"):
            self._trouble(event, f"the tag {event.tag} means nothing here: leave it out")
        self.stack.append(_Open(value, event.anchor, line_of(event)))

    def _close(self) -> None:
        done = self.stack.pop()
        if isinstance(done.value, dict):
            for other in done.merged:
                if isinstance(other, dict):
                    done.value.update({key: value for key, value in other.items() if key not in done.value})
                else:
                    path = (*self._path(), "<<")
                    self.troubles.append(Trouble(done.keys["<<"], path, "expected an alias of a mapping to merge"))
        self._put(done.value, done.anchor, done.size)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            self._give_up(
                event, f"*{event.anchor} refers to nothing that is complete: there is no &{event.anchor} before"
            )
        value, size = self.anchors[event.anchor or ""]
        self.copies += size
        if self.copies > MOST_COPIES:
            self._give_up(event, f"expected aliases to stand for at most {MOST_COPIES:,} values in all")
        top = self.stack[-1] if self.stack else None
        if top and top.key is None and isinstance(top.value, dict):
            self._give_up(event, "expected a text as key, got an alias")
        self._put(value, None, size)

    def _put(self, value: object, anchor: str | None, size: int) -> None:
        if anchor:
            self.anchors[anchor] = (value, size)
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        top.size += size
        if isinstance(top.value, list):
            top.value.append(value)
            return
        key, top.key = top.key or "", None
        if key == "<<":
            top.merged.extend(value if isinstance(value, list) else [value])
        else:
            top.value[key] = value

    def _tagged(self, event: yaml.ScalarEvent) -> object:
        if event.tag == _TAG + "str" or event.tag == "!":
            return event.value
        value = plain_value(event.value)
        if event.tag not in [_TAG + name for name in ("int", "float", "bool", "null")]:
            self._trouble(event, f"the tag {event.tag} means nothing here: leave it out")
        return value

    def _path(self) -> tuple[str | int, ...]:
        steps = (len(o.value) if isinstance(o.value, list) else o.key for o in self.stack)
        return tuple(step for step in steps if step is not None)

    def _trouble(self, event: yaml.Event, message: str, *more: str) -> None:
        self.troubles.append(Trouble(line_of(event), (*self._path(), *more), message))

    def _unread(self, event: yaml.Event, message: str) -> None:
        self.troubles.append(Trouble(line_of(event), self._path(), message, value=True))

    def _give_up(self, event: yaml.Event, message: str) -> None:
        self._trouble(event, message)
        raise _GiveUp


def _broken(error: yaml.YAMLError, text: str) -> Trouble:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Trouble(line, (), f"expected no control characters, got U+{_codepoint(error.character):04X}")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    context, problem = getattr(error, "context", None), getattr(error, "problem", None)
    said = " ".join(part for part in (context, problem) if part) or " ".join(str(error).split())
    if "cannot start any token" in said:
        said += " (a tab? YAML is indented with blanks; a text that begins with @, ` or % needs quotes)"
    begun = getattr(error, "context_mark", None)
    if begun and mark and begun.line < mark.line:
        said += f" (it begins at line {begun.line + 1})"
    return Trouble(mark.line + 1 if mark else 0, (), f"this is not YAML: {said}")


def _codepoint(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


def read_yaml(text: str, expand: Expand) -> tuple[object, list[Trouble], bool]:
    """The value of a YAML text, what is wrong with it, and whether it could be read to its end (None is the value of
    one that could not).

    `expand(text, complain)` replaces ${NAME} in a scalar; the result is text always, whatever it looks like.
    """
    reader = _Reader(expand)
    reader.read(text)
    return reader.root if reader.complete else None, reader.troubles, reader.complete
