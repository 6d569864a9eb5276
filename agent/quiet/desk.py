"""What people ask of the book: silence this, end that, plan a window. Every refusal is one sentence."""

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from agent.core import silence as silences
from agent.core import windows
from agent.core.budget import in_words
from agent.core.events import Input, Noted
from agent.core.matchers import BUILT_IN, Matchers, Sign, attributes, parse_all, unknown_service
from agent.core.silence import Silence, State, expired
from agent.core.windows import Once, Window
from agent.operations import NoSuchService, Refused
from agent.quiet.book import Book, Subject, is_past
from agent.quiet.reading import one_line
from agent.quiet.recurrence import in_force

log = structlog.get_logger()

LONGEST_COMMENT = 500  # characters
LONGEST_NAME = 100  # of whoever asks
MOST_SILENCES = 10_000
MOST_WINDOWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A silence as it is asked for: for `span` from `starts` on (None: now), or `until_resolved`, or both, whichever
    is sooner. One that means every service there is wants `everything`."""

    matchers: Matchers
    by: str
    span: timedelta | None = None
    until_resolved: bool = False
    starts: datetime | None = None
    comment: str = ""
    everything: bool = False


class Desk:
    """Changes the book as people ask, and says so in the agent's log and in the timelines of what is open. `tell` hands
    the core an input of a service."""

    def __init__(self, book: Book, tell: Callable[[str, Input], None]) -> None:
        self.book = book
        self._tell = tell

    def known(self) -> set[str]:
        """The attributes that services have."""
        return {*BUILT_IN, *(label for subject in self.book.services() for label in subject.policy.labels)}

    def read(self, matchers: Sequence[str]) -> Matchers:
        """Matchers as people write them. Raises Refused, naming the nearest attribute that services have."""
        try:
            return parse_all(matchers, self.known())
        except ValueError as error:
            raise Refused(str(error)) from None

    def meant(self, matchers: Matchers) -> list[Subject]:
        """The services that these mean now."""
        return [one for one in self.book.services() if matchers.hold(attributes(one.policy))]

    def hint(self, matchers: Matchers) -> str:
        """Why these mean nothing now, and what was probably meant; empty where they mean a service."""
        there = [attributes(one.policy) for one in self.book.services()]
        if any(map(matchers.hold, there)):
            return ""
        for matcher in matchers.all_of:
            values = {about.get(matcher.name, "") for about in there}
            if matcher.sign is Sign.IS and matcher.value not in values:
                return f"no service has {matcher} now{_near(matcher.value, values - {''})}"
        return f"no service matches {matchers} now"

    def note(self, matchers: str, text: str, by: str) -> None:
        """A line in the timeline of each that has an open incident and that these mean, if they mean anything."""
        with contextlib.suppress(Refused):
            self._note(self.meant(self.read([matchers])), text, by)

    # ------------------------------------------------------------------------------------------ silences

    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        """As `agent.operations.Operations.silence` promises."""
        wanted = Wanted(matchers=self.read([matchers]), by=by, span=span, until_resolved=span is None, comment=comment)
        if incident and all(subject.incident != incident for subject in self.meant(wanted.matchers)):
            raise Refused("that incident is over: nothing was silenced")
        made = await self.add_silence(wanted)
        hidden, hint = len(self.meant(made.matchers)), self.hint(made.matchers)
        return f"{made.matchers} ({_services(hidden)}) is {made.why}.{f' But {hint}.' if hint else ''}"

    async def add_silence(self, wanted: Wanted) -> Silence:
        """Put it in force. Raises Refused."""
        now = self.book.now()
        by, comment = one_line(wanted.by), one_line(wanted.comment)
        meant = self._check(wanted.matchers, comment, by, everything=wanted.everything)
        if wanted.span is None and not wanted.until_resolved:
            raise Refused("say for how long, or until it is resolved")
        if wanted.span is not None and not timedelta(0) < wanted.span <= silences.LONGEST:
            raise Refused(f"a silence lasts {in_words(silences.LONGEST)} at most, and longer than no time")
        incidents = tuple(sorted(one.incident for one in meant if one.incident)) if wanted.until_resolved else ()
        if wanted.until_resolved and not incidents:
            raise Refused(f"nothing that matches {wanted.matchers} has an open incident: there is nothing to resolve")
        if len(self.book.silences) >= MOST_SILENCES:
            raise Refused(f"there are {MOST_SILENCES} silences: expire some, or write fewer with wider matchers")
        starts = max(wanted.starts or now, now)
        made = Silence(
            id=f"s-{secrets.token_hex(4)}",
            matchers=wanted.matchers,
            starts=starts,
            ends=starts + wanted.span if wanted.span is not None else None,
            by=by,
            created=now,
            comment=comment,
            until_resolved=wanted.until_resolved,
            incidents=incidents,
        )
        await self.book.put_silence(made)
        log.info("silence_added", id=made.id, match=str(made.matchers), by=made.by, services=len(meant), why=made.why)
        self._note(meant, f"{made.by} made a silence: {made.why}", made.by)
        return made

    async def expire(self, ids: Iterable[str], by: str) -> list[Silence]:
        """End these now, all or none. Raises Refused, LookupError for an id that there is not."""
        now, by = self.book.now(), one_line(by)[:LONGEST_NAME]
        found = [self._silence(name) for name in dict.fromkeys(ids)]
        for one in found:
            if one.state(now) is State.EXPIRED:
                raise Refused(f"{one.id} has ended already")
        ended = [expired(one, now) for one in found]
        for one in found:
            log.info("silence_expired", id=one.id, match=str(one.matchers), by=by)
            self._note(self.meant(one.matchers), f"{by} ended the silence of {one.by}", by)
        await self.book.put_silence(*ended)
        return ended

    # ------------------------------------------------------------------------------------------ windows

    async def add_window(self, window: Window, *, everything: bool = False) -> Window:
        """Put one that was made by hand in force. Raises Refused."""
        now = self.book.now()
        meant = self._check(window.matchers, window.comment, window.by, everything=everything)
        if not timedelta(0) < window.length <= windows.LONGEST:
            raise Refused(f"a window lasts {in_words(windows.LONGEST)} at most, and longer than no time")
        if is_past(window, now):
            raise Refused("that window is over already")
        if len(self.book.by_hand) >= MOST_WINDOWS:
            raise Refused(f"there are {MOST_WINDOWS} windows: end some")
        await self.book.put_window(window)
        log.info("maintenance_added", id=window.id, match=str(window.matchers), by=window.by, services=len(meant))
        starts_now = isinstance(window.recurrence, Once) and window.recurrence.at <= now
        if starts_now:
            self._note(
                meant, f"{window.by} began maintenance{f': {window.comment}' if window.comment else ''}", window.by
            )
        return window

    async def end_window(self, name: str, by: str) -> Window:
        """End it now: one made by hand altogether, of a planned one the time that is in force. Raises Refused,
        LookupError for an id that there is not."""
        book, now, window = self.book, self.book.now(), self.window(name)
        by = one_line(by)[:LONGEST_NAME]
        if not window.by_hand and in_force(window, now, book.over.get(name)) is None:
            raise Refused(f"{name} is not in force now; to be rid of it, take it out of the configuration")
        await book.end_window(name)
        log.info("maintenance_ended", id=name, match=str(window.matchers), by=by)
        self._note(self.meant(window.matchers), f"{by} ended the maintenance {name}", by)
        return window

    def window(self, name: str) -> Window:
        """The one with that name. Raises LookupError, naming the nearest."""
        window = self.book.by_hand.get(name) or self.book.planned.get(name)
        if window is None:
            raise LookupError(f"there is no window {name!r}{_near(name, [*self.book.by_hand, *self.book.planned])}")
        return window

    # ------------------------------------------------------------------------------------------ both

    def _check(self, matchers: Matchers, comment: str, by: str, *, everything: bool) -> list[Subject]:
        if len(by) > LONGEST_NAME:
            raise Refused(f"the name of whoever asks has at most {LONGEST_NAME} characters")
        if len(comment) > LONGEST_COMMENT:
            raise Refused(f"a comment has at most {LONGEST_COMMENT} characters")
        services = [*self.book.services()]
        meant = [one for one in services if matchers.hold(attributes(one.policy))]
        if not everything and meant and len(meant) == len(services) and not matchers.names_services:
            raise Refused(f"{matchers} means every service there is: say --all (in the API all: true) if that is meant")
        names = {one.policy.service for one in services}
        if name := unknown_service(matchers, names):
            raise NoSuchService(f"there is no service {name!r}{_near(name, names)}")
        return meant

    def _silence(self, name: str) -> Silence:
        found = self.book.silences.get(name)
        if found is None:
            raise LookupError(f"there is no silence {name!r}{_near(name, self.book.silences)}")
        return found

    def _note(self, services: Iterable[Subject], text: str, by: str) -> None:
        at = self.book.now()
        for subject in services:
            if subject.incident:
                self._tell(subject.policy.service, Noted(at=at, text=text, by=by))


def new_window_id() -> str:
    return f"m-{secrets.token_hex(4)}"


def _near(name: str, known: Iterable[str] | Mapping[str, object]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f": did you mean {near[0]!r}?" if near else ""


def _services(count: int) -> str:
    return f"{count} service{'' if count == 1 else 's'}"
