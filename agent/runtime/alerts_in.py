"""Alerts of Prometheus Alertmanager, paged by us: each, or all that belong together, is a service without probes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any

import orjson
import structlog

from agent.core.draft import shifted
from agent.core.durations import format_duration
from agent.core.events import Noted
from agent.core.few import NO_TEXT
from agent.core.policy import Policy
from agent.ports import AlertGroup, Store, StoreUnavailable, Taken
from agent.runtime.alert_words import KIND, PER_ALERT, Told, in_words, ours, told
from agent.runtime.clock import Clock
from agent.runtime.signals import Signals

log = structlog.get_logger()

NOTE = "alerts_in"  # the store's note of what is known of them
AT_ONCE = 8  # decided on together: among a thousand, most shall see that it is a storm
LINGER = timedelta(hours=1)  # for which one that is over is remembered, so that flapping is seen


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a policy is made of: an alert's name here, and what its sender says of it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=lambda: NO_TEXT)
    runbook: str = ""
    links: Mapping[str, str] = field(default_factory=lambda: NO_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """What config says of them. `per` is "alert", "group", or the labels in which alerts of one service agree. One that
    is not repeated for `unheard_after` can't be told any more, and is closed `close_after` later (zero: never)."""

    policy_of: Callable[[About], Policy]
    per: str | tuple[str, ...] = PER_ALERT
    unheard_after: timedelta = timedelta(hours=12)
    close_after: timedelta = timedelta(days=7)
    at_most: int = 1000
    token: str = ""
    agent: str = ""  # our own name: alerts of this agent that come back are not taken


@dataclass(slots=True)
class Known:
    """One service: its alerts that fire, with what each says, when it was last heard of, and since when it is over."""

    about: About
    firing: Mapping[str, str]
    heard: datetime
    until: datetime | None = None
    over: datetime | None = None
    unsure: datetime | None = None

    @property
    def size(self) -> int:
        """How many alerts it counts for."""
        return max(1, len(self.firing))

    def deadline(self, rule: AlertRule) -> datetime:
        """When it should have been heard of again."""
        return self.until or self.heard + rule.unheard_after


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
        self._store = store
        self._clock = clock
        self._tell = tell
        self._count = count
        self._known: dict[str, Known] = {}
        self._over: dict[str, None] = {}  # those that are over, the oldest first
        self._size = 0
        self._saved: dict[str, Any] = {}
        self._saving = asyncio.Lock()

    # ------------------------------------------------------------------------------------------ set up

    async def use(self, rule: AlertRule | None) -> None:
        """Put a rule in force. Those that are open go on under it; without one they are closed."""
        self.rule = rule
        if rule is None:
            for name in self._signals.names(KIND):
                await self._forget(name, "is closed: alerts of others are no longer taken in")
            await self._save()
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
        now = self._clock.now()
        try:
            text = await self._store.get_note(NOTE)
            for name, row in (orjson.loads(text) if text else {}).items():
                if name not in self._known:
                    self._put(name, _read(name, row, now))
        except (StoreUnavailable, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("alerts_in_not_remembered", error=str(error))

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        for known in self._known.values():
            known.heard, known.over, known.unsure = (shifted(at, by) for at in (known.heard, known.over, known.unsure))

    def _policy_of(self, name: str) -> Policy:
        if name not in self._known:
            self._put(name, Known(About(name=name), {}, self._clock.now()))
        known = self._known[name]
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
        await self._save()
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
                self._put(one.name, replace(known, over=now, firing={}))
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
        was_unsure = one.name in self._known and self._known[one.name].unsure is not None
        self._put(one.name, known)
        self._signals.ensure(one.name, rule.policy_of(known.about))
        self._signals.fail(one.name, in_words(after), one.evidence if one.firing else None, reason="firing")
        if (before and after.keys() != before.keys()) or (was_unsure and known.unsure is None):
            proof = one.evidence if more else {}
            self._tell(one.name, Noted(at=now, text=in_words(after), tell=True, loud=more, evidence=proof))
        return True

    async def _make_room(self, count: int, for_whom: str, rule: AlertRule) -> bool:
        """For so many alerts of one service: forget those that have been over for longest, if that is needed and
        enough."""
        here = self._known.get(for_whom)
        needed = self._size - (here.size if here else 0) + count - rule.at_most
        if needed > len(self._over) - (for_whom in self._over):
            return False
        for name in [name for name in self._over if name != for_whom][: max(0, needed)]:
            await self._forget(name, "")
        return True

    def _put(self, name: str, known: Known) -> None:
        self._drop(name)
        self._known[name] = known
        self._size += known.size
        if known.over is not None:
            self._over[name] = None

    def _drop(self, name: str) -> None:
        known = self._known.pop(name, None)
        self._size -= known.size if known else 0
        self._over.pop(name, None)

    # ------------------------------------------------------------------------------------------ what does not come

    async def look(self) -> None:
        """Several times a minute: those that nobody repeats any more, and those that have long been over."""
        rule, now = self.rule, self._clock.now()
        if rule is None:
            return
        for name, known in [*self._known.items()]:
            if known.over is not None:
                if now >= known.over + LINGER:
                    await self._forget(name, "")
            elif now >= known.deadline(rule):
                await self._unheard(name, known, rule, now)
            else:
                self._signals.again(name)
        await self._save()

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
        self._drop(name)
        await self._signals.forget(name, why)

    async def _save(self) -> None:
        """One write for all that changed while the last one was under way."""
        async with self._saving:
            rows = {name: _row(known) for name, known in self._known.items()}
            if rows == self._saved:
                return
            try:
                await self._store.set_note(NOTE, orjson.dumps(rows).decode())
                self._saved = rows
            except StoreUnavailable as error:
                log.debug("store_unavailable", what="alerts_in", error=str(error))


# ---------------------------------------------------------------------------------------------- as it is stored


def _row(known: Known) -> dict[str, Any]:
    about = known.about
    return {
        "labels": dict(about.labels),
        "runbook": about.runbook,
        "links": dict(about.links),
        "firing": dict(known.firing),
        "over": known.over.isoformat() if known.over else None,
        "until": known.until.isoformat() if known.until else None,
        "unsure": known.unsure.isoformat() if known.unsure else None,
    }


def _read(name: str, row: Mapping[str, Any], now: datetime) -> Known:
    over, until, unsure = (
        datetime.fromisoformat(row[key]) if row[key] else None for key in ("over", "until", "unsure")
    )
    about = About(name=name, labels=dict(row["labels"]), runbook=str(row["runbook"]), links=dict(row["links"]))
    passed = until is not None and until < now
    return Known(about, dict(row["firing"]), unsure or now, None if passed else until, over, unsure)


def _whole_minutes(span: timedelta) -> timedelta:
    return timedelta(minutes=max(1, round(span.total_seconds() / 60)))
