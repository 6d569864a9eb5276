"""Silences, windows, and who is quiet, as plain data for the API and the status page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.core.matchers import Matchers, attributes
from agent.core.silence import Silence, State, utc
from agent.core.windows import Span, Window, local_and_utc
from agent.quiet.book import Book, is_past
from agent.quiet.desk import Desk
from agent.quiet.recurrence import upcoming
from agent.quiet.register import Reason

SHOWN = 10  # silences and windows on the status page
SHOWN_SERVICES = 20
AHEAD = timedelta(days=370)
TIMES = 5  # of a window that are listed


def silence_view(one: Silence, book: Book) -> dict[str, Any]:
    now = book.now()
    return {
        "id": one.id,
        "match": str(one.matchers),
        "state": one.state(now),
        "starts": one.starts,
        "ends": one.ends,
        "until_resolved": one.until_resolved,
        "incidents": one.incidents,
        "by": one.by,
        "comment": one.comment,
        "created": one.created,
        "why": one.why,
    }


def window_view(one: Window, book: Book, times: int = TIMES) -> dict[str, Any]:
    """With the time that it is in force now, and the next ones, on the clocks of its zone and in UTC."""
    now = book.now()
    span = book.register.span(one, now) if one.id in book.register else None
    return {
        "id": one.id,
        "match": str(one.matchers),
        "when": str(one.recurrence),
        "for": one.length,
        "zone": one.zone,
        "comment": one.comment,
        "by": one.by,
        "by_hand": one.by_hand,
        "state": State.ACTIVE if span else State.EXPIRED if is_past(one, now) else State.PENDING,
        "now": span_view(span, one.zone) if span else None,
        "next": [span_view(later, one.zone) for later in upcoming(one, now, now + AHEAD, times)],
    }


def meant_view(matchers: Matchers, desk: Desk) -> dict[str, Any]:
    """How many services are meant, and where there are none, what was probably meant."""
    return {"services": len(desk.meant(matchers)), "hint": desk.hint(matchers)}


def span_view(span: Span, zone: str) -> dict[str, Any]:
    long_ago = datetime.min.replace(tzinfo=span.start.tzinfo) + timedelta(days=2)
    return {
        "start": span.start,
        "end": span.end,
        "local": f"{local_and_utc(span.start, zone, long_ago)} to {local_and_utc(span.end, zone, span.start)}",
    }


def quiet_view(service: str, reasons: tuple[Reason, ...]) -> dict[str, Any]:
    return {"service": service, "reasons": [{"why": one.why, "until": one.until, "kind": one.kind} for one in reasons]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One silence or window in force, as texts for a line of a table."""

    match: str
    services: int
    why: str
    by: str
    until: str


@dataclass(frozen=True, slots=True)
class QuietTable:
    """What the status page says of it, and how many more there are of each."""

    held: list[Held]
    more_held: int
    services: list[tuple[str, str]]  # service, why
    more_services: int


def quiet_table(book: Book) -> QuietTable | None:
    """None where nothing is quiet."""
    now = book.now()
    silences = [one for one in book.silences.values() if one.state(now) is State.ACTIVE]
    silences.sort(key=lambda one: one.created, reverse=True)
    windows = [(one, span) for one in book.windows if (span := book.register.span(one, now)) is not None]
    quiet = sorted(book.overview.items())
    if not silences and not windows and not quiet:
        return None
    subjects = [attributes(subject.policy) for subject in book.services()]
    held = [
        *(
            _held(one, f"maintenance {one.id}", local_and_utc(span.end, one.zone, now), subjects)
            for one, span in windows
        ),
        *(_held(one, f"silence {one.id}", _silent_until(one, now), subjects) for one in silences[:SHOWN]),
    ][:SHOWN]
    return QuietTable(
        held=held,
        more_held=len(windows) + len(silences) - len(held),
        services=[(name, "; ".join(one.why for one in reasons)) for name, reasons in quiet[:SHOWN_SERVICES]],
        more_services=max(0, len(quiet) - SHOWN_SERVICES),
    )


def quiet_until(reasons: tuple[Reason, ...], now: datetime) -> str:
    """ "quiet until 14:00 UTC", for a service that this keeps quiet; empty for none."""
    if not reasons:
        return ""
    ends = [one.until for one in reasons if one.until is not None]
    if len(ends) == len(reasons):
        return f"quiet until {utc(max(ends), now)}"
    endless = {one.kind for one in reasons if one.until is None}
    return "quiet until resolved" if endless == {"silence"} else "quiet"


def _held(one: Silence | Window, kind: str, until: str, subjects: list[dict[str, str]]) -> Held:
    return Held(
        match=str(one.matchers),
        services=sum(map(one.matchers.hold, subjects)),
        why=f"{kind}: {one.comment}" if one.comment else kind,
        by=one.by or "configuration",
        until=until,
    )


def _silent_until(one: Silence, now: datetime) -> str:
    ends = utc(one.ends, now) if one.ends is not None else ""
    if not one.until_resolved:
        return ends
    return f"resolved, at the latest {ends}" if ends else "resolved"
