"""When windows begin. Cron expressions as crontab(5) means them, and the recurrence rules of RFC 5545 for days.

A time of day that a clock change skips means the moment of the jump, one that comes twice is taken once, the first
time.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from agent.core.wall import moment, on_the_wall
from agent.core.windows import ByCron, ByRule, Once, Recurrence, Span, Window

MOST_MERGED = 1000  # windows that overlap one after another; beyond, the end is looked at again when it comes

_DAY = timedelta(days=1)
_EPOCH = date(2001, 1, 1)  # a Monday
_PARTS = ("INTERVAL", "COUNT", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "BYWEEKNO", "BYYEARDAY", "WKST")
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_SAY_WHICH_DAY = ("BYDAY", "BYMONTHDAY", "BYWEEKNO", "BYYEARDAY")
_ELSEWHERE = {
    "UNTIL": "write until: beside it",
    "DTSTART": "write from: beside it",
    **dict.fromkeys(("BYHOUR", "BYMINUTE", "BYSECOND"), "write the time of day as at: beside it, or use cron"),
}


def check(recurrence: Recurrence) -> None:
    """Raises ValueError, in words for whoever wrote it, for a rule or expression that cannot be read or never comes.
    Takes seconds for some rules that never come."""
    match recurrence:
        case ByCron():
            _check_cron(recurrence.expression)
        case ByRule():
            _check_rule(recurrence)


def starts(window: Window, after: datetime) -> Iterator[datetime]:
    """When the window begins, strictly after a moment, in order, without end for most."""
    if window.since is not None and after < window.since:
        after = window.since - timedelta(microseconds=1)
    match window.recurrence:
        case Once(at=at):
            found = iter([at] if at > after else [])
        case ByCron(expression=expression):
            found = _cron_starts(expression, window.zone, after)
        case ByRule() as rule:
            found = _rule_starts(rule, window.zone, after)
    for start in found:
        if window.until is not None and start >= window.until:
            return
        yield start


def in_force(window: Window, at: datetime, over: datetime | None = None) -> Span | None:
    """The time in which it holds at this moment, None when it does not. Windows of the same kind that overlap or touch
    are one. What began at or before `over` was ended by hand and does not count."""
    found = starts(window, max(at - window.length, over) if over is not None else at - window.length)
    start = next(found, None)
    if start is None or start > at:
        return None
    end = start + window.length
    for further in islice(found, MOST_MERGED):
        if further > end:
            break
        end = further + window.length
    return Span(start, end)


def upcoming(window: Window, after: datetime, before: datetime, most: int) -> list[Span]:
    """The first of its times that begin after one moment and before another, each by itself."""
    found: list[Span] = []
    for start in islice(starts(window, after), most):
        if start >= before:
            break
        found.append(Span(start, start + window.length))
    return found


def _cron_starts(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    from agent.ports.cron import CronSlots

    local = after.astimezone(ZoneInfo(zone))
    last = after
    # in the doubled hour of autumn the first answers may lie in its first pass, which is over
    for slot in CronSlots(expression, local):
        start = slot.astimezone(UTC)
        if start > last:
            last = start
            yield start


def _rule_starts(rule: ByRule, zone: str, after: datetime) -> Iterator[datetime]:
    from dateutil.rrule import rrulestr

    day = on_the_wall(after, zone).date() - _DAY
    first = rule.first or _EPOCH
    begin = max(first, day) if _can_begin_anywhere(rule) else first
    last = after
    for local in rrulestr(rule.rule, dtstart=datetime.combine(begin, rule.at)):
        start = moment(local, zone)
        if start > last:
            last = start
            yield start


def rule_parts(text: str) -> dict[str, str]:
    """The parts of an RRULE, in capitals. Raises ValueError for what is none, or not about days."""
    parts: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").strip(";").split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ValueError(f"expected a rule such as FREQ=MONTHLY;BYDAY=1SU, got {text!r}")
        if name in _ELSEWHERE:
            raise ValueError(f"{name} does not belong in the rule: {_ELSEWHERE[name]}")
        if name not in ("FREQ", *_PARTS) or name in parts:
            raise ValueError(f"{name}: expected FREQ and any of {', '.join(_PARTS)}, each once; got {text!r}")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError(f"expected FREQ={'|'.join(_FREQUENCIES)} (more often than daily: use cron), got {text!r}")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not (parts[name].isdigit() and 0 < int(parts[name]) < 10_000):
            raise ValueError(f"{name}: expected a whole number from 1, got {parts[name]}")
    return parts


def written_rule(text: str) -> str:
    """An RRULE as it is kept. Raises ValueError."""
    return ";".join(f"{name}={value}" for name, value in rule_parts(text).items())


def needs_first(text: str) -> str:
    """Why the rule means nothing without the day that it begins on; empty when it does."""
    parts = rule_parts(text)
    for name in ("INTERVAL", "COUNT"):
        if parts.get(name, "1") != "1" or (name == "COUNT" and name in parts):
            return f"{name} is counted from the first day"
    if parts["FREQ"] != "DAILY" and not any(name in parts for name in _SAY_WHICH_DAY):
        return "the rule does not say on which day"
    return ""


def _can_begin_anywhere(rule: ByRule) -> bool:
    return not needs_first(rule.rule)


def _check_cron(expression: str) -> None:
    from cronsim import CronSim, CronSimError

    try:
        if len(expression.split()) != 5:
            raise ValueError(f"expected a cron expression of five fields such as '0 2 * * sun', got {expression!r}")
        never = next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)), None) is None
    except CronSimError as error:
        raise ValueError(f"expected a cron expression such as '0 2 * * sun', got {expression!r}: {error}") from error
    if never:
        raise ValueError(f"{expression!r} never comes")


def _check_rule(rule: ByRule) -> None:
    from dateutil.rrule import rrulestr

    why = needs_first(rule.rule)
    if why and rule.first is None:
        raise ValueError(f"{why}: write from: beside it, such as from: 2026-01-04")
    try:
        found = rrulestr(rule.rule, dtstart=datetime.combine(rule.first or _EPOCH, rule.at))
        never = next(iter(found), None) is None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"{rule.rule!r} is no recurrence rule (RFC 5545): {error}") from error
    if never:
        raise ValueError(f"{rule.rule!r} never comes")


def parse_time_of_day(text: str) -> time:
    """`02:00`. Raises ValueError."""
    try:
        return datetime.strptime(text.strip(), "%H:%M").time()  # noqa: DTZ007 (a time of day has no zone)
    except ValueError:
        raise ValueError(f"expected a time of day such as 02:00, got {text!r}") from None
