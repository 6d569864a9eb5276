"""Everything that runs checks, and all that they look at: the network, beats, log lines, supervised processes."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from agent.actions.children import Children
from agent.assembly import Toolbox, beat_tokens, database_path, log_path, owners
from agent.config.model import Config
from agent.core.result import HEARTBEAT, CheckResult, Verdict
from agent.foundation import Foundation
from agent.logs.book import Logs
from agent.logs.store import LogStore
from agent.ports import LogLine
from agent.runtime.beats import Beats
from agent.runtime.curl import CurlClient
from agent.runtime.curl_options import USER_AGENT
from agent.runtime.limits import Limits
from agent.runtime.probe import Probe
from agent.runtime.prober import Prober
from agent.runtime.recorder import Recorder, heartbeat
from agent.runtime.resolver import ThreadResolver
from agent.runtime.scheduler import Scheduler
from agent.telemetry.logging import redact
from agent.telemetry.tracing import ProbeTrace, Tracing

EVIDENCE_TIMEOUT = 0.3  # seconds; a page never waits longer for log lines


class Checking:
    """`heard` is told of every result once its row shows it, with the monotonic moment in which its run began."""

    def __init__(self, on: Foundation) -> None:
        config, agent = on.config, on.config.agent
        self.heard: Callable[[Probe, CheckResult, float], None] = lambda *_: None
        self.owners = owners(config)
        self.beats = Beats()
        self.logs = Logs(
            LogStore(log_path(config), retention=agent.log_retention, size=agent.log_size),
            on_count=self._count_lines,
        )
        self.children = Children(config.processes, self._child_line)
        self.resolver = ThreadResolver()
        self.http = CurlClient(self.resolver)
        self.tracing = _tracing(config)
        self.limits = Limits(agent.concurrency, agent.per_host)
        self.recorder = Recorder(on.store)
        tools = Toolbox(http=self.http, resolver=self.resolver, beats=self.beats, logs=self.logs, vitals=on.vitals)
        self.prober = Prober(tools, self.limits, self.tracing.probe, self._observe)
        self.prober.waited = on.metrics.lateness.observe
        self.prober.skipped = on.metrics.skipped.inc
        self.scheduler = Scheduler(on.clock, self.prober.start, on.metrics.lateness.observe)
        self._clock = on.clock
        self._metrics = on.metrics
        self._rows = on.rows

    async def start(self, config: Config) -> None:
        """What checks look at comes up; no check runs yet."""
        state = database_path(config)
        await self.logs.start(config.logs, exclude=[state] if state else [])
        await self.children.start_all()

    def use(self, config: Config) -> None:
        """Put limits, tokens of heartbeats and the owners of processes in force."""
        self.owners = owners(config)
        self.limits.resize(config.agent.concurrency, config.agent.per_host)
        self.beats.configure(beat_tokens(config), self._clock.now())

    def retire(self, probes: Iterable[Probe]) -> None:
        """These are run no more, and what of them is under way is no news."""
        retired = list(probes)
        for probe in retired:
            probe.removed = True
        self.scheduler.remove(retired)

    def _observe(self, probe: Probe, result: CheckResult, began: float, trace: ProbeTrace) -> None:
        """Every result comes through here. The first two lines and the last are all that a settled, passing check
        costs."""
        self.recorder.record(probe.row, result)
        if result.verdict is not Verdict.PASS or trace.sampled:
            result = shown(result, trace.trace_id)
            self.tracing.check_finished(probe.service, probe.name, probe.type.name, result, trace)
        self.heard(probe, result, began)

    async def evidence(self, service: str, before: datetime) -> Mapping[str, str]:
        """The last log lines before the first miss, and what is known of the service's process."""
        evidence = {HEARTBEAT: heartbeat(self._rows[service].checks.values())} if service in self._rows else {}
        for process, owner in self.owners.items():
            if owner == service:
                evidence.update(self.children.evidence(process))
        lines: list[LogLine] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVIDENCE_TIMEOUT):
                lines = await self.logs.tail(service, before=before, lines=50)  # of which our own probes may be many
        if lines:
            evidence.pop("output", None)  # the same lines, unparsed
        if text := last_words(lines):
            evidence["Last log lines before the first miss"] = text
        return {name: redact(text) for name, text in evidence.items()}

    def _count_lines(self, service: str, source: str, level: str, count: int) -> None:
        """By kind of source (file, journal, process): rotated files have too many names for a label."""
        self._metrics.count_log(service, source.partition(":")[0], level, count)

    def _child_line(self, process: str, _stream: str, text: str) -> None:
        self.logs.feed_text(f"process:{process}", self.owners.get(process, process), text)


def last_words(lines: Sequence[LogLine], most: int = 15) -> str:
    """The last lines as a page shows them, without what an access log says of our own probes: they would fill it."""
    others = [line for line in lines if not _ours(line)]
    return "\n".join(f"{line.at:%H:%M:%S} {line.level:<8} {line.text}" for line in others[-most:])


def _ours(line: LogLine) -> bool:
    return USER_AGENT in line.text


def shown(result: CheckResult, trace_id: str) -> CheckResult:
    """A result as it may be seen outside: a target may say back what it was sent, a program print what it knows."""
    evidence = {name: redact(text) for name, text in result.evidence.items()}
    return replace(result, trace_id=trace_id, summary=redact(result.summary), evidence=evidence)


def _tracing(config: Config) -> Tracing:
    traces = config.agent.traces
    if traces is None:
        return Tracing(agent=config.agent.name)
    headers = {name: value.get_secret_value() for name, value in traces.headers.items()}
    return Tracing(traces.endpoint, traces.sample, headers, config.agent.name)
