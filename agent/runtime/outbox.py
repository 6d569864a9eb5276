"""Carries out committed commands: notices at least once through a lane per channel, restarts at most once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import structlog

from agent.core.commands import Command, Notice, Outcome, Restart
from agent.core.events import Input, NoticeDelivered, NoticeFailed
from agent.core.schedule import LONGEST_WAIT
from agent.core.state import Incident, ServiceState
from agent.ports import ActionOutcome, Channel, Outgoing, Remediator, Repeating, Store, Vitals
from agent.runtime.clock import Clock
from agent.runtime.deliveries import TEST, Deliveries, Trial
from agent.runtime.lanes import Lanes
from agent.runtime.notice_book import Counts, NoticeBook
from agent.runtime.restarts import Restarts

log = structlog.get_logger()


class Outbox:
    """Everything that leaves the core goes through here, after its commit and never before.

    `report` hands the core what became of its commands, without what `redact` takes out of texts. Whatever the store
    cannot note is still carried out: at worst a notice goes out twice under one key. A restart whose claim cannot be
    noted is not started.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        store: Store,
        vitals: Vitals,
        report: Callable[[str, Input], None],
        counts: Counts,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.restarts = Restarts(clock, store, report, redact)
        self.notices = NoticeBook(clock, store, vitals, report, counts)
        self.deliveries = Deliveries(clock.now, lambda channel, outcome: counts.notice(channel, TEST, outcome))
        self.lanes = Lanes(self.deliveries.around(self.notices.calls))
        self._clock = clock
        self._store = store
        self._vitals = vitals
        self._report = report
        self._stopping = False

    def use(self, channels: Mapping[str, tuple[Channel, float]], remediators: Mapping[str, Remediator]) -> None:
        """Take these channels (with their rate per second) and remediators."""
        self.restarts.remediators = remediators
        self.lanes.use(channels)

    async def stop(self, grace: float = 3.0) -> None:
        """Let a running restart and a message that is being sent come to their ends, `grace` seconds at most. What is
        left stays in the store for the next life, and so does what is offered from here on."""
        self._stopping = True
        self.deliveries.stop()
        await asyncio.gather(self.restarts.stop(grace), self.lanes.stop(grace))

    # ------------------------------------------------------------------------------------------ from the engine

    def offer(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if self._stopping:
                log.info("left_for_the_next_life", key=command.key)
            elif isinstance(command, Notice):
                self.lanes.of(command.channel).put(command)
            else:
                self.restarts.begin(command)

    def cancel(self, keys: Iterable[str]) -> None:
        self.lanes.cancel(keys)

    async def try_out(self, notice: Notice, within: float) -> Trial:
        """Send a test message through its channel's lane, as `Deliveries.send` says."""
        return await self.deliveries.send(self.lanes.of(notice.channel), notice, within)

    # ------------------------------------------------------------------------------------------ what the store holds

    async def recover(self, states: Mapping[str, ServiceState]) -> None:
        """Boot: take up what the last life left in the store."""
        interrupted = await self._store.interrupted()
        for state in states.values():
            if state.incident is not None:
                await self._reconcile(state.incident)
                await self._go_on_repeating(state.incident)
        await self.adopt(interrupted, await self._store.pending())

    async def adopt(self, interrupted: Iterable[Restart], pending: Iterable[Outgoing]) -> None:
        """Interrupted restarts are reported and never run again; notices go on, under their keys."""
        now = self._clock.now()
        for order in interrupted:
            outcome = ActionOutcome(outcome=Outcome.INTERRUPTED, detail="the agent was restarted during it")
            await self._store.settle(order.key, now, outcome=outcome)
            self.restarts.finished(order, outcome)
        for outgoing in pending:
            if outgoing.status == "claimed":
                if not await self._store.reclaim(outgoing.command.key, now):
                    continue
                self.notices.ours.add(outgoing.command.key)
            self._offer_again(outgoing)
        self._vitals.dead_letters = len(await self._store.dead_letters())

    async def replayed(self, keys: Iterable[str]) -> None:
        """Dead letters that a person has made pending again are queued at once."""
        for outgoing in (await self._store.outgoing(list(keys))).values():
            if outgoing.status == "pending":
                self._offer_again(outgoing)
        self._vitals.dead_letters = len(await self._store.dead_letters())

    async def _reconcile(self, incident: Incident) -> None:
        keys = [asked.key for asked in incident.asked if not asked.delivered and not asked.failed]
        keys += [tried.key for tried in incident.tried if tried.outcome is None]
        for key, outgoing in (await self._store.outgoing(keys)).items():
            if outgoing.status == "done" and isinstance(outgoing.command, Notice):
                self._report(incident.service, NoticeDelivered(at=self._clock.now(), key=key))
            elif outgoing.status == "done" and isinstance(outgoing.command, Restart) and outgoing.outcome:
                self.restarts.finished(outgoing.command, outgoing.outcome)
            elif outgoing.status == "dead":
                self._report(incident.service, NoticeFailed(at=self._clock.now(), key=key, reason=outgoing.error))

    async def _go_on_repeating(self, incident: Incident) -> None:
        for asked in incident.asked:
            channel = self.lanes.of(asked.channel).channel
            if isinstance(channel, Repeating):
                opening = await self._store.opening(incident.id, asked.channel)
                channel.resume({f"{incident.id}/{asked.channel}": opening} if opening else {})

    def _offer_again(self, outgoing: Outgoing) -> None:
        if isinstance(outgoing.command, Restart):
            self.offer([outgoing.command])
            return
        now = self._clock.now()
        delay = min(max(outgoing.due_at - now, timedelta(0)), LONGEST_WAIT)
        age = max(now - outgoing.command.at, timedelta(0))
        lane = self.lanes.of(outgoing.command.channel)
        lane.put(outgoing.command, delay=delay.total_seconds(), tries=outgoing.tries, age=age.total_seconds())
