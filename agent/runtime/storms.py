"""Many services at once, seen in the live table: what goes down in a storm is held, and told in one incident."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import structlog

from agent.core.draft import shifted
from agent.core.events import Noted, Parent, Quiet
from agent.core.likely_root import Root, likely_root
from agent.core.place import Place
from agent.core.policy import Escalation, EscalationStep, Policy
from agent.core.state import Health, ServiceState
from agent.core.storm import Phase, Sick, Storm, StormRule, resumed, step
from agent.core.tree import tree
from agent.ports import ServiceRow
from agent.runtime.alert_words import KIND as ALERT
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.places import in_words, news, place
from agent.runtime.probe import Watched
from agent.runtime.signals import Signals

log = structlog.get_logger()

KIND = "storm"
NAME = "storm:services"
ALERTS = f"{ALERT}:"  # services without probes that may be part of one
TELL_EVERY = timedelta(seconds=10)
FIRST_LOOK = timedelta(
    seconds=3
)  # between the moment in which it is a storm and its page, which can tell far more then
CHEAP = 500  # sick services that may be counted afresh at every decision
AT_MOST_EVERY = 0.1  # seconds between two counts of more than that
SIZED_EVERY = 1.0  # seconds between two counts of all services, sick or not

_ILL = (Health.DOWN, Health.SUSPECT)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class Storms:
    """Watches how many services are sick. In a storm each sees it as a sick parent, which holds restarts and pages by
    the rules that hold for any parent; when it is over, whatever is still down is looked at afresh and then dealt
    with.

    Nothing of it is stored but the incident of "storm:services": all else is in the services' own states, where an
    agent that was restarted finds it. The agent's own trouble (a service with the `agent` check) is never held.
    """

    def __init__(self, engine: Engine, clock: Clock, signals: Signals, rule: StormRule | None) -> None:
        self.rule = rule
        self._engine = engine
        self._clock = clock
        self._signals = signals
        self._storm = Storm()
        self._over_at: datetime | None = None  # since when it holds nothing any more
        self._sick: dict[str, Watched] = {}  # by when it became so
        self._told: Mapping[str, str] = {}  # who was down by the last message
        self._told_at: datetime | None = None
        self._counted_at = self._sized_at = float("-inf")
        self._ordinary = 0  # services that can be part of a storm
        self._news = False
        signals.own(KIND, lambda _: self._policy())

    # ------------------------------------------------------------------------------------------ what the engine asks

    def turned(self, watched: Watched) -> None:
        """The health of a service, or whether it has an open incident, has changed."""
        name = watched.row.name
        was_sick = self._sick.pop(name, None) is not None
        if _ill(watched.row.state) and _ordinary(watched):
            self._sick[name] = watched
        self._news = self._news or was_sick or name in self._sick

    def parents(self, watched: Watched) -> Mapping[str, Parent]:
        """What a decision about that service sees of the storm: a parent that is down while it rages, suspect while so
        many services missed a beat that it may be one, and well again after it."""
        if self.rule is None or not _ordinary(watched):
            return {}
        self._count()
        storm = self._storm
        if storm.phase is Phase.RAGING:
            return {NAME: Parent(health=Health.DOWN, since=storm.since)}
        if storm.phase is Phase.DOUBT:
            return {NAME: Parent(health=Health.SUSPECT, since=storm.since)}
        return {NAME: Parent(health=Health.UP, since=self._over_at)} if self._over_at else {}

    def quiet(self, row: ServiceRow, _policy: Policy, _at: datetime) -> Quiet | None:
        """Why a service is not paged by itself: it is part of a storm that is still being paged. One that people were
        asked about before goes on by itself."""
        incident = row.state.incident
        if self._storm.phase is not Phase.SETTLED or incident is None or incident.asked:
            return None
        member = row.name in self._sick and self._storm.takes(incident.opened_at)
        return Quiet(why=f"it is part of a storm, which is paged as {NAME}") if member else None

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._storm = shifted(self._storm, by)
        self._over_at, self._told_at = shifted(self._over_at, by), shifted(self._told_at, by)

    # ------------------------------------------------------------------------------------------ its life

    def restore(self) -> None:
        """Boot, after the services and the signals were put under watch: a storm that was on goes on."""
        ill = [watched for watched in self._engine.table.values() if _ordinary(watched) and _ill(watched.row.state)]
        self._sick = {watched.row.name: watched for watched in sorted(ill, key=_since)}
        stored = self._engine.table.get(NAME)
        incident = stored.row.state.incident if stored else None
        if self.rule is not None and incident is not None:
            self._storm = resumed(incident.opened_at, self.rule)
            self._told, self._told_at = self._down(self._storm), self._clock.now()
            log.warning("storm_goes_on", incident=incident.id)
        elif incident is not None:
            self._signals.clear(NAME)
        elif self.rule is not None and len(held := self._held_by_it()) > self.rule.limit(self._size()):
            self._storm = resumed(
                self._clock.now(), self.rule, began=min(map(_since, held))
            )  # killed before it was paged
        self._count(now=True)

    def _held_by_it(self) -> list[Watched]:
        open_ones = ((watched, watched.row.state.incident) for watched in self._sick.values())
        return [watched for watched, incident in open_ones if incident is not None and NAME in incident.held_by]

    def use(self, rule: StormRule | None) -> None:
        """Another rule from now on; without one a storm that is on is over."""
        self.rule = rule
        if rule is None and self._storm.phase is not Phase.CLEAR:
            before, self._storm = self._storm, Storm()
            self._over_at = self._clock.now()
            if before.on:
                self._close(before)

    def look(self) -> None:
        """Every second: what time alone changes, and the message."""
        for name in [name for name in self._sick if name not in self._engine.table]:
            del self._sick[name]
        if self.rule is not None:
            self._count(now=True)
            self._tell()

    def _count(self, *, now: bool = False) -> None:
        rule = self.rule
        if rule is None or not (now or self._worth_it()) or (not self._sick and self._storm == Storm()):
            return
        self._news, self._counted_at = False, self._clock.monotonic()
        before, at = self._storm, self._clock.now()
        self._storm = step(before, self._recent(rule, at), rule, self._size(), at)
        if self._storm.phase is not before.phase:
            self._changed(before, at)

    def _worth_it(self) -> bool:
        if not self._news or self._storm.on:
            return False
        return len(self._sick) <= CHEAP or self._clock.monotonic() - self._counted_at >= AT_MOST_EVERY

    def _recent(self, rule: StormRule, at: datetime) -> list[Sick]:
        """The sick that may matter, newest first: of those from long before the storm none does."""
        horizon = self._storm.began if self._storm.on and self._storm.began else at - rule.within
        found = []
        for watched in reversed(self._sick.values()):
            since, down = _since(watched), watched.row.state.incident is not None
            if since < horizon:
                break
            found.append(Sick(since, down, self._explained(watched)))
        return found

    def _changed(self, before: Storm, at: datetime) -> None:
        after = self._storm.phase
        log.warning("storm", phase=after.value, was=before.phase.value, sick=len(self._sick))
        if before.on and not self._storm.on:
            self._close(before)
        elif before.on:
            self._tell(force=True)
        if before.phase in (Phase.RAGING, Phase.DOUBT) and after not in (Phase.RAGING, Phase.DOUBT):
            self._over_at = at
        if after is not Phase.RAGING:
            self._engine.review()  # what was held is looked at afresh

    # ------------------------------------------------------------------------------------------ what is told

    def _open(self, at: datetime) -> None:
        down = self._down(self._storm)
        places = self._places()
        root = likely_root(places, down)
        self._told, self._told_at = down, at
        within = f"{self.rule.within.total_seconds():g} s" if self.rule else ""
        summary = f"{len(down)} of {self._size()} services went down within {within}{in_words(root)}"
        self._signals.ensure(NAME, self._policy())
        self._signals.fail(NAME, summary, _evidence(places, down, root))

    def _tell(self, *, force: bool = False) -> None:
        """What has changed since the last message, at most every ten seconds."""
        storm, at = self._storm, self._clock.now()
        if storm.on and self._told_at is None:
            if storm.since is None or at - storm.since >= FIRST_LOOK:
                self._open(at)
            return
        due = self._told_at is None or at - self._told_at >= TELL_EVERY
        if not storm.on or not (due or force):
            return
        down = self._down(storm)
        if down.keys() == self._told.keys() and not force:
            return
        places = self._places()
        root = likely_root(places, down)
        text = f"{len(down)} down now{in_words(root)}{news(self._told, down)}"
        if force:
            again = storm.phase is Phase.RAGING
            text += "; more go down again: restarts are held" if again else "; nothing new: restarts go on"
        self._told, self._told_at = down, at
        self._signals.ensure(NAME, self._policy())
        self._note(text, _evidence(places, down, root))

    def _close(self, storm: Storm) -> None:
        down, told = self._down(storm), self._told_at
        self._told, self._told_at = {}, None
        if told is not None:
            left = {"Still down, and now dealt with one by one": tree(self._places(), down)} if down else {}
            self._signals.clear(NAME, "over", left)

    def _note(self, text: str, evidence: Mapping[str, str] | None = None) -> None:
        self._engine.tell(NAME, Noted(at=self._clock.now(), text=text, tell=True, evidence=evidence or {}))

    def _policy(self) -> Policy:
        """To whom it is paged: as config says, or to all whom its members would have paged."""
        rule = self.rule or StormRule()
        known = self._engine.table.get(NAME)
        members = [watched.policy for watched in self._sick.values()]
        pages = (*(known.policy.page if known else ()), *(name for policy in members for name in policy.page))
        escalations = [policy.escalation for policy in members if policy.escalation is not None]
        if known is not None and known.policy.escalation is not None:
            escalations.insert(0, known.policy.escalation)
        own = bool(rule.page or rule.escalation)
        fallback = {name: others for policy in members for name, others in policy.fallback.items()}
        if known is not None:
            fallback = {**known.policy.fallback, **fallback}
        return Policy(
            service=NAME,
            page=rule.page if own else tuple(dict.fromkeys(pages)),
            escalation=rule.escalation if own else merged(escalations),
            fallback={**fallback, **rule.fallback},
        )

    # ------------------------------------------------------------------------------------------ the table

    def _size(self) -> int:
        """Of many thousands it is too much to count them at every decision."""
        now = self._clock.monotonic()
        if now - self._sized_at >= SIZED_EVERY:
            self._ordinary, self._sized_at = sum(map(_ordinary, self._engine.table.values())), now
        return self._ordinary

    def _explained(self, watched: Watched) -> bool:
        """Whether something that it depends on is sick, or is being looked at because of it."""
        parents = (self._engine.table.get(name) for name in watched.upstream)
        return any(p is not None and (p.row.state.health in _ILL or bool(p.being_looked_at)) for p in parents)

    def _down(self, storm: Storm) -> dict[str, str]:
        """The storm's members, with what each says."""
        found = ((name, watched.row.state.incident) for name, watched in self._sick.items())
        return {name: i.summary for name, i in found if i is not None and storm.takes(i.opened_at)}

    def _places(self) -> dict[str, Place]:
        return {name: place(watched) for name, watched in self._engine.table.items() if _ordinary(watched)}


def merged(escalations: list[Escalation]) -> Escalation | None:
    """One escalation that asks, step by step, everybody whom any of these would ask, as soon as the quickest would."""
    different = list(dict.fromkeys(escalations))
    if len(different) < 2:
        return different[0] if different else None
    steps = []
    for number in range(max(len(each.steps) for each in different)):
        here = [each.steps[number] for each in different if number < len(each.steps)]
        notify = dict.fromkeys(target for one in here for target in one.notify)
        steps.append(EscalationStep(notify=tuple(notify), wait=min(one.wait for one in here)))
    first = different[0]
    repeat = max(each.repeat for each in different)
    return Escalation(name=first.name, steps=tuple(steps), repeat=repeat, ack_for=first.ack_for)


def _ordinary(watched: Watched) -> bool:
    """A service with probes of its own or an alert of somebody else's, and not the agent's trouble with itself, which
    must get out whatever happens."""
    if not watched.probes:
        return watched.row.name.startswith(ALERTS)
    return all(probe.type.name != "agent" for probe in watched.probes.values())


def _ill(state: ServiceState) -> bool:
    if state.incident is not None:
        return bool(state.incident.failing)
    return state.health is Health.SUSPECT


def _since(watched: Watched) -> datetime:
    """When it went down, or missed its first beat where that is not decided yet."""
    state = watched.row.state
    if state.incident is not None:
        return state.incident.opened_at
    misses = [check.first_miss_at for check in state.checks.values() if check.first_miss_at is not None]
    return min(misses, default=state.since or _LONG_AGO)


def _evidence(places: Mapping[str, Place], down: Mapping[str, str], root: Root | None) -> dict[str, str]:
    found = {"Likely root": str(root)} if root else {}
    return {**found, "What is down": tree(places, down)}
