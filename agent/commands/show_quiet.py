"""How silences, windows and what they hide look on a terminal. Pure: data in, renderables out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agent.commands.counted import counted
from agent.commands.show import table
from agent.core.budget import in_words
from agent.core.wall import on_the_wall

STYLES = {"active": "yellow", "pending": "cyan", "expired": "dim"}
SHOWN = 20  # services, incidents and pages of a preview, each


class Clock:
    """What a clock in a zone shows, at a moment that is now."""

    def __init__(self, zone: str, now: datetime) -> None:
        self.zone = zone
        self.now = now

    def at(self, moment: str, seen_from: datetime | None = None) -> str:
        """A time from the API, with its day unless it is the day that it is seen from."""
        local = on_the_wall(datetime.fromisoformat(moment), self.zone)
        there = on_the_wall(seen_from or self.now, self.zone)
        if local.date() == there.date():
            return f"{local:%H:%M}"
        year = "" if local.year == there.year else f" {local:%Y}"
        return f"{local:%a %d %b}{year} {local:%H:%M}"

    def span(self, start: str, end: str) -> str:
        """ "Sun 22 Nov 02:00 to 04:00"."""
        return f"{self.at(start)} to {self.at(end, datetime.fromisoformat(start))}"

    def left(self, moment: str) -> str:
        return in_words(max(datetime.fromisoformat(moment) - self.now, timedelta(0)))


def silences(found: Iterable[Mapping[str, Any]], clock: Clock) -> RenderableType:
    made = table("ID", "STATE", "MATCH", f"WHEN ({clock.zone})", "BY", "COMMENT")
    for one in found:
        state = Text(one["state"], style=STYLES[one["state"]])
        when = held(one, clock)
        if one["state"] == "expired":
            when = f"ended {clock.at(one['ends'])}" if one["ends"] else "ended"
        elif one["state"] == "active" and one["ends"]:
            when += f" ({clock.left(one['ends'])} left)"
        made.add_row(one["id"], state, Text(one["match"]), when, Text(one["by"]), Text(one["comment"] or "-"))
    return made


def silenced(one: Mapping[str, Any], clock: Clock) -> Text:
    """One line about a silence that was just made."""
    zone = f" {clock.zone}" if one["ends"] or one["state"] == "pending" else ""
    return Text(
        f"{one['id']}: silenced {held(one, clock)}{zone}: {one['match']} ({counted(one['services'], 'service')})"
    )


def held(one: Mapping[str, Any], clock: Clock) -> str:
    """From when and until when a silence holds."""
    start = datetime.fromisoformat(one["starts"]) if one["state"] == "pending" else None
    begins = f"from {clock.at(one['starts'])} " if start else ""
    ends = clock.at(one["ends"], start) if one["ends"] else ""
    if not one["until_resolved"]:
        return f"{begins}until {ends}"
    return f"{begins}until resolved{f', at the latest {ends}' if ends else ''}"


def windows(found: Iterable[Mapping[str, Any]], now: datetime) -> RenderableType:
    made = table("NAME", "STATE", "MATCH", "TIMES", "NOW OR NEXT", "WHY")
    for one in found:
        who = f"{one['comment']} ({one['by']})" if one["by"] else one["comment"]
        state = Text(one["state"], style=STYLES[one["state"]])
        once = one["when"].startswith("once,") and (one["now"] or one["next"])  # then the day stands beside it
        times = f"{'once' if once else one['when']} for {in_words(timedelta(seconds=one['for']))}"
        made.add_row(one["id"], state, Text(one["match"]), Text(times), Text(_next(one, now)), Text(who.strip() or "-"))
    return made


def window_made(one: Mapping[str, Any], now: datetime) -> Text:
    """One line about a window that was just made."""
    what = f"{one['id']}: {one['match']} ({counted(one['services'], 'service')})"
    if one["now"]:
        return Text(f"{what} is under maintenance {_next(one, now)}: nobody is asked, nothing is restarted")
    return Text(f"{what}: maintenance {_next(one, now)}")


def window_ended(one: Mapping[str, Any], now: datetime) -> Text:
    again = "" if one["by_hand"] or not one["next"] else f"; it comes again {_next({**one, 'now': None}, now)}"
    return Text(f"{one['id']}: the maintenance of {one['match']} is over{again}")


def preview(found: Mapping[str, Any], clock: Clock) -> RenderableType:
    """What would be hidden, and for a window its next times."""
    parts: list[RenderableType] = [
        Text(f"{found['match']} means {counted(len(found['services']), 'service')}", style="bold")
    ]
    parts += _lines(found["services"])
    if "window" in found:
        window = found["window"]
        there = Clock(window["zone"], clock.now)
        spans = ([window["now"]] if window["now"] else []) + window["next"]
        times = [there.span(one["start"], one["end"]) for one in spans]
        head = f"Its next times ({there.zone})" if times else "It does not come again"
        parts += [Text(), Text(head, style="bold"), *_lines(times)]
    incidents = [f"{one['service']}: {one['incident']}" for one in found["incidents"]]
    parts += [Text(), Text(f"{counted(len(incidents), 'open incident')} now", style="bold"), *_lines(incidents)]
    pages = [f"{clock.at(one['at'])} {one['service']}: {one['text']}" for one in found["pages"]]
    least = "" if found["complete"] else "at least "
    since = f"{clock.at(found['since'])} {clock.zone}"
    head = f"{least}{counted(len(pages), 'page')} since {since} would have been hidden"
    return Group(*parts, Text(), Text(head[:1].upper() + head[1:], style="bold"), *_lines(pages))


def _next(one: Mapping[str, Any], now: datetime) -> str:
    """The time that a window is in force, or its next one, on the clocks of its zone."""
    clock = Clock(one["zone"], now)
    if one["now"]:
        return f"until {clock.at(one['now']['end'])} {clock.zone} ({clock.left(one['now']['end'])} left)"
    if not one["next"]:
        return "-"
    return f"{clock.span(one['next'][0]['start'], one['next'][0]['end'])} {clock.zone}"


def _lines(texts: Sequence[str]) -> list[RenderableType]:
    shown: list[RenderableType] = [Text(f"  {text}") for text in texts[:SHOWN]]
    if len(texts) > SHOWN:
        shown.append(Text(f"  and {len(texts) - SHOWN} more"))
    return shown
