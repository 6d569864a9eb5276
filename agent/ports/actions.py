"""What restarts things: actions, and the processes that the agent supervises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol

from agent.core.commands import Outcome, Restart
from agent.core.few import no_text
from agent.core.result import Verdict
from agent.ports.options import O


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """How an action ended, with the evidence taken just before it (at most 256 KiB in all)."""

    outcome: Outcome
    detail: str = ""
    evidence: Mapping[str, str] = field(default_factory=no_text)


class Remediator(Protocol):
    """Restarts one service. Never raises for "it did not work", and ends by itself within its own timeout."""

    async def perform(self, order: Restart) -> ActionOutcome: ...


class ChildProcesses(Protocol):
    """The processes that the agent supervises, by the name that config gives them."""

    async def restart(self, name: str, *, timeout: float) -> ActionOutcome: ...

    def pid(self, name: str) -> int | None:
        """The running process, None when it is not running or not known."""
        ...


class Reach(Protocol):
    """What a restart may ask of the rest of the agent."""

    async def verdict(self, service: str, check: str) -> Verdict:
        """Run a check of a service now, and decide on it as on every run. UNKNOWN for one that there is not, or that
        can't be run at will."""
        ...

    async def restart_upstream(self, order: Restart) -> ActionOutcome:
        """Restart everything that may be restarted and that the order's service depends on, near and far: the topmost
        first, each under the rules and budgets of its own, and the next one only when its checks pass. DONE says that
        all of them are well; the first that may not be restarted, or is not well in time, ends it."""
        ...


class Reaching(Remediator, Protocol):
    """A remediator that needs more than its options."""

    def use(self, reach: Reach, own: Remediator | None) -> None:
        """Called once, before anything is performed. `own` is the service's own restart, None where its ladder has
        none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionType(Generic[O]):
    """One type of restart: `build` makes the remediator for one service's options, which is a `Reaching` one if
    `reaches` says so. `short` as in CheckType."""

    name: str
    options: type[O]
    build: Callable[[O, ChildProcesses], Remediator]
    about: str
    short: str | None = None
    reaches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process that the agent starts at boot, restarts on order and stops with itself. `command` is an argv."""

    name: str
    command: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stop_timeout: float = 5.0  # seconds between SIGTERM and SIGKILL
