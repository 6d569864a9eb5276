"""What people may do about incidents, whichever way they say so: Slack, the command line, the API."""

from datetime import timedelta
from typing import Protocol


class Refused(Exception):
    """What was asked is not done. The text is one sentence for whoever asked: why, and what to do instead."""


class NoSuchService(Refused):
    """It is about a service that there is not."""


class Operations(Protocol):
    """Every method answers with one sentence that says what happened, and raises Refused. `by` is who asks, as the
    timeline shall name him. An `incident`, where it is given, must be the open one: what was said about an old message
    changes nothing new. What a caller may do at all was decided before."""

    async def acknowledge(self, service: str, by: str, *, span: timedelta | None = None, incident: str = "") -> str:
        """Stop escalation and reminders of the open incident, for `span` or as long as the policy says."""
        ...

    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        """Page nobody about services that match ("service=api severity=warning"), for `span`; None: until what they
        have open now is resolved."""
        ...

    async def restart(self, service: str, by: str, *, incident: str = "") -> str:
        """Restart it now, as its policy's first step says."""
        ...

    async def approve(self, key: str, by: str) -> str:
        """Say yes to the question with that key; once, in time, and only for what was shown."""
        ...

    async def status(self, service: str = "") -> str:
        """How it is, or how everything is, in a few lines of plain text."""
        ...

    async def on_call(self) -> str:
        """Who is on call now, by each schedule, and who is next."""
        ...

    async def seen(self, drill: str, by: str) -> str:
        """A person confirms that the page of a fire drill reached him."""
        ...
