"""Trying out the channels of a running agent: `agent.ports.Notifying`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic

from agent.config.model import ChannelSpec, Config
from agent.config.nearest import did_you_mean
from agent.core.commands import Notice, NoticeKind
from agent.core.contact import Contact
from agent.operations import Refused
from agent.ports import ChannelState, Receipt, TriedOut, Vitals
from agent.runtime.deliveries import Trial
from agent.runtime.outbox import Outbox

LONGEST_NAME = 100  # characters
WITHIN = 30.0  # seconds that somebody waits for a test
# options of channels that say where messages go, and are no secrets
PLACES = ("channel", "to", "project", "urls", "stream")
FOUND_BY = {  # what receipts say of it, and as what it is told
    "channel": "channel_id",
    **{name: name for name in ("ts", "message_id", "issue", "url", "status")},
}

_LOG = "look at the agent's log, and at the channel's options"
_WAITS = "it was taken back: see codeblue notify list for what waits there, and try again"
_AGAIN = "try again; if it stays so, look at what its provider says about its health"
ADVICE: Mapping[str, str] = {
    "auth": "renew the channel's token or password, and what it is allowed to do; then reload",
    "rate_limited": "wait: the channel takes no more just now; where that is so often, page through fewer messages",
    "not_found": "look at the address in the channel's options: nothing is there",
    "archived": "choose another place in the channel's options",
    "invalid": "look at the channel's options (codeblue validate), and at the address",
    "redirect": "write the address that it redirects to",
    "network": "see whether this host reaches it (codeblue doctor; a firewall, a proxy, DNS)",
    "timeout": "see whether this host reaches it, and whether it answers at all; then try again",
    "closed": "the agent's own output is gone: restart the agent",
    "server": _AGAIN,
}


class Notifier:
    """`config` is the one in force when it is asked for, `within` how many seconds a test is waited for."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        outbox: Outbox,
        vitals: Vitals,
        now: Callable[[], datetime],
        within: float = WITHIN,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._vitals = vitals
        self._now = now
        self._within = within
        self._number = 0

    def channels(self) -> Sequence[ChannelState]:
        config = self._config()
        return [
            ChannelState(
                name=name,
                type=spec.type.name,
                per_second=spec.per_second or spec.type.per_second,
                people=tuple(person for person, one in config.people.items() if name in one.contacts),
                trouble=self._vitals.channel_trouble.get(name, ""),
                waiting=self._outbox.lanes.waiting(name),
                last=self._outbox.deliveries.last.get(name),
            )
            for name, spec in config.channels.items()
        ]

    async def test(self, channel: str, *, person: str = "", by: str) -> TriedOut:
        config = self._config()
        spec = config.channels.get(channel)
        if spec is None:
            raise LookupError(f"there is no channel {channel!r}{did_you_mean(channel, config.channels)}")
        contact = _contact(config, channel, person)
        if self._outbox.deliveries.busy(channel):
            raise Refused(f"a test of {channel} is under way: wait for its end")
        ahead = self._outbox.lanes.waiting(channel)
        notice = self._notice(contact, by, config.agent.name)
        began = monotonic()
        trial = await self._outbox.try_out(notice, self._within)
        took = monotonic() - began
        return self._tested(spec, contact, trial, took, ahead)

    def _tested(self, spec: ChannelSpec, contact: Contact, trial: Trial, took: float, ahead: int) -> TriedOut:
        reason = error = advice = ""
        outcome = "delivered" if trial.receipt is not None else "failed" if trial.given_up else "waiting"
        if trial.receipt is None and trial.error is not None:
            reason, error = trial.error.reason, str(trial.error)
            advice = ADVICE.get(reason, _LOG)
        elif trial.receipt is None:
            waits = "message is" if ahead == 1 else "messages are"
            before = f"{ahead} {waits} before it" if ahead else "there is no answer yet"
            error, advice = f"not sent within {self._within:g} s: {before}", _WAITS
        return TriedOut(
            channel=spec.name,
            type=spec.type.name,
            person=contact.person,
            outcome=outcome,
            took=took,
            where=_where(spec, contact, trial.receipt),
            tries=trial.tries,
            reason=reason,
            error=error,
            advice=advice,
        )

    def _notice(self, contact: Contact, by: str, agent: str) -> Notice:
        now = self._now()
        self._number += 1
        return Notice(
            key=f"test/{contact.name}/{now:%Y%m%dT%H%M%S}/{self._number}",
            incident="",
            service="codeblue",
            channel=contact.name,
            to=contact.to,
            person=contact.person,
            kind=NoticeKind.NOTE,
            title=f"TEST of {contact.name} by codeblue: nothing is wrong",
            summary="Whoever reads this would have got a page here. Nobody needs to do anything.",
            at=now,
            opened_at=now,
            facts={"Asked by": by[:LONGEST_NAME], "Agent": agent},
            labels={"test": "true"},
        )


def _contact(config: Config, channel: str, person: str) -> Contact:
    """Whom it goes to. Raises LookupError for somebody unknown, Refused for somebody without an address there."""
    if not person:
        return Contact(channel=channel)
    known = config.people.get(person)
    if known is None:
        raise LookupError(f"there is no person {person!r}{did_you_mean(person, config.people)}")
    address = known.contacts.get(channel)
    if address is None:
        has = ", ".join(known.contacts) or "none at all"
        raise Refused(f"{person} has no address on {channel} (has: {has}): add it to people.{person}")
    return Contact(channel=channel, to=address, person=person)


def _where(spec: ChannelSpec, contact: Contact, receipt: Receipt | None) -> Mapping[str, str]:
    """Where to look for it: the address that config says, then what the channel itself answered."""
    if contact.to:
        found = {"to": contact.to}
    else:
        options = ((name, getattr(spec.options, name, None)) for name in PLACES)
        found = {name: ", ".join(value) if isinstance(value, tuple) else str(value) for name, value in options if value}
    told = receipt.data if receipt is not None else {}
    return {**found, **{shown: told[name] for name, shown in FOUND_BY.items() if told.get(name)}}
