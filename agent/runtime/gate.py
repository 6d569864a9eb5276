"""Is it me? Before a miss counts, the agent asks whether its own eyes can be trusted."""

import asyncio
import ipaddress
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.core.result import CheckResult
from agent.ports import ResolveError, Resolver, Vitals
from agent.runtime.clock import Clock
from agent.runtime.resolver import ThreadResolver

LAG_TO_DOUBT = 0.5  # seconds of a late event loop within a run that make its timeout doubtful
MEMORY = 60.0  # for how long lags are remembered: longer than any check's timeout is sensible
OPINION_AGE = 1.0  # for how long an opinion on the network is good
CONTROL_TIMEOUT = 1.0
NETWORK_REASONS = frozenset({"refused", "timeout", "dns", "unreachable", "reset", "tls"})


class Gate:
    """Judges the agent itself: event-loop lag, clock steps, own network, and control targets that must answer.

    `beat` is called several times a second by the decision loop; whatever is late there was late for every check.
    """

    def __init__(
        self,
        clock: Clock,
        vitals: Vitals,
        control: Sequence[str] = (),
        *,
        routes: Callable[[], bool] | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._clock = clock
        self._vitals = vitals
        self.control = tuple(control)
        self._routes = routes or has_route
        self._resolver = resolver or ThreadResolver()
        self._last_beat = clock.monotonic()
        self._lags: deque[tuple[float, float]] = deque(maxlen=600)  # (when it ended, how late)
        self._opinion: tuple[float, str] = (float("-inf"), "")
        self._asking: asyncio.Task[str] | None = None

    @property
    def blind(self) -> str:
        """Why the network cannot be trusted just now, by the last opinion; empty when it can."""
        return self._vitals.blind

    def beat(self, every: float) -> None:
        """The loop came round: note by how much it was late."""
        now = self._clock.monotonic()
        late = now - self._last_beat - every
        self._last_beat = now
        if late > 0.05:
            self._lags.append((now, late))
        recent = [lag for when, lag in self._lags if now - when < 10]
        self._vitals.loop_lag = max(recent, default=0.0)

    def lag_since(self, moment: float) -> float:
        """The worst lag of the event loop that ended after that monotonic moment, the present one included."""
        present = self._clock.monotonic() - self._last_beat
        past = max((late for when, late in self._lags if when >= moment), default=0.0)
        return max(past, present if present > 0.3 else 0.0)

    async def doubts(self, result: CheckResult, began: float, *, local: bool) -> str:
        """Why this FAIL says nothing about the target; empty when it does. `local` results need no network."""
        if self._clock.stepped_since(began):
            return "the clock of this host jumped, or it was suspended, during the check"
        lag = self.lag_since(began)
        if lag > LAG_TO_DOUBT and result.reason in ("timeout", "latency", "overdue"):
            return f"this agent was {lag:.1f} s late itself during the check"
        if result.reason == "overdue":
            return await self._network() if self.control else ""
        if local or result.reason not in NETWORK_REASONS or is_loopback(result.target):
            return ""
        return await self._network()

    async def _network(self) -> str:
        """An opinion at most a second old; many services that fail at once share one."""
        formed, opinion = self._opinion
        if self._clock.monotonic() - formed < OPINION_AGE:
            return opinion
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(lambda _: setattr(self, "_asking", None))
        return await asyncio.shield(self._asking)

    async def _ask(self) -> str:
        opinion = ""
        if not self._routes():
            opinion = "this host has no network route that is up"
        elif self.control:
            answers = await asyncio.gather(*(_reachable(each, self._resolver) for each in self.control))
            if not any(answers):
                opinion = f"this host reaches none of its control targets ({', '.join(self.control)})"
        self._opinion = (self._clock.monotonic(), opinion)
        self._vitals.blind = opinion
        return opinion

    async def look_again(self) -> None:
        """While blind: form the opinion anew, so that sight returns without waiting for another failure."""
        if self._vitals.blind:
            await self._network()


async def _reachable(address: str, resolver: Resolver) -> bool:
    """Whether any address of a name takes a connection. Looked up by a resolver of our own: while DNS hangs, which is
    when this is asked, look-ups would use up the few threads that channels and the store need."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONTROL_TIMEOUT):
            for each in await resolver.resolve(host.strip("[]"), timeout=CONTROL_TIMEOUT):
                if await _connects(each, int(port)):
                    return True
    except (ResolveError, TimeoutError, ValueError):
        pass
    return False


async def _connects(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


def has_route(table: Path = Path("/proc/net/route"), table6: Path = Path("/proc/net/ipv6_route")) -> bool:
    """Whether the kernel has any route that is up and leads off this host. Unreadable tables say nothing: True."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
        rows6 = [line.split() for line in table6.read_text().splitlines()] if table6.exists() else []
    except OSError:
        return True
    up = any(len(row) > 3 and row[0] != "lo" and int(row[3], 16) & 1 for row in rows)
    return up or any(len(row) > 9 and row[9] != "lo" and int(row[8], 16) & 1 for row in rows6)


def is_loopback(target: str) -> bool:
    """Whether an address or name is this host itself; an empty one is a local thing."""
    try:
        return ipaddress.ip_address(target).is_loopback
    except ValueError:
        return target in ("", "localhost")
