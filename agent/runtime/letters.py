"""Dead letters that nobody should read any more."""

from typing import Final

from agent.core.commands import Command, Notice, NoticeKind
from agent.core.state import Incident

_OF_AN_OPEN_INCIDENT: Final = (NoticeKind.OPENED, NoticeKind.UPDATE, NoticeKind.REMINDER)


def is_outlived(command: Command, open_now: Incident | None) -> bool:
    """Whether this says of an incident that it goes on, while it is over: `open_now` is what its service has open."""
    if not isinstance(command, Notice) or not command.incident or command.kind not in _OF_AN_OPEN_INCIDENT:
        return False
    return open_now is None or open_now.id != command.incident
