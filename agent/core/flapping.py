"""A service that goes down again and again: one incident that stays open until it has been well for a while."""

from datetime import datetime, timedelta

from agent.core import budget
from agent.core.draft import Draft
from agent.core.events import EventKind

MOST = 100  # openings remembered


def opened(draft: Draft) -> None:
    """It went down, by a new incident or within one that flaps."""
    policy = draft.policy.flapping
    if policy is None:
        return
    openings = (*(at for at in draft.state.openings if draft.at - at < policy.per), draft.at)[-MOST:]
    closings = tuple(at for at in draft.state.closings if draft.at - at < policy.per)
    draft.change(openings=openings, closings=closings)
    draft.change_incident(calm_at=None)
    if len(openings) >= policy.at_most and not draft.incident.flapping:
        draft.change_incident(flapping=True)
        draft.say(EventKind.FLAPPING, f"flapping: {in_words(draft)}")


def calms_down(draft: Draft) -> bool:
    """It is up again. True where its incident stays open for now, because it may be down again in a minute."""
    policy = draft.policy.flapping
    if policy is None:
        return False
    draft.change(closings=(*draft.state.closings, draft.at)[-MOST:])
    if not draft.incident.flapping:
        return False
    draft.change_incident(calm_at=draft.at + policy.calm)
    return True


def in_words(draft: Draft) -> str:
    """How often it went down, and for which part of the time, as far as is remembered."""
    policy = draft.policy.flapping
    if policy is None or not draft.state.openings:
        return "it goes up and down"
    openings = draft.state.openings
    down = _down_for(openings, draft.state.closings, draft.at)
    span = draft.at - openings[0]
    share = f", down {down / span:.0%} of that time" if span else ""
    return f"went down {len(openings)} times in {budget.in_words(span)}{share}"


def _down_for(openings: tuple[datetime, ...], closings: tuple[datetime, ...], now: datetime) -> timedelta:
    """Each opening lasts until the next closing, or until now."""
    ends = (min((end for end in closings if end >= start), default=now) for start in openings)
    return sum((end - start for start, end in zip(openings, ends, strict=True)), timedelta(0))
