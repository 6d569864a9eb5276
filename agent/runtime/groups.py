"""Replicas of one thing: who of them fails, whose turn it is to be restarted, and whom a restart did not help."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from agent.core.events import Group
from agent.core.policy import GroupRule
from agent.core.state import Health, ServiceState, Stage
from agent.runtime.host_budget import UNLIMITED
from agent.runtime.probe import Watched

AT_IT = (Stage.RESTARTING, Stage.VERIFYING)
GIVEN_UP = (Stage.PAGED, Stage.WATCHING, Stage.ASKING)


class Groups:
    """Looks at the live table when it is asked. A turn is taken in the moment of the decision, before its commit, so
    that two replicas that fail in the same instant don't both get it."""

    def __init__(self, table: Mapping[str, Watched]) -> None:
        self._table = table
        self._turns: dict[str, str] = {}  # group -> the service that may be restarted
        self._members: dict[str, list[Watched]] | None = None
        self.rules: Mapping[str, GroupRule] = {}

    def view(self, watched: Watched, now: datetime) -> Group | None:
        """What this service sees of its group; None where it has none."""
        name, own = watched.policy.group, watched.row.name
        if not name:
            return None
        members = self._by_group().get(name, [watched])
        others = [other.row for other in members if other.row.name != own]
        turn = self._turns.get(name, "")
        busy = next((row.name for row in others if _at_it(row.state) or row.name == turn), "")
        not_helped = next((row.name for row in others if _not_helped(row.state)), "")
        failing = sum(member.row.state.health is Health.DOWN or member is watched for member in members)
        rule = self.rules.get(name, GroupRule())
        return Group(
            name=name,
            size=len(members),
            failing=failing,
            busy=busy,
            not_helped=not_helped,
            share=rule.share,
            restarts_left=_left(members, rule, now),
        )

    def changed(self) -> None:
        """A service came, went, or changed its group."""
        self._members = None

    def _by_group(self) -> dict[str, list[Watched]]:
        if self._members is None:
            self._members = {}
            for watched in self._table.values():
                if watched.policy.group:
                    self._members.setdefault(watched.policy.group, []).append(watched)
        return self._members

    def take(self, watched: Watched) -> None:
        """The decision was to restart it."""
        if watched.policy.group:
            self._turns[watched.policy.group] = watched.row.name

    def settle(self, watched: Watched) -> None:
        """Its state was committed: from here on the state itself says whose turn it is."""
        if self._turns.get(watched.policy.group) == watched.row.name:
            del self._turns[watched.policy.group]


def _left(members: Iterable[Watched], rule: GroupRule, now: datetime) -> int:
    """What is left of the group's budget. Replicas take turns, so that their states as they stand are the truth."""
    if rule.at_most is None:
        return UNLIMITED
    spent = sum(now - moment < rule.per for member in members for moment in member.row.state.restarts)
    return rule.at_most - spent


def _at_it(state: ServiceState) -> bool:
    """Being restarted or verified, or starting by itself, which is waited for."""
    incident = state.incident
    if incident is None:
        return False
    return incident.stage in AT_IT or (incident.stage is Stage.WAITING and incident.later_since is not None)


def _not_helped(state: ServiceState) -> bool:
    incident = state.incident
    return incident is not None and bool(incident.tried) and incident.stage in GIVEN_UP
