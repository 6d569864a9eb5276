"""What a configuration means once it is read, checked and resolved: the input of `agent.app`.

Everything is immutable, so that two configurations can be compared and swapped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from agent.core.policy import CheckPolicy, Escalation, GroupRule, Policy
from agent.core.rota import Person, Schedule
from agent.core.storm import StormRule
from agent.core.windows import Window
from agent.ports import (
    ActionType,
    CalendarSpec,
    ChannelType,
    CheckType,
    DrainType,
    LogSpec,
    Options,
    ProcessSpec,
)

if TYPE_CHECKING:
    from agent.config.alerts_in import AlertsInSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression of five fields, in an IANA zone."""

    expression: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """One check, ready to run. It runs either every so often or by cron, never both. `timeout` is in seconds."""

    service: str
    name: str
    type: CheckType[Any]
    options: Options
    every: timedelta | None
    cron: Cron | None
    timeout: float
    policy: CheckPolicy
    token: SecretStr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """How a service is restarted."""

    type: ActionType[Any]
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSpec:
    """How a replica is taken out of the balance, and whether it stays out when no restart has healed it."""

    type: DrainType[Any]
    options: Options
    stays_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    name: str
    policy: Policy
    checks: tuple[CheckSpec, ...]
    actions: tuple[ActionSpec, ...] = ()  # the steps of its ladder; one for a plain restart
    drain: DrainSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSpec:
    """A channel and where its pages go when it does not take them. `per_second` overrides the type's rate limit."""

    name: str
    type: ChannelType[Any]
    options: Options
    fallback: tuple[str, ...] = ()
    per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where spans go (an OTLP/HTTP base or traces URL) and which part of the passing runs is sent."""

    endpoint: str
    sample: float = 0.01
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    link: str = ""  # a URL with {trace_id} in it, shown in pages


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSpec:
    """The dead man's switch outwards: an address that is told every so often that this agent does its work, and
    another that is told when it does not (None: then nobody is told anything). `timeout` is in seconds. Without a
    drill that passed within `drill_within` the agent counts as not well."""

    url: SecretStr
    fail_url: SecretStr | None
    every: timedelta = timedelta(minutes=1)
    method: str = "POST"
    timeout: float = 10.0
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    drill_within: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSpec:
    """When fire drills are held (by `cron`, or `every` so often, or neither) and who is asked: as for each of
    `services`, or without those `page` and the first step of `escalation`. `seen` is how long a person has to confirm;
    None: nobody has to."""

    cron: Cron | None = None
    every: timedelta | None = None
    services: tuple[str, ...] = ()
    page: tuple[str, ...] = ()
    escalation: Escalation | None = None
    within: timedelta = timedelta(minutes=1)
    seen: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """The agent's own settings."""

    name: str
    listen: str = "127.0.0.1:9797"
    store: str = "sqlite:///codeblue.db"
    tokens: tuple[SecretStr, ...] = ()  # any of them opens every page and beat; needed for a public bind
    concurrency: int = 1000  # checks in flight
    per_host: int = 50  # checks in flight against one host
    restarts_at_most: int = 20  # budget that all services of this host share
    restarts_per: timedelta = timedelta(hours=1)
    fleet_at_most: int = 1_000_000  # the same of all agents with one fleet_store; as many as that are no limit
    fleet_per: timedelta = timedelta(hours=1)
    fleet_store: str | None = None
    retention: timedelta = timedelta(days=90)  # of timeline, runs and settled commands
    log_retention: timedelta = timedelta(days=7)
    log_size: int = 1_073_741_824  # bytes of the log store, about
    traces: Traces | None = None
    ping: PingSpec | None = None
    page: tuple[str, ...] = ()  # who hears of channels that don't work
    control: tuple[str, ...] = ()  # host:port that must be reachable before a remote target's failure is believed
    allow: tuple[str, ...] | None = None  # all that restarts may use; None: everything


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file as it was read: how messages call it, where it is, and a digest of what it said."""

    label: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration. `files` are all that it was read from, for watching: the configuration files, the folders
    that were searched for included ones (a new file there is a change too), the secret files."""

    agent: AgentSpec
    services: Mapping[str, ServiceSpec]
    processes: Mapping[str, ProcessSpec] = field(default_factory=dict)
    channels: Mapping[str, ChannelSpec] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    calendars: Mapping[str, CalendarSpec] = field(default_factory=dict)  # by the schedule that each is
    escalations: Mapping[str, Escalation] = field(default_factory=dict)
    logs: tuple[LogSpec, ...] = ()
    files: tuple[Path, ...] = ()
    sources: tuple[Source, ...] = ()  # the configuration files among them, the main one first
    groups: Mapping[str, GroupRule] = field(default_factory=dict)
    storm: StormRule | None = field(default_factory=StormRule)
    maintenance: tuple[Window, ...] = ()
    alerts_in: "AlertsInSpec | None" = None
    drill: DrillSpec = field(default_factory=DrillSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The types that a configuration may name, by their names: the literals of checks/, agent/actions/, alerts/."""

    checks: Mapping[str, CheckType[Any]]
    actions: Mapping[str, ActionType[Any]]
    channels: Mapping[str, ChannelType[Any]]
    drains: Mapping[str, DrainType[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong: where, and what was expected. `line` counts from 1, 0 when there is none."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it, and all files that it was read from
    or should have been."""

    def __init__(self, problems: list[Problem], files: tuple[Path, ...] = ()) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems
        self.files = files

    def brief(self, most: int = 3) -> str:
        """The first problems, for where thousands cannot be shown."""
        more = len(self.problems) - most
        shown = "\n".join(str(problem) for problem in self.problems[:most])
        return shown + (f"\nand {more} more, which codeblue validate shows" if more > 0 else "")
