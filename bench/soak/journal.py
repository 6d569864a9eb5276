"""What was truly so, and when: kept by whoever breaks things, never read from the agent. Times are seconds since the
epoch."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TextIO


@dataclass(slots=True)
class Span:
    """From `start` to `end`, which is infinite while it goes on."""

    start: float
    end: float = inf
    what: str = ""
    target: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def touches(self, start: float, end: float) -> bool:
        return self.start <= end and self.end >= start


def common(ones: Iterable[Span], others: Iterable[Span]) -> Iterator[Span]:
    """The stretches that lie in one of these and in one of those."""
    kept = list(others)
    for one in ones:
        for other in kept:
            start, end = max(one.start, other.start), min(one.end, other.end)
            if start < end:
                yield Span(start, end, one.what, one.target)


def without(span: Span, holes: Iterable[Span]) -> Iterator[Span]:
    """What is left of a span."""
    start = span.start
    for hole in sorted(holes, key=lambda hole: hole.start):
        if hole.end <= start or hole.start >= span.end:
            continue
        if hole.start > start:
            yield Span(start, hole.start, span.what, span.target)
        start = max(start, hole.end)
    if start < span.end:
        yield Span(start, span.end, span.what, span.target)


@dataclass(slots=True)
class Journal:
    """`outages` by target (`what` is the mode); `watched` by the agent's name for it (`target` is what it is);
    `agent`: ready and running; `troubles`: everything else (`what`), such as "oncall", "store", "config", "lag";
    `moments`: what happened at once."""

    outages: dict[str, list[Span]] = field(default_factory=dict)
    watched: dict[str, list[Span]] = field(default_factory=dict)
    agent: list[Span] = field(default_factory=list)
    troubles: list[Span] = field(default_factory=list)
    moments: list[tuple[float, str, str]] = field(default_factory=list)
    file: TextIO | None = None

    def write_to(self, path: Path) -> None:
        """Everything that is noted from now on can be read there, too, a line of JSON each."""
        self.file = path.open("a", buffering=1)

    def close(self) -> None:
        """Nothing more is written down."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def broken(self, target: str, mode: str, at: float | None = None) -> Span:
        span = Span(at or time.time(), what=mode, target=target)
        self.outages.setdefault(target, []).append(span)
        self._say(span.start, "broken", target, mode)
        return span

    def over(self, span: Span, at: float | None = None) -> None:
        """It has ended, if it had not before."""
        if span.end == inf:
            span.end = at or time.time()
            self._say(span.end, "over", span.target, span.what)

    def trouble(self, what: str, target: str = "") -> Span:
        span = Span(time.time(), what=what, target=target)
        self.troubles.append(span)
        self._say(span.start, "trouble", target, what)
        return span

    def watch(self, name: str, target: str, at: float) -> None:
        """From then on the agent is told of it by that name."""
        self.watched.setdefault(name, []).append(Span(at, target=target))

    def unwatch(self, name: str, at: float) -> None:
        for span in self.watched.get(name, ()):
            span.end = min(span.end, at)

    def moment(self, what: str, target: str = "") -> None:
        now = time.time()
        self.moments.append((now, what, target))
        self._say(now, "moment", target, what)

    def during(self, what: str | tuple[str, ...], start: float, end: float) -> bool:
        """Whether there was such a trouble at any time of these."""
        kinds = (what,) if isinstance(what, str) else what
        return any(span.what in kinds and span.touches(start, end) for span in self.troubles)

    def spans(self, *what: str) -> list[Span]:
        return [span for span in self.troubles if span.what in what]

    def _say(self, at: float, kind: str, target: str, what: str) -> None:
        if self.file is not None:
            self.file.write(json.dumps({"at": at, "kind": kind, "target": target, "what": what}) + "\n")
