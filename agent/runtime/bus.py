"""Tells observers what happened. Control flow never rides on it: a broken observer only loses its own view."""

from collections.abc import Callable

import structlog

from agent.core.events import Event

log = structlog.get_logger()


class Bus:
    """Calls every observer with every event, in the order of subscription, on the event loop."""

    def __init__(self) -> None:
        self._observers: list[Callable[[Event], None]] = []

    def subscribe(self, observer: Callable[[Event], None]) -> None:
        self._observers.append(observer)

    def publish(self, events: tuple[Event, ...]) -> None:
        for event in events:
            for observer in self._observers:
                try:
                    observer(event)
                except Exception:
                    log.exception("observer_failed", observer=getattr(observer, "__qualname__", str(observer)))
