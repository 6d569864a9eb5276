"""Collecting everything that is wrong with a configuration, and finding the lines of it afterwards.

A place is a document and the steps that lead into it. Lines are looked up only when there is something to report, so
that a good configuration of ten thousand services costs neither time nor memory for them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.lines import find_lines
from agent.config.model import Problem

Step = str | int
Steps = tuple[Step, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAMED_LISTS = ("services",)  # their items are shown by name, not by number


@dataclass(slots=True, eq=False)
class Document:
    """One file that was read: how it is called in messages, where it is, its text and its plain value."""

    label: str
    path: Path
    text: str = ""
    value: object = None


@dataclass(frozen=True, slots=True)
class Place:
    """A point in a document."""

    document: Document
    steps: Steps = ()

    def at(self, *steps: Step) -> "Place":
        return Place(self.document, (*self.steps, *steps))

    @property
    def folder(self) -> Path:
        """Where relative paths that are written here start from."""
        return self.document.path.parent


@dataclass(frozen=True, slots=True)
class _Finding:
    place: Place
    message: str
    line: int
    first: Place | None


class Report:
    """The problems found so far. Values that came from the environment or from secret files never show in one."""

    def __init__(self) -> None:
        self._findings: list[_Finding] = []
        self._unread: set[Place] = set()
        self._documents: list[str] = []
        self._secrets: dict[str, str] = {}

    @property
    def clean(self) -> bool:
        """Nothing was found so far."""
        return not self._findings

    def opened(self, document: Document) -> None:
        """Files are reported on in the order in which they were opened."""
        self._documents.append(document.label)

    def add(self, place: Place, message: str, *, line: int = 0, first: Place | None = None) -> None:
        """Note a problem. `line` where it is already known; `first` is the other place of a duplicate. What else is
        wrong with a value that could not be read only follows from that, and is left out."""
        if not any(Place(place.document, place.steps[:n]) in self._unread for n in range(len(place.steps) + 1)):
            self._findings.append(_Finding(place, message, line, first))

    def unread(self, place: Place, message: str, *, line: int = 0, value: Place | None = None) -> None:
        """Note that a value could not be read: the one at `value`, where that is another place."""
        self._findings.append(_Finding(place, message, line, None))
        self._unread.add(value or place)

    def hide(self, value: str, shown_as: str) -> None:
        """Never show this value: write `shown_as` instead. Very short ones are let be, they'd garble every message."""
        if len(value) >= 6:
            self._secrets[value] = shown_as
            self._secrets[repr(value)[1:-1]] = shown_as

    def problems(self) -> list[Problem]:
        """Everything that is wrong, in the order of files and lines, each problem once."""
        lines = self._lines()
        found = {self._problem(finding, lines) for finding in self._findings}
        return sorted(found, key=lambda p: (self._documents.index(p.file), p.line, p.path, p.message))

    def _problem(self, finding: _Finding, lines: Mapping[Document, Mapping[Steps, int]]) -> Problem:
        place, message = finding.place, finding.message
        if finding.first:
            at = lines[finding.first.document].get(finding.first.steps, 0)
            message += f" (the first is at {finding.first.document.label}:{at})"
        line = finding.line or lines[place.document].get(place.steps, 0)
        return Problem(place.document.label, line, shown(place, self._without_secrets), self._without_secrets(message))

    def _without_secrets(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, self._secrets[secret])
        return text

    def _lines(self) -> dict[Document, Mapping[Steps, int]]:
        wanted: dict[Document, set[Steps]] = {}
        for finding in self._findings:
            for place in (finding.place, finding.first):
                if place:
                    wanted.setdefault(place.document, set()).add(place.steps)
        return {document: find_lines(document.text, steps) for document, steps in wanted.items()}


def shown(place: Place, clean: Callable[[str], str]) -> str:
    """The path of a place for people: `services.photos-api.checks[0].http.url`; names go through `clean`."""
    text, value = "", place.document.value
    for depth, step in enumerate(place.steps):
        value = _into(value, step)
        name = value.get("name") if isinstance(value, dict) else None
        if isinstance(step, int) and depth == 1 and place.steps[0] in _NAMED_LISTS and isinstance(name, str) and name:
            step = name = clean(name)
        if isinstance(step, int):
            text += f"[{step}]"
        elif _BARE.fullmatch(step) or (depth == 1 and step == name):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def _into(value: object, step: Step) -> object:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None
