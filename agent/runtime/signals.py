"""Services without probes: what is said of them comes from outside (an alert, a storm, a fire drill).

They are paged, stored, silenced and closed by the same code as any other service. Their names are "KIND:REST", which no
name in a configuration can be; whoever feeds a kind owns it.
"""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from datetime import timedelta

from agent.core.events import Observed
from agent.core.few import no_text
from agent.core.policy import CheckPolicy, Policy
from agent.core.result import HANDED_OVER, CheckResult, Verdict
from agent.core.state import ServiceState, Stage
from agent.ports import CheckRow, ServiceRow, Stored
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.probe import Watched

AT_ONCE = CheckPolicy(misses=1, recover=1, retry=timedelta(0))

PolicyOf = Callable[[str], Policy]


class Signals:
    """Puts such services under watch, feeds them, and takes them up again at boot. `record` is what every result passes
    through, so that pages and metrics show it. One "KIND:REST" has one check, KIND, which believes the first word."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        rows: MutableMapping[str, ServiceRow],
        record: Callable[[CheckRow, CheckResult], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._rows = rows
        self._record = record
        self._owners: dict[str, PolicyOf] = {}

    # ------------------------------------------------------------------------------------------ whose they are

    def own(self, kind: str, policy_of: PolicyOf) -> None:
        """Names of this kind belong to the caller from now on; call it before `restore`. `policy_of` says how a stored
        one goes on."""
        self._owners[kind] = policy_of

    def restore(self, stored: Mapping[str, Stored]) -> list[str]:
        """Boot, and a store that comes back: watch the stored ones whose kind somebody owns. Returns their names."""
        found = [name for name in stored if name not in self._engine.table and _kind(name) in self._owners]
        for name in found:
            self._watch(name, self._owners[_kind(name)](name), stored[name])
        return found

    def names(self, kind: str) -> list[str]:
        """Those of this kind that are watched now."""
        return [name for name in self._engine.table if _kind(name) == kind]

    # ------------------------------------------------------------------------------------------ one of them

    def ensure(self, name: str, policy: Policy) -> None:
        """Watch it by this policy from now on, whose `service` and `checks` are set here. Once is enough."""
        if not _kind(name):
            raise ValueError(f"{name!r} is no name of the form KIND:REST")
        watched = self._engine.table.get(name)
        if watched is None or watched.policy != _complete(name, policy):
            self._watch(name, policy, None)

    def fail(self, name: str, summary: str, evidence: Mapping[str, str] | None = None, *, reason: str = "") -> None:
        """It is bad: an incident opens at once. `reason` is a bounded slug, the kind by default."""
        self._say(name, Verdict.FAIL, reason or _kind(name), summary, evidence)

    def clear(self, name: str, summary: str = "over", evidence: Mapping[str, str] | None = None) -> None:
        """It is over: an open incident is closed at once. The evidence is shown in the closing message."""
        self._say(name, Verdict.PASS, "ok", summary, evidence)

    def hand_over(self, name: str, summary: str) -> None:
        """An open incident is closed at once although not all of it is well: the closing message says what `summary`
        does, and nothing of a recovery."""
        self._say(name, Verdict.PASS, HANDED_OVER, summary, None)

    def unsure(self, name: str, summary: str) -> None:
        """Nobody can tell any more: an open incident stays open, and none is opened until `unknown_after`."""
        self._say(name, Verdict.UNKNOWN, "unheard", summary, None)

    def failing(self, name: str) -> bool:
        """Whether it has an open incident."""
        watched = self._engine.table.get(name)
        return watched is not None and watched.row.state.incident is not None

    def reason(self, name: str) -> str:
        """Why it was bad when something was last said of it; empty for one that is not watched."""
        watched = self._engine.table.get(name)
        known = watched.row.state.checks.get(_kind(name)) if watched else None
        return known.reason if known is not None else ""

    def again(self, name: str) -> None:
        """What was last said of one that is held still stands, now that whatever holds it may be over: it has no check
        that could be run again."""
        watched = self._engine.table.get(name)
        incident = watched.row.state.incident if watched else None
        known = watched.row.state.checks.get(_kind(name)) if watched else None
        if incident is None or incident.stage is not Stage.HELD or known is None or known.verdict is not Verdict.FAIL:
            return
        self._say(name, Verdict.FAIL, known.reason, known.summary, None)

    async def settled(self, name: str) -> None:
        """All that was said of it until now has been decided on and stored."""
        watched = self._engine.table.get(name)
        while watched is not None and watched.task is not None:
            await asyncio.wait([watched.task])

    async def forget(self, name: str, why: str = "") -> None:
        """Watch it no longer. What is open is closed first, and whoever was asked is told, with the reason."""
        if name in self._engine.table:
            await self._engine.unwatch(name, why)
            self._rows.pop(name, None)

    # ------------------------------------------------------------------------------------------ how

    def _watch(self, name: str, policy: Policy, stored: Stored | None) -> None:
        """A new one, or one whose policy changed; what is known of it goes on."""
        known = self._engine.table.get(name)
        kind = _kind(name)
        if known is not None:
            known.policy = _complete(name, policy)
            self._engine.watch(known)
            return
        state = stored.state if stored else ServiceState(service=name)
        row = ServiceRow(name=name, state=state, checks={kind: CheckRow(service=name, check=kind, type=kind)})
        self._rows[name] = row
        version = stored.version if stored else 0
        self._engine.watch(Watched(row=row, policy=_complete(name, policy), probes={}, version=version))

    def _say(self, name: str, verdict: Verdict, reason: str, summary: str, evidence: Mapping[str, str] | None) -> None:
        watched = self._engine.table.get(name)
        if watched is None:
            raise KeyError(f"{name} is not watched: ensure it first")
        now = self._clock.now()
        result = CheckResult(
            verdict=verdict,
            reason=reason,
            summary=summary,
            at=now,
            took=timedelta(0),
            evidence=dict(evidence) if evidence else no_text(),
        )
        self._record(watched.row.checks[_kind(name)], result)
        self._engine.tell(name, Observed(at=now, check=_kind(name), result=result, evidence=result.evidence))


def _complete(name: str, policy: Policy) -> Policy:
    return replace(policy, service=name, checks={_kind(name): AT_ONCE})


def _kind(name: str) -> str:
    kind, colon, rest = name.partition(":")
    return kind if colon and rest else ""
