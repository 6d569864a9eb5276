"""A file follower whose clock and whose store the test holds in its hands."""

from collections.abc import Iterable
from pathlib import Path

from agent.logs.files import FileFollower
from agent.ports import LogSpec


class Watch:
    """A follower, a clock that the test moves, and every line and position that came out."""

    def __init__(
        self,
        *globs: Path | str,
        saved: dict[str, str] | None = None,
        exclude: Iterable[Path] = (),
        most_open: int = 500,
    ) -> None:
        self.now = 1000.0
        self.lines: list[str] = []
        self.sources: list[str] = []
        self.saved = dict(saved or {})
        specs = [LogSpec(service="photos", files=tuple(str(glob) for glob in globs))]
        self.follower = FileFollower(
            specs, self.saved, exclude=tuple(exclude), most_open=most_open, clock=lambda: self.now
        )

    def look(self, seconds: float = 1.1) -> list[str]:
        """Let that time pass, then read all there is."""
        self.now += seconds
        before = len(self.lines)
        for _ in range(500):
            self.poll()
            if not self.follower.more:
                return self.lines[before:]
        raise AssertionError("the follower never comes to an end")

    def poll(self, kept: int | None = None) -> int:
        """One look, of which that many chunks get into the store before it ends. Returns how many there were."""
        chunks = self.follower.poll()
        for chunk in chunks[:kept]:
            self.lines += [line.decode("utf-8", "replace") for line in chunk.lines]
            self.sources += [chunk.source] * len(chunk.lines)
            for key, text in chunk.positions.items():
                self.saved.pop(key, None) if text is None else self.saved.update({key: text})
        return len(chunks)
