"""What a webhook receives: the JSON body, its headers. Pure. See `body` for the schema."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from agent.core.commands import Notice, NoticeKind
from agent.core.plain_text import one_line
from agent.signing import plain_key, signed_headers
from alerts.rendering import evidence, facts, note, title
from alerts.text import clip_lines

VERSION = 1
EVIDENCE_LIMIT = 32_000  # characters of one piece of evidence
CLOUD_EVENT = "application/cloudevents+json; charset=utf-8"
CLOUD_EVENT_TYPES: Mapping[NoticeKind, str] = MappingProxyType(
    {
        NoticeKind.OPENED: "codeblue.incident.opened",
        NoticeKind.UPDATE: "codeblue.incident.updated",
        NoticeKind.REMINDER: "codeblue.incident.reminded",
        NoticeKind.RESOLVED: "codeblue.incident.resolved",
        NoticeKind.NOTE: "codeblue.note",
    }
)


def body(notice: Notice) -> bytes:
    """UTF-8 JSON, the same bytes for the same notice at every try.

    `version` 1; `key` names this notice, whoever sees it twice may drop the second; `incident` groups notices (empty
    for a note that belongs to none); `service`; `kind`: opened, update, reminder, resolved or note; `title`, `summary`
    and `note`: one line each; `at` (decided) and `opened_at`: RFC 3339 in UTC; `facts` and `evidence`: objects of text,
    in the order to show them; `runbook` and `trace_id`: text, empty where there is none; `severity` and `labels` of the
    service; `person` and `to`: whose address this is for, and the address, empty where it is for the channel itself;
    `drill`: true where it is a fire drill and no real incident.
    Fields may be added under the same version, never removed or given another meaning.
    """
    return _json(_fields(notice))


def cloud_event(notice: Notice) -> bytes:
    """The same as `data` of a CloudEvent 1.0 in JSON (structured mode; github.com/cloudevents/spec).

    `id` is the notice's key, `source` the agent, `subject` the service, `time` when it was decided; `type` is
    codeblue.incident.opened, .updated, .reminded or .resolved, codeblue.drill.opened or .resolved, or codeblue.note.
    `incident` and `severity` are extension attributes, left out where they are empty.
    """
    fields = _fields(notice)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": plain_key(notice.key),
        "source": f"/codeblue/{quote(one_line(notice.facts.get('Agent', '')), errors='replace')}",
        "type": _type(notice),
        "subject": one_line(notice.service),
        "time": fields["at"],
        "datacontenttype": "application/json",
        "incident": one_line(notice.incident),
        "severity": one_line(notice.severity),
        "data": fields,
    }
    return _json({name: value for name, value in event.items() if value != ""})


def _type(notice: Notice) -> str:
    found = CLOUD_EVENT_TYPES[notice.kind]
    return found.replace(".incident.", ".drill.") if notice.drill else found


def _fields(notice: Notice) -> dict[str, Any]:
    return {
        "version": VERSION,
        "key": notice.key,
        "incident": notice.incident,
        "service": notice.service,
        "kind": str(notice.kind),
        "title": title(notice),
        "summary": one_line(notice.summary),
        "note": note(notice),
        "at": _rfc3339(notice.at),
        "opened_at": _rfc3339(notice.opened_at),
        "facts": dict(facts(notice)),
        "evidence": {name: clip_lines(text, EVIDENCE_LIMIT) for name, text in evidence(notice)},
        "runbook": notice.runbook,
        "trace_id": notice.trace_id,
        "severity": notice.severity,
        "labels": dict(notice.labels),
        "person": notice.person,
        "to": notice.to,
        "drill": notice.drill,
    }


def headers(
    notice: Notice, payload: bytes, secret: str, at: datetime, content_type: str = "application/json"
) -> Mapping[str, str]:
    """The headers of one try; the key of its idempotency is the notice's. See `agent.signing`."""
    return {**signed_headers(notice.key, payload, secret, at), "Content-Type": content_type}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
