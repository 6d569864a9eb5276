"""The channels of a running agent: built, proved to work, watched while they are in trouble, closed at the end."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from agent.config.model import ChannelSpec, ConfigError, Problem
from agent.ports import Channel, DeliveryError, Vitals

log = structlog.get_logger()

VERIFY_WITHIN = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Connected:
    """A channel that was built."""

    spec: ChannelSpec
    channel: Channel

    @property
    def per_second(self) -> float:
        return self.spec.per_second or self.spec.type.per_second


class Pagers:
    """Every channel by its name; one that config no longer names stays, so that what was asked of it can be closed.

    A channel that says that its credentials do not work is refused, unless `allow_unverified`. One that cannot be asked
    now (no network, a server's error) proves nothing about its credentials, and an agent that did not start for that
    would watch nothing: it is used, named in the vitals, and asked again until it answers.
    """

    def __init__(self, vitals: Vitals, *, allow_unverified: bool) -> None:
        self._vitals = vitals
        self._allow_unverified = allow_unverified
        self.proven: Callable[[str], bool] = lambda _: True  # whether nothing but credentials spoke against it
        self.failed: Callable[[str, DeliveryError], None] = lambda *_: None
        self.refused: dict[str, DeliveryError] = {}  # connected all the same, as that was allowed
        self._connected: dict[str, Connected] = {}
        self._replaced: list[Connected] = []

    async def connect(self, specs: Iterable[ChannelSpec]) -> dict[str, Connected]:
        """Build these channels and ask each whether it works; `use` puts them in force. Raises ConfigError naming every
        one whose credentials do not; none of them is left open then."""
        connected = {spec.name: Connected(spec, spec.type.build(spec.name, spec.options)) for spec in specs}
        try:
            errors = dict(zip(connected, await asyncio.gather(*map(_verify, connected.values())), strict=True))
            refused = [_problem(name, error) for name, error in errors.items() if error and not error.retryable]
            if refused and not self._allow_unverified:
                raise ConfigError(refused)
        except BaseException:
            for each in connected.values():
                await each.channel.close()
            raise
        self.refused = {name: error for name, error in errors.items() if error and not error.retryable}
        trouble = {name: text for name, text in self._vitals.channel_trouble.items() if name not in connected}
        self._vitals.channel_trouble = trouble | {
            name: f"{error.reason}: {error}" for name, error in errors.items() if error
        }
        return connected

    def use(self, connected: Mapping[str, Connected]) -> None:
        """From now on these are the channels of their names."""
        self._replaced += [each for name, each in self._connected.items() if name in connected]
        self._connected.update(connected)

    def lanes(self, names: Iterable[str]) -> dict[str, tuple[Channel, float]]:
        """Those of these names, with their messages per second."""
        found = {name: self._connected[name] for name in names if name in self._connected}
        return {name: (each.channel, each.per_second) for name, each in found.items()}

    def channel(self, name: str) -> Channel | None:
        """The channel of that name; None where there is none."""
        each = self._connected.get(name)
        return each.channel if each else None

    def keep(self, names: Iterable[str]) -> None:
        """Config names only these: nobody need hear of the trouble of others."""
        named = set(names)
        self._vitals.channel_trouble = {
            name: text for name, text in self._vitals.channel_trouble.items() if name in named
        }

    async def look_again(self) -> None:
        """Ask those that were in trouble; for a timer."""
        for name in list(self._vitals.channel_trouble):
            each = self._connected.get(name)
            error = await _verify(each) if each else None
            trouble = dict(self._vitals.channel_trouble)
            if self._connected.get(name) is not each or name not in trouble:
                continue  # reloaded meanwhile
            if error is None and not self.proven(name):
                continue
            if error is None:
                trouble = dict(self._vitals.channel_trouble)
                trouble.pop(name, None)
                log.info("channel_verified", channel=name)
            else:
                trouble[name] = f"{error.reason}: {error}"
            self._vitals.channel_trouble = trouble

    async def prove(self, names: Iterable[str]) -> None:
        """Ask these whether their credentials still work, so that those that don't are noticed before they are needed;
        for a timer. What can't be asked now proves nothing."""
        for name in names:
            each = self._connected.get(name)
            error = await _verify(each) if each and name not in self._vitals.channel_trouble else None
            if error is not None and not error.retryable and self._connected.get(name) is each:
                self.failed(name, error)

    async def close(self) -> None:
        for each in (*self._connected.values(), *self._replaced):
            await each.channel.close()


async def _verify(each: Connected) -> DeliveryError | None:
    try:
        async with asyncio.timeout(VERIFY_WITHIN):
            await each.channel.verify()
    except DeliveryError as error:
        failed = error
    except TimeoutError:
        failed = DeliveryError("timeout", f"no answer within {VERIFY_WITHIN:g} s", retryable=True)
    else:
        return None
    log.error("channel_unverified", channel=each.spec.name, reason=failed.reason, error=str(failed))
    return failed


def _problem(name: str, error: DeliveryError) -> Problem:
    text = f"its credentials do not work: {error.reason}: {error}; mend it, or start with --allow-unverified"
    return Problem("", 0, f"channels.{name}", text)
