"""Incidents that people should hear of together: storms, and groups of pages."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from agent.core.events import Parent, Quiet
from agent.core.policy import Policy
from agent.core.storm import StormRule
from agent.ports import ServiceRow
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.gathering import Gathering
from agent.runtime.probe import Watched
from agent.runtime.signals import Signals
from agent.runtime.storms import Storms

STORMS_EVERY = 1.0  # seconds


class Together:
    """Both behind the engine's hooks. What else stands upstream of a service, and `turned`, are set here; `quiet`
    is for whoever asks all that may withhold a page, one after the other."""

    def __init__(self, engine: Engine, clock: Clock, signals: Signals, rule: StormRule | None) -> None:
        self.storms = Storms(engine, clock, signals, rule)
        self.gathering = Gathering(engine, clock, signals)
        self._engine = engine
        self._clock = clock
        self._looked_at = float("-inf")
        engine.upstream.also = self.parents
        engine.turned = self.turned

    def turned(self, watched: Watched) -> None:
        self.storms.turned(watched)
        self.gathering.turned(watched)

    def parents(self, watched: Watched) -> Mapping[str, Parent]:
        return self.storms.parents(watched)

    def quiet(self, row: ServiceRow, policy: Policy, at: datetime) -> Quiet | None:
        """Why a service is not paged by itself: something it is part of is."""
        return self.storms.quiet(row, policy, at) or self.gathering.quiet(row, policy, at)

    def restore(self) -> None:
        """Boot, after the services and the signals were put under watch and before anything is decided."""
        self.storms.restore()
        self.gathering.restore()

    def use(self, rule: StormRule | None) -> None:
        """A new configuration is in force: what is held or gathered by the old one is looked at again."""
        self.storms.use(rule)
        self.gathering.use()
        self._engine.review()

    def look(self) -> None:
        """Every round of the decision loop."""
        now = self._clock.monotonic()
        if now - self._looked_at >= STORMS_EVERY:
            self._looked_at = now
            self.storms.look()
        self.gathering.look()

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self.storms.stepped(by)
        self.gathering.stepped(by)
