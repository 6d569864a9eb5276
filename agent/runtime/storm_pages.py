"""What people are told of a storm, and who is: one incident, of the service "storm:services"."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from agent.core.draft import shifted
from agent.core.events import Noted
from agent.core.likely_root import Root, likely_root
from agent.core.place import Place
from agent.core.policy import Escalation, EscalationStep, Policy
from agent.core.storm import Phase, Storm, StormRule
from agent.core.tree import tree
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.places import in_words, news
from agent.runtime.sick_services import SickServices
from agent.runtime.signals import Signals

KIND = "storm"
NAME = "storm:services"
TELL_EVERY = timedelta(seconds=10)
FIRST_LOOK = timedelta(seconds=3)  # from the moment it is a storm to its page, which can tell far more then


class StormPages:
    """Remembers what was said last. `rule` answers with the one in force."""

    def __init__(
        self, engine: Engine, clock: Clock, signals: Signals, sick: SickServices, rule: Callable[[], StormRule | None]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._signals = signals
        self._sick = sick
        self._rule = rule
        self._told: Mapping[str, str] = {}  # who was down by the last message
        self._told_at: datetime | None = None
        signals.own(KIND, lambda _: self._policy())

    def go_on(self, storm: Storm) -> None:
        """Boot: the storm was told of in the life before."""
        self._told, self._told_at = self._sick.down(storm), self._clock.now()

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._told_at = shifted(self._told_at, by)

    def _open(self, storm: Storm, at: datetime) -> None:
        down = self._sick.down(storm)
        places = self._sick.places()
        root = likely_root(places, down)
        self._told, self._told_at = down, at
        rule = self._rule()
        within = f"{rule.within.total_seconds():g} s" if rule else ""
        summary = f"{len(down)} of {self._sick.size()} services went down within {within}{in_words(root)}"
        self._signals.ensure(NAME, self._policy())
        self._signals.fail(NAME, summary, _evidence(places, down, root))

    def tell(self, storm: Storm, *, force: bool = False) -> None:
        """What has changed since the last message, at most every ten seconds."""
        at = self._clock.now()
        if storm.on and self._told_at is None:
            if storm.since is None or at - storm.since >= FIRST_LOOK:
                self._open(storm, at)
            return
        due = self._told_at is None or at - self._told_at >= TELL_EVERY
        if not storm.on or not (due or force):
            return
        down = self._sick.down(storm)
        if down.keys() == self._told.keys() and not force:
            return
        places = self._sick.places()
        root = likely_root(places, down)
        text = f"{len(down)} down now{in_words(root)}{news(self._told, down)}"
        if force:
            again = storm.phase is Phase.RAGING
            text += "; more go down again: restarts are held" if again else "; nothing new: restarts go on"
        self._told, self._told_at = down, at
        self._signals.ensure(NAME, self._policy())
        self._note(text, _evidence(places, down, root))

    def close(self, storm: Storm) -> None:
        """It is over."""
        down, told = self._sick.down(storm), self._told_at
        self._told, self._told_at = {}, None
        if told is not None:
            left = {"Still down, and now dealt with one by one": tree(self._sick.places(), down)} if down else {}
            self._signals.clear(NAME, "over", left)

    def _note(self, text: str, evidence: Mapping[str, str] | None = None) -> None:
        self._engine.tell(NAME, Noted(at=self._clock.now(), text=text, tell=True, evidence=evidence or {}))

    def _policy(self) -> Policy:
        """To whom it is paged: as config says, or to all whom its members would have paged."""
        rule = self._rule() or StormRule()
        known = self._engine.table.get(NAME)
        members = [watched.policy for watched in self._sick]
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


def _evidence(places: Mapping[str, Place], down: Mapping[str, str], root: Root | None) -> dict[str, str]:
    found = {"Likely root": str(root)} if root else {}
    return {**found, "What is down": tree(places, down)}
