"""Lines for the tests of the log store."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from agent.ports import LogLine

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def line(
    text: str,
    *,
    ago: float = 0.0,
    service: str = "photos",
    level: str = "info",
    source: str = "file:/var/log/photos.log",
    trace_id: str = "",
    fields: Mapping[str, str] | None = None,
) -> LogLine:
    """A line that was written so many seconds before NOW."""
    return LogLine(
        at=NOW - timedelta(seconds=ago),
        source=source,
        service=service,
        level=level,
        text=text,
        trace_id=trace_id,
        fields=fields or {},
    )
