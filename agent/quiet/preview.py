"""What a silence or a window would hide, or would have hidden lately."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.core.events import Event, EventKind
from agent.core.matchers import Matchers
from agent.core.windows import Span
from agent.ports import Store
from agent.quiet.book import Subject

LOOKED_BACK = timedelta(days=7)
MOST_EVENTS = 20_000  # of the timeline that are looked through
ONE_BY_ONE = 20  # services whose timelines are read each by itself, to its end
PAGES = (EventKind.PAGED, EventKind.REMINDED)  # one for each message; a step of an escalation says so beside them


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`services` that the matchers mean, their open `incidents` (service and id), and the `pages` since `since` that
    would not have been sent. `complete` is False where there was more in the timeline than could be looked through."""

    matchers: Matchers
    services: tuple[str, ...]
    incidents: tuple[tuple[str, str], ...]
    pages: tuple[Event, ...]
    since: datetime
    complete: bool


async def preview(
    matchers: Matchers,
    meant: Sequence[Subject],
    store: Store,
    now: datetime,
    within: Callable[[datetime], bool] = lambda _: True,
) -> Preview:
    """`within` says whether a moment of the past would have been covered. Raises StoreUnavailable."""
    since = now - LOOKED_BACK
    names = {one.policy.service for one in meant}
    events: list[Event] = []
    complete = True
    for name in names if len(names) <= ONE_BY_ONE else [None]:
        found = await store.history(name, since=since, limit=MOST_EVENTS)
        complete &= len(found) < MOST_EVENTS
        events += found
    of_these = [event for event in events if event.service in names]
    return Preview(
        matchers=matchers,
        services=tuple(sorted(names)),
        incidents=tuple(sorted((one.policy.service, one.incident) for one in meant if one.incident)),
        pages=tuple(hidden(of_these, within)),
        since=since,
        complete=complete,
    )


def hidden(events: Iterable[Event], within: Callable[[datetime], bool]) -> Iterator[Event]:
    """Of what happened the pages that would not have been sent in these times, in order. A page in the place of one
    that no channel took is owed to whoever was asked before: it is held back only together with that one."""
    held: set[tuple[str, str]] = set()
    for event in sorted(events, key=lambda event: event.at):
        if event.kind not in PAGES or not within(event.at):
            continue
        instead_of = event.data.get("instead_of")
        if instead_of is not None and (event.incident, instead_of) not in held:
            continue
        held.add((event.incident, event.data.get("channel", "")))
        yield event


def covered(spans: Sequence[Span]) -> Callable[[datetime], bool]:
    """Whether a moment lies in one of these."""
    return lambda at: any(span.start <= at < span.end for span in spans)


def plain(found: Preview) -> Mapping[str, Any]:
    """As the API answers it."""
    return {
        "match": str(found.matchers),
        "services": found.services,
        "incidents": [{"service": service, "incident": incident} for service, incident in found.incidents],
        "pages": [
            {"service": one.service, "at": one.at, "kind": one.kind, "text": one.text, "incident": one.incident}
            for one in found.pages
        ],
        "since": found.since,
        "complete": found.complete,
    }
