"""The channels through which people answer: their connections kept, and what is heard passed to whom it concerns."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from agent.ports import Channel, Desk, Listening, Said, Vitals

log = structlog.get_logger()

REMEMBERED = 10_000  # marks of what was heard
AT_ONCE = 200  # answers under way; more than that is no crowd of people
OVERLAP = 5.0  # seconds for which a replaced connection still listens beside the new one
GRACE = 2.0  # seconds for answers that are under way when the agent stops


class Listeners:
    """One connection for all channels that share it. Nothing is done twice: each thing said bears marks, and these are
    remembered beyond a reload. Trouble stands in the vitals under the name of the channel that holds the connection."""

    def __init__(self, vitals: Vitals, desk: Desk) -> None:
        self._vitals = vitals
        self._desk = desk
        self._channels: dict[str, Listening] = {}
        self._connections: dict[Listening, asyncio.Task[None]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._marks: dict[str, None] = {}

    def use(self, channels: Mapping[str, Channel]) -> None:
        """From now on people are heard through these, and no others; connections that stay are not touched."""
        loop = asyncio.get_running_loop()
        self._channels = {name: channel for name, channel in channels.items() if isinstance(channel, Listening)}
        for channel in self._channels.values():
            channel.attach(self._desk)
        holders: dict[str, str] = {}
        for name, channel in self._channels.items():
            if channel.line:
                kept = channel.line in holders and self._channels[holders[channel.line]] in self._connections
                holders[channel.line] = holders[channel.line] if kept else name
        held = {self._channels[name]: name for name in holders.values()}
        for channel, task in [*self._connections.items()]:
            if channel not in held:
                del self._connections[channel]
                loop.call_later(OVERLAP, task.cancel)
                self._answers.add(task)  # to be ended with them, at the latest
                task.add_done_callback(self._answers.discard)
        for channel, name in held.items():
            if channel not in self._connections:
                work = channel.listen(self._hearing(channel.line), self._trouble(name))
                self._connections[channel] = loop.create_task(work, name=f"listen {name}")

    def signed(self) -> Mapping[str, Callable[[Said], None]]:
        """What takes what was posted to the agent, by the secret that it is signed with."""
        secrets = {channel.signing_secret for channel in self._channels.values()} - {""}
        return {secret: self._posted(secret) for secret in secrets}

    async def close(self) -> None:
        """Hear nothing more; answers that are under way have a moment to end."""
        for task in self._connections.values():
            task.cancel()
        if self._answers:
            await asyncio.wait(self._answers, timeout=GRACE)
        rest = [*self._connections.values(), *self._answers]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._connections.clear()

    def _hearing(self, line: str) -> Callable[[Said], None]:
        return lambda said: self._heard(said, [one for one in self._channels.values() if one.line == line])

    def _posted(self, secret: str) -> Callable[[Said], None]:
        return lambda said: self._heard(said, [one for one in self._channels.values() if one.signing_secret == secret])

    def _heard(self, said: Said, channels: list[Listening]) -> None:
        """Have it answered, in the background: whoever brings it must know at once that it arrived."""
        if not channels or not (marks := channels[0].marks(said)):
            return
        if any(mark in self._marks for mark in marks):
            log.info("heard_again", marks=marks)
            return
        if len(self._answers) >= AT_ONCE:
            log.error("too_much_is_said", under_way=len(self._answers))
            return
        for mark in marks:
            self._marks[mark] = None
        while len(self._marks) > REMEMBERED:
            del self._marks[next(iter(self._marks))]
        channel = next((one for one in channels if one.concerns(said)), channels[0])
        task = asyncio.get_running_loop().create_task(_answer(channel, said), name="answer")
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def _trouble(self, name: str) -> Callable[[str], None]:
        told = ""

        def tell(text: str) -> None:
            nonlocal told
            trouble = dict(self._vitals.channel_trouble)
            if text:
                trouble[name] = text
            elif told and trouble.get(name, "").endswith(told):
                trouble.pop(name, None)
            told = text
            self._vitals.channel_trouble = trouble

        return tell


async def _answer(channel: Listening, said: Said) -> None:
    try:
        await channel.answer(said)
    except Exception:
        log.exception("answer_crashed")
