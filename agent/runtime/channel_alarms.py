"""Channels that refuse messages for good: each is an incident of its own, told by other channels than itself."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

import structlog

from agent.core.commands import Notice
from agent.core.draft import shifted
from agent.core.policy import Policy
from agent.ports import DeliveryError, Receipt, Vitals
from agent.runtime.clock import Clock
from agent.runtime.lane import lane_of
from agent.runtime.signals import Signals

log = structlog.get_logger()

KIND = "channel"
LINGER = timedelta(hours=1)  # for which one that works again is remembered, so that flapping is seen
PROVEN_BY_LOGIN = "auth"  # the reason that credentials which work again are an end of

AlarmPolicy = Callable[[str, Collection[str]], Policy]


class ChannelAlarms:
    """An alarm "channel:NAME" is opened by the first message that a channel refuses for good, or that was given up, and
    closed by the first that it takes. Where its credentials were the trouble, credentials that work are enough. That
    a person's address is not known there is an alarm about that address, "channel:NAME:PERSON".

    `policy_of` says who is told about a channel while these are broken.
    """

    def __init__(self, signals: Signals, vitals: Vitals, clock: Clock, policy_of: AlarmPolicy) -> None:
        self._signals = signals
        self._vitals = vitals
        self._clock = clock
        self._policy_of = policy_of
        self._open: set[str] = set()  # told to the core, which may not have decided yet
        self._over: dict[str, datetime] = {}
        signals.own(KIND, lambda name: self._policy_of(_channel(name), self.broken()))

    def broken(self) -> frozenset[str]:
        """The channels that have an open alarm of their own; addresses of persons are not among them."""
        found = (_channel(name) for name in self._signals.names(KIND) if self._failing(name))
        return frozenset(channel for channel in found if channel == lane_of(channel))

    # ------------------------------------------------------------------------------------------ what was seen of one

    def refused(self, notice: Notice, error: DeliveryError) -> None:
        """A message that its channel did not take and that is not tried again."""
        address = bool(notice.person) and error.reason == "not_found"
        self.failed(notice.channel if address else lane_of(notice.channel), error)

    def failed(self, channel: str, error: DeliveryError) -> None:
        """A channel, or an address of it, does not work for good."""
        name, text = _name(channel), f"{error.reason}: {error}"
        self._over.pop(name, None)
        if not self._failing(name):
            log.error("channel_broken", channel=channel, reason=error.reason, error=str(error))
            self._signals.ensure(name, self._policy_of(channel, self.broken() | {channel}))
        self._open.add(name)
        self._signals.fail(name, f"messages are refused: {text}", reason=error.reason)
        if channel == lane_of(channel):
            self._vitals.channel_trouble = {**self._vitals.channel_trouble, channel: text}

    def taken(self, notice: Notice, receipt: Receipt) -> None:
        """A message that its channel took, if it was not left out on purpose."""
        if "left_out" in receipt.data:
            return
        self._works(notice.channel)
        if notice.channel != lane_of(notice.channel):
            self.verified(lane_of(notice.channel))

    def verified(self, channel: str) -> bool:
        """Its credentials work. Returns whether nothing else speaks against it any more."""
        if self._signals.reason(_name(channel)) == PROVEN_BY_LOGIN:
            self._works(channel, "its credentials work again")
            return True
        return not self._failing(_name(channel))

    def asked(self, work: Collection[str], refused: Mapping[str, DeliveryError]) -> None:
        """Boot: the credentials of these work, and those of others do not."""
        for channel in work:
            self.verified(channel)
        for channel, error in refused.items():
            self.failed(channel, error)

    def renewed(self, work: Collection[str], refused: Mapping[str, DeliveryError]) -> None:
        """These are configured anew, and their credentials work; and those of others do not."""
        for name in self._signals.names(KIND):
            if lane_of(_channel(name)) in work:
                self._works(_channel(name), "it is configured anew")
        for channel, error in refused.items():
            self.failed(channel, error)

    def _works(self, channel: str, how: str = "it takes messages again") -> None:
        name = _name(channel)
        if not self._failing(name):
            return
        self._open.discard(name)
        log.info("channel_works_again", channel=channel, how=how)
        self._signals.clear(name, how)
        self._over[name] = self._clock.now()
        if channel in self._vitals.channel_trouble:
            rest = {other: text for other, text in self._vitals.channel_trouble.items() if other != channel}
            self._vitals.channel_trouble = rest

    def _failing(self, name: str) -> bool:
        return name in self._open or self._signals.failing(name)

    # ------------------------------------------------------------------------------------------ from time to time

    async def keep(self, channels: Collection[str]) -> None:
        """Config names only these: alarms about others are closed, saying so."""
        for name in self._signals.names(KIND):
            if lane_of(_channel(name)) not in channels:
                self._open.discard(name)
                await self._signals.forget(name, "is closed: config does not name the channel any more")
        for name in self._signals.names(KIND):
            if self._failing(name):
                self._signals.ensure(name, self._policy_of(_channel(name), self.broken()))

    async def look(self) -> None:
        """Those that have worked again for a while are forgotten."""
        now = self._clock.now()
        for name in [name for name, over in self._over.items() if now >= over + LINGER]:
            del self._over[name]
            if not self._failing(name):
                await self._signals.forget(name)

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._over = {name: shifted(over, by) for name, over in self._over.items()}


def _name(channel: str) -> str:
    return f"{KIND}:{channel.replace('/', ':')}"


def _channel(name: str) -> str:
    return name.partition(":")[2].replace(":", "/", 1)
