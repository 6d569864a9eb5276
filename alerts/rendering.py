"""What a notice says, for every channel: one story, in the order in which somebody who was woken needs it. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum

from agent.core.commands import Notice, NoticeKind
from agent.core.plain_text import clean, one_line
from agent.ports import Receipt
from alerts.text import clip, clip_lines, span, when

DOWN = "🔴"
MARKS = {
    NoticeKind.OPENED: DOWN,
    NoticeKind.REMINDER: DOWN,
    NoticeKind.UPDATE: DOWN,
    NoticeKind.RESOLVED: "✅",
    NoticeKind.NOTE: "ℹ️",
}
CAN_WAIT = "🟡"  # down, and of a severity of CALM
CALM = ("warning", "info")
DRILL = "🔵"  # whatever kind of message: nothing is down
NEVER_OPENED = "The page that opened this incident never arrived here."
EVIDENCE_LIMIT = 8_000  # characters of one piece of evidence in a plain text


class Role(StrEnum):
    """What a line of a plain rendering is."""

    HEADLINE = "headline"
    NOTE = "note"
    SUMMARY = "summary"
    FACT = "fact"
    EVIDENCE = "evidence"
    EVIDENCE_LINE = "evidence line"


@dataclass(frozen=True, slots=True)
class Line:
    role: Role
    text: str


def as_seen_here(notice: Notice, opening: Receipt | None) -> Notice:
    """The notice as a channel has to tell it: where the opening page never arrived, whatever follows it says so."""
    follows = notice.kind in (NoticeKind.UPDATE, NoticeKind.REMINDER, NoticeKind.RESOLVED)
    if opening is not None or not follows or NEVER_OPENED in notice.note:
        return notice
    return replace(notice, note=f"{notice.note} {NEVER_OPENED}".strip())


def title(notice: Notice) -> str:
    """What happened to which service, on one line of at most 300 characters."""
    text, service = one_line(notice.title), one_line(notice.service)
    if not text:
        text = str(notice.kind)
    if service and service not in text and not notice.drill:
        text = f"{service}: {text}"
    return clip(text, 300)


def headline(notice: Notice) -> str:
    """The first line of every message: a mark that shows at a glance whether it is over and how bad it is, and the
    title."""
    return f"{_mark(notice)} {title(notice)}"


def _mark(notice: Notice) -> str:
    if notice.drill:
        return DRILL
    mark = MARKS[notice.kind]
    return CAN_WAIT if mark == DOWN and notice.severity in CALM else mark


def summary(notice: Notice) -> str:
    """Why, on one line; of what is over it says so. A note about an incident comes when that is over."""
    text = clip(one_line(notice.summary), 1_000)
    over = notice.kind is NoticeKind.RESOLVED or (notice.kind is NoticeKind.NOTE and notice.incident)
    return f"Was: {text}" if text and over else text


def note(notice: Notice) -> str:
    """What is unusual about this message, on one line; empty for most."""
    return clip(one_line(notice.note), 1_000)


def facts(notice: Notice) -> list[tuple[str, str]]:
    """The labelled facts in order, each on one line. "Since" comes first and is always there, but in a note that
    belongs to no incident."""
    told = [(clip(one_line(label), 60), clip(one_line(value), 1_500)) for label, value in notice.facts.items()]
    since = [fact for fact in told if fact[0] == "Since" and fact[1]]
    if not since and notice.incident:
        since = [("Since", f"{when(notice.opened_at)} ({span(notice.at - notice.opened_at)})")]
    return since + [(label, value) for label, value in told if label and value and label != "Since"]


def evidence(notice: Notice) -> list[tuple[str, str]]:
    """The pieces of evidence that say anything, by name, cleaned but not cut."""
    pieces = ((one_line(name) or "evidence", clean(text).strip("\n")) for name, text in notice.evidence.items())
    return [(clip(name[0].upper() + name[1:], 100), text) for name, text in pieces if text.strip()]


def references(notice: Notice) -> list[tuple[str, str]]:
    """Where to read on: the runbook and the trace, unless the facts say it already."""
    found = (("Runbook", one_line(notice.runbook)), ("Trace", one_line(notice.trace_id)))
    return [(label, clip(value, 1_000)) for label, value in found if value and label not in notice.facts]


def layout(notice: Notice) -> list[Line]:
    """The whole notice as lines of plain text, each with its role; labels are aligned."""
    lines = [Line(Role.HEADLINE, headline(notice))]
    if text := note(notice):
        lines.append(Line(Role.NOTE, f"  ⚠ {text}"))
    if text := summary(notice):
        lines.append(Line(Role.SUMMARY, f"  {text}"))
    labelled = facts(notice) + references(notice)
    width = min(20, max((len(label) for label, _ in labelled), default=0))
    lines += [Line(Role.FACT, f"  {label:<{width}}  {value}") for label, value in labelled]
    for name, text in evidence(notice):
        lines.append(Line(Role.EVIDENCE, f"  {name}:"))
        shown = clip_lines(text, EVIDENCE_LIMIT)
        lines += [Line(Role.EVIDENCE_LINE, f"    {line}") for line in shown.split("\n")]
    return lines


def plain_text(notice: Notice) -> str:
    """The whole notice as plain text, without a newline at its end."""
    return "\n".join(line.text for line in layout(notice))
