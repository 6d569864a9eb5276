"""Hours of the week as people write them: "Mon-Fri 09:00-17:00", "22:00-07:00", "Sat,Sun"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from agent.core.wall import moment, on_the_wall

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXPECTED = "hours such as Mon-Fri 09:00-17:00, 22:00-07:00 or Sat,Sun"

_DAY = timedelta(days=1)
_WHOLE_DAY = 24 * 60
_WINDOW = re.compile(r"([A-Za-z, -]*[A-Za-z])?\s*(?:(\d{1,2}:\d\d)\s*-\s*(\d{1,2}:\d\d))?", re.ASCII)
_LOOKED_AT = 10  # days: every day of the week, and those around that a change of the clocks may have swallowed


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The same hours of some days of the week (0 is Monday). `begins` and `ends` are minutes from that day's midnight;
    an end beyond 24:00 lies in the day after."""

    days: tuple[int, ...]
    begins: int
    ends: int

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else f"{_days_in_words(self.days)} "
        if (self.begins, self.ends) == (0, _WHOLE_DAY) and days:
            return days.strip()
        ends = self.ends if self.ends == _WHOLE_DAY else self.ends % _WHOLE_DAY
        return f"{days}{_clock(self.begins)}-{_clock(ends)}"


@dataclass(frozen=True, slots=True)
class Hours:
    """Windows of the week in an IANA zone."""

    windows: tuple[Window, ...]
    zone: str

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.windows))} {self.zone}"

    def __contains__(self, at: datetime) -> bool:
        return any(begin <= at < end for begin, end in _around(self, at))


def parse_window(text: str) -> Window:
    """Days, hours, or both: a day or range of days (in English, three letters do) or several with commas between,
    then HH:MM-HH:MM. Hours that end before they begin go on into the next day. Raises ValueError, with what was
    expected."""
    found = _WINDOW.fullmatch(text.strip())
    if not found or not text.strip():
        raise ValueError(f"expected {EXPECTED}, got {text!r}")
    begins = parse_clock(found[2] or "00:00")
    ends = parse_clock(found[3] or "24:00", midnight=True)
    if begins == ends:
        raise ValueError(f"{text!r} has no length: the whole day is 00:00-24:00")
    days = _days(found[1], text) if found[1] else tuple(range(len(DAYS)))
    return Window(days, begins, ends + (_WHOLE_DAY if ends < begins else 0))


def parse_clock(text: str, *, midnight: bool = False) -> int:
    """Minutes from midnight of "09:00"; 24:00 only where the midnight after it can be meant. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,2}):(\d\d)", text.strip(), re.ASCII)
    if found and int(found[2]) < 60:
        minutes = int(found[1]) * 60 + int(found[2])
        if minutes < _WHOLE_DAY or (midnight and minutes == _WHOLE_DAY):
            return minutes
    raise ValueError(f"expected a time of day such as 09:00, got {text!r}")


def parse_day(text: str) -> int:
    """A day of the week, 0 for Monday: "Mon", "monday". Raises ValueError."""
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    word = text.strip().lower()
    for number, name in enumerate(names):
        if len(word) >= 3 and name.startswith(word):
            return number
    raise ValueError(f"expected a day such as {', '.join(DAYS)}; got {text!r}")


def closed(hours: Hours, at: datetime) -> datetime | None:
    """None inside of these hours, else when they begin again."""
    return None if at in hours else next(begin for begin, _ in sorted(_around(hours, at)) if begin > at)


def ends_at(hours: Hours, at: datetime) -> datetime | None:
    """None outside of these hours, else when they end, where one window goes over into another the end of the last;
    None too where they never end (every day, 00:00-24:00)."""
    end = at
    for begins, ends in sorted(_around(hours, at)):
        if begins <= end < ends:
            end = ends
    return end if end > at and end not in hours else None


def next_edge(hours: Hours, at: datetime) -> datetime:
    """The next moment at which a window begins or ends."""
    return min(edge for window in _around(hours, at) for edge in window if edge > at)


def _around(hours: Hours, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The windows that may hold this moment, and those of the week after it, without those that the clocks skip."""
    today = on_the_wall(at, hours.zone).date()
    for n in range(-2, _LOOKED_AT):
        day = today + n * _DAY
        midnight = datetime.combine(day, time())
        for window in hours.windows:
            if day.weekday() in window.days:
                begins = moment(midnight + timedelta(minutes=window.begins), hours.zone)
                ends = moment(midnight + timedelta(minutes=window.ends), hours.zone)
                if begins < ends:
                    yield begins, ends


def _days(text: str, whole: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            begin, end = parse_day(first), parse_day(last if dash else first)
        except ValueError:
            raise ValueError(f"expected {EXPECTED}, got {whole!r}") from None
        found.update((begin + n) % 7 for n in range((end - begin) % 7 + 1))
    return tuple(sorted(found))


def _days_in_words(days: tuple[int, ...]) -> str:
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(f"{DAYS[run[0]]}-{DAYS[run[-1]]}" if len(run) > 1 else DAYS[run[0]] for run in runs)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
