"""A window as people write it, in a configuration file, on the command line or in a request."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zlib import crc32
from zoneinfo import ZoneInfo

from agent.core.matchers import Matchers, parse_all
from agent.core.wall import moment, on_the_wall
from agent.core.windows import LONGEST, ByCron, ByRule, Once, Recurrence, Window
from agent.quiet.recurrence import check, needs_first, parse_time_of_day, written_rule


class Misread(ValueError):
    """What is written under `key` (empty: the whole) is not understood; the text says what was expected."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key

    def __str__(self) -> str:
        return f"{self.key}: {self.args[0]}" if self.key else str(self.args[0])

    @property
    def text(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenWindow:
    """`begins` and `ends` are `from` and `until`, `length` is `for`; empty or None where it is not there."""

    match: Sequence[str]
    cron: str = ""
    rrule: str = ""
    at: str = ""
    length: timedelta | None = None
    begins: str = ""
    ends: str = ""
    zone: str = "UTC"
    comment: str = ""


def read_window(
    written: WrittenWindow,
    known: Collection[str] | None,
    *,
    name: str = "",
    by: str = "",
    made_at: datetime | None = None,
) -> Window:
    """The window; without a name it has one made from what it says. `known` are the attributes that services have.
    Raises Misread."""
    try:
        zone = ZoneInfo(written.zone).key
    except (ValueError, OSError, KeyError):
        raise Misread("zone", f"expected a time zone such as Europe/Berlin or UTC, got {written.zone!r}") from None
    try:
        matchers = parse_all(written.match, known)
    except ValueError as error:
        raise Misread("match", str(error)) from None
    since = _moment("from", written.begins, zone)
    until = _moment("until", written.ends, zone)
    if since and until and until <= since:
        raise Misread("until", "expected a time after from (a time that the clocks skip is the moment of the jump)")
    recurrence = _recurrence(written, since, zone)
    once = isinstance(recurrence, Once)
    window = Window(
        id=name or _name(matchers, written),
        matchers=matchers,
        recurrence=recurrence,
        length=_length(written, once=once, since=since, until=until),
        zone=zone,
        since=None if once else since,
        until=None if once else until,
        comment=one_line(written.comment),
        by=one_line(by),
        made_at=made_at,
    )
    if window.length > LONGEST:
        raise Misread("for" if written.length else "until", "a window lasts a year at most")
    return window


def one_line(text: str) -> str:
    """What somebody wrote, on one line and without what is not printable: it is shown on terminals, too."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def parse_moment(text: str, zone: str) -> datetime:
    """`2026-11-22 02:00` or `2026-11-22` on the clocks of a zone, or with an offset of its own. Raises ValueError."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"expected a time such as 2026-11-22 02:00, got {text!r}") from None
    return found.astimezone(UTC) if found.tzinfo else moment(found, zone)


def _moment(key: str, text: str, zone: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_moment(text, zone)
    except (ValueError, OverflowError) as error:
        raise Misread(key, str(error)) from None


def _recurrence(written: WrittenWindow, since: datetime | None, zone: str) -> Recurrence:
    if written.cron and written.rrule:
        raise Misread("rrule", "expected either cron or rrule, got both")
    if written.at and not written.rrule:
        raise Misread("at", "belongs to rrule; cron has its time within, once is said by from")
    if written.cron:
        return _checked("cron", ByCron(expression=" ".join(written.cron.split())))
    if written.rrule:
        return _by_rule(written, since, zone)
    if since is None:
        raise Misread("", "expected when: cron, rrule with at, or from with until or for")
    return Once(at=since)


def _by_rule(written: WrittenWindow, since: datetime | None, zone: str) -> ByRule:
    if not written.at:
        raise Misread("at", "expected the time of day at which it begins, such as 02:00")
    try:
        at: time = parse_time_of_day(written.at)
    except ValueError as error:
        raise Misread("at", str(error)) from None
    try:
        rule = written_rule(written.rrule)
        first: date | None = on_the_wall(since, zone).date() if since and needs_first(rule) else None
    except ValueError as error:
        raise Misread("rrule", str(error)) from None
    found = ByRule(rule=rule, at=at, first=first)
    _checked("rrule", found)
    return found


def _checked(key: str, recurrence: Recurrence) -> Recurrence:
    try:
        check(recurrence)
    except ValueError as error:
        raise Misread(key, str(error)) from None
    return recurrence


def _length(written: WrittenWindow, *, once: bool, since: datetime | None, until: datetime | None) -> timedelta:
    if once and until is not None and since is not None:
        if written.length is not None:
            raise Misread("for", "expected either until or for, got both")
        return until - since
    if written.length is None:
        raise Misread("for" if not once else "until", "expected how long it lasts, such as for: 2h")
    if written.length <= timedelta(0):
        raise Misread("for", "expected a duration longer than zero")
    return written.length


def _name(matchers: Matchers, written: WrittenWindow) -> str:
    parts = (written.cron, written.rrule, written.at, written.length, written.begins, written.ends, written.zone)
    return f"window-{crc32(repr((str(matchers), *parts)).encode()):08x}"
