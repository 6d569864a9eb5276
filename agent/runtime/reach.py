"""What restarts may ask of the rest of the agent: a fresh look, and the restarts of what a service depends on."""

import asyncio
from datetime import timedelta
from typing import Any

from agent.core.budget import in_words
from agent.core.commands import Outcome, Restart
from agent.core.events import RestartAlong
from agent.core.policy import RestartPolicy
from agent.core.result import Verdict
from agent.ports import ActionOutcome
from agent.runtime.clock import Clock
from agent.runtime.drains import Drains
from agent.runtime.engine import Engine
from agent.runtime.probe import Probe, Watched
from agent.runtime.prober import Prober
from agent.runtime.restarts import Restarts

PASSING = (Verdict.PASS, Verdict.WARN)


class AgentReach:
    """`ports.Reach` over the running parts."""

    def __init__(self, clock: Clock, engine: Engine, restarts: Restarts, prober: Prober[Any], drains: Drains) -> None:
        self._clock = clock
        self._engine = engine
        self._restarts = restarts
        self._prober = prober
        self._drains = drains

    async def verdict(self, service: str, check: str) -> Verdict:
        watched = self._engine.table.get(service)
        probe = watched.probes.get(check) if watched else None
        if probe is None or probe.type.pushed:
            return Verdict.UNKNOWN
        return await self._look(probe)

    async def restart_upstream(self, order: Restart) -> ActionOutcome:
        lines: list[str] = []
        for parent in self._upstream(order.service):
            began = _now()
            with self._drains.holding(parent.row.name):
                outcome, said = await self._restart(parent, order)
            took = in_words(timedelta(seconds=_now() - began))
            lines.append(f"{parent.row.name}: {said} ({took})")
            if outcome is not Outcome.DONE:
                detail = f"{parent.row.name}, which it depends on: {said}"
                return ActionOutcome(outcome=outcome, detail=detail, evidence={"dependencies": "\n".join(lines)})
        if not lines:
            return ActionOutcome(outcome=Outcome.FAILED, detail="nothing that it depends on can be restarted")
        return ActionOutcome(outcome=Outcome.DONE, evidence={"dependencies": "\n".join(lines)})

    def _upstream(self, service: str) -> list[Watched]:
        """What can be restarted of all that it depends on, the topmost first: whatever depends on another depends on
        all that the other depends on, too, and on more."""
        table = self._engine.table
        watched = table.get(service)
        found = [table[name] for name in (watched.upstream if watched else ()) if name in table]
        able = [
            each for each in found if each.policy.restart is not None and each.row.name in self._restarts.remediators
        ]
        return sorted(able, key=lambda each: len(each.upstream))

    async def _restart(self, parent: Watched, order: Restart) -> tuple[Outcome, str]:
        name, policy = parent.row.name, parent.policy.restart
        key = f"{order.key}/{name}"
        ended = self._restarts.outcome_of(key)
        try:
            event = RestartAlong(
                at=self._clock.now(), key=key, by=order.service, part_of=order.key, incident=order.incident
            )
            decision = await self._engine.ask(name, event)
            if decision is None or policy is None or not any(command.key == key for command in decision.commands):
                said = decision.events[-1].text if decision is not None and decision.events else "not restarted"
                return Outcome.FAILED, said
            outcome = await ended
        finally:
            ended.cancel()
        if outcome.outcome is not Outcome.DONE:
            return (
                Outcome.FAILED,
                f"{outcome.outcome.value}: {outcome.detail}" if outcome.detail else outcome.outcome.value,
            )
        return await self._verify(parent, policy)

    async def _verify(self, parent: Watched, policy: RestartPolicy) -> tuple[Outcome, str]:
        """Its checks must pass as often in a row as they must to be well again, within the window of a restart."""
        window = policy.ladder[0].verify
        ends = _now() + window.total_seconds()
        probes = [probe for probe in parent.probes.values() if not probe.type.pushed]
        passes = {probe.name: 0 for probe in probes}
        while waiting := [probe for probe in probes if passes[probe.name] < probe.policy.recover]:
            if _now() >= ends:
                names = ", ".join(probe.name for probe in waiting)
                return Outcome.FAILED, f"restarted, but not well within {in_words(window)}: {names}"
            for probe in waiting:
                passes[probe.name] = passes[probe.name] + 1 if await self._look(probe) in PASSING else 0
            await asyncio.sleep(min(probe.policy.retry.total_seconds() or 1.0 for probe in waiting))
        return Outcome.DONE, "restarted, and its checks pass"

    async def _look(self, probe: Probe) -> Verdict:
        result = await self._prober.now(probe)
        return result.verdict if result else Verdict.UNKNOWN


def _now() -> float:
    return asyncio.get_running_loop().time()
