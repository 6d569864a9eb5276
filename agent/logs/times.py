"""The times that log lines carry, read into aware UTC datetimes."""

from datetime import UTC, datetime, timedelta, tzinfo

_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[n * 3 : n * 3 + 3]: n + 1 for n in range(12)}
_AHEAD = timedelta(minutes=1)
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)


def credible(at: datetime | None, received: datetime) -> datetime:
    """`at`, or the time of receipt where a line has no time or an absurd one: more than a minute in the future
    (a wrong clock, a wrong zone) or before the year 2000 (a clock that was never set)."""
    if at is None or at < _OLDEST or at - received > _AHEAD:
        return received
    return at


def from_iso(text: str, zone: tzinfo) -> datetime | None:
    """An ISO 8601 time, also with a space or a comma; one without an offset is taken to be in `zone`."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def from_epoch(number: float) -> datetime | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    size = abs(number)
    scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
    try:
        return datetime.fromtimestamp(number / scale, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def from_value(value: object, zone: tzinfo) -> datetime | None:
    """The value of a time key in JSON or logfmt: a number, digits, or an ISO time."""
    if isinstance(value, str):
        found = from_iso(value, zone)
        if found is not None and not value.isdigit():
            return found
        try:
            return from_epoch(float(value))
        except ValueError:
            return found
    if isinstance(value, int | float) and not isinstance(value, bool):
        return from_epoch(value)
    return None


def from_yearless(month: int | str, day: str, clock: str, received: datetime, zone: tzinfo) -> datetime | None:
    """ "Nov 21 09:00:00" of syslog and "1121 09:00:00.1" of klog: the year that puts it nearest before the receipt."""
    number = month if isinstance(month, int) else _MONTHS.get(month, 0)
    for year in (received.year + 1, received.year, received.year - 1):
        at = from_iso(f"{year:04}-{number:02}-{int(day):02}T{clock}", zone)
        if at is not None and at - received < timedelta(days=1):
            return at
    return None


def from_month(year: str, month: str, day: str, clock: str, zone: tzinfo) -> datetime | None:
    """ "Sat Nov 21 09:00:00.123456 2026", as in Apache's error log, without the day of the week."""
    return from_iso(f"{year}-{_MONTHS.get(month, 0):02}-{int(day):02}T{clock}", zone)


def from_access(text: str) -> datetime | None:
    """ "21/Nov/2026:09:00:00 +0100", as in the access logs of nginx and Apache."""
    month = _MONTHS.get(text[3:6], 0)
    return from_iso(f"{text[7:11]}-{month:02}-{text[0:2]}T{text[12:20]}{text[21:]}", UTC)
