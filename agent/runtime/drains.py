"""Replicas that were taken out of the balance for their restart, and are owed to be put back.

What is owed is noted in the store before anything is done, and struck out when it is paid: an agent that is killed in
between leaves the note to the next one. Whether it is due is read from the service's state, so that nothing depends on
having heard of a change.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from agent.core.commands import Restart
from agent.core.state import ServiceState, Stage
from agent.ports import ActionOutcome, Drain, NotDrained, Remediator, Store, StoreUnavailable
from agent.runtime.clock import Clock
from agent.runtime.probe import Watched

log = structlog.get_logger()

NOTE = "drained"  # the store's note of what is owed: a JSON object of services and since when
UNDER_WAY = (Stage.WAITING, Stage.HELD, Stage.RESTARTING, Stage.VERIFYING)
SOON, LATER = timedelta(seconds=1), timedelta(seconds=30)  # between two tries to put one back
LOUD = timedelta(seconds=60)  # what is owed in vain for longer is the agent's own trouble


@dataclass(frozen=True, slots=True)
class Hook:
    """How one service is drained, and whether it stays out when its restart was given up."""

    drain: Drain
    stays_out: bool = False


@dataclass(slots=True)
class Debt:
    """One that is out. `hook` is the one that it was taken out by, as config may change; None: config has none."""

    since: datetime
    hook: Hook | None
    tries: int = 0
    again_at: datetime | None = None
    due_since: datetime | None = None
    trouble: str = ""


@dataclass(slots=True)
class Drains:
    """`use` the hooks of the configuration, `load` what an agent before this one owed, and `look` about once a
    second."""

    store: Store
    clock: Clock
    table: Mapping[str, Watched]
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    owed: dict[str, Debt] = field(default_factory=dict)
    _busy: dict[str, int] = field(default_factory=dict)
    _unsaved: bool = False

    def use(self, hooks: Mapping[str, Hook]) -> None:
        self.hooks = hooks
        for name, debt in self.owed.items():
            debt.hook = debt.hook or hooks.get(name)

    async def load(self) -> None:
        """What is owed from an earlier life."""
        try:
            found = json.loads(await self.store.get_note(NOTE) or "{}")
        except StoreUnavailable as error:
            log.error("store_unavailable", what="drained", error=str(error))
            return
        for name, since in found.items():
            self.owed.setdefault(name, Debt(datetime.fromisoformat(since), self.hooks.get(name)))

    @contextlib.contextmanager
    def holding(self, service: str) -> Iterator[None]:
        """It is not put back while the block runs, whatever its state says."""
        self._busy[service] = self._busy.get(service, 0) + 1
        try:
            yield
        finally:
            self._busy[service] -= 1

    async def take_out(self, service: str) -> str:
        """Before a restart. Returns what was done, for the evidence: a replica that can't be drained is failing its
        checks all the same, so that its restart goes on."""
        hook = self.hooks.get(service)
        if hook is None:
            return ""
        try:
            if service not in self.owed:
                if held := await hook.drain.held():
                    return f"left as it is: {held}"
                self.owed[service] = Debt(self.clock.now(), hook)
                await self._note()
            self.owed[service].due_since = None
            return await hook.drain.drain()
        except StoreUnavailable:
            del self.owed[service]
            return "not drained: the store is unavailable, so that nobody would remember to undo it"
        except NotDrained as trouble:
            log.warning("not_drained", service=service, error=str(trouble))
            return f"not drained: {trouble}"

    async def look(self) -> None:
        """Put back what is due."""
        if self._unsaved:
            await self._save()
        now = self.clock.now()
        for name, debt in [*self.owed.items()]:
            if self._busy.get(name) or not self._due(name, debt):
                debt.due_since = None
                continue
            debt.due_since = debt.due_since or now
            if debt.again_at is None or not now < debt.again_at <= now + LATER:  # or the clock was set back
                await self._put_back(name, debt)

    def trouble(self) -> str:
        """Which replicas are out though they should be back, and why; empty while all is well."""
        now = self.clock.now()
        late = {n: d for n, d in self.owed.items() if d.due_since is not None and now - d.due_since > LOUD}
        return ", ".join(f"{name} ({debt.trouble})" for name, debt in sorted(late.items()))

    def _due(self, name: str, debt: Debt) -> bool:
        watched = self.table.get(name)
        state = watched.row.state if watched else ServiceState(service=name)
        if state.incident is None:
            return True
        given_up = state.incident.stage not in UNDER_WAY
        return given_up and not (debt.hook is not None and debt.hook.stays_out)

    async def _put_back(self, name: str, debt: Debt) -> None:
        debt.tries += 1
        now = self.clock.now()
        if debt.hook is None:
            debt.trouble, debt.again_at = "config no longer says how to put it back", now + LATER
            if debt.tries == 1:
                log.error("still_drained", service=name, error=debt.trouble)
            return
        try:
            said = await debt.hook.drain.undrain()
        except NotDrained as trouble:
            debt.trouble, debt.again_at = str(trouble), now + (SOON if debt.tries < 10 else LATER)
            log.error("still_drained", service=name, error=str(trouble), tries=debt.tries)
            return
        log.info("undrained", service=name, text=said)
        self.owed.pop(name, None)
        await self._save()

    async def _save(self) -> None:
        """Strike out what is paid. A note that can't be written now is written later: to put one back twice does no
        harm."""
        try:
            await self._note()
            self._unsaved = False
        except StoreUnavailable as error:
            self._unsaved = True
            log.debug("store_unavailable", what="drained", error=str(error))

    async def _note(self) -> None:
        await self.store.set_note(NOTE, json.dumps({name: debt.since.isoformat() for name, debt in self.owed.items()}))


class Drained:
    """A service's remediator, between taking it out and putting it back."""

    def __init__(self, service: str, inner: Remediator, drains: Drains) -> None:
        self._service = service
        self._inner = inner
        self._drains = drains

    async def perform(self, order: Restart) -> ActionOutcome:
        with self._drains.holding(self._service):
            said = await self._drains.take_out(self._service)
            outcome = await self._inner.perform(order)
        if not said:
            return outcome
        evidence = {**outcome.evidence, "drain": said}
        return ActionOutcome(outcome=outcome.outcome, detail=outcome.detail, evidence=evidence)
