"""Every fact of the timeline, in the agent's own log too."""

import structlog

from agent.core.events import Event, EventKind

log = structlog.get_logger()

LOUD = frozenset(
    {EventKind.OPENED, EventKind.PAGED, EventKind.UNDELIVERED, EventKind.VERIFY_FAILED, EventKind.REMINDED}
)


def log_event(event: Event) -> None:
    """One line; those that mean work for people are warnings."""
    found = {"check": event.check, "text": event.text, "incident": event.incident, "trace_id": event.trace_id}
    say = log.warning if event.kind in LOUD else log.info
    say(event.kind.value, service=event.service, **{name: value for name, value in found.items() if value})
