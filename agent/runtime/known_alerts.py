"""What is remembered of alerts that came in: what their services are made of, and which of them fire."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog

from agent.core.draft import shifted
from agent.core.few import no_text
from agent.core.policy import Policy
from agent.ports import Store, StoreUnavailable
from agent.runtime.alert_words import PER_ALERT

log = structlog.get_logger()

NOTE = "alerts_in"  # the store's note of what is known of them


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a policy is made of: an alert's name here, and what its sender says of it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=no_text)
    runbook: str = ""
    links: Mapping[str, str] = field(default_factory=no_text)


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


class KnownAlerts:
    """By the name of their service, as one note of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Known] = {}
        self._over: dict[str, None] = {}  # those that are over, the oldest first
        self._size = 0
        self._saved: dict[str, Any] = {}
        self._saving = asyncio.Lock()

    def get(self, name: str) -> Known | None:
        return self._known.get(name)

    def all(self) -> list[tuple[str, Known]]:
        return list(self._known.items())

    def put(self, name: str, known: Known) -> None:
        self.drop(name)
        self._known[name] = known
        self._size += known.size
        if known.over is not None:
            self._over[name] = None

    def drop(self, name: str) -> None:
        known = self._known.pop(name, None)
        self._size -= known.size if known else 0
        self._over.pop(name, None)

    def in_the_way(self, count: int, for_whom: str, at_most: int) -> list[str] | None:
        """Which to forget so that there is room for so many alerts of one service among `at_most`: those that have been
        over for longest. None when that would not be enough."""
        here = self._known.get(for_whom)
        needed = self._size - (here.size if here else 0) + count - at_most
        if needed > len(self._over) - (for_whom in self._over):
            return None
        return [name for name in self._over if name != for_whom][: max(0, needed)]

    def shift(self, by: timedelta) -> None:
        """The wall clock jumped."""
        for known in self._known.values():
            known.heard, known.over, known.unsure = (shifted(at, by) for at in (known.heard, known.over, known.unsure))

    async def load(self, now: datetime) -> None:
        """Add what the store knows. Nobody can have been heard while there was no agent: that time counts for none."""
        try:
            text = await self._store.get_note(NOTE)
            for name, row in (orjson.loads(text) if text else {}).items():
                if name not in self._known:
                    self.put(name, _read(name, row, now))
        except (StoreUnavailable, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("alerts_in_not_remembered", error=str(error))

    async def save(self) -> None:
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
