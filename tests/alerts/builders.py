"""Notices as the core makes them, with everything that a page can hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.core.commands import Notice, NoticeKind

OPENED_AT = datetime(2026, 3, 1, 3, 12, 5, tzinfo=UTC)
INCIDENT = "photos-api-20260301T031205.000Z"

OPENED = Notice(
    key=f"{INCIDENT}/oncall/opened/1",
    incident=INCIDENT,
    service="photos-api",
    channel="oncall",
    kind=NoticeKind.OPENED,
    title="photos-api is down",
    summary="http: connection refused by 127.0.0.1:8080",
    at=OPENED_AT + timedelta(seconds=64),
    opened_at=OPENED_AT,
    facts={
        "Failing": "http, port",
        "Since": "2026-03-01 03:12:03 UTC (1m6s)",
        "Tried": "restart by systemd at 03:12:06 failed (Job for photos-api.service failed)",
        "Agent": "web-1",
    },
    evidence={
        "Phases": "dns 1 ms, connect refused",
        "Last log lines": "03:12:01 INFO  served /health in 3 ms\n"
        "03:12:02 ERROR disk I/O error while writing <index> & giving up\n"
        "03:12:02 FATAL exit 74",
    },
    runbook="https://wiki.internal/photos?a=1&b=2",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
)

UPDATE = replace(
    OPENED,
    key=f"{INCIDENT}/oncall/update/2",
    kind=NoticeKind.UPDATE,
    title="photos-api: the second restart failed too",
    at=OPENED_AT + timedelta(minutes=3),
    evidence={},
)

REMINDER = replace(
    OPENED,
    key=f"{INCIDENT}/oncall/reminder/3",
    kind=NoticeKind.REMINDER,
    title="photos-api is still down (4h)",
    at=OPENED_AT + timedelta(hours=4),
    evidence={},
)

RESOLVED = replace(
    OPENED,
    key=f"{INCIDENT}/oncall/resolved/4",
    kind=NoticeKind.RESOLVED,
    title="photos-api is up again after 5m12s",
    at=OPENED_AT + timedelta(minutes=5, seconds=12),
    facts={
        "Failing": "nothing any more",
        "Since": "2026-03-01 03:12:03 UTC (5m14s)",
        "Tried": "restart by systemd at 03:12:06 failed (Job for photos-api.service failed)",
        "Agent": "web-1",
    },
    evidence={},
)

NOTE = replace(
    OPENED,
    key="photos-api/http/warning/20260301T031205.000Z/quiet",
    incident="",
    channel="quiet",
    kind=NoticeKind.NOTE,
    title="photos-api: warning",
    summary="http: the certificate ends in 13 days",
    facts={"Agent": "web-1"},
    evidence={},
    trace_id="",
)

FALLBACK = replace(OPENED, note="#oncall did not take this page: invalid_auth")

HOSTILE_TEXT = (
    "<!channel> </pre> *b* `c` ``` <https://evil.example|click> &amp; \x1b[31mred\x1b]0;owned\x07 \u202egnp\r\x00\ud800"
)


def hostile(kind: NoticeKind = NoticeKind.OPENED, **changes: Any) -> Notice:
    """A notice in which everything that comes from outside is an attack."""
    text = HOSTILE_TEXT
    facts = {f"{text} {n}": text for n in range(14)}
    made = replace(OPENED, kind=kind, title=text, summary=text, note=text, facts=facts, runbook=text, trace_id=text)
    return replace(made, **({"evidence": {text: f"{text}\n" * 300}} | changes))
