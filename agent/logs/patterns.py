"""Counting the lines of a service that match a regular expression, second by second, for the log check."""

from array import array
from datetime import UTC, datetime
from time import thread_time

import structlog

from agent.logs.levels import at_least
from agent.ports import LogLine

log = structlog.get_logger()

_LONGEST = 86_400  # seconds that are remembered at most
_SHORTEST = 600
_TEXT = 4_096  # characters of a line that are matched
_LEAST_TEXT = 128
_SLOW = 0.05  # seconds that one match may take before less of each line is looked at
_HOPELESS = 0.75  # seconds of CPU time that one match may take at all: meanwhile the agent stands still
_REMEDY = "avoid repeats within repeats, as in (a+)+"


class Pattern:
    """One expression over one service's lines. A ring of seconds as long as the longest window that was asked for:
    its memory is 8 bytes a second, and does not grow with the lines."""

    def __init__(self, expression: str, now: float, *, level: str = "", patience: float = _HOPELESS) -> None:
        """Counts lines of `level` or worse, of any where it is empty. `patience` are the seconds after which it is
        given up. Raises ValueError."""
        import regex

        self.since = datetime.fromtimestamp(now, UTC)
        self._levels = at_least(level)
        self._patience = patience
        self.last: LogLine | None = None
        self.trouble = ""  # why it counts nothing any more
        try:
            self._find = regex.compile(expression).search
        except regex.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        self._expression = expression
        self._text = _TEXT
        self._ring = array("L", bytes(8 * _SHORTEST))
        self._newest = int(now)

    def offer(self, line: LogLine, now: float) -> None:
        """Count the line if it matches. It counts in the second in which it was written, not in the one in which it
        was read."""
        if self.trouble or (self._levels is not None and line.level not in self._levels):
            return
        began = thread_time()  # not the clock: on a busy host it is not the expression that takes long
        found, hopeless = False, False
        try:
            found = self._find(line.text, 0, self._text, timeout=self._patience) is not None
        except TimeoutError:
            hopeless = True
        took = thread_time() - began
        if hopeless or took > self._patience:
            self.trouble = f"given up: one line of {len(line.text)} characters took {took:.1f} s"
            log.error("log_pattern_given_up", pattern=self._expression, seconds=round(took, 3), remedy=_REMEDY)
        elif took > _SLOW and self._text > _LEAST_TEXT:
            self._text = max(self._text // 4, _LEAST_TEXT)
            log.warning("log_pattern_slow", pattern=self._expression, seconds=round(took, 3), looks_at=self._text)
        if not found:
            return
        self._advance(int(now))
        second = min(int(line.at.timestamp()), self._newest)
        if second > self._newest - len(self._ring):
            self._ring[second % len(self._ring)] += 1
        if self.last is None or line.at >= self.last.at:
            self.last = line

    def count(self, since: datetime, now: float) -> int:
        """Matching lines from the second of `since` on; of a longer time than a day, those of the last day."""
        self._advance(int(now))
        first = int(since.timestamp())
        window = self._newest - first + 1
        if window > len(self._ring):
            self._grow(min(max(window, 2 * len(self._ring)), _LONGEST))
        size = len(self._ring)
        if window >= size:
            return sum(self._ring)
        if window <= 0:
            return 0
        begin, end = first % size, self._newest % size
        if begin <= end:
            return sum(self._ring[begin : end + 1])
        return sum(self._ring[begin:]) + sum(self._ring[: end + 1])

    def _advance(self, now: int) -> None:
        """Empty the seconds that have come since; a clock that was set back leaves the newest second where it was."""
        size = len(self._ring)
        step = now - self._newest
        if step >= size:
            self._ring = array("L", bytes(8 * size))
        else:
            for second in range(self._newest + 1, now + 1):
                self._ring[second % size] = 0
        self._newest = max(self._newest, now)

    def _grow(self, size: int) -> None:
        if size <= len(self._ring):
            return
        wider = array("L", bytes(8 * size))
        old = len(self._ring)
        for second in range(self._newest - old + 1, self._newest + 1):
            wider[second % size] = self._ring[second % old]
        self._ring = wider
