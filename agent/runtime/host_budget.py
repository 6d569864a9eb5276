"""The restarts that all services of one host share: a limit on how much an agent may stir up on a bad day."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

UNLIMITED = 1_000_000


@dataclass(slots=True)
class HostBudget:
    """At most `at_most` restarts in any window of `per`, of whichever services. Filled from their stored states. What
    is spent here is spent of the `wider` budget too: the fleet's, of which this host is one."""

    at_most: int
    per: timedelta
    wider: "HostBudget | None" = None
    _spent: set[tuple[str, datetime]] = field(default_factory=set)

    def left(self, now: datetime) -> int:
        """How many more are allowed now; negative after the limit was lowered."""
        return self.at_most - sum(now - moment < self.per for _, moment in self._spent)

    def left_in_fleet(self, now: datetime) -> int:
        """The same of the wider budget, where there is one."""
        return self.wider.left(now) if self.wider else UNLIMITED

    def spend(self, service: str, moments: Iterable[datetime]) -> None:
        """These restarts were ordered. Told twice, they count once."""
        moments = list(moments)
        if moments:
            oldest = max(moments) - max(self.per, timedelta(days=1))
            self._spent = {spent for spent in self._spent if spent[1] > oldest}
        self._spent.update((service, moment) for moment in moments)
        if self.wider:
            self.wider.spend(service, moments)

    def of(self, service: str) -> tuple[datetime, ...]:
        """Its restarts that are remembered here, whether or not it was watched all the time."""
        return tuple(sorted(moment for name, moment in self._spent if name == service))

    def give_back(self, service: str, moments: Iterable[datetime]) -> None:
        """These never came to be."""
        moments = list(moments)
        self._spent.difference_update((service, moment) for moment in moments)
        if self.wider:
            self.wider.give_back(service, moments)

    def shift(self, by: timedelta) -> None:
        """The wall clock was set by that much."""
        self._spent = {(service, moment + by) for service, moment in self._spent}
        if self.wider:
            self.wider.shift(by)
