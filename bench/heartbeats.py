"""Heartbeats: codeblue takes in thousands a second; how long does each wait, and is any lost?"""

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import usage
from bench.systems import Codeblue
from bench.targets import Targets
from bench.web import get

SERVICES = 340
_TAKEN = re.compile(rb'^codeblue_beats_total\{[^}]*outcome="taken"[^}]*\} ([0-9.e+]+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BeatsOutcome:
    """Latencies in seconds from the moment at which each beat was due; CPU in milliseconds of the agent alone."""

    sent: int
    rate: float
    answered: int
    taken: int
    mean: float
    p99: float
    longest: float
    cpu: float

    def __str__(self) -> str:
        return (
            f"heartbeats: {self.sent} sent at {self.rate:.0f}/s, {self.answered} answered, "
            f"{self.sent - self.taken} lost; "
            f"latency mean {self.mean * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms, max {self.longest * 1000:.1f} ms; "
            f"{self.cpu / max(1, self.sent):.3f} ms of CPU time each"
        )


class BeatsAgent(Codeblue):
    """codeblue with heartbeat checks only."""

    def configure(self) -> None:
        lines = [
            f'agent: {{name: bench, listen: "127.0.0.1:{self.port}", store: "sqlite:///{self.folder}/codeblue.db"}}',
            "channels:",
            "  terminal: {type: console}",
            "services:",
            *(
                f"  - {{name: s{number}, checks: [{{heartbeat: {{every: 10s, grace: 20s}}, name: beat}}]}}"
                for number in range(SERVICES)
            ),
        ]
        (self.folder / "config.yaml").write_text("\n".join(lines) + "\n")


async def heartbeats(folder: Path, rate: float, seconds: float) -> BeatsOutcome:
    """Push beats at that rate from a process of its own, and compare what was sent with what the agent counted."""
    agent = BeatsAgent(folder, Targets({}, {}, {}))
    agent.configure()
    agent.start()
    try:
        await agent.ready()
        before = usage(agent.pids).cpu
        load = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.beats_load", str(agent.port), str(rate), str(seconds), str(SERVICES)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await load.communicate()
        cpu = usage(agent.pids).cpu - before
        taken = sum(float(value) for value in _TAKEN.findall(await get(agent.scraped or "")))
    finally:
        await agent.stop()
    told = json.loads(said)
    return BeatsOutcome(
        sent=told["sent"],
        rate=told["rate"],
        answered=told["answered"],
        taken=int(taken),
        mean=told["mean"],
        p99=told["p99"],
        longest=told["max"],
        cpu=cpu,
    )
