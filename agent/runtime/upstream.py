"""What a service sees of all that it depends on; and the fresh look at that, for which it is held."""

import asyncio
from collections.abc import Callable, Mapping

from agent.core.events import Input, Parent, Ticked
from agent.core.health import steady
from agent.core.result import Verdict
from agent.core.state import CheckState, Health, Stage
from agent.runtime.clock import Clock
from agent.runtime.probe import Probe, Sighting, Watched


class Upstream:
    """Looks at the live table when it is asked. `put` queues an input of a service, `run_again` has a check run now.
    `also` says what else stands above a service than what config names."""

    def __init__(
        self,
        table: Mapping[str, Watched],
        clock: Clock,
        put: Callable[[Watched, Input], None],
        run_again: Callable[[Probe], None],
    ) -> None:
        self.also: Callable[[Watched], Mapping[str, Parent]] = lambda _: {}
        self._table = table
        self._clock = clock
        self._put = put
        self._run_again = run_again

    def parents(self, watched: Watched) -> dict[str, Parent]:
        """How everything upstream of it is, near and far."""
        found = {name: _parent(self._table[name]) for name in watched.upstream if name in self._table}
        found.update(self.also(watched))
        return found

    def tell_dependants(self, watched: Watched) -> None:
        """Its health has changed, or a look at it has ended: those that are held for it are decided on anew."""
        now = self._clock.now()
        for name in watched.downstream:
            child = self._table.get(name)
            incident = child.row.state.incident if child else None
            if child is not None and incident is not None and incident.stage is Stage.HELD:
                self._put(child, Ticked(at=now))

    def look(self, watched: Watched) -> None:
        """It missed a beat: look at everything upstream now, so that its own next miss is judged fairly."""
        for name in watched.upstream:
            parent = self._table.get(name)
            if parent is None or parent.being_looked_at or parent.row.state.health is Health.DOWN:
                continue
            probes = [probe for probe in parent.probes.values() if not probe.type.pushed]
            if not probes:
                continue
            longest = max(probe.timeout * (2 if probe.running else 1) for probe in probes)
            parent.being_looked_at = frozenset(probe.name for probe in probes)
            parent.look_began = self._clock.monotonic()
            for probe in probes:
                probe.settled = False  # so that its next run is heard of even when it passes
                self._run_again(probe)
            parent.look_ends = asyncio.get_running_loop().call_later(longest + 0.5, self._looked_at, parent)

    def seen(self, watched: Watched, sighting: Sighting) -> None:
        """A run was decided on: a service that is being looked at may be done with it. One that was under way when the
        look began may have seen what was before: it is followed by another."""
        probe = sighting.probe
        if probe.name not in watched.being_looked_at:
            return
        if sighting.began < watched.look_began and sighting.result.verdict is not Verdict.FAIL:
            self._run_again(probe)
        else:
            watched.being_looked_at -= {probe.name}
            probe.settled = steady(watched.row.state.checks.get(probe.name, CheckState()))
            if not watched.being_looked_at:
                self._looked_at(watched)

    def _looked_at(self, parent: Watched) -> None:
        if parent.look_ends is not None:
            parent.look_ends.cancel()
        parent.being_looked_at, parent.look_ends = frozenset(), None
        self.tell_dependants(parent)


def _parent(watched: Watched) -> Parent:
    state = watched.row.state
    return Parent(health=state.health, since=state.since, checking=bool(watched.being_looked_at))
