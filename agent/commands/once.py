"""`codeblue check`: run checks once, now, from here; nothing is decided and nobody is told."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import uvloop

from agent.assembly import Toolbox, log_path, make_probe
from agent.config.model import CheckSpec, Config
from agent.core.result import CheckResult
from agent.logs.book import Logs
from agent.logs.store import LogStore
from agent.ports import Vitals
from agent.runtime.beats import Beats
from agent.runtime.curl import CurlClient
from agent.runtime.limits import Limits
from agent.runtime.probe import Probe
from agent.runtime.prober import Prober
from agent.runtime.resolver import ThreadResolver
from agent.telemetry.tracing import ProbeTrace, Tracing

Seen = Callable[[Probe, CheckResult], None]


def only_in_the_agent(check: CheckSpec) -> bool:
    """Whether a check judges what only the running agent has seen: its own pulse, pushed beats, counted lines."""
    return check.type.pushed or check.type.name in ("agent", "log")


def select(config: Config, names: Iterable[str]) -> list[CheckSpec]:
    """The checks that names mean: "service" for all of one, "service/check" for one; none for every check. Raises
    LookupError for a name that means nothing."""
    every = [check for spec in config.services.values() for check in spec.checks]
    wanted = list(names)
    if not wanted:
        return every
    chosen = []
    for name in wanted:
        service, _, single = name.partition("/")
        found = [check for check in every if check.service == service and single in ("", check.name)]
        if not found:
            raise LookupError(name)
        chosen += [check for check in found if check not in chosen]
    return chosen


def run_once(config: Config, checks: list[CheckSpec], seen: Seen) -> None:
    """Run them at the same time, within the configured limits, and hand over each result as it comes. Those that only
    the running agent can judge are left out."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(config, checks, seen))


async def _run(config: Config, checks: list[CheckSpec], seen: Seen) -> None:
    now = datetime.now(UTC)
    resolver = ThreadResolver()
    http = CurlClient(resolver)
    tools = Toolbox(
        http=http,
        resolver=resolver,
        beats=Beats(),
        logs=Logs(LogStore(log_path(config))),
        vitals=Vitals(started=now),
    )

    def observe(probe: Probe, result: CheckResult, _began: float, _trace: ProbeTrace) -> None:
        seen(probe, result)

    limits = Limits(config.agent.concurrency, config.agent.per_host)
    prober = Prober(tools, limits, Tracing().probe, observe)
    probes = [make_probe(check, None, {}) for check in checks if not only_in_the_agent(check)]
    await asyncio.gather(*(prober.run(probe) for probe in probes))
    await http.close()
