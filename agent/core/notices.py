"""What a message says, decided and frozen at the moment when it is asked for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from agent.core import drills, flapping
from agent.core.budget import in_words
from agent.core.commands import Notice, NoticeKind, Outcome
from agent.core.contact import Contact
from agent.core.draft import Draft
from agent.core.escalation import next_step
from agent.core.events import EventKind
from agent.core.few import NO_TEXT
from agent.core.policy import Mode
from agent.core.result import HEARTBEAT
from agent.core.state import Asked, Incident, Stage, Tried

UNDELIVERED = "The page that opened this incident never arrived here."
FIRING = "firing"  # the reason of an alert of somebody else's, which need not mean that anything is down
NAMED = 8  # services downstream that a page names
AT_IT = (Stage.RESTARTING, Stage.VERIFYING)
_OUTCOMES: Mapping[Outcome | None, str] = MappingProxyType(
    {
        None: "still running",
        Outcome.DONE: "done",
        Outcome.FAILED: "failed",
        Outcome.TIMEOUT: "timed out",
        Outcome.INTERRUPTED: "cut off by a restart of the agent",
        Outcome.EXPIRED: "never started",
        Outcome.REFUSED: "refused",
        Outcome.LATER: "not now",
    }
)


def page(draft: Draft, contacts: Iterable[Contact], *, instead_of: str = "", note: str = "") -> None:
    """Ask these to page, each once per incident. Each page names all of them."""
    known = {asked.channel for asked in draft.incident.asked}
    new = [contact for name, contact in {contact.name: contact for contact in contacts}.items() if name not in known]
    opened, first = NoticeKind.OPENED, draft.incident.notices + 1
    debts = tuple(
        Asked(
            channel=contact.name,
            key=_key(draft.incident, contact, opened, number),
            at=draft.at,
            instead_of=instead_of,
            to=contact.to,
            person=contact.person,
        )
        for number, contact in enumerate(new, first)
    )
    draft.change_incident(asked=(*draft.incident.asked, *debts))
    via = f" instead of {instead_of}" if instead_of else ""
    for contact in new:
        key = _notify(draft, contact, opened, f"{draft.state.service} {_what(draft.incident)}", note=note)
        instead = {"instead_of": instead_of} if instead_of else {}
        draft.say(EventKind.PAGED, f"asked {contact.name} to page{via}", channel=contact.name, key=key, **instead)


def _what(incident: Incident) -> str:
    if incident.flapping:
        return "is flapping"
    if incident.reason == FIRING:
        return "is firing"
    return "cannot tell whether it is well" if incident.reason == "unknown" else "is down"


def remind(
    draft: Draft, only: Collection[str] | None = None, *, title: str = "", evidence: Mapping[str, str] = NO_TEXT
) -> None:
    """Say again, to every channel that was asked (or `only` to these), that it is not over, or what `title` says."""
    incident = draft.incident
    ill = "firing" if incident.reason == FIRING else "down"
    state = "is still flapping" if incident.flapping else f"is still {ill}"
    title = title or f"{draft.state.service} {state} ({in_words(draft.at - incident.first_miss_at)})"
    for asked in incident.asked:
        if only is not None and asked.channel not in only:
            continue
        key = _notify(draft, asked.contact, NoticeKind.REMINDER, title, evidence=evidence)
        changed = tuple(replace(a, reminder=key) if a.key == asked.key else a for a in draft.incident.asked)
        draft.change_incident(asked=changed)
        draft.say(EventKind.REMINDED, f"reminded {asked.channel}", channel=asked.channel, key=key)


def update(
    draft: Draft,
    title: str,
    evidence: Mapping[str, str] = NO_TEXT,
    *,
    note: str = "",
    only: Collection[str] | None = None,
    calls: tuple[str, ...] = (),
) -> None:
    """Tell the channels that were asked (or `only` these) what has changed, with what proves it now; nobody is woken
    by it but whom it `calls`."""
    for asked in draft.incident.asked:
        if only is None or asked.channel in only:
            _notify(draft, asked.contact, NoticeKind.UPDATE, title, note=note, evidence=evidence, calls=calls)


def close(draft: Draft, how: str, evidence: Mapping[str, str] = NO_TEXT) -> None:
    """Exactly one closing message to every channel that was asked; what has not left yet is taken back."""
    for asked in draft.incident.asked:
        if asked.reminder:
            draft.cancelled.append(asked.reminder)
        if not asked.delivered:
            draft.cancelled.append(asked.key)
        note = "" if asked.delivered else UNDELIVERED
        _notify(draft, asked.contact, NoticeKind.RESOLVED, f"{draft.state.service} {how}", note=note, evidence=evidence)


def note(draft: Draft, title: str) -> None:
    """A line for the quiet channels, about the open incident."""
    for channel in draft.policy.notify:
        _notify(draft, Contact(channel=channel), NoticeKind.NOTE, title)


def warning(draft: Draft, check: str, summary: str) -> None:
    """A line for the quiet channels about a warning, which is no incident."""
    service = draft.state.service
    for channel in draft.policy.notify:
        draft.commands.append(
            Notice(
                key=f"{service}/{check}/warning/{_stamp(draft.at)}/{channel}",
                incident="",
                service=service,
                channel=channel,
                kind=NoticeKind.NOTE,
                title=f"{service}: warning",
                summary=f"{check}: {summary}",
                at=draft.at,
                opened_at=draft.at,
                facts={"Agent": draft.context.agent} if draft.context.agent else {},
                runbook=draft.policy.runbook,
            )
        )


def incident_id(service: str, at: datetime) -> str:
    """Unique per service and millisecond, readable in a log."""
    return f"{service}-{_stamp(at)}"


def _notify(
    draft: Draft,
    contact: Contact,
    kind: NoticeKind,
    title: str,
    *,
    note: str = "",
    evidence: Mapping[str, str] = NO_TEXT,
    calls: tuple[str, ...] = (),
) -> str:
    incident = draft.incident
    if kind in (NoticeKind.OPENED, NoticeKind.REMINDER):
        calls = _people(incident)
    number = incident.notices + 1
    key = _key(incident, contact, kind, number)
    drill = draft.policy.drill
    draft.commands.append(
        Notice(
            key=key,
            incident=incident.id,
            service=incident.service,
            channel=contact.name,
            to=contact.to,
            person=contact.person,
            kind=kind,
            title=drills.titled(drill, kind, title) if drill else title,
            summary=_summary(draft, incident),
            at=draft.at,
            opened_at=incident.opened_at,
            facts=_facts(draft, incident, over=kind is NoticeKind.RESOLVED),
            evidence=_proof(incident) if kind is NoticeKind.OPENED else evidence,
            note=note,
            runbook=draft.policy.runbook,
            trace_id=incident.trace_id,
            offers=_offers(draft, incident, kind),
            severity=draft.policy.severity,
            labels=draft.policy.labels,
            calls=calls,
            drill=drill is not None,
        )
    )
    draft.change_incident(notices=number)
    return key


def _proof(incident: Incident) -> Mapping[str, str]:
    """The evidence but for what is said as a fact."""
    return {name: text for name, text in incident.evidence.items() if name != HEARTBEAT}


def _key(incident: Incident, contact: Contact, kind: NoticeKind, number: int) -> str:
    return f"{incident.id}/{contact.name}/{kind}/{number}"


def _offers(draft: Draft, incident: Incident, kind: NoticeKind) -> tuple[str, ...]:
    """What whoever reads it may do about it."""
    if draft.policy.drill is not None:
        return drills.offers(draft.policy.drill, incident.id, kind)
    if kind in (NoticeKind.RESOLVED, NoticeKind.NOTE):
        return ()
    restart = draft.policy.restart
    can_restart = restart is not None and restart.mode is not Mode.OFF and incident.stage not in AT_IT
    offers = {
        "ack": incident.ack is None,
        f"approve:{incident.approval.key if incident.approval else ''}": incident.approval is not None,
        "restart": can_restart and incident.approval is None,
        "silence": not incident.quiet,
    }
    return tuple(name for name, offered in offers.items() if offered)


def _summary(draft: Draft, incident: Incident) -> str:
    """What fails now, in the words of the checks; what failed first where nothing fails any more."""
    known = draft.state.checks
    now = [f"{name}: {known[name].summary}" for name in incident.failing if name in known]
    return "; ".join(now) or f"{incident.check}: {incident.summary}"


def _facts(draft: Draft, incident: Incident, *, over: bool) -> dict[str, str]:
    span = in_words(draft.at - incident.first_miss_at)
    facts = {
        "Failing": ", ".join(incident.failing) or "nothing any more",
        "Since": f"{incident.first_miss_at:%Y-%m-%d %H:%M:%S} UTC ({span})",
        "Tried": "; ".join(map(_tried, incident.tried)) or "nothing",
    }
    if draft.policy.drill is not None:
        facts = {"Drill": drills.ABOUT, "Since": facts["Since"]}
    refused = draft.policy.restart is None and draft.policy.drill is None
    if refused and not incident.tried:
        facts["Tried"] = "nothing: no restart is configured"
    if incident.ack is not None:
        until = f" until {incident.ack.until:%H:%M} UTC" if incident.ack.until else ""
        facts["Acknowledged"] = f"{incident.ack.by} at {incident.ack.at:%H:%M} UTC{until}"
    if people := _people(incident):
        facts["Paged"] = ", ".join(people)
    if not over and (following := next_step(draft)):
        facts["Next step"] = following
    if incident.quiet:
        facts["Quiet"] = incident.quiet
    if incident.flapping:
        facts["Flapping"] = flapping.in_words(draft)
    if incident.failing and incident.check not in incident.failing:
        facts["Began as"] = f"{incident.check}: {incident.summary}"
    facts |= _neighbours(draft, over=over)
    if draft.context.agent:
        facts["Agent"] = draft.context.agent
    if draft.context.trace_link and incident.trace_id:
        facts["Trace"] = draft.context.trace_link.replace("{trace_id}", incident.trace_id)
    strip = {} if over or HEARTBEAT not in incident.evidence else {HEARTBEAT: incident.evidence[HEARTBEAT]}
    return {**facts, **strip, **draft.policy.links}


def _neighbours(draft: Draft, *, over: bool) -> dict[str, str]:
    """What it may come from, and who else is without it."""
    facts = {}
    if sick := [name for name, parent in draft.context.parents.items() if parent.health == "down"]:
        facts["Down upstream"] = ", ".join(sick)
    if (waiting := draft.context.dependants) and not over:
        more = f" and {len(waiting) - NAMED} more" if len(waiting) > NAMED else ""
        facts["Needed by"] = f"{', '.join(waiting[:NAMED])}{more}"
    return facts


def _people(incident: Incident) -> tuple[str, ...]:
    return tuple(sorted({asked.person for asked in incident.asked if asked.person}))


def _tried(tried: Tried) -> str:
    detail = f" ({tried.detail})" if tried.detail else ""
    return f"{tried.at:%H:%M:%S} restart by {tried.action}: {_OUTCOMES[tried.outcome]}{detail}"


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"
