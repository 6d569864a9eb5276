"""Small states, commands and decisions for the tests of the stores, and the stores themselves."""

from datetime import UTC, datetime, timedelta

from agent.core.commands import Notice, NoticeKind, Restart
from agent.core.events import Decision, Event, EventKind
from agent.core.state import Health, Incident, ServiceState, Stage
from agent.stores import MemoryStore, ResilientStore, SqlStore, open_store

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AnyStore = MemoryStore | SqlStore | ResilientStore


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def restart(key: str, service: str = "photos", incident: str = "i1", seconds: float = 0) -> Restart:
    return Restart(key=key, service=service, incident=incident, action="systemd", attempt=1, at=at(seconds))


def notice(
    key: str,
    service: str = "photos",
    incident: str = "i1",
    channel: str = "oncall",
    kind: NoticeKind = NoticeKind.OPENED,
    seconds: float = 0,
) -> Notice:
    return Notice(
        key=key,
        incident=incident,
        service=service,
        channel=channel,
        kind=kind,
        title=f"{service} is down",
        summary="connection refused",
        at=at(seconds),
        opened_at=T0,
        facts={"Check": "http"},
    )


def event(text: str, service: str = "photos", incident: str = "", seconds: float = 0) -> Event:
    return Event(kind=EventKind.MISSED, service=service, at=at(seconds), text=text, incident=incident)


def healthy(service: str = "photos", seconds: float = 0) -> ServiceState:
    return ServiceState(service=service, health=Health.UP, since=at(seconds))


def down(service: str = "photos", incident: str = "i1", seconds: float = 0) -> ServiceState:
    open_one = Incident(
        id=incident,
        service=service,
        opened_at=at(seconds),
        first_miss_at=at(seconds),
        check="http",
        reason="refused",
        summary="connection refused",
        stage=Stage.RESTARTING,
    )
    return ServiceState(service=service, health=Health.DOWN, since=at(seconds), incident=open_one)


def decided(
    state: ServiceState | None = None, *commands: Restart | Notice, cancelled: tuple[str, ...] = ()
) -> Decision:
    return Decision(state=state or healthy(), commands=commands, cancelled=cancelled)


def told(*events: Event, state: ServiceState | None = None) -> Decision:
    return Decision(state=state or healthy(), events=events)


class Troubles(list[str]):
    """Everything that a store said about its database, in order."""

    def __call__(self, text: str) -> None:
        self.append(text)


def resilient(path: object, troubles: Troubles | None = None) -> ResilientStore:
    return open_store(f"sqlite:///{path}", Troubles() if troubles is None else troubles)
