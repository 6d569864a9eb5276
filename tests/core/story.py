"""Tells the core a story, second by second, and remembers all that it decided."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agent.core.commands import Notice, NoticeKind, Outcome, Restart
from agent.core.contact import Contact
from agent.core.decide import decide
from agent.core.events import (
    Context,
    Decision,
    EventKind,
    Group,
    Input,
    NoticeDelivered,
    NoticeFailed,
    Observed,
    Parent,
    Quiet,
    RestartFinished,
    Ticked,
)
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.result import CheckResult, Verdict
from agent.core.state import Health, ServiceState

START = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
PASS, WARN, FAIL, UNKNOWN = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def policy(**more: object) -> Policy:
    """A service `api` with one check, three restarts an hour, one channel to page and one for notes."""
    settings: dict[str, object] = {
        "service": "api",
        "checks": {"http": CheckPolicy()},
        "restart": RestartPolicy(action="process", backoff=timedelta(0), jitter=0),
        "page": ("oncall",),
        "notify": ("quiet",),
    }
    return Policy(**{**settings, **more})  # type: ignore[arg-type]


def result(verdict: Verdict, seconds: float, summary: str = "") -> CheckResult:
    reason = {PASS: "ok", WARN: "slow", FAIL: "refused", UNKNOWN: "local"}[verdict]
    return CheckResult(
        verdict=verdict,
        reason=reason,
        summary=summary or {PASS: "200 OK", FAIL: "connection refused"}.get(verdict, str(verdict)),
        at=at(seconds),
        took=timedelta(milliseconds=3),
        trace_id="t" * 32,
    )


@dataclass
class Story:
    """One service's life. Times are seconds since the story began."""

    policy: Policy = field(default_factory=policy)
    state: ServiceState = field(default_factory=lambda: ServiceState(service="api"))
    parents: dict[str, Parent] = field(default_factory=dict)
    blind: str = ""
    restarts_left: int = 1000
    fleet_left: int = 1000
    host_trouble: str = ""
    group: Group | None = None
    unseen: frozenset[str] = frozenset()
    reach: dict[str, tuple[Contact, ...]] = field(default_factory=dict)
    contacts: dict[str, dict[str, str]] = field(default_factory=dict)
    quiet: Quiet | None = None
    dependants: tuple[str, ...] = ()
    decisions: list[Decision] = field(default_factory=list)

    def tell(self, event: Input) -> Decision:
        context = Context(
            parents=self.parents,
            blind=self.blind,
            restarts_left=self.restarts_left,
            fleet_left=self.fleet_left,
            unseen=self.unseen,
            host_trouble=self.host_trouble,
            group=self.group,
            agent="web-1",
            reach=self.reach,
            contacts=self.contacts,
            quiet=self.quiet,
            dependants=self.dependants,
        )
        decision = decide(self.state, event, self.policy, context)
        self.state = decision.state
        self.decisions.append(decision)
        return decision

    def sees(self, verdict: Verdict, *seconds: float, check: str = "http") -> Decision:
        decision = None
        for moment in seconds:
            decision = self.tell(Observed(at=at(moment), check=check, result=result(verdict, moment)))
        assert decision is not None
        return decision

    def restart_ends(self, outcome: Outcome, seconds: float) -> Decision:
        return self.tell(RestartFinished(at=at(seconds), key=self.restarts[-1].key, outcome=outcome))

    def time_is(self, seconds: float) -> Decision:
        return self.tell(Ticked(at=at(seconds)))

    def delivered(self, channel: str, seconds: float) -> Decision:
        return self.tell(NoticeDelivered(at=at(seconds), key=self.pages_to(channel)[-1].key))

    def refused(self, channel: str, seconds: float, reason: str = "auth") -> Decision:
        return self.tell(NoticeFailed(at=at(seconds), key=self.pages_to(channel)[-1].key, reason=reason))

    def parent_is(self, health: Health, seconds: float, *, name: str = "db", checking: bool = False) -> None:
        self.parents[name] = Parent(health=health, since=at(seconds), checking=checking)

    # ------------------------------------------------------------------------------ what was decided so far

    @property
    def commands(self) -> list[Restart | Notice]:
        return [command for decision in self.decisions for command in decision.commands]

    @property
    def restarts(self) -> list[Restart]:
        return [command for command in self.commands if isinstance(command, Restart)]

    def notices(self, kind: NoticeKind) -> list[Notice]:
        return [command for command in self.commands if isinstance(command, Notice) and command.kind is kind]

    def pages_to(self, channel: str) -> list[Notice]:
        return [notice for notice in self.notices(NoticeKind.OPENED) if notice.channel == channel]

    @property
    def cancelled(self) -> list[str]:
        return [key for decision in self.decisions for key in decision.cancelled]

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for decision in self.decisions for event in decision.events]

    @property
    def stage(self) -> str:
        return self.state.incident.stage.value if self.state.incident else ""
