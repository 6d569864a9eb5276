"""What is known after a soak: the agent's timeline as its log and its store have it, and what arrived where."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

from agent.core.events import EventKind
from bench.soak.agent import Watch
from bench.soak.journal import Journal, Span
from bench.soak.receivers import Message
from bench.soak.services import Service

KINDS = frozenset(kind.value for kind in EventKind)
SAME = 3.0  # seconds between the log's line of a fact and the store's row of it


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the agent's timeline."""

    at: float
    kind: str
    service: str
    incident: str = ""
    text: str = ""
    check: str = ""


@dataclass(slots=True)
class Incident:
    """All facts of one incident, in order. `opened` and `closed` are when that was decided."""

    id: str
    service: str
    opened: float = inf
    closed: float = inf
    facts: list[Fact] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind in kinds]

    @property
    def asked(self) -> dict[str, float]:
        """The channels that were asked to page, each since when."""
        found: dict[str, float] = {}
        for fact in self.of("paged"):
            found.setdefault(fact.text.removeprefix("asked ").split(" ", 1)[0], fact.at)
        return found


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the agent's log that a person should look at; one that is no JSON has no event."""

    at: float
    event: str
    level: str
    text: str


@dataclass(slots=True, kw_only=True)
class Seen:
    """Everything that the oracle looks at. `stamps` are what restarts wrote: target, order, service, time."""

    services: Mapping[str, Service]
    journal: Journal
    facts: Sequence[Fact]
    messages: Sequence[Message] = ()
    stamps: Sequence[tuple[str, str, str, float]] = ()
    begun: Sequence[tuple[float, str, str]] = ()  # restarts by the log: time, service, order
    lines: Sequence[Line] = ()
    dead: frozenset[tuple[str, str]] = frozenset()  # incident and channel of messages that were given up
    watch: Watch = field(default_factory=Watch)
    left: Sequence[str] = ()  # what was not well when everything had been mended
    ended: float = inf

    # what is derived, once
    _incidents: dict[str, Incident] = field(default_factory=dict, init=False)

    @property
    def incidents(self) -> Mapping[str, Incident]:
        """By id."""
        if not self._incidents:
            for fact in sorted(self.facts, key=lambda fact: fact.at):
                if not fact.incident:
                    continue
                found = self._incidents.setdefault(fact.incident, Incident(fact.incident, fact.service))
                found.facts.append(fact)
                if fact.kind == "opened":
                    found.opened = min(found.opened, fact.at)
                elif fact.kind == "closed":
                    found.closed = min(found.closed, fact.at)
        return self._incidents

    def of(self, name: str) -> list[Incident]:
        return [incident for incident in self.incidents.values() if incident.service == name]

    def targets(self, name: str) -> set[str]:
        return {span.target for span in self.journal.watched.get(name, ())}

    def forgot(self, start: float, end: float) -> bool:
        """Whether the agent may have lost its memory in that time."""
        return any(what == "amnesia" and start - 30 <= at <= end for at, what, _ in self.journal.moments)

    def away(self, start: float, end: float) -> bool:
        """Whether there was any time in it without a running agent."""
        return not any(span.start <= start and span.end >= end for span in self.journal.agent)


def read_log(path: Path) -> tuple[list[Fact], list[Line], list[tuple[float, str, str]]]:
    """The facts, the lines that are no matter of course, and the restarts that began."""
    facts, lines, begun, at = [], [], [], 0.0
    for text in path.read_text(errors="replace").splitlines():
        try:
            said = json.loads(text)
            at, event, level = datetime.fromisoformat(said["time"]).timestamp(), said["event"], said["level"]
        except (ValueError, KeyError, TypeError):
            lines.append(Line(at, "", "", text))
            continue
        if event in KINDS and "service" in said and "text" in said:
            incident = str(said.get("incident", ""))
            facts.append(Fact(at, event, said["service"], incident, said["text"], str(said.get("check", ""))))
        if event == "restart_begins":
            begun.append((at, said["service"], said["key"]))
        if level not in ("info", "debug") and event not in KINDS:
            lines.append(Line(at, event, "exception" if "exception" in said else level, text))
    return facts, lines, begun


def read_store(path: Path) -> tuple[list[Fact], list[dict[str, Any]]]:
    """The timeline, and the commands of the outbox; nothing of a database that is not there."""
    if not path.exists():
        return [], []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("select at, body from timeline order by seq").fetchall()
        commands = connection.execute(
            "select key, kind, notice, service, channel, incident, status, error, created_at from outbox"
        )
        outbox = [dict(row) for row in commands]
    facts = []
    for row in rows:
        body = json.loads(row["body"])
        texts = (str(body.get(name, "")) for name in ("kind", "service", "incident", "text", "check"))
        facts.append(Fact(row["at"] / 1e6, *texts))
    return facts, outbox


def together(log: Iterable[Fact], store: Iterable[Fact]) -> list[Fact]:
    """Each fact once: a kill may keep one from the log, and a deletion from the store. The store's moment is the better
    one, as it is the decision's."""
    known: defaultdict[tuple[str, ...], list[Fact]] = defaultdict(list)
    for fact in store:
        known[_what(fact)].append(fact)
    found = [fact for facts in known.values() for fact in facts]
    for fact in log:
        twins = known[_what(fact)]
        twin = next((other for other in twins if abs(other.at - fact.at) <= SAME), None)
        if twin is None:
            found.append(fact)
        else:
            twins.remove(twin)
    return sorted(found, key=lambda fact: fact.at)


def _what(fact: Fact) -> tuple[str, ...]:
    return (fact.kind, fact.service, fact.incident, fact.text, fact.check)


def union(spans: Iterable[Span], margin: float = 0.0) -> list[Span]:
    """The same stretches, widened, with those that touch made one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        start, end = span.start - margin, span.end + margin
        if found and start <= found[-1].end:
            found[-1].end = max(found[-1].end, end)
        else:
            found.append(Span(start, end, span.what, span.target))
    return found
