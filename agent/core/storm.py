"""Many services at once: when that is one incident and no more many. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from agent.core.policy import Escalation

FEW, SHARE = 10, 100  # without a number of its own: more than ten at once, or more than one in a hundred of many
FRESH = timedelta(seconds=15)  # a first miss that was neither confirmed nor taken back by then raises no doubt any more
PATIENCE = timedelta(seconds=30)  # the longest that mere doubt may hold anything
LULL = timedelta(seconds=30)  # how long few must be left before a storm is over: the others may be coming back, too


@dataclass(frozen=True, slots=True, kw_only=True)
class StormRule:
    """More than `services` that go down within `within` are a storm, which takes in others until nothing new has
    gone down for `calm`. Zero services: more than 10, or than 1 % where that is more. It is paged to `page` and
    `escalation`; where neither says anything, to all whom its members would have paged."""

    services: int = 0
    within: timedelta = timedelta(seconds=60)
    calm: timedelta = timedelta(minutes=5)
    page: tuple[str, ...] = ()
    escalation: Escalation | None = None
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of the channels in `page`

    def limit(self, watched: int) -> int:
        """How many may go down together without being a storm, of so many that are watched."""
        return self.services or max(FEW, watched // SHARE)


class Phase(StrEnum):
    """How a storm goes."""

    CLEAR = "clear"
    DOUBT = "doubt"  # so many have missed a beat that nothing is done before it is known what that is
    RAGING = "raging"  # everything that goes down belongs to it: nothing is restarted, nobody is paged one by one
    SETTLED = "settled"  # nothing new: restarts go on, its members are still paged together


@dataclass(frozen=True, slots=True)
class Sick:
    """A service that missed beats: since when; `down` once that was decided on, and then that is the time;
    `explained` where a service that it depends on is sick, too."""

    since: datetime
    down: bool
    explained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """Where a storm stands. `since` is when its phase began, `began` the time from which on what goes down is part
    of it, `few_since` since when few were left, `tired` that a doubt was given up and must pass before there is
    another one."""

    phase: Phase = Phase.CLEAR
    since: datetime | None = None
    began: datetime | None = None
    few_since: datetime | None = None
    tired: bool = False

    @property
    def on(self) -> bool:
        return self.phase in (Phase.RAGING, Phase.SETTLED)

    def takes(self, since: datetime) -> bool:
        """Whether what went down at that time is part of it."""
        if not self.on or self.began is None or since < self.began:
            return False
        return self.phase is Phase.RAGING or self.since is None or since <= self.since


def step(storm: Storm, sick: Iterable[Sick], rule: StormRule, watched: int, at: datetime) -> Storm:
    """Where it stands now. The same object when nothing has changed. Never holds anything by doubt for longer than
    `PATIENCE`. It is over `LULL` after few of its members are left, or at once when none is; those that a sick service
    upstream explains don't count, since they are that one's business."""
    ill = list(sick)
    limit = rule.limit(watched)
    fresh = [one for one in ill if not one.explained and one.since > at - rule.within]
    down = sum(one.down for one in fresh)
    if storm.on:
        storm = _goes_on(storm, ill, rule, limit, at)
        if storm.on:
            return storm
    if down > limit:
        return Storm(phase=Phase.RAGING, since=at, began=min(one.since for one in fresh))
    doubtful = down + sum(not one.down and one.since > at - FRESH for one in fresh)
    if doubtful <= limit:
        return storm if storm == Storm() else Storm()
    if storm.tired:
        return storm
    if storm.phase is Phase.CLEAR:
        return Storm(phase=Phase.DOUBT, since=at)
    if storm.since is not None and at - storm.since > PATIENCE:
        return Storm(tired=True)
    return storm


def _goes_on(storm: Storm, ill: Sequence[Sick], rule: StormRule, limit: int, at: datetime) -> Storm:
    members = [one.since for one in ill if one.down and not one.explained and storm.takes(one.since)]
    if not members:
        return Storm()
    if len(members) > limit:
        few_since = None
    else:
        few_since = storm.few_since or at
        if at - few_since >= LULL:
            return Storm()
    storm = storm if few_since == storm.few_since else replace(storm, few_since=few_since)
    if storm.phase is Phase.RAGING:
        quiet = at - max(*members, storm.since or at) >= rule.calm
        return replace(storm, phase=Phase.SETTLED, since=at) if quiet else storm
    settled = storm.since or at
    new = sum(not one.explained and one.down and one.since > max(settled, at - rule.within) for one in ill)
    return replace(storm, phase=Phase.RAGING, since=at) if new > limit else storm


def resumed(at: datetime, rule: StormRule, began: datetime | None = None) -> Storm:
    """The storm that was recognised then, as an agent that was restarted goes on with it."""
    return Storm(phase=Phase.RAGING, since=at, began=began or at - rule.within)
