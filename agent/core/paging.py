"""Whom to ask, step by step, and what stops the asking: an acknowledgement for a while, a quiet time altogether."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from agent.core import budget, notices
from agent.core.contact import Contact
from agent.core.draft import Draft
from agent.core.escalation import goes_on, reached, whom_it_names
from agent.core.events import Acknowledged, EventKind, Quiet
from agent.core.policy import Escalation
from agent.core.state import Acknowledgement, Asked, Stage

NOBODY = timedelta(minutes=1)  # how soon an escalation that reached nobody is begun again
ACK_FOR = timedelta(hours=1)  # where no escalation policy says how long an acknowledgement holds


def page(draft: Draft, note: str = "") -> None:
    """People are needed: ask them, unless it is quiet now. Asks nobody twice: who was asked before hears the note."""
    if not draft.policy.pages:
        if draft.incident.stage is not Stage.WATCHING:
            draft.change_incident(stage=Stage.WATCHING, until=None)
        return
    if draft.context.quiet is not None:
        hold(draft, draft.context.quiet)
        return
    remind_at = draft.at + draft.policy.remind if draft.policy.remind else None
    draft.change_incident(stage=Stage.PAGED, until=None, remind_at=remind_at, held_by=(), quiet="")
    if note and draft.incident.asked:
        notices.update(draft, f"{draft.state.service}: {note}")
    ask(draft, note)


def ask(draft: Draft, note: str = "") -> None:
    """The first step of the policy's escalation, and its channels, whose page says whom that step asks."""
    if draft.policy.escalation is not None and not draft.incident.step:
        _take_step(draft, draft.policy.escalation, note)
    notices.page(draft, [Contact(channel=name) for name in draft.policy.page], note=note)


def ask_new(draft: Draft) -> None:
    """The policy has changed while people are being asked: channels that it names now, and did not before, are
    asked."""
    notices.page(draft, [Contact(channel=name) for name in draft.policy.page])


def again(draft: Draft, title: str, evidence: Mapping[str, str]) -> None:
    """It is more than what people were asked about: the channels hear it, and whoever is to be asked now, from the
    first step on, even if somebody had taken it on."""
    draft.change_incident(ack=None)
    told = {asked.key: asked.reminder for asked in draft.incident.asked}
    if draft.policy.escalation is not None:
        draft.change_incident(step=0, round=0)
        _take_step(draft, draft.policy.escalation, title=title)
    unchanged = (asked for asked in draft.incident.asked if told.get(asked.key) == asked.reminder)
    notices.remind(draft, {asked.channel for asked in unchanged if not asked.person}, title=title, evidence=evidence)


def hold(draft: Draft, quiet: Quiet) -> None:
    """Ask nobody while it is quiet; at the end of it the incident is looked at again."""
    news = quiet.why != draft.incident.quiet
    stage = Stage.PAGED if draft.incident.stage is Stage.PAGED else Stage.QUIET
    draft.change_incident(stage=stage, until=quiet.until, quiet=quiet.why, held_by=())
    if news:
        draft.say(EventKind.QUIETED, f"nobody is asked: {quiet.why}")
        if draft.incident.asked:
            notices.update(draft, f"{draft.state.service}: {quiet.why}")


def acknowledged(draft: Draft, event: Acknowledged) -> None:
    """Somebody took it on: nobody else is asked until that expires. For another incident it changes nothing."""
    incident = draft.state.incident
    if incident is None or (event.incident and event.incident != incident.id):
        draft.say(EventKind.NOTED, f"{event.by} acknowledged an incident that is over", by=event.by)
        return
    escalation = draft.policy.escalation
    span = escalation.ack_for if escalation else ACK_FOR
    until = event.until or (draft.at + span if span else None)
    when = f"until {until:%H:%M} UTC" if until else "until it is over"
    draft.change_incident(ack=Acknowledgement(by=event.by, at=draft.at, until=until))
    seconds = f"{(draft.at - incident.opened_at).total_seconds():.3f}"
    draft.say(EventKind.ACKNOWLEDGED, f"{event.by} has acknowledged it {when}", by=event.by, seconds=seconds)
    notices.update(draft, f"{draft.state.service}: {event.by} has taken it on {when}")


def due(draft: Draft) -> None:
    """Time has passed for an incident that people are asked about: what is due of all that waits for time."""
    _deadlines(draft)
    if draft.incident.stage not in (Stage.PAGED, Stage.ASKING):
        return
    if draft.context.quiet is not None:
        if draft.incident.stage is Stage.PAGED:
            hold(draft, draft.context.quiet)
        return
    if draft.incident.quiet:
        draft.change_incident(quiet="", until=None)
    _acknowledgement_expires(draft)
    held = draft.incident.ack is not None
    _remind(draft, held=held)
    escalate_at, escalation = draft.incident.escalate_at, draft.policy.escalation
    if escalation is not None and escalate_at is not None and draft.at >= escalate_at and not held:
        _take_step(draft, escalation)


def escape(draft: Draft, key: str, reason: str) -> None:
    """A page did not reach its channel: ask the fallback, once, and say why. Somebody who has another address on the
    fallback is asked there; where there is no fallback, the next step of the escalation comes at once."""
    asked = next(a for a in draft.incident.asked if a.key == key)
    contacts = list(_instead(draft, asked))
    _change_asked(draft, replace(asked, escaped=True))
    names = ", ".join(contact.name for contact in contacts)
    if names:
        where = f"; asking {names} instead"
    elif draft.incident.escalate_at is not None:
        where = "; going on to the next step at once"
        draft.change_incident(escalate_at=draft.at)
    else:
        where = "; there is no fallback"
    draft.say(EventKind.UNDELIVERED, f"{asked.channel}: {reason}{where}", channel=asked.channel, reason=reason)
    notices.page(draft, contacts, instead_of=asked.channel, note=f"{asked.channel} has not got this page: {reason}")


def _instead(draft: Draft, asked: Asked) -> Iterable[Contact]:
    addresses = draft.context.contacts.get(asked.person, {})
    for channel in draft.policy.fallback.get(asked.contact.channel, ()):
        if channel in addresses:
            yield Contact(channel=channel, to=addresses[channel], person=asked.person)
        else:
            yield Contact(channel=channel)


def _change_asked(draft: Draft, changed: Asked) -> None:
    draft.change_incident(asked=tuple(changed if a.key == changed.key else a for a in draft.incident.asked))


def _deadlines(draft: Draft) -> None:
    limit = draft.policy.page_deadline
    for asked in draft.incident.asked:
        if limit and draft.at >= asked.at + limit and not asked.delivered and not asked.escaped:
            escape(draft, asked.key, f"not taken within {budget.in_words(limit)}")


def _acknowledgement_expires(draft: Draft) -> None:
    """Whoever took it on may have fallen asleep: everybody who was asked hears again, and the clock goes on."""
    ack, escalation = draft.incident.ack, draft.policy.escalation
    if ack is None or ack.until is None or draft.at < ack.until:
        return
    draft.change_incident(ack=None)
    draft.say(EventKind.ACK_EXPIRED, f"the acknowledgement by {ack.by} has expired", by=ack.by)
    if draft.incident.remind_at is not None:
        draft.change_incident(remind_at=draft.at)
    if escalation is not None and not draft.incident.step:
        draft.change_incident(escalate_at=draft.at)  # it was acknowledged before anybody was asked
    elif escalation is not None and draft.incident.escalate_at is not None:
        last = escalation.steps[min(draft.incident.step, len(escalation.steps)) - 1]
        draft.change_incident(escalate_at=draft.at + last.wait)


def _remind(draft: Draft, *, held: bool) -> None:
    remind_at = draft.incident.remind_at
    if remind_at is None or draft.at < remind_at:
        return
    draft.change_incident(remind_at=draft.at + draft.policy.remind if draft.policy.remind else None)
    if not held:
        notices.remind(draft)


def _take_step(draft: Draft, escalation: Escalation, note: str = "", *, title: str = "") -> None:
    """Ask whom the next step names. One that reaches nobody goes on to the next at once; where all of them do, that is
    said, and it begins again soon: somebody may come on call."""
    if draft.incident.ack is not None:
        return
    for _ in range(2 * len(escalation.steps)):
        number = draft.incident.step
        if number >= len(escalation.steps):
            if draft.incident.round >= escalation.repeat:
                break
            draft.change_incident(step=0, round=draft.incident.round + 1)
            continue
        step = escalation.steps[number]
        contacts = reached(draft, step)
        draft.change_incident(step=number + 1)
        whom = whom_it_names(step)
        if not contacts:
            draft.say(EventKind.ESCALATED, f"step {number + 1} ({whom}) reaches nobody: going on at once")
            continue
        draft.change_incident(escalate_at=draft.at + step.wait if goes_on(draft, escalation) else None)
        said = f"nobody has acknowledged it: step {number + 1} ({whom})"
        known = {asked.channel: asked for asked in draft.incident.asked if asked.at != draft.at}
        names = {contact.name for contact in contacts}
        notices.page(draft, contacts, note=note)
        notices.remind(draft, names & known.keys(), title=title)
        if number or draft.incident.round:
            draft.say(EventKind.ESCALATED, said, step=str(number + 1))
            places = {name for name, asked in known.items() if not asked.person} - names
            calls = tuple(dict.fromkeys(contact.person for contact in contacts if contact.person))
            notices.update(draft, f"{draft.state.service}: {said}", only=places, calls=calls)
        if step.wait:
            return
    if not draft.incident.asked:
        draft.say(EventKind.UNDELIVERED, f"nobody could be asked: no step of {escalation.name} reaches anybody now")
        draft.change_incident(step=0, round=0, escalate_at=draft.at + NOBODY)
    else:
        draft.change_incident(escalate_at=draft.at + NOBODY if goes_on(draft, escalation) else None)
