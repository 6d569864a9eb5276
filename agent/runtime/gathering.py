"""Pages that belong together are one message: services that agree in some labels, and have the same people to ask."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from agent.core.draft import shifted
from agent.core.events import Noted, Quiet
from agent.core.few import NO_TEXT
from agent.core.policy import Gather, Policy
from agent.core.state import Incident
from agent.core.tree import listed, tree
from agent.ports import ServiceRow
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.places import news, place, probably_root
from agent.runtime.probe import Watched
from agent.runtime.signals import Signals

KIND = "group"
PROVEN = 3  # members whose own evidence is in the first message
NAMED = 120  # characters of a group's name


class _Message:
    """What was said of one group."""

    __slots__ = ("ever", "first", "told", "told_at")

    def __init__(self, first: datetime) -> None:
        self.first = first  # when its first member needed people
        self.told: Mapping[str, str] = {}
        self.told_at: datetime | None = None  # None: nothing was said yet
        self.ever: dict[str, None] = {}


class Gathering:
    """Withholds the pages of services whose policy says `gather`, and pages for them as one service "group:VALUES".

    Everything else about them goes on: restarts, timelines, reminders of the group. What is gathered is read from
    the live table, so that an agent that was restarted finds the same. Services that people were asked about stay
    on their own.
    """

    def __init__(self, engine: Engine, clock: Clock, signals: Signals) -> None:
        self._engine = engine
        self._clock = clock
        self._signals = signals
        self._open: dict[str, Watched] = {}  # services with an open incident that may be gathered
        self._messages: dict[str, _Message] = {}
        signals.own(KIND, self._restored)

    # ------------------------------------------------------------------------------------------ what the engine asks

    def turned(self, watched: Watched) -> None:
        """The health of a service, or whether it has an open incident, has changed."""
        if watched.policy.gather is not None and watched.row.state.incident is not None:
            self._open[watched.row.name] = watched
        else:
            self._open.pop(watched.row.name, None)

    def quiet(self, row: ServiceRow, policy: Policy, _at: datetime) -> Quiet | None:
        """Why a service is not paged by itself: its group is."""
        name = group_of(policy)
        incident = row.state.incident
        if not name or (incident is not None and incident.asked):
            return None
        return Quiet(why=_why(name))

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        for message in self._messages.values():
            message.first, message.told_at = shifted(message.first, by), shifted(message.told_at, by)

    # ------------------------------------------------------------------------------------------ its life

    def restore(self) -> None:
        """Boot, after the services and the signals were put under watch: what was gathered goes on."""
        self.use()
        members = self._members()
        for name in self._signals.names(KIND):
            incident = self._engine.table[name].row.state.incident
            if incident is not None:
                message = self._messages[name] = _Message(incident.opened_at)
                message.told, message.told_at = members.get(name, {}), self._clock.now()
                message.ever = dict.fromkeys(message.told)

    def use(self) -> None:
        """Policies may have changed."""
        for watched in self._engine.table.values():
            self.turned(watched)

    def look(self) -> None:
        """Several times a second: send what is due."""
        if not self._open and not self._messages:
            return
        for name in [name for name in self._open if name not in self._engine.table]:
            del self._open[name]
        members, now = self._members(), self._clock.now()
        for name in {**members, **self._messages}:
            self._deal_with(name, members.get(name, {}), now)

    def _members(self) -> dict[str, dict[str, str]]:
        """By group those whose pages are withheld for it, with what each says."""
        found: dict[str, dict[str, str]] = {}
        for name, watched in self._open.items():
            incident, group = watched.row.state.incident, group_of(watched.policy)
            if incident is not None and incident.failing and group and incident.quiet == _why(group):
                found.setdefault(group, {})[name] = incident.summary
        return found

    def _deal_with(self, name: str, members: Mapping[str, str], now: datetime) -> None:
        message = self._messages.get(name)
        if message is None:
            message = self._messages[name] = _Message(now)
        message.ever.update(dict.fromkeys(members))
        if message.told_at is None:
            if not members:
                del self._messages[name]  # well again before anybody was to be told
            elif now - message.first >= self._rule(members).wait:
                self._page(name, message, members, now)
        elif not members:
            del self._messages[name]
            self._end(name, message)
        elif members.keys() != message.told.keys() and now - message.told_at >= self._rule(members).interval:
            self._update(name, message, members, now)

    def _rule(self, members: Iterable[str]) -> Gather:
        """The most urgent of its members': they need not say the same."""
        rules = [rule for rule in (self._open[member].policy.gather for member in members) if rule is not None]
        return replace(rules[0], wait=min(rule.wait for rule in rules), interval=min(rule.interval for rule in rules))

    def _page(self, name: str, message: _Message, members: Mapping[str, str], now: datetime) -> None:
        message.told, message.told_at = dict(members), now
        policies = [self._open[member].policy for member in members]
        self._signals.ensure(name, gathered(policies))
        what = next(iter(members)) if len(members) == 1 else f"{len(members)} services: {listed(sorted(members))}"
        self._signals.fail(name, f"{what}{self._root(members)}", self._evidence(members))

    def _update(self, name: str, message: _Message, members: Mapping[str, str], now: datetime) -> None:
        """Those that are new are news as loud as a page; that some are well again wakes nobody."""
        more = members.keys() - message.told.keys()
        text = f"{len(members)} down now{self._root(members)}{self._news(message.told, members)}"
        message.told, message.told_at = dict(members), now
        evidence = self._evidence(members)
        self._engine.tell(name, Noted(at=now, text=text, tell=True, loud=bool(more), evidence=evidence))

    def _end(self, name: str, message: _Message) -> None:
        """Nobody is left in it. It is no all-clear for those that are still down: they are named."""
        left = {one: incident for one in sorted(message.ever) if (incident := self._incident(one)) and incident.failing}
        if left:
            why = "; ".join(dict.fromkeys(incident.quiet or "paged by itself" for incident in left.values()))
            self._signals.hand_over(name, f"is no page of its own any more, still down: {listed([*left])} ({why})")
        else:
            self._signals.clear(name, "all are well", {"Were down": "\n".join(sorted(message.ever))})

    def _news(self, before: Mapping[str, str], now: Mapping[str, str]) -> str:
        quiet = {name for name in before.keys() - now.keys() if name in self._open}  # silenced meanwhile
        said = news({name: text for name, text in before.items() if name not in quiet}, now)
        return f"{said}; {len(quiet)} quiet: {listed(sorted(quiet))}" if quiet else said

    def _root(self, members: Mapping[str, str]) -> str:
        return probably_root(self._engine.table, members) if len(members) > 1 else ""

    def _evidence(self, members: Mapping[str, str]) -> dict[str, str]:
        places = {name: place(self._open[name]) for name in members}
        found = {"What is down": tree(places, members)} if len(members) > 1 else {}
        if len(members) <= PROVEN:
            for name in sorted(members):
                incident = self._incident(name)
                proof = incident.evidence.items() if incident else ()
                found |= {(label if len(members) == 1 else f"{name}: {label}"): text for label, text in proof}
        return found

    def _incident(self, name: str) -> Incident | None:
        watched = self._open.get(name)
        return watched.row.state.incident if watched else None

    def _restored(self, name: str) -> Policy:
        """How a stored group goes on: by the services that may be in it."""
        found = [watched.policy for watched in self._engine.table.values() if group_of(watched.policy) == name]
        return gathered(found) if found else Policy(service=name)


def group_of(policy: Policy) -> str:
    """The group in which its pages are gathered: "group:VALUES/WHOM", so that nobody is asked about the services of
    others. Empty where it says none, has none of the values, or pages nobody."""
    if policy.gather is None or not policy.pages:
        return ""
    own = {"group": policy.group, "severity": policy.severity}
    values = [own.get(key, policy.labels.get(key, "")) for key in policy.gather.by]
    if not any(values):
        return ""
    whom = [*([policy.escalation.name] if policy.escalation else []), *policy.page]
    text = f"{KIND}:{','.join(values)}/{'+'.join(whom)}"
    return text if len(text) <= NAMED else f"{text[:NAMED]}…"


def gathered(policies: list[Policy]) -> Policy:
    """How a group of these is paged: they have the same people to ask; what else they have in common is said of it."""
    first = policies[0]
    severities = [policy.severity for policy in policies]
    runbooks = {policy.runbook for policy in policies}
    common = {
        label: value
        for label, value in first.labels.items()
        if all(policy.labels.get(label) == value for policy in policies)
    }
    return Policy(
        service="",
        page=first.page,
        fallback=first.fallback,
        escalation=first.escalation,
        remind=first.remind,
        page_deadline=first.page_deadline,
        severity="critical" if "critical" in severities else first.severity,
        labels=common or NO_TEXT,
        runbook=first.runbook if len(runbooks) == 1 else "",
    )


def _why(name: str) -> str:
    return f"it is paged together with others, as {name}"
