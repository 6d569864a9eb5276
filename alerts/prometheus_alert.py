"""A notice as an alert of Prometheus Alertmanager's API v2. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from agent.core.commands import Notice, NoticeKind
from agent.core.plain_text import one_line
from agent.ports import Receipt
from alerts.rendering import headline, layout, note, summary, title
from alerts.text import clip

Alert = dict[str, Any]

NOTE_LASTS = timedelta(minutes=5)
_NAME = re.compile(r"[^a-zA-Z0-9_]")
_DESCRIPTION = 8_000  # characters
_EXTRAS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def alert(notice: Notice, opening: Receipt | None, alertname: str, extra: Mapping[str, str], link: str) -> Alert:
    """Its labels, annotations and start; whoever sends it adds the end. An alert is known by its labels alone, so those
    of the opening stay for the whole incident, whatever fails later on."""
    known = of_receipt(opening)
    note_only = notice.kind is NoticeKind.NOTE
    labels = known["labels"] if known else _labels(notice, "CodeblueNote" if note_only else alertname, extra)
    made: Alert = {
        "labels": labels,
        "annotations": _annotations(notice),
        "startsAt": known["startsAt"] if known else rfc3339(notice.at if note_only else notice.opened_at),
    }
    if link:
        made["generatorURL"] = link.replace("{service}", quote(notice.service, safe=""))
    return made


def ends(notice: Notice, made: Alert, hold: timedelta, now: datetime) -> Alert:
    """The alert with its end: over in a closing notice, far away while it is open."""
    if notice.kind is NoticeKind.RESOLVED:
        over = max(notice.at, datetime.fromisoformat(made["startsAt"]) + timedelta(milliseconds=1))
        return {**made, "endsAt": rfc3339(over)}
    return {**made, "endsAt": rfc3339(now + (NOTE_LASTS if notice.kind is NoticeKind.NOTE else hold))}


def receipt(made: Alert) -> Receipt:
    return Receipt(data={"alert": json.dumps(made)})


def of_receipt(opening: Receipt | None) -> Alert | None:
    """The alert that a receipt holds; None for one of another channel type."""
    try:
        found = json.loads(opening.data["alert"]) if opening else None
    except (KeyError, ValueError):
        return None
    return found if isinstance(found, dict) and {"labels", "startsAt"} <= set(found) else None


def label_name(text: str) -> str:
    """The text as a label's name: letters, digits and underscores."""
    name = _NAME.sub("_", text) or "_"
    return f"_{name}" if name[0].isdigit() else name


def is_label_name(text: str) -> bool:
    return _EXTRAS.fullmatch(text) is not None


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _labels(notice: Notice, alertname: str, extra: Mapping[str, str]) -> dict[str, str]:
    own = {
        "alertname": alertname,
        "service": notice.service,
        "severity": notice.severity or ("info" if notice.kind is NoticeKind.NOTE else "critical"),
        "check": notice.facts.get("Failing", "").partition(",")[0],
        "agent": notice.facts.get("Agent", ""),
        "person": notice.person,
        "drill": "true" if notice.drill else "",
    }
    named = {label_name(name): value for name, value in notice.labels.items()}
    cleaned = {name: one_line(value) for name, value in {**named, **extra, **own}.items()}
    return {name: clip(value, 1_000) for name, value in cleaned.items() if value}


def _annotations(notice: Notice) -> dict[str, str]:
    found = {
        "summary": title(notice),
        "description": clip("\n".join(line.text.strip() for line in layout(notice)[1:]), _DESCRIPTION),
        "reason": summary(notice),
        "note": note(notice),
        "runbook_url": one_line(notice.runbook),
        "incident": notice.incident,
        "trace_id": notice.trace_id,
        "headline": headline(notice),
    }
    return {name: text for name, text in found.items() if text}
