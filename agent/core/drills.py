"""What tells a fire drill from an incident, in whatever is said about it."""

from agent.core.commands import NoticeKind
from agent.core.policy import Drill

KIND = "drill"
MARK = "DRILL, not a real incident"
ABOUT = "This tests the paging itself. Nothing is down, and nothing is restarted."


def is_drill(service: str) -> bool:
    """Whether that is no service but a drill: such names are "drill:WHAT"."""
    return service.startswith(f"{KIND}:")


def titled(drill: Drill, kind: NoticeKind, title: str) -> str:
    """The title of a drill's message. It begins with the mark: a telephone may show no more than its first words."""
    match kind:
        case NoticeKind.OPENED:
            return f"{MARK}: a test page for {drill.of}"
        case NoticeKind.RESOLVED:
            return f"{MARK}: the test for {drill.of} is over"
        case _:
            return f"{MARK}: {title}"


def offers(drill: Drill, incident: str, kind: NoticeKind) -> tuple[str, ...]:
    """What whoever reads it may do: say that he has seen it, as long as somebody is waited for."""
    return (f"seen:{incident}",) if drill.seen and kind is NoticeKind.OPENED else ()
