"""Some services, a clock that stands still, and the book of their silences."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.core.events import Decision, Event, EventKind, Input
from agent.core.matchers import parse
from agent.core.policy import Policy
from agent.core.state import Incident, ServiceState, Stage
from agent.core.windows import ByCron, Once, Recurrence, Window
from agent.ports import ServiceRow
from agent.quiet.book import Book, Subject
from agent.quiet.desk import Desk, Wanted
from agent.stores.memory import MemoryStore

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday
HOUR = timedelta(hours=1)


def a_policy(name: str, **more: Any) -> Policy:
    return Policy(service=name, page=("oncall",), **more)


def some_policies() -> list[Policy]:
    return [
        a_policy("api", group="web", labels={"team": "shop"}),
        a_policy("db", labels={"team": "storage"}),
        a_policy("mail", severity="warning"),
    ]


def a_window(match: str = "service=db", when: Recurrence | None = None, **more: Any) -> Window:
    settings: dict[str, Any] = {"id": "backup", "length": 2 * HOUR, "comment": "weekly backup", **more}
    return Window(matchers=parse(match), recurrence=when or ByCron(expression="0 2 * * sun"), **settings)


def once(at: datetime) -> Once:
    return Once(at=at)


@dataclass
class Town:
    """`incidents` are the open ones by service; `reviews` counts how often the book called for one."""

    policies: list[Policy] = field(default_factory=some_policies)
    incidents: dict[str, str] = field(default_factory=dict)
    store: Any = field(default_factory=MemoryStore)
    now: datetime = NOW
    reviews: int = 0
    told: list[tuple[str, Input]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = self.another_book()
        self.desk = Desk(self.book, lambda service, event: self.told.append((service, event)))

    def another_book(self) -> Book:
        return Book(store=self.store, now=lambda: self.now, services=self.subjects, changed=self._review)

    def subjects(self) -> list[Subject]:
        return [Subject(policy, self.incidents.get(policy.service, "")) for policy in self.policies]

    def _review(self) -> None:
        self.reviews += 1

    def why(self, service: str, at: datetime | None = None, book: Book | None = None) -> str:
        found = (book or self.book).quiet(self.row(service), self.policy(service), at or self.now)
        return found.why if found else ""

    def policy(self, service: str) -> Policy:
        return next(one for one in self.policies if one.service == service)

    def row(self, service: str) -> ServiceRow:
        found = self.incidents.get(service)
        incident = an_open_incident(service, found) if found else None
        return ServiceRow(name=service, state=ServiceState(service=service, incident=incident))

    def wanted(self, match: str, **more: Any) -> Wanted:
        return Wanted(**{"matchers": parse(match), "by": "bob", "span": 2 * HOUR, "comment": "deploy", **more})

    async def passes(self, span: timedelta) -> None:
        """Time goes by and the book notices."""
        self.now += span
        await self.book.tick()

    def closes(self, service: str) -> None:
        gone = self.incidents.pop(service)
        self.book.on_event(Event(kind=EventKind.CLOSED, service=service, at=self.now, text="", incident=gone))


def an_open_incident(service: str, name: str) -> Incident:
    return Incident(
        id=name,
        service=service,
        opened_at=NOW,
        first_miss_at=NOW,
        check="http",
        reason="refused",
        summary="connection refused",
        stage=Stage.PAGED,
        failing=("http",),
    )


async def happened(store: Any, service: str, at: datetime, kind: EventKind) -> None:
    """A row of the timeline."""
    known = (await store.load()).get(service)
    event = Event(kind=kind, service=service, at=at, text=f"{kind} of {service}", incident=f"{service}-0")
    decision = Decision(state=ServiceState(service=service), events=(event,))
    await store.commit(service, known.version if known else 0, decision)
