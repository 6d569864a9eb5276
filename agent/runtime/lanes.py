"""All lanes: one for each configured channel, shared by the addresses of it."""

import asyncio
from collections.abc import Iterable, Mapping

from agent.ports import Channel, Repeating
from agent.runtime.lane import Lane, LaneCalls, lane_of

PER_SECOND = 25.0  # where nobody says how fast a channel may be used


class Lanes:
    """A channel that config no longer names keeps its lane, so that what was asked of it can still be closed."""

    def __init__(self, calls: LaneCalls) -> None:
        self._calls = calls
        self._lanes: dict[str, Lane] = {}

    def of(self, channel: str) -> Lane:
        """The lane that a notice for this channel, or for an address on it, goes through."""
        name = lane_of(channel)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, None, PER_SECOND, self._calls)
        return lane

    def use(self, channels: Mapping[str, tuple[Channel, float]]) -> None:
        """From now on these are the channels of their names, each with its rate per second. What one was told to repeat
        the next one of its name goes on with."""
        for name, (channel, per_second) in channels.items():
            lane = self.of(name)
            before, lane.channel, lane.pause = lane.channel, channel, 1.0 / per_second
            if before is not channel and isinstance(before, Repeating):
                held = before.release()
                if isinstance(channel, Repeating):
                    channel.resume(held)

    def cancel(self, keys: Iterable[str]) -> None:
        """Take these notices back, wherever they wait."""
        for key in keys:
            for lane in self._lanes.values():
                lane.cancel(key)

    def oldest_page(self) -> float:
        """Age in seconds of the oldest page or reminder that its channel has not taken; 0 when there is none."""
        now = asyncio.get_running_loop().time()
        return max((now - item.since for lane in self._lanes.values() for item in lane.urgent()), default=0.0)

    def waiting(self, channel: str = "") -> int:
        """How many messages have not come to their ends, of all channels or of one."""
        return sum(len(lane) for name, lane in self._lanes.items() if channel in ("", name))

    async def stop(self, grace: float = 0.0) -> None:
        """Begin nothing more; messages that are being sent have `grace` seconds to come to their ends."""
        await asyncio.gather(*(lane.stop(grace) for lane in self._lanes.values()))
