"""From the decision that people are needed to Slack's acceptance of the message, while services go down by the hundred.

The agent is a process of its own, the services are real ports, and Slack is the stand-in of the tests over HTTP, which
here takes its time and keeps to Slack's limits: one message a second in each channel (and a burst of three), 50 edits a
minute. Pages are gathered by team, each team with its own channel; or everything is one storm.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aiohttp import web

from bench.access_log import percentile
from bench.decisions import DecidingAgent, Ports
from bench.targets import addresses, free_port
from tests.slack_rooms import Posted, Room
from tests.slack_standin import TOKEN, SlackStandIn

TEAMS = 10
LATENCY = (0.05, 0.2)  # seconds that Slack takes before it has taken a message
BURST = 3
EDITS = 50 / 60  # a second
SPREAD = 60.0  # seconds in which all go down
AFTERWARDS = 30.0
KINDS = {"paged": "opened", "reminded": "reminder"}


class Bucket:
    """Lets `rate` a second through, and `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, time.monotonic()

    def take(self) -> float:
        """0 where it is let through, else the seconds to wait."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate


class LimitedSlack(SlackStandIn):
    """The stand-in with Slack's pace. `limited` counts the answers with status 429."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms = [Room(f"C{number:010}", f"team-{number}") for number in range(TEAMS)]
        self.limited = 0
        self._posts: dict[str, Bucket] = defaultdict(lambda: Bucket(1.0, BURST))
        self._edits = Bucket(EDITS, 20)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        await asyncio.sleep(random.uniform(*LATENCY))
        wait = 0.0
        if method == "chat.postMessage":
            wait = self._posts[str((await request.json()).get("channel"))].take()
        elif method == "chat.update":
            wait = self._edits.take()
        if not wait:
            return await super()._answer(request)
        self.limited += 1
        headers = {"Retry-After": str(max(1, round(wait)))}
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)


class PagingAgent(DecidingAgent):
    """codeblue with a tcp check for each port, whose pages are gathered by team, or held by a storm."""

    def __init__(self, folder: Path, ports: Ports, slack: str, *, storm: bool) -> None:
        super().__init__(folder, ports, 1, storm=storm)
        self._slack = slack

    def configure(self) -> None:
        lines = [
            f'agent: {{name: bench, listen: "127.0.0.1:{self.port}", store: "sqlite:///{self.folder}/codeblue.db"}}',
            *([] if self._storm else ["storm: off"]),
            "defaults: {every: 5s, timeout: 2s, misses: 2, retry: 1s, gather: {by: [team], wait: 5s, interval: 10s}}",
            "channels:",
            *(
                f"  team{team}: {{type: slack, token: {TOKEN}, channel: C{team:010}, api_url: {self._slack}}}"
                for team in range(TEAMS)
            ),
            "services:",
            *(
                f'  - {{name: "{host}", labels: {{team: t{number % TEAMS}}}, page: [team{number % TEAMS}], '
                f'checks: [{{tcp: {{address: "{host}:{self._ports.port}", expect: ok}}}}]}}'
                for number, host in enumerate(self._ports.missed)
            ),
        ]
        (self.folder / "config.yaml").write_text("\n".join(lines) + "\n")


@dataclass(slots=True)
class Paging:
    """Seconds from each decision to page or to remind to the message that Slack took. `missing` are those not taken."""

    title: str
    incidents: int = 0
    took: list[float] = field(default_factory=list)
    missing: int = 0
    limited: int = 0

    def row(self) -> tuple[str, ...]:
        if not self.took:
            return (self.title, str(self.incidents), "0", "-", str(self.missing), str(self.limited))
        figures = (percentile(self.took, 0.5), percentile(self.took, 0.99), self.took[-1])
        spread = " / ".join(f"{seconds * 1000:.0f}" for seconds in figures)
        return (self.title, str(self.incidents), str(len(self.took)), spread, str(self.missing), str(self.limited))


HEAD = ("incidents", "number", "messages", "decision to Slack ms p50/p99/max", "not taken", "answers 429")


def paging_table(outcomes: Sequence[Paging]) -> str:
    """A plain table that is Markdown too."""
    rows = [HEAD, tuple("---" for _ in HEAD), *(outcome.row() for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


async def paging(folder: Path, services: int, spread: float = SPREAD) -> list[Paging]:
    """Both runs, each with an agent of its own."""
    gathered, storm = Paging(f"gathered by {TEAMS} teams"), Paging("one storm")
    for outcome in (gathered, storm):
        place = folder / ("storm" if outcome is storm else "gathered")
        place.mkdir(parents=True)
        await _run(place, outcome, services, spread, storm=outcome is storm)
    return [gathered, storm]


async def _run(folder: Path, outcome: Paging, services: int, spread: float, *, storm: bool) -> None:
    ports = Ports(addresses(services, 4), free_port())
    slack = LimitedSlack()
    async with slack:
        agent = PagingAgent(folder, ports, slack.url, storm=storm)
        agent.configure()
        await ports.start()
        agent.start()
        try:
            await agent.ready()
            await asyncio.sleep(8.0)  # every check has passed
            await _fail(ports, spread)
            await asyncio.sleep(min(AFTERWARDS, spread + 15.0))
            agent.ensure_alive()
        finally:
            await agent.stop()
            ports.stop()
        posted = [message for room in slack.rooms for message in room.posted]
        figures(outcome, agent.told(), posted)
        outcome.limited = slack.limited


async def _fail(ports: Ports, spread: float) -> None:
    begin = time.monotonic()
    moments = sorted((random.uniform(0, spread), host) for host in ports.missed)
    for moment, host in moments:
        await asyncio.sleep(max(0.0, begin + moment - time.monotonic()))
        ports.failing.add(host)


def figures(outcome: Paging, log: Iterable[Mapping[str, str]], posted: Iterable[Posted]) -> None:
    """Each decision in the agent's log with the message that came of it: the n-th of its kind and incident."""
    decided: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in log:
        if line["event"] == "opened" and ":" not in line["service"]:
            outcome.incidents += 1
        if kind := KINDS.get(line["event"]):
            decided[line["incident"], kind].append(datetime.fromisoformat(line["time"]).timestamp())
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for message in posted:
        said = message.metadata.get("event_payload", {})
        taken[said.get("incident", ""), said.get("kind", "")].append(float(message.ts))
    for what, moments in decided.items():
        accepted = sorted(taken.get(what, []))
        outcome.took += [late - soon for soon, late in zip(sorted(moments), accepted, strict=False)]
        outcome.missing += max(0, len(moments) - len(accepted))
    outcome.took.sort()
