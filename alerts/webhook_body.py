"""What a webhook receives: the JSON body, its headers. Pure. See `body` for the schema."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.core.model import Notice
from agent.signing import signed_headers
from alerts.rendering import evidence, facts, note, title
from alerts.text import clip_lines, one_line

VERSION = 1
EVIDENCE_LIMIT = 32_000  # characters of one piece of evidence


def body(notice: Notice) -> bytes:
    """UTF-8 JSON, the same bytes for the same notice at every try.

    `version` 1; `key` names this notice, whoever sees it twice may drop the second; `incident` groups notices (empty
    for a note that belongs to none); `service`; `kind`: opened, update, reminder, resolved or note; `title`, `summary`
    and `note`: one line each; `at` (decided) and `opened_at`: RFC 3339 in UTC; `facts` and `evidence`: objects of text,
    in the order to show them; `runbook` and `trace_id`: text, empty where there is none. Fields may be added under the
    same version, never removed or given another meaning.
    """
    fields: dict[str, Any] = {
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
    }
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def headers(notice: Notice, payload: bytes, secret: str, at: datetime) -> Mapping[str, str]:
    """The headers of one try; the key of its idempotency is the notice's. See `agent.signing`."""
    return signed_headers(notice.key, payload, secret, at)


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
