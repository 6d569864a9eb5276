"""Between rows and the values of the contract."""

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import select

from agent.core.commands import UNDONE, Notice, NoticeKind, Restart
from agent.core.events import Event
from agent.core.state import ServiceState
from agent.ports import ActionOutcome, Outgoing, Receipt, Stored
from agent.stores.codec import Unreadable, clean, decode, encode, from_micros, micros
from agent.stores.schema import outbox

log = structlog.get_logger()

RESTART, NOTICE = "restart", "notice"
PENDING, CLAIMED, DONE, DEAD, CANCELLED = "pending", "claimed", "done", "dead", "cancelled"

OUTGOING = select(
    outbox.c.key,
    outbox.c.kind,
    outbox.c.service,
    outbox.c.incident,
    outbox.c.channel,
    outbox.c.status,
    outbox.c.tries,
    outbox.c.due_at,
    outbox.c.created_at,
    outbox.c.body,
    outbox.c.receipt,
    outbox.c.outcome,
    outbox.c.error,
).order_by(outbox.c.seq)


def service_row(version: int, state: ServiceState) -> dict[str, Any]:
    """All columns but the name."""
    return {
        "version": version,
        "incident": state.incident.id if state.incident else "",
        "state": encode(state),
    }


def to_stored(row: Any) -> Stored:
    """A state that cannot be read (damage, or a downgrade) is begun anew under its version: one unreadable row must
    not keep the agent from looking after the others."""
    try:
        return Stored(version=row.version, state=decode(ServiceState, row.state))
    except Unreadable as error:
        log.error("stored_state_unreadable", service=row.name, error=str(error))
        return Stored(version=row.version, state=ServiceState(service=row.name))


def command_row(command: Restart | Notice) -> dict[str, Any]:
    """A new command: pending, due at once."""
    notice = command if isinstance(command, Notice) else None
    at = micros(command.at)
    return {
        "key": command.key,
        "kind": NOTICE if notice else RESTART,
        "service": command.service,
        "incident": command.incident,
        "channel": notice.channel if notice else "",
        "notice": notice.kind.value if notice else "",
        "status": PENDING,
        "tries": 0,
        "due_at": at,
        "created_at": at,
        "claimed_at": None,
        "settled_at": None,
        "body": encode(command),
        "receipt": None,
        "outcome": None,
        "error": "",
    }


def outgoing_row(item: Outgoing, at: int) -> dict[str, Any]:
    """A command as it stands; `at` is when it was claimed or settled."""
    claimed, settled = item.status == CLAIMED, item.status in (DONE, DEAD, CANCELLED)
    return command_row(item.command) | {
        "status": item.status,
        "tries": item.tries,
        "due_at": micros(item.due_at),
        "claimed_at": at if claimed else None,
        "settled_at": at if settled else None,
        "receipt": encode(item.receipt) if item.receipt else None,
        "outcome": encode(item.outcome) if item.outcome else None,
        "error": clean(item.error),
    }


def counts(item: Outgoing) -> bool:
    """Whether a restart that was ordered costs a budget anything: one that came to nothing does not."""
    return item.status != CANCELLED and (item.outcome is None or item.outcome.outcome not in UNDONE)


def read_command(kind: str, body: str) -> Restart | Notice:
    return decode(Restart, body) if kind == RESTART else decode(Notice, body)


def to_outgoing(row: Any) -> Outgoing | None:
    """None for a restart that cannot be read: nobody may guess what to restart."""
    try:
        command = read_command(row.kind, row.body)
    except Unreadable as error:
        log.error("stored_command_unreadable", key=row.key, kind=row.kind, error=str(error))
        if row.kind == RESTART:
            return None
        command = _unreadable_notice(row)
    return Outgoing(
        command=command,
        status=row.status,
        tries=row.tries,
        due_at=from_micros(row.due_at),
        error=row.error,
        receipt=decode(Receipt, row.receipt) if row.receipt else None,
        outcome=decode(ActionOutcome, row.outcome) if row.outcome else None,
    )


def to_outgoings(rows: Sequence[Any]) -> list[Outgoing]:
    return [item for item in map(to_outgoing, rows) if item is not None]


def event_rows(service: str, version: int, events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {
            "service": service,
            "at": micros(event.at),
            "version": version,
            "n": n,
            "incident": event.incident,
            "body": encode(event),
        }
        for n, event in enumerate(events)
    ]


def _unreadable_notice(row: Any) -> Notice:
    """A page whose text is lost is still a page."""
    at = from_micros(row.created_at)
    return Notice(
        key=row.key,
        incident=row.incident,
        service=row.service,
        channel=row.channel,
        kind=NoticeKind.UPDATE,
        title=f"{row.service}: a message that could not be read back",
        summary="It was stored and then damaged. See the timeline of this service.",
        at=at,
        opened_at=at,
    )
