"""Every line once: over kill -9 of the agent, and under a burst with rotation."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.logs.book import Logs
from agent.logs.query import tail
from agent.logs.store import LogStore
from agent.ports import LogSpec


def rename(log: Path, n: int) -> None:
    log.rename(log.with_name(f"app.log.{n}"))


class Writer(threading.Thread):
    """A service that writes numbered lines at a rate and whose log is rotated every so often: it reopens it at once."""

    def __init__(self, log: Path, rate: int, every: float, rotate: Callable[[Path, int], None]) -> None:
        super().__init__()
        self.log = log
        self.rate = rate
        self.every = every
        self.rotate = rotate
        self.lines = 0
        self.rotations = 0
        self.enough = threading.Event()

    def run(self) -> None:
        began = rotated = time.monotonic()
        file = self.log.open("a")
        while not self.enough.is_set():
            due = int((time.monotonic() - began) * self.rate)
            if due > self.lines:
                file.writelines(f"ERROR request {n} failed: connection refused\n" for n in range(self.lines, due))
                file.flush()
                self.lines = due
            if time.monotonic() - rotated > self.every:
                rotated = time.monotonic()
                self.rotations += 1
                self.rotate(self.log, self.rotations)
                file.close()
                file = self.log.open("a")
            time.sleep(0.002)
        file.close()


def once_each(store: Path, lines: int) -> tuple[list[int], list[int]]:
    """The numbers of lines that are missing, and of those that are in the store more than once."""
    numbers = Counter(int(found.text.split()[2]) for found in tail(store, lines=10_000_000))
    return sorted(set(range(lines)) - set(numbers))[:10], [n for n, times in numbers.items() if times > 1]


def test_every_line_is_stored_exactly_once_over_ten_kills_of_the_agent(tmp_path: Path) -> None:
    store, log = tmp_path / "logs.db", tmp_path / "app.log"
    log.touch()
    argv = [sys.executable, "-m", "tests.logs.follower", str(store), str(log)]
    chance = random.Random(4)
    child = subprocess.Popen(argv, stdout=subprocess.PIPE)
    writer = Writer(log, rate=2000, every=0.15, rotate=rename)
    assert child.stdout is not None
    child.stdout.readline()
    writer.start()
    try:
        for _ in range(10):
            time.sleep(chance.uniform(0.05, 0.9))
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
            child = subprocess.Popen(argv, stdout=subprocess.PIPE)
            assert child.stdout is not None
            child.stdout.readline()
        writer.enough.set()
        writer.join()
        deadline = time.monotonic() + 15
        while once_each(store, writer.lines)[0] and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        writer.enough.set()
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert writer.rotations > 20
    assert writer.lines > 10_000
    assert once_each(store, writer.lines) == ([], [])


@pytest.mark.parametrize("glob", ["app.log", "app.log*"], ids=["the log alone", "with its rotated files"])
async def test_a_burst_of_50_000_lines_a_second_with_rotation_is_stored_once(glob: str, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    logs = Logs(LogStore(tmp_path / "logs.db"))
    await logs.start([LogSpec(service="photos", files=(str(tmp_path / glob),))])
    await asyncio.sleep(0.2)
    writer = Writer(log, rate=50_000, every=0.2, rotate=rename)
    writer.start()
    await asyncio.sleep(1.5)
    writer.enough.set()
    await asyncio.to_thread(writer.join)
    async with asyncio.timeout(20):
        while logs.store.written < writer.lines:  # noqa: ASYNC110 - a figure of another thread
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await logs.stop()
    assert writer.lines > 60_000
    assert writer.rotations >= 5
    assert logs.store.dropped == 0
    assert once_each(tmp_path / "logs.db", writer.lines) == ([], [])
