"""An incident from its opening to its close, and the evidence that it has."""

from collections.abc import Mapping

from agent.core import breaker, budget, flapping, notices
from agent.core.draft import Draft
from agent.core.events import EventKind, Observed
from agent.core.few import NO_TEXT
from agent.core.result import HEARTBEAT
from agent.core.state import CheckState, Incident, Stage


def open_incident(draft: Draft, check: str, state: CheckState, event: Observed | None) -> None:
    """That check is down by this run; without one, nobody could tell for too long."""
    result = event.result if event else None
    first_miss_at = state.first_miss_at or state.since or draft.at
    incident = Incident(
        id=notices.incident_id(draft.state.service, draft.at),
        service=draft.state.service,
        opened_at=draft.at,
        first_miss_at=first_miss_at,
        check=check,
        reason=state.reason if event else "unknown",
        summary=state.summary,
        stage=Stage.WATCHING,
        failing=(check,),
        evidence=evidence_of(event),
        trace_id=result.trace_id if result else state.trace_id,
    )
    draft.change(incident=incident)
    draft.say(
        EventKind.OPENED,
        f"incident opened: {check}: {state.summary}",
        check=check,
        reason=incident.reason,
        seconds=f"{(draft.at - first_miss_at).total_seconds():.3f}",
    )
    flapping.opened(draft)


def evidence_of(event: Observed | None) -> dict[str, str]:
    """What a run brought along, and how its time was spent."""
    if event is None:
        return {}
    spent = ((name, seconds * 1000) for name, seconds in event.result.phases.items())
    phases = ", ".join(f"{name} {took:.1f} ms" for name, took in spent if took >= 0.05)
    timing = {"Phases": phases} if phases else {}
    return {**event.result.evidence, **event.evidence, **timing}


def joint_evidence(before: Mapping[str, str], event: Observed) -> dict[str, str]:
    """With that of a further check, but for what is there already: both have the same logs and processes behind them.
    The strip shows every check, so the newest one counts."""
    now = evidence_of(event)
    news = {name: text for name, text in now.items() if name != HEARTBEAT and before.get(name) != text}
    strip = {HEARTBEAT: now[HEARTBEAT]} if HEARTBEAT in now else {}
    return {**before, **strip, **{f"{name} ({event.check})": text for name, text in news.items()}}


def close_incident(draft: Draft, how: str, evidence: Mapping[str, str] = NO_TEXT) -> None:
    """End the incident. Whoever was asked is told once; where nobody was, a restart that healed is noted quietly."""
    incident = draft.incident
    span = budget.in_words(draft.at - incident.first_miss_at)
    draft.cancelled.extend(tried.key for tried in incident.tried if tried.outcome is None)
    if incident.asked:
        notices.close(draft, f"{how} after {span}", evidence)
    elif incident.tried:
        notices.note(draft, f"{draft.state.service} healed itself: {how} after {span}")
    healed = "" if incident.asked or not incident.tried else ", nobody was woken"
    draft.say(
        EventKind.CLOSED,
        f"incident closed: {how} after {span}{healed}",
        reason=incident.reason,
        seconds=f"{(draft.at - incident.opened_at).total_seconds():.3f}",
        healed=str(bool(incident.tried and not incident.asked)).lower(),
    )
    draft.change(incident=None, record=breaker.learned(draft))
