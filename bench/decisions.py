"""From the second miss to the decision and to the restart: services that fail one by one, and all in the same second,
each dealt with by itself (`storm: off`) and as the storm that they are.

Every service is one real port on a loopback address of its own. A healthy one says a word; a failed one hangs up, and
notes when. The restart is a program that notes when it ran. Both stamps are taken outside of the agent.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from bench.access_log import percentile
from bench.systems import Codeblue
from bench.targets import Targets, addresses, free_port

BUDGET = 20  # restarts that the host allows, for the services that fail together
SETTLE = 3.0  # seconds of normal work before anything fails
PATIENCE = 30.0  # seconds after the last failure in which everything must have been decided
HELD = 5.0  # seconds after a storm was paged in which a restart that should be held would be seen
STAMP = '#!/bin/sh\necho "$CODEBLUE_SERVICE $(date +%s.%N)" >>"$1"\n'
MISSES = 2


class Ports:
    """A server per host that says "ok" and hangs up, or hangs up at once. `missed` are the moments of the latter."""

    def __init__(self, hosts: Iterable[str], port: int) -> None:
        self.port = port
        self.missed: dict[str, list[float]] = {host: [] for host in hosts}
        self.failing: set[str] = set()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for host in self.missed:
            self._servers.append(await loop.create_server(partial(_Answer, self, host), host, self.port))

    def stop(self) -> None:
        for server in self._servers:
            server.close()


class _Answer(asyncio.Protocol):
    def __init__(self, ports: Ports, host: str) -> None:
        self._ports = ports
        self._host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._host in self._ports.failing:
            self._ports.missed[self._host].append(time.time())
        else:
            transport.write(b"ok\n")
        transport.close()


class DecidingAgent(Codeblue):
    """codeblue with a tcp check and a restart by command for each port, looked at every second."""

    def __init__(self, folder: Path, ports: Ports, budget: int, *, storm: bool) -> None:
        super().__init__(folder, Targets({}, {}, {}))
        self._ports = ports
        self._budget = budget
        self._storm = storm
        self.stamps = folder / "stamps"

    def configure(self) -> None:
        stamp = self.folder / "stamp"
        stamp.write_text(STAMP)
        stamp.chmod(0o755)
        restart = f'{{command: ["{stamp}", "{self.stamps}"], at_most: 1 per 1h, verify: 3s}}'
        lines = [
            f'agent: {{name: bench, listen: "127.0.0.1:{self.port}", store: "sqlite:///{self.folder}/codeblue.db",',
            f"        restarts: {self._budget} per 1h}}",
            f"defaults: {{every: 1s, timeout: 1s, misses: {MISSES}, retry: 2s, page: [terminal]}}",
            "channels:",
            "  terminal: {type: console}",
            *([] if self._storm else ["storm: off"]),
            "services:",
            *(
                f'  - {{name: "{host}", checks: [{{tcp: {{address: "{host}:{self._ports.port}", expect: ok}}}}], '
                f"restart: {restart}}}"
                for host in self._ports.missed
            ),
        ]
        (self.folder / "config.yaml").write_text("\n".join(lines) + "\n")

    def told(self) -> list[Mapping[str, str]]:
        """The agent's own log so far."""
        text = (self.folder / "output.log").read_text(errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@dataclass(slots=True)
class Decisions:
    """Seconds from the second miss to each step, one figure for each service that came to it. Memory in KiB."""

    title: str
    services: int
    budget: int
    storm: bool = False  # whether many at once are one incident, in which nothing is restarted
    decided: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    restarts: int = 0
    paged: int = 0
    before: int = 0
    peak: int = 0

    def row(self) -> tuple[str, ...]:
        return (
            self.title,
            str(self.services),
            *(_spread(figures) for figures in (self.decided, self.ordered, self.running)),
            f"{self.restarts} of {self.budget}",
            str(self.paged),
            f"{self.before / 1024:.0f} / {self.peak / 1024:.0f}",
        )


HEAD = (
    "services that fail",
    "number",
    "second miss to decision ms p50/p99/max",
    "to the restart begun ms",
    "to its program running ms",
    "restarts of budget",
    "paged",
    "RSS MiB before/most",
)


def decisions_table(outcomes: Sequence[Decisions]) -> str:
    """A plain table that is Markdown too."""
    rows = [HEAD, tuple("---" for _ in HEAD), *(outcome.row() for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


async def decisions(folder: Path, alone: int, together: int) -> list[Decisions]:
    """All three runs, each with an agent of its own."""
    one_by_one = Decisions("one after another, 10 a second (`storm: off`)", alone, budget=alone)
    at_once = Decisions("all in the same moment (`storm: off`)", together, budget=BUDGET)
    as_storm = Decisions("all in the same moment, as one storm", together, budget=BUDGET, storm=True)
    return [
        await _run(_made(folder / "alone"), one_by_one, pause=0.1),
        await _run(_made(folder / "together"), at_once, pause=0.0),
        await _run(_made(folder / "storm"), as_storm, pause=0.0),
    ]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


async def _run(folder: Path, outcome: Decisions, pause: float) -> Decisions:
    ports = Ports(addresses(outcome.services, 4), free_port())
    agent = DecidingAgent(folder, ports, outcome.budget, storm=outcome.storm)
    agent.configure()
    await ports.start()
    agent.start()
    try:
        await agent.ready()
        await asyncio.sleep(SETTLE)
        outcome.before = _memory(agent, "VmRSS")
        failing = asyncio.create_task(_fail(ports, pause))
        ends = time.monotonic() + outcome.services * pause + PATIENCE
        while time.monotonic() < ends and not _over(agent, outcome):
            agent.ensure_alive()
            await asyncio.sleep(1.0)
        if outcome.storm:
            await asyncio.sleep(HELD)
        await failing
        outcome.peak = _memory(agent, "VmHWM")
    finally:
        await agent.stop()
        ports.stop()
    figures(outcome, ports.missed, agent.told(), _stamps(agent.stamps))
    return outcome


async def _fail(ports: Ports, pause: float) -> None:
    for host in ports.missed:
        ports.failing.add(host)
        if pause:
            await asyncio.sleep(pause)


def _memory(agent: DecidingAgent, name: str) -> int:
    """Of the agent alone: for a moment each program that it starts shows the agent's memory as its own."""
    lines = Path(f"/proc/{agent.pids[0]}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _over(agent: DecidingAgent, outcome: Decisions) -> bool:
    """Whether every service was decided on, and restarted or paged. With one restart each, at last all are paged; in a
    storm there is one page."""
    told = agent.told()
    opened, paged = (len({line["service"] for line in told if line["event"] == what}) for what in ("opened", "paged"))
    return opened > outcome.services and paged == 1 if outcome.storm else paged == outcome.services


def figures(
    outcome: Decisions,
    missed: Mapping[str, Sequence[float]],
    log: Iterable[Mapping[str, str]],
    stamps: Sequence[tuple[str, float]],
) -> None:
    """What was seen from outside against what the agent logged: each service's first line of a kind counts."""
    second = {host: moments[MISSES - 1] for host, moments in missed.items() if len(moments) >= MISSES}
    first: dict[str, dict[str, float]] = {"opened": {}, "restart_begins": {}, "paged": {}}
    for line in log:
        if line["event"] in first:
            first[line["event"]].setdefault(line["service"], datetime.fromisoformat(line["time"]).timestamp())
    ran: dict[str, float] = {}
    for host, moment in stamps:
        ran.setdefault(host, moment)
    outcome.decided = _since(second, first["opened"])
    outcome.ordered = _since(second, first["restart_begins"])
    outcome.running = _since(second, ran)
    outcome.restarts, outcome.paged = len(stamps), len(first["paged"])


def _since(begin: Mapping[str, float], end: Mapping[str, float]) -> list[float]:
    return sorted(end[host] - moment for host, moment in begin.items() if host in end)


def _stamps(path: Path) -> list[tuple[str, float]]:
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(host, float(moment)) for host, moment in rows]


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    return " / ".join(
        f"{value * 1000:.0f}" for value in (percentile(seconds, 0.5), percentile(seconds, 0.99), seconds[-1])
    )
