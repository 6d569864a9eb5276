"""What restarts may ask of the rest of the agent."""

from collections.abc import Mapping
from typing import Any

from agent.core.model import Verdict
from agent.runtime.probe import Watched
from agent.runtime.prober import Prober


class AgentReach:
    """`ports.Reach` over the live table."""

    def __init__(self, table: Mapping[str, Watched], prober: Prober[Any]) -> None:
        self._table = table
        self._prober = prober

    async def verdict(self, service: str, check: str) -> Verdict:
        watched = self._table.get(service)
        probe = watched.probes.get(check) if watched else None
        if probe is None or probe.type.pushed:
            return Verdict.UNKNOWN
        result = await self._prober.now(probe)
        return result.verdict if result else Verdict.UNKNOWN
