"""The proof of `codeblue oncall coverage`: routes and holes, and on request a word from every channel."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from agent.commands.oncall_sources import Known
from agent.config.model import Config
from agent.oncall.coverage import Hole, Route, channels_used, holes, routes
from agent.pagers import Pagers
from agent.ports import Vitals


@dataclass(frozen=True, slots=True)
class Proof:
    """Who would be asked, and what is wrong."""

    routes: list[Route]
    holes: list[Hole]


def prove(config: Config, told: Known, start: datetime, end: datetime, *, verify: bool) -> Proof:
    """Look at every service over the span. A channel does not work when the running agent says so or, with `verify`,
    when it says so itself now."""
    policies = [spec.policy for spec in config.services.values()]
    found = routes(policies, told.book, start, end)
    used = channels_used(found)
    trouble = {name: text for name, text in told.channels.items() if name in used}
    if verify:
        trouble = asyncio.run(_verified(config, used))
    return Proof(found, [*holes(policies, found, told.book), *_channels(trouble, found)])


async def _verified(config: Config, used: Collection[str]) -> dict[str, str]:
    """What is wrong with these channels, by name: each is built, asked whether its credentials work, and closed."""
    vitals = Vitals(started=datetime.now().astimezone())
    pagers = Pagers(vitals, allow_unverified=True)
    pagers.use(await pagers.connect(spec for name, spec in config.channels.items() if name in used))
    await pagers.close()
    return dict(vitals.channel_trouble)


def _channels(trouble: dict[str, str], found: list[Route]) -> Iterator[Hole]:
    for name, text in sorted(trouble.items()):
        contacts = [c for route in found for span in route.spans for step in span.steps for c in step.contacts]
        people = sorted({contact.person for contact in contacts if contact.channel == name and contact.person})
        whom = f"; {', '.join(people)} would be asked by it" if people else ""
        yield Hole("channel", f"{name} does not work: {text}{whom}")
