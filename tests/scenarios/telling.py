"""A night as a timeline that a person can read: one line per thing that happened, with the second since it began."""

from collections.abc import Collection

from agent.core.events import EventKind
from tests.core.story import START
from tests.world import World

STEPS = (
    EventKind.MISSED,
    EventKind.OPENED,
    EventKind.HELD,
    EventKind.RESTART_ORDERED,
    EventKind.RESTART_FINISHED,
    EventKind.RESTART_REFUSED,
    EventKind.VERIFY_FAILED,
    EventKind.PAGED,
    EventKind.CLOSED,
)


def told(world: World, kinds: Collection[EventKind] = STEPS) -> list[str]:
    """What the present life of the agent decided, as "<second> <service> <what>", with a restart's outcome."""
    lines = []
    for event in world.events:
        if event.kind in kinds:
            second = (event.at - START).total_seconds()
            outcome = f" {event.data['outcome']}" if event.kind is EventKind.RESTART_FINISHED else ""
            lines.append(f"{second:.0f} {event.service} {event.kind.value}{outcome}")
    return lines


def lines(text: str) -> list[str]:
    """The lines of a timeline as it is written in a test; what follows # is said to the reader."""
    return [stripped for line in text.splitlines() if (stripped := " ".join(line.partition("#")[0].split()))]
