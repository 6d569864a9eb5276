"""One drill: a made-up failure, and what becomes of it until its closing message has arrived."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agent.core.commands import Notice, NoticeKind
from agent.core.drills import KIND
from agent.core.events import Input, NoticeDelivered, NoticeFailed
from agent.core.notices import incident_id
from agent.core.policy import Policy
from agent.core.state import Asked, Incident
from agent.drills.plan import called, command
from agent.drills.remedies import contact_of, in_lines, kind_of, remedy, why
from agent.ports import (
    Channel,
    DeliveryError,
    DrillLeg,
    DrillOutcome,
    DrillReport,
    ReadingBack,
    Store,
    StoreUnavailable,
)
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.signals import Signals

LOOKS = 3  # at a channel in which the message is not: what was written may be readable a moment later
BETWEEN = 1.0  # seconds
TO_READ = 10.0  # seconds for reading back, at least, however long the delivery took

PASSED, FAILED, SKIPPED = DrillOutcome.PASSED, DrillOutcome.FAILED, DrillOutcome.SKIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a drill goes over: the real parts of the agent, and the configured channels by name."""

    engine: Engine
    signals: Signals
    store: Store
    clock: Clock
    channel: Callable[[str], Channel | None]


class Course:
    """Goes the way leg by leg. `told` and `heard` are called by whoever sees events and ends of deliveries of the
    service "drill:OF", which is this drill's own as long as it is held."""

    def __init__(
        self, ground: Ground, of: str, by: str, policy: Policy, within: timedelta, seen: timedelta | None
    ) -> None:
        self.name = f"{KIND}:{of}"
        self.of = of
        self._ground = ground
        self._by = by
        self._policy = policy
        self._within = within.total_seconds()
        self._seen_within = seen
        self._at = ground.clock.now()
        self._began = ground.clock.monotonic()
        self.id = incident_id(self.name, self._at)
        self._incident = ""
        self._legs: list[DrillLeg] = []
        self._asked: Sequence[Asked] = ()
        self._closed: Counter[str] = Counter()
        self._lost: dict[str, str] = {}  # closing messages that were given up: contact -> why
        self._seen_by = ""
        self._ending = False
        self._over: float | None = None
        self._news = asyncio.Event()

    # ------------------------------------------------------------------------------------------ what others say

    @property
    def names(self) -> frozenset[str]:
        """What people may call it by."""
        return frozenset({self.id, self._incident, self.of, self.name} - {""})

    @property
    def waits(self) -> bool:
        """Whether somebody may say now that the message was seen."""
        return self._seen_within is not None and not self._ending and not self._seen_by

    def seen(self, by: str) -> float:
        """Somebody has seen it; seconds since it began."""
        self._seen_by = self._seen_by or by
        self._news.set()
        return self._since(self._began)

    def told(self) -> None:
        """Something has happened in its incident."""
        self._news.set()

    def heard(self, event: Input) -> None:
        """What became of one of its messages."""
        if isinstance(event, NoticeDelivered | NoticeFailed):
            contact, ends, _ = event.key.removeprefix(f"{self._incident}/").rpartition(f"/{NoticeKind.RESOLVED}/")
            if ends and isinstance(event, NoticeFailed):
                self._lost[contact] = event.reason
            elif ends:
                self._closed[contact] += 1
        self._news.set()

    def report(self) -> DrillReport:
        """How far it has come, or how it ended."""
        legs = tuple(self._legs)
        bad = [leg for leg in legs if leg.outcome is FAILED]
        ended = FAILED if bad else PASSED
        return DrillReport(
            id=self.id,
            of=self.of,
            by=self._by,
            at=self._at,
            outcome=DrillOutcome.RUNNING if self._over is None else ended,
            seconds=self._since(self._began) if self._over is None else self._over,
            legs=legs,
            failed=self._not_relied_on(bad),
            why=why(called(self.of), legs),
            remedy=remedy(command(self.of), legs),
            seen=self._seen_within is not None,
        )

    # ------------------------------------------------------------------------------------------ the way

    async def run(self) -> DrillReport:
        """From the made-up failure to the end. Leaves nothing open, unless it is cancelled."""
        signals = self._ground.signals
        signals.ensure(self.name, self._policy)
        signals.fail(self.name, f"a made-up failure, asked for by {self._by}")
        try:
            if await self._decided():
                await self._delivered()
                await self._read_back()
                await self._seen()
            await self._closing()
        except asyncio.CancelledError:
            raise  # the agent stops: the next life closes it
        except Exception:
            await signals.forget(self.name)
            raise
        await signals.forget(self.name)
        self._over = self._since(self._began)
        return self.report()

    async def _decided(self) -> bool:
        """The core decides on the failure, and whom to ask; both are stored."""
        await self._until(lambda: self._open() is not None, self._within)
        incident = self._open()
        if incident is None:
            self._leg("decision", self._began, FAILED, f"nothing was decided within {self._within:g} s")
            return False
        self._incident, self._asked = incident.id, incident.asked
        whom = ", ".join(asked.channel for asked in self._asked)
        said = f"asked {whom}" if whom else "nobody could be asked: no step of the escalation reaches anybody now"
        self._leg("decision", self._began, PASSED if whom else FAILED, said)
        return bool(whom)

    async def _delivered(self) -> None:
        """Each contact's channel takes the message, or refuses it, or the time is over."""
        start, left = self._ground.clock.monotonic(), {asked.channel for asked in self._asked}
        while left:
            for asked in self._now(left):
                if asked.delivered:
                    self._leg(f"delivery/{asked.channel}", start, PASSED, "accepted")
                elif asked.failed:
                    self._leg(f"delivery/{asked.channel}", start, FAILED, f"{asked.failed}: it was refused for good")
                else:
                    continue
                left.discard(asked.channel)
            if left and not await self._until(lambda: self._any_news(left), self._rest()):
                break
        for name in sorted(left):
            self._leg(f"delivery/{name}", start, FAILED, f"late: not taken within {self._within:g} s")

    async def _read_back(self) -> None:
        """Channels that can be read show what really stands there."""
        taken = {contact_of(leg) for leg in self._legs if kind_of(leg) == "delivery" and leg.outcome is PASSED}
        looks = [self._look(asked) for asked in self._asked if asked.channel in taken]
        await asyncio.gather(*looks)

    async def _look(self, asked: Asked) -> None:
        channel = self._ground.channel(asked.contact.channel)
        if not isinstance(channel, ReadingBack):
            return
        start = self._ground.clock.monotonic()
        outcome, detail = await self._found(channel, asked.key, max(self._rest(), TO_READ))
        self._leg(f"read back/{asked.channel}", start, outcome, detail)

    async def _found(self, channel: ReadingBack, key: str, within: float) -> tuple[DrillOutcome, str]:
        end, looks, wrong = self._ground.clock.monotonic() + within, 0, "it was never asked"
        while self._ground.clock.monotonic() < end:
            try:
                sent = (await self._ground.store.outgoing([key])).get(key)
                if sent is not None and sent.receipt is not None and isinstance(sent.command, Notice):
                    looks += 1
                    wrong = await channel.read_back(sent.command, sent.receipt)
                    if not wrong:
                        return PASSED, "it stands there"
                    if looks >= LOOKS:
                        return FAILED, wrong
                await asyncio.sleep(BETWEEN if looks else 0.05)
            except StoreUnavailable as error:
                return SKIPPED, f"the store can't say where it is: {error}"
            except DeliveryError as error:
                if not error.retryable:
                    return SKIPPED, str(error)
                wrong = str(error)
                await asyncio.sleep(error.retry_after or BETWEEN)
        return FAILED, f"not read back within {within:.0f} s: {wrong}"

    async def _seen(self) -> None:
        """A person says so, where one is waited for."""
        if self._seen_within is None:
            return
        start, seconds = self._ground.clock.monotonic(), self._seen_within.total_seconds()
        if all(leg.outcome is FAILED for leg in self._legs if kind_of(leg) == "delivery"):
            self._leg("seen", start, SKIPPED, "nobody has the message")
            return
        await self._until(lambda: bool(self._seen_by), seconds)
        if self._seen_by:
            self._leg("seen", start, PASSED, f"by {self._seen_by}")
        else:
            self._leg("seen", start, FAILED, f"nobody has confirmed it within {seconds:g} s")

    async def _closing(self) -> None:
        """Exactly one closing message to everybody who has the page."""
        start, self._ending = self._ground.clock.monotonic(), True
        told = why(called(self.of), tuple(self._legs)) or "all that was looked at went well"
        lines = in_lines(tuple(self._legs))
        self._ground.signals.clear(self.name, "over", {"Result": f"{told[0].upper()}{told[1:]}.\n{lines}"})
        owed = {contact_of(leg) for leg in self._legs if kind_of(leg) == "delivery" and leg.outcome is PASSED}
        if not owed:
            return
        await self._until(lambda: owed <= {*self._closed, *self._lost}, self._within)
        wrong = [f"{name}: {self._lost.get(name, 'late')}" for name in sorted(owed) if not self._closed[name]]
        wrong += [f"{name}: {count} of them" for name, count in self._closed.items() if count > 1]
        said = f"the closing message did not arrive once: {', '.join(wrong)}" if wrong else "one to each"
        self._leg("closing", start, FAILED if wrong else PASSED, said)

    # ------------------------------------------------------------------------------------------ how

    def _open(self) -> Incident | None:
        watched = self._ground.engine.table.get(self.name)
        return watched.row.state.incident if watched else None

    def _now(self, names: set[str]) -> list[Asked]:
        incident = self._open()
        return [asked for asked in incident.asked if asked.channel in names] if incident else []

    def _any_news(self, names: set[str]) -> bool:
        return any(asked.delivered or asked.failed for asked in self._now(names))

    def _leg(self, name: str, start: float, outcome: DrillOutcome, detail: str) -> None:
        self._legs.append(DrillLeg(name=name, outcome=outcome, seconds=self._since(start), detail=detail))

    def _since(self, start: float) -> float:
        return max(0.0, self._ground.clock.monotonic() - start)

    def _rest(self) -> float:
        return max(0.0, self._began + self._within - self._ground.clock.monotonic())

    def _not_relied_on(self, bad: Sequence[DrillLeg]) -> tuple[str, ...]:
        """The channels that have failed; where nobody has seen the message, all that it went through."""
        names = {contact_of(leg) for leg in bad} - {""}
        if any(kind_of(leg) in ("seen", "closing") for leg in bad):
            names |= {asked.channel for asked in self._asked}
        return tuple(sorted({name.partition("/")[0] for name in names}))

    async def _until(self, so: Callable[[], bool], within: float) -> bool:
        """Wait until it is so, at most this many seconds."""
        try:
            async with asyncio.timeout(within):
                while not so():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return so()
        return True
