"""Things that are processes: one that was there before, and those that the agent starts."""

import asyncio
import contextlib
import os
import signal

from bench.soak.journal import Journal
from bench.soak.services import Places, Service
from bench.soak.things import CURE, Plugin, Pulsing, Server, Thing


class Process(Thing):
    """A process with a pidfile, which somebody else started."""

    def __init__(self, service: Service, places: Places, journal: Journal) -> None:
        super().__init__(service, places, journal)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec("sleep", "100000", stdin=asyncio.subprocess.DEVNULL)
        self.places.of(self.service.target, "pid").write_text(f"{self._process.pid}\n")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def fall(self, mode: str) -> None:
        self.mode = mode
        await self.stop()

    async def rise(self) -> None:
        await self.start()
        self.mode = ""


class Child(Thing):
    """A child of the agent, which writes down when it is ready. It is well again when the agent has started it anew,
    and `sick` as long as it is not curable."""

    def __init__(self, service: Service, places: Places, journal: Journal) -> None:
        super().__init__(service, places, journal)
        self._sick = places.of(service.target, "sick")
        self._starts = places.of(service.target, "starts")
        self._read = 0
        self.pid = 0

    async def stop(self) -> None:
        self._sick.unlink(missing_ok=True)

    async def fall(self, mode: str) -> None:
        self.mode = mode
        if not self.curable:
            self._sick.touch()
        number = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "stubborn": signal.SIGUSR1}[mode]
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, number)

    async def rise(self) -> None:
        """It may be started; who does that is the agent. One that was stopped, and still lives, goes on."""
        self._sick.unlink(missing_ok=True)
        if self.mode == "stopped":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
                await asyncio.sleep(CURE)  # what it was told meanwhile may end it
                os.kill(self.pid, 0)
                self.mode = ""

    def look(self) -> None:
        """What it wrote down since: every start ends what was wrong."""
        if not self._starts.exists():
            return
        lines = self._starts.read_text().splitlines()
        for line in lines[self._read :]:
            pid, at = line.split()
            self.pid, self._read = int(pid), self._read + 1
            if self.broken is not None and float(at) > self.broken.start:
                self.mode, span, self.broken = "", self.broken, None
                self.journal.over(span, float(at))

    def gone(self) -> None:
        """The agent, and so this child, is no more: it is down until it is started again."""
        if self.broken is None:
            self.broken = self.journal.broken(self.service.target, "killed")
            self.mode = "killed"


def make_thing(service: Service, places: Places, journal: Journal) -> Thing:
    kinds: dict[str, type[Thing]] = {
        **dict.fromkeys(("http", "tcp"), Server),
        **dict.fromkeys(("beat", "age", "log"), Pulsing),
        "command": Plugin,
        "pid": Process,
        "child": Child,
    }
    return kinds[service.kind](service, places, journal)
