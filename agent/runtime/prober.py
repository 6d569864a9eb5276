"""Runs one check once: a place in the limits, a context, the check function, and the result to whoever decides."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from agent.core.budget import in_words
from agent.core.result import CheckResult
from agent.ports import CheckContext, Tools
from agent.runtime.limits import Limits
from agent.runtime.probe import Probe

log = structlog.get_logger()


class ProbeTrace(Protocol):
    """The trace that one run belongs to, whether or not it will be sent anywhere."""

    @property
    def trace_id(self) -> str: ...
    @property
    def sampled(self) -> bool: ...
    @property
    def traceparent(self) -> str: ...


T = TypeVar("T", bound=ProbeTrace)


class Prober(Generic[T]):
    """Starts checks as tasks. A check never overlaps with itself: a run that is due while the last one still goes is
    skipped, and `skipped` told. An exception out of a check is our bug and becomes UNKNOWN."""

    def __init__(
        self,
        tools: Tools,
        limits: Limits,
        trace: Callable[[bool], T],
        observe: Callable[[Probe, CheckResult, float, T], None],
    ) -> None:
        self._tools = tools
        self._limits = limits
        self._trace = trace
        self._observe = observe
        self._tasks: dict[Probe, asyncio.Task[CheckResult]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self.waited: Callable[[float], None] = lambda _: None  # told the seconds for which a run had no room
        self.skipped: Callable[[], None] = lambda: None

    def start(self, probe: Probe) -> None:
        """The regular run of a slot."""
        self._spawn(probe, confirming=False)

    def start_confirming(self, probe: Probe) -> None:
        """A run that a decision asked for: traced in full."""
        self._spawn(probe, confirming=True)

    def _spawn(self, probe: Probe, *, confirming: bool) -> None:
        if probe.running:
            return self.skipped()
        if probe.removed or self._stopped:
            return None
        probe.running = True
        loop = self._loop = self._loop or asyncio.get_running_loop()
        self._tasks[probe] = loop.create_task(self.run(probe, confirming=confirming))
        return None

    async def now(self, probe: Probe) -> CheckResult | None:
        """One run at once, observed like every other; None where checks have been given up. One that is under way is
        waited for, and another begun: it may have looked before whatever the caller has done."""
        while probe.running and not self._stopped:  # noqa: ASYNC110 - seldom, and only for as long as a check takes
            await asyncio.sleep(0.02)
        if probe.removed or self._stopped:
            return None
        probe.running = True
        return await self.run(probe, confirming=True)

    async def run(self, probe: Probe, *, confirming: bool = False) -> CheckResult:
        """One run, from its turn in the limits to its observation."""
        host = probe.host
        try:
            if not self._limits.try_enter(host):
                due = asyncio.get_running_loop().time()
                await self._limits.enter(host)
                self.waited(asyncio.get_running_loop().time() - due)
            try:
                trace = self._trace(confirming)
                context = CheckContext(probe.service, probe.name, probe.timeout, self._tools, trace.traceparent)
                result = await self._judge(probe, context)
            finally:
                self._limits.leave(host)
        finally:
            probe.running = False
            self._tasks.pop(probe, None)
        self._observe(probe, result, context.began, trace)
        return result

    async def _judge(self, probe: Probe, context: CheckContext) -> CheckResult:
        try:
            if probe.type.keeps_time:
                return await probe.type.run(probe.options, context)
            async with asyncio.timeout(probe.timeout):
                return await probe.type.run(probe.options, context)
        except TimeoutError:
            waited = in_words(timedelta(seconds=probe.timeout))
            return context.failed("timeout", f"no answer within {waited}")
        except Exception as error:
            log.exception("check_crashed", service=probe.service, check=probe.name, type=probe.type.name)
            return context.unknown("bug", f"the check itself failed: {type(error).__name__}: {error}")

    async def stop(self) -> None:
        """Give up what is running, and begin nothing more; nothing of it is observed."""
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
