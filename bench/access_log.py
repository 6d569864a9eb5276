"""What the targets saw: when each was asked, by nginx's access log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class AccessLog:
    """Reads on from where it last stopped. `hits` are the moments of each target's requests, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.hits: dict[str, list[float]] = {}

    def read(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = self._rest + file.read()
            self._offset = file.tell()
        *lines, self._rest = text.split(b"\n")
        for line in lines:
            moment, _, address = line.partition(b" ")
            self.hits.setdefault(address.decode(), []).append(float(moment))

    def first_round(self, targets: Iterable[str]) -> float | None:
        """When the last of these was asked for the first time; None while one was not asked yet."""
        firsts = [self.hits[target][0] if target in self.hits else None for target in targets]
        return max((first for first in firsts if first is not None), default=0.0) if None not in firsts else None


@dataclass(frozen=True, slots=True)
class Cadence:
    """Checks in a window, and the seconds between two checks of the same target: median, 99th percentile, longest.

    An interval belongs to the window in which it ends, so that a long one is not lost when it began before.
    """

    checks: int
    p50: float
    p99: float
    longest: float


def cadence(hits: Mapping[str, Sequence[float]], begin: float, end: float) -> Cadence:
    """Of all targets together. Without any interval the figures are NaN."""
    checks = 0
    intervals: list[float] = []
    for moments in hits.values():
        before: float | None = None
        for moment in moments:
            if begin <= moment < end:
                checks += 1
                if before is not None:
                    intervals.append(moment - before)
            before = moment
    intervals.sort()
    return Cadence(checks, percentile(intervals, 0.5), percentile(intervals, 0.99), percentile(intervals, 1.0))


def percentile(ordered: Sequence[float], part: float) -> float:
    """The nearest rank of ordered values; NaN when there is none."""
    if not ordered:
        return float("nan")
    rank = max(1, -(-len(ordered) * part // 1))
    return ordered[int(rank) - 1]
