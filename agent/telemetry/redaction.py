"""Keeps secrets out of what leaves the agent as text: log lines, pages, answers of the API."""

import re
from collections.abc import Mapping
from html import escape
from json import dumps
from typing import Any
from urllib.parse import quote

HIDDEN = "***"
SHORTEST = 4  # a shorter "secret" would blank out ordinary words

_SECRET_KEY = re.compile(r"token|secret|passw(or)?d|passphrase|authorization|cookie|credential|api[_-]?key", re.I)


class Redactor:
    """Replaces registered secrets anywhere in texts, and whatever stands under a key that sounds like a secret."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, value: str) -> bool:
        """Hide this value from now on, also as it looks inside JSON, HTML, a URL or a Python repr. False, and nothing
        is hidden, for fewer than four characters: they would blank out ordinary words."""
        if len(value.strip()) < SHORTEST:
            return False
        self._secrets |= {value, dumps(value)[1:-1], dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
        self._secrets |= {escape(value), escape(value, quote=False), quote(value, errors="replace")}
        self._secrets.add(quote(value, safe="", errors="replace"))
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return True

    def text(self, text: str) -> str:
        """The text without any registered secret."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A log value without secrets: texts and containers of them are rebuilt, plain figures pass, and any other
        object is turned into its redacted repr."""
        if isinstance(value, str):
            return self.text(str(value))
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth >= 8:
            return HIDDEN
        if isinstance(value, Mapping):
            return self.mapping(value, depth + 1)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode("utf-8", "replace"))
        if isinstance(value, BaseException):
            return self.text(f"{type(value).__name__}: {value}")
        return self.text(repr(value))

    def mapping(self, values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
        """The same for a mapping: its keys are texts too, and may say that their value is a secret."""
        cleaned: dict[str, Any] = {}
        for key, value in values.items():
            name = str(key)
            says_something = value is not None and value != "" and not isinstance(value, bool)
            secret = says_something and _SECRET_KEY.search(name) is not None
            cleaned[self.text(name)] = HIDDEN if secret else self.value(value, depth)
        return cleaned
