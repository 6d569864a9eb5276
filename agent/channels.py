"""The channels of the configuration in force: connected, and complained about by the others when one does not work."""

from collections.abc import Callable, Collection, Mapping

from agent.assembly import alarm_policy
from agent.config.model import Config
from agent.core.commands import Notice
from agent.core.policy import Policy
from agent.pagers import Connected, Pagers
from agent.ports import Channel, DeliveryError, Vitals
from agent.runtime.channel_alarms import ChannelAlarms
from agent.runtime.clock import Clock
from agent.runtime.lane import lane_of
from agent.runtime.notice_book import NoticeBook
from agent.runtime.signals import Signals


class Channels:
    """`pagers` are the connected ones, `alarms` what is open about those in trouble; `config` answers with what is in
    force."""

    def __init__(
        self,
        config: Callable[[], Config],
        clock: Clock,
        vitals: Vitals,
        signals: Signals,
        notices: NoticeBook,
        *,
        allow_unverified: bool,
    ) -> None:
        self.pagers = Pagers(vitals, allow_unverified=allow_unverified)
        self.alarms = ChannelAlarms(signals, vitals, clock, self._policy)
        self.pagers.proven, self.pagers.failed = self.alarms.verified, self.alarms.failed
        notices.refused, notices.taken = self._refused, self.alarms.taken
        self._config = config
        self._vitals = vitals

    def use(self, connected: Mapping[str, Connected]) -> None:
        """Put these in force, and nobody need hear of those that config does not name."""
        self.pagers.use(connected)
        self.pagers.keep(self._config().channels)

    def lanes(self) -> dict[str, tuple[Channel, float]]:
        """Each by its name, with its messages per second."""
        return self.pagers.lanes(self._config().channels)

    async def started(self) -> None:
        """All were asked whether they work: open and close what follows from their answers."""
        channels = self._config().channels
        await self.alarms.keep(channels)
        self.alarms.asked(channels.keys() - self._vitals.channel_trouble.keys(), self.pagers.refused)

    async def renewed(self, connected: Mapping[str, Connected]) -> None:
        """These were asked, and may be others than those of the same names before."""
        self.alarms.renewed(connected.keys() - self._vitals.channel_trouble.keys(), self.pagers.refused)
        await self.alarms.keep(self._config().channels)

    async def prove(self) -> None:
        """A token that was revoked is noticed before somebody has to be woken by it."""
        await self.pagers.prove(self._config().channels)

    def _refused(self, notice: Notice, error: DeliveryError) -> None:
        if lane_of(notice.channel) in self._config().channels:
            self.alarms.refused(notice, error)

    def _policy(self, channel: str, broken: Collection[str]) -> Policy:
        return alarm_policy(self._config(), channel, broken)
