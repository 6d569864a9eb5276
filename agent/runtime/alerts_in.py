"""Alerts of Prometheus Alertmanager, paged by us: each, or all that belong together, is a service without probes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hmac import compare_digest

import structlog

from agent.core.durations import format_duration
from agent.core.events import Noted
from agent.core.policy import Policy
from agent.ports import AlertGroup, Store, Taken
from agent.runtime.alert_words import KIND, Told, in_words, ours, told
from agent.runtime.clock import Clock
from agent.runtime.known_alerts import About, AlertRule, Known, KnownAlerts
from agent.runtime.signals import Signals

log = structlog.get_logger()

AT_ONCE = 8  # decided on together: among a thousand, most shall see that it is a storm
LINGER = timedelta(hours=1)  # for which one that is over is remembered, so that flapping is seen


class AlertsIn:
    """At most `at_most` alerts are remembered; one that is over makes room for a new one. Without a rule nothing is
    taken."""

    def __init__(
        self,
        signals: Signals,
        store: Store,
        clock: Clock,
        tell: Callable[[str, Noted], None],
        count: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self.rule: AlertRule | None = None
        self._signals = signals
        self._known = KnownAlerts(store)
        self._clock = clock
        self._tell = tell
        self._count = count

    # ------------------------------------------------------------------------------------------ set up

    async def use(self, rule: AlertRule | None) -> None:
        """Put a rule in force. Those that are open go on under it; without one they are closed."""
        self.rule = rule
        if rule is None:
            for name in self._signals.names(KIND):
                await self._forget(name, "is closed: alerts of others are no longer taken in")
            await self._known.save()
            return
        self._signals.own(KIND, self._policy_of)
        for name in self._signals.names(KIND):
            self._signals.ensure(name, self._policy_of(name))

    async def load(self, rule: AlertRule | None) -> None:
        """Boot, and a store that comes back, before stored services are restored: what is known of them. Nobody can
        have been heard while there was no agent, so that time counts for none."""
        self.rule = rule
        if rule is None:
            return
        self._signals.own(KIND, self._policy_of)
        await self._known.load(self._clock.now())

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._known.shift(by)

    def _policy_of(self, name: str) -> Policy:
        known = self._known.get(name)
        if known is None:
            known = Known(About(name=name), {}, self._clock.now())
            self._known.put(name, known)
        return self.rule.policy_of(known.about) if self.rule else Policy(service=name)

    # ------------------------------------------------------------------------------------------ what comes in

    @property
    def open(self) -> bool:
        return self.rule is not None

    def admits(self, token: str | None) -> bool | None:
        own = self.rule.token if self.rule else ""
        return compare_digest((token or "").encode("utf-8", "replace"), own.encode()) if own else None

    async def take(self, group: AlertGroup) -> Taken:
        """Tell the core, and answer once its decisions are stored."""
        rule = self.rule
        if rule is None:
            return Taken(refused=len(group.alerts))
        foreign = [alert for alert in group.alerts if not ours(alert.labels, rule.agent)]
        services = told(group, foreign, rule.per)
        taken: list[Told] = []
        refused = 0
        for start in range(0, len(services), AT_ONCE):
            few = services[start : start + AT_ONCE]
            for one in few:
                if await self._heard(one, rule):
                    taken.append(one)
                else:
                    refused += len(one.firing)
            await asyncio.gather(*(self._signals.settled(one.name) for one in few))
        if refused:
            log.error("alerts_refused", count=refused, why=f"{rule.at_most} are open or were lately")
        await self._known.save()
        found = {
            "firing": sum(len(one.firing) for one in taken),
            "over": sum(len(one.over) for one in taken),
            "refused": refused,
            "own": len(group.alerts) - len(foreign),
        }
        for outcome, count in found.items():
            if count:
                self._count(outcome, count)
        return Taken(**found)

    async def _heard(self, one: Told, rule: AlertRule) -> bool:
        """False when there is no room for it."""
        known, now = self._known.get(one.name), self._clock.now()
        before = known.firing if known is not None and known.over is None else {}
        after = {**({} if one.whole else before), **one.firing}
        after = {member: text for member, text in after.items() if member not in one.over}
        if not after:
            if known is not None and known.over is None:
                self._known.put(one.name, replace(known, over=now, firing={}))
                self._signals.clear(one.name, "resolved")
            return True
        more = bool(after.keys() - before.keys())
        if more and not await self._make_room(len(after), one.name, rule):
            return False
        if known is not None and not one.firing:  # nothing but that some of them are over
            known = replace(known, firing=after)
        else:
            about = About(name=one.name, labels=one.labels, runbook=one.runbook, links=one.links)
            known = Known(about, after, now, one.until)
        present = self._known.get(one.name)
        was_unsure = present is not None and present.unsure is not None
        self._known.put(one.name, known)
        self._signals.ensure(one.name, rule.policy_of(known.about))
        self._signals.fail(one.name, in_words(after), one.evidence if one.firing else None, reason="firing")
        if (before and after.keys() != before.keys()) or (was_unsure and known.unsure is None):
            proof = one.evidence if more else {}
            self._tell(one.name, Noted(at=now, text=in_words(after), tell=True, loud=more, evidence=proof))
        return True

    async def _make_room(self, count: int, for_whom: str, rule: AlertRule) -> bool:
        """For so many alerts of one service, where that is possible."""
        in_the_way = self._known.in_the_way(count, for_whom, rule.at_most)
        for name in in_the_way or ():
            await self._forget(name, "")
        return in_the_way is not None

    # ------------------------------------------------------------------------------------------ what does not come

    async def look(self) -> None:
        """Several times a minute: those that nobody repeats any more, and those that have long been over."""
        rule, now = self.rule, self._clock.now()
        if rule is None:
            return
        for name, known in self._known.all():
            if known.over is not None:
                if now >= known.over + LINGER:
                    await self._forget(name, "")
            elif now >= known.deadline(rule):
                await self._unheard(name, known, rule, now)
            else:
                self._signals.again(name)
        await self._known.save()

    async def _unheard(self, name: str, known: Known, rule: AlertRule, now: datetime) -> None:
        text = f"nobody has said anything of it for {format_duration(_whole_minutes(now - known.heard))}"
        if not self._signals.failing(name):  # it was over, and the note of that was lost
            await self._forget(name, "")
        elif rule.close_after and now >= known.deadline(rule) + rule.close_after:
            await self._forget(name, f"is closed, although it may still fire: {text}")
        elif known.unsure is None:
            known.unsure = now
            self._signals.unsure(name, f"it may still fire, or be over: {text}")
            self._tell(name, Noted(at=now, text=f"it may still fire, or be over: {text}", tell=True))

    async def _forget(self, name: str, why: str) -> None:
        self._known.drop(name)
        await self._signals.forget(name, why)


def _whole_minutes(span: timedelta) -> timedelta:
    return timedelta(minutes=max(1, round(span.total_seconds() / 60)))
