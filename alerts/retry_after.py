"""The Retry-After header, in both of its forms (RFC 9110, section 10.2.3). Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_to_wait(value: str | None, now: datetime) -> float | None:
    """Seconds from now, never negative; None where there is no header or it makes no sense."""
    text = (value or "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text[:15])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
