"""Whom a message is for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One way to reach somebody: a configured channel, and the address there (a Slack user, a mail address, a number).
    Without an address it is the channel itself, a place where people look. `person` is whose address it is."""

    channel: str
    to: str = ""
    person: str = ""

    @property
    def name(self) -> str:
        """What it is called in notices and their receipts: "oncall", or "sms/alice"."""
        return f"{self.channel}/{self.person}" if self.person else self.channel
