"""An order to restart, and children of which there are none."""

from datetime import UTC, datetime

from agent.core.commands import Outcome, Restart
from agent.ports import ActionOutcome

ORDER = Restart(
    key="restart:photos:17:1",
    service="photos",
    incident="photos-17",
    action="any",
    attempt=2,
    at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


class NoChildren:
    """Nothing is supervised; what was asked for is written down."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    async def restart(self, name: str, *, timeout: float) -> ActionOutcome:
        self.asked.append((name, timeout))
        return ActionOutcome(outcome=Outcome.FAILED, detail="there is none")

    def pid(self, name: str) -> int | None:
        return None
