"""The services that are sick now, out of the live table, in the order in which they became so."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from agent.core.place import Place
from agent.core.state import Health, ServiceState
from agent.core.storm import Sick, Storm, StormRule
from agent.runtime.alert_words import KIND as ALERT
from agent.runtime.clock import Clock
from agent.runtime.places import place
from agent.runtime.probe import Watched

ALERTS = f"{ALERT}:"  # services without probes that may be part of a storm
SIZED_EVERY = 1.0  # seconds between two counts of all services, sick or not

_ILL = (Health.DOWN, Health.SUSPECT)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class SickServices:
    """Those with an incident or a miss, of the `ordinary` ones."""

    def __init__(self, table: Mapping[str, Watched], clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._sick: dict[str, Watched] = {}
        self._sized_at = float("-inf")
        self._ordinary = 0

    def __len__(self) -> int:
        return len(self._sick)

    def __iter__(self) -> Iterator[Watched]:
        return iter(self._sick.values())

    def __contains__(self, name: str) -> bool:
        return name in self._sick

    def turned(self, watched: Watched) -> bool:
        """Its health, or whether it has an open incident, has changed. Whether it is, or was, one of them."""
        name = watched.row.name
        was = self._sick.pop(name, None) is not None
        if ill(watched.row.state) and ordinary(watched):
            self._sick[name] = watched
        return was or name in self._sick

    def restore(self) -> None:
        """Boot: those that already are."""
        found = [watched for watched in self._table.values() if ordinary(watched) and ill(watched.row.state)]
        self._sick = {watched.row.name: watched for watched in sorted(found, key=since)}

    def forget_gone(self) -> None:
        """Config names them no more."""
        for name in [name for name in self._sick if name not in self._table]:
            del self._sick[name]

    def size(self) -> int:
        """How many ordinary services there are. Of many thousands it is too much to count them at every decision."""
        now = self._clock.monotonic()
        if now - self._sized_at >= SIZED_EVERY:
            self._ordinary, self._sized_at = sum(map(ordinary, self._table.values())), now
        return self._ordinary

    def recent(self, storm: Storm, rule: StormRule, at: datetime) -> list[Sick]:
        """Those that may matter, newest first: of those from long before the storm none does."""
        horizon = storm.began if storm.on and storm.began else at - rule.within
        found = []
        for watched in reversed(self._sick.values()):
            began, down = since(watched), watched.row.state.incident is not None
            if began < horizon:
                break
            found.append(Sick(began, down, self._explained(watched)))
        return found

    def down(self, storm: Storm) -> dict[str, str]:
        """The storm's members, with what each says."""
        found = ((name, watched.row.state.incident) for name, watched in self._sick.items())
        return {name: i.summary for name, i in found if i is not None and storm.takes(i.opened_at)}

    def held_by(self, name: str) -> list[Watched]:
        """Those whose incidents that service holds."""
        open_ones = ((watched, watched.row.state.incident) for watched in self._sick.values())
        return [watched for watched, incident in open_ones if incident is not None and name in incident.held_by]

    def places(self) -> dict[str, Place]:
        """Where all ordinary services stand, sick or not."""
        return {name: place(watched) for name, watched in self._table.items() if ordinary(watched)}

    def _explained(self, watched: Watched) -> bool:
        """Whether something that it depends on is sick, or is being looked at because of it."""
        parents = (self._table.get(name) for name in watched.upstream)
        return any(p is not None and (p.row.state.health in _ILL or bool(p.being_looked_at)) for p in parents)


def ordinary(watched: Watched) -> bool:
    """A service with probes of its own or an alert of somebody else's, and not the agent's trouble with itself, which
    must get out whatever happens."""
    if not watched.probes:
        return watched.row.name.startswith(ALERTS)
    return all(probe.type.name != "agent" for probe in watched.probes.values())


def ill(state: ServiceState) -> bool:
    """Down, or missing beats."""
    if state.incident is not None:
        return bool(state.incident.failing)
    return state.health is Health.SUSPECT


def since(watched: Watched) -> datetime:
    """When it went down, or missed its first beat where that is not decided yet."""
    state = watched.row.state
    if state.incident is not None:
        return state.incident.opened_at
    misses = [check.first_miss_at for check in state.checks.values() if check.first_miss_at is not None]
    return min(misses, default=state.since or _LONG_AGO)
