"""When services want to be told that time has passed."""

from datetime import datetime, timedelta

from agent.runtime.probe import Watched

AFTER_TROUBLE = timedelta(seconds=5)


class Wakes:
    """The next moment of each service that waits for one, as its state says (`wake_at`)."""

    def __init__(self) -> None:
        self.waiting: dict[str, datetime] = {}

    def follow(self, watched: Watched) -> None:
        """Its state is another one."""
        wake_at = watched.row.state.wake_at
        if wake_at is None:
            self.waiting.pop(watched.row.name, None)
        else:
            self.waiting[watched.row.name] = wake_at

    def forget(self, service: str) -> None:
        self.waiting.pop(service, None)

    def later(self, watched: Watched, now: datetime) -> None:
        """An input was lost: what its service waits for is not."""
        wake_at = watched.row.state.wake_at
        if wake_at is not None:
            self.waiting[watched.row.name] = max(wake_at, now + AFTER_TROUBLE)

    def due(self, now: datetime) -> list[str]:
        """Those whose moment has come. Each is named once: what is decided then says when it wants the next."""
        found = [service for service, at in self.waiting.items() if at <= now]
        for service in found:
            del self.waiting[service]
        return found
