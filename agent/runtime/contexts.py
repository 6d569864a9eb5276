"""What a decision sees beside its state and its input: everything that is asked of the rest of the agent for it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from agent.core.contact import Contact
from agent.core.events import Context, Input, Observed, Quiet, Ticked
from agent.core.policy import Escalation, Policy
from agent.core.result import Verdict
from agent.ports import ServiceRow
from agent.runtime.groups import Groups
from agent.runtime.host_budget import UNLIMITED, HostBudget
from agent.runtime.probe import Watched
from agent.runtime.upstream import Upstream

MANY = UNLIMITED // 2  # left of a budget: it is none


class Contexts:
    """Makes the core's `Context`. Whoever knows who is on call (`reach`, `contacts`), what is silent (`quiet`) and how
    the host is (`host_trouble`) is set here; until then nobody is known, nothing is silent and the host is well."""

    def __init__(self, upstream: Upstream, budget: HostBudget, groups: Groups, agent: str, trace_link: str) -> None:
        self.reach: Callable[[Escalation, datetime], Mapping[str, tuple[Contact, ...]]] = lambda *_: {}
        self.contacts: Mapping[str, Mapping[str, str]] = {}
        self.quiet: Callable[[ServiceRow, Policy, datetime], Quiet | None] = lambda *_: None
        self.host_trouble: Callable[[], str] = lambda: ""
        self._upstream = upstream
        self._budget = budget
        self._groups = groups
        self._agent = agent
        self._trace_link = trace_link

    def of(self, watched: Watched, event: Input, blind: str) -> Context:
        """For a decision on this input of that service; `blind` says why the agent doubts itself."""
        now = event.at
        return Context(
            parents=self._upstream.parents(watched),
            blind=blind,
            restarts_left=self._budget.left(now),
            fleet_left=self._budget.left_in_fleet(now),
            unseen=frozenset(name for name in _in_question(watched) if _unseen(watched, name)),
            group=self._groups.view(watched, now),
            host_trouble=self.host_trouble(),
            agent=self._agent,
            trace_link=self._trace_link,
            dependants=watched.downstream,
            **self._people(watched, event),
        )

    def shared_budgets(self, watched: Watched, now: datetime) -> Mapping[str, int]:
        """What is left of the budgets of restarts that a service shares: its host's, and its group's and the fleet's
        where these have one."""
        group = self._groups.view(watched, now)
        found = {"host": self._budget.left(now), "fleet": self._budget.left_in_fleet(now)}
        if group is not None:
            found[f"group {group.name}"] = group.restarts_left
        return {name: max(0, left) for name, left in found.items() if left < MANY}

    def _people(self, watched: Watched, event: Input) -> dict[str, Any]:
        """Whom a decision could ask, and whether it may: only looked up where there may be something to ask about."""
        missed = isinstance(event, Observed) and event.result.verdict is Verdict.FAIL
        if watched.row.state.incident is None and not missed and not isinstance(event, Ticked):
            return {}
        escalation = watched.policy.escalation
        return {
            "reach": self.reach(escalation, event.at) if escalation else {},
            "contacts": self.contacts,
            "quiet": self.quiet(watched.row, watched.policy, event.at),
        }


def _in_question(watched: Watched) -> Iterable[str]:
    """The checks that an open incident is about, or might soon be, as nobody could tell for a while."""
    state = watched.row.state
    if state.incident is not None:
        return state.incident.failing
    return watched.policy.checks if state.unknown_since is not None else ()


def _unseen(watched: Watched, check: str) -> bool:
    """Whether a check has yet to run for the first time since the agent started. One that runs by the calendar may
    take days for it: its last word stands."""
    probe = watched.probes.get(check)
    return probe is not None and probe.cron is None and not probe.seen
