"""The keys of a configuration file itself: everything but the options of the check, action and channel types.

The descriptions here are the reference documentation and what an editor shows.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from agent.config.rota_types import Severity
from agent.config.types import (
    Address,
    Argv,
    Cadence,
    Count,
    CronText,
    HttpUrl,
    Length,
    LinkTemplate,
    Name,
    Names,
    RateText,
    Size,
    StoreUrl,
    Texts,
    TraceLink,
    Zone,
)
from agent.core.policy import Mode
from agent.core.rates import Rate
from agent.durations import Duration
from agent.outgoing import SecretHeaders, SecretUrl


class Envelope(BaseModel):
    """Immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class RestartKeys(Envelope):
    at_most: RateText = Field(Rate(3, timedelta(hours=1)), description="Never more restarts than this, e.g. 3 per 1h.")
    verify: Length = Field(
        timedelta(seconds=30), description="After a restart the failing checks must recover within this time."
    )
    backoff: Duration = Field(
        timedelta(seconds=10),
        description="The second restart of one incident waits this long after the first, each later one twice as long.",
    )
    mode: Mode = Field(
        Mode.AUTO,
        description="`off` never restarts, `shadow` says what it would have done, `ask` waits for `codeblue approve`.",
    )
    min_success: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Page at once for a kind of failure that restarts cured less often than this before; 0 never does.",
    )
    approve_within: Length = Field(timedelta(minutes=15), description="How long `codeblue approve` may take.")


class GatherKeys(Envelope):
    by: Names = Field(
        min_length=1,
        description="Services with equal values of these are one message: `group`, `severity`, names of labels.",
    )
    wait: Duration = Field(
        timedelta(seconds=30), description="How long others are waited for before the first message."
    )
    interval: Length = Field(timedelta(minutes=5), description="What changes is told at most this often.")


class Defaults(Envelope):
    every: Cadence = Field(timedelta(seconds=10), description="How often a check runs, at least `100ms` apart.")
    timeout: Length = Field(timedelta(seconds=3), description="How long one run may take.")
    misses: Count = Field(2, description="Failures in a row before anything is decided.")
    retry: Duration = Field(
        timedelta(seconds=2),
        description="When a first failure is confirmed by an extra run; 0s waits for the next one.",
    )
    recover: Count = Field(2, description="Passes in a row after which a failed check counts as well again.")
    page: Names = Field((), description="Channels that are asked when people are needed.")
    notify: Names = Field((), description="Quiet channels: what healed by itself, warnings.")
    remind: Duration = Field(timedelta(hours=4), description="An unresolved page is repeated this often; 0s never.")
    page_deadline: Length = Field(
        timedelta(minutes=1), description="A page not delivered by then goes to the channel's fallback too."
    )
    unknown_after: Duration = Field(
        timedelta(minutes=5), description="A check that cannot tell for this long is paged for that; 0s never."
    )
    flapping: RateText = Field(
        Rate(6, timedelta(hours=1)),
        description="A service that goes down this often gets one incident, which stays open; 0 per 1h never.",
    )
    calm: Length = Field(
        timedelta(minutes=15), description="How long a flapping service must be well before its incident is closed."
    )
    gather: GatherKeys | None = Field(
        None, description="Pages that are gathered into one message. Default: each service is paged by itself, at once."
    )
    restart: RestartKeys = Field(
        RestartKeys.model_validate({}), description="Limits of every restart that does not set its own."
    )
    severity: Severity = Field("critical", description="How bad it is when a service is down.")
    dashboard: LinkTemplate = Field(
        "", description="A URL that is shown in pages; `{service}` in it becomes the service's name."
    )
    labels: Texts = Field(default_factory=dict, description="Labels of every service, which may add its own.")
    escalate: str | None = Field(
        None, description="The escalation policy of services that no route takes. Default: the one called `default`."
    )


class CheckKeys(Envelope):
    name: Name | None = Field(None, description="Needed for a second check of the same type. Default: the type.")
    every: Cadence | None = Field(None, description="How often it runs, at least `100ms` apart.")
    cron: CronText | None = Field(None, description="Five cron fields instead of `every`.")
    zone: Zone | None = Field(None, description="IANA time zone of `cron`. Default: UTC.")
    timeout: Length | None = Field(
        None, description="How long one run may take, at most `every`. Default: the file's, or `every` if that is less."
    )
    misses: Count | None = Field(None, description="Failures in a row before anything is decided.")
    retry: Duration | None = Field(None, description="When a first failure is confirmed by an extra run; 0s never.")
    recover: Count | None = Field(None, description="Passes in a row after which it counts as well again.")
    token: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        None, description="What a pushed heartbeat must carry. For heartbeats only."
    )


class RestartOverrides(Envelope):
    at_most: RateText | None = Field(None, description="Never more restarts than this, e.g. 3 per 1h.")
    verify: Length | None = Field(None, description="The failing checks must recover within this time.")
    backoff: Duration | None = Field(None, description="Wait before the second restart of one incident, then doubled.")
    mode: Mode | None = Field(None, description="`off`, `shadow`, `ask` or `auto`.")
    min_success: float | None = Field(None, ge=0, le=1, description="Page at once where restarts cured less than this.")
    approve_within: Length | None = Field(None, description="How long `codeblue approve` may take.")
    drain: Any = Field(
        None,
        description="How it is taken out of the balance before a restart, and put back when its checks pass again: "
        "haproxy, nginx or command, see [checks.md](checks.md#drains).",
    )


class DrainKeys(Envelope):
    when_given_up: Literal["undrain", "leave"] = Field(
        "undrain", description="What to do with a replica that no restart has healed: put it back, or leave it out."
    )


class StepKeys(Envelope):
    verify: Length | None = Field(None, description="The failing checks must recover within this time after this step.")


class ServiceKeys(Envelope):
    name: Name = Field(description="Unique: small letters, digits, dot, underscore, dash; at most 63 characters.")
    checks: tuple[Any, ...] = Field(min_length=1, description="What says whether the service is well.")
    depends_on: Names = Field((), description="Services whose failure explains a failure of this one.")
    restart: Any = Field(None, description="How it is restarted. Without it people are asked at once.")
    page: Names | None = Field(None, description="Channels that are asked when people are needed.")
    notify: Names | None = Field(None, description="Quiet channels: what healed by itself, warnings.")
    remind: Duration | None = Field(None, description="An unresolved page is repeated this often; 0s never.")
    page_deadline: Length | None = Field(None, description="A page not delivered by then goes to the fallback too.")
    unknown_after: Duration | None = Field(None, description="Not being able to tell for this long is paged; 0s never.")
    flapping: RateText | None = Field(None, description="Going down this often is one incident; 0 per 1h never.")
    calm: Length | None = Field(None, description="How long it must be well until it counts as flapping no more.")
    runbook: str = Field("", description="A link for whoever is paged.")
    dashboard: LinkTemplate | None = Field(None, description="A URL that is shown in its pages. Default: the file's.")
    gather: GatherKeys | Literal["off"] | None = Field(
        None, description="Pages that are gathered into one message; `off` where the defaults gather."
    )
    group: str = Field(
        "", description="Replicas of one thing: restarted one at a time, the first deciding for the rest."
    )
    severity: Severity | None = Field(None, description="How bad it is when it is down. Default: that of `defaults`.")
    labels: Texts = Field(default_factory=dict, description="What routes, silences and windows look at: `{team: db}`.")
    escalate: str | None = Field(
        None, description="Its escalation policy; `none` for none. Default: by the first route that takes it."
    )


class TraceKeys(Envelope):
    endpoint: HttpUrl = Field(description="Base URL of an OTLP/HTTP receiver, or its /v1/traces.")
    sample: float = Field(
        0.01, ge=0, le=1, description="The part of the passing runs that is sent; the others all are."
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Sent with every export.")
    link: TraceLink = Field("", description="A URL with {trace_id} in it that is shown in pages.")


class PingKeys(Envelope):
    url: SecretUrl = Field(
        description="What is asked every so often: a check of healthchecks.io, or anything else. Secret as a whole."
    )
    every: Length = Field(timedelta(minutes=1), description="How often.")
    method: Literal["POST", "GET", "PUT"] = Field("POST", description="POST and PUT carry how the agent is, as JSON.")
    timeout: Length = Field(timedelta(seconds=10), description="How long the answer may take.")
    headers: SecretHeaders = Field(default_factory=dict, description="Sent with every ping; never shown.")
    on_trouble: Literal["fail", "withhold"] = Field(
        "fail", description="When the agent isn't well: `fail` tells `fail_url`, `withhold` tells nobody anything."
    )
    fail_url: SecretUrl | None = Field(None, description="Default: `url` with `/fail` at the end of its path.")
    drill_within: Length | None = Field(
        None, description="No fire drill passed for this long is trouble, too. Default: only a drill that failed is."
    )


class AgentKeys(Envelope):
    name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="How this agent is called in messages. Default: the host's name."
    )
    listen: Address = Field("127.0.0.1:9797", description="Where metrics, status page and heartbeats are served.")
    store: StoreUrl = Field(
        "sqlite:///codeblue.db", description="The database; a relative path starts from the folder of this file."
    )
    tokens: tuple[Annotated[SecretStr, Field(min_length=8)], ...] = Field(
        (), description="Any of them opens every page and heartbeat. Needed when `listen` is not loopback."
    )
    concurrency: Count = Field(1000, description="Checks under way at the same time.")
    per_host: Count = Field(50, description="Checks under way at the same time against one host.")
    restarts: RateText = Field(Rate(20, timedelta(hours=1)), description="Budget that all services of this host share.")
    allow: tuple[str, ...] | None = Field(
        None,
        description="All that restarts and drains may use, also those of included files: types, or absolute paths "
        "of programs (`[systemd, /usr/local/sbin/restart-photos]`). Default: everything.",
    )
    fleet_restarts: RateText | None = Field(
        None, description="Budget that all agents share which name the same `fleet_store`. Default: none."
    )
    fleet_store: str | None = Field(
        None,
        description="The database in which the agents of a fleet write down what they restart, for `fleet_restarts`: a "
        "PostgreSQL that all reach, or a file on one host. Not the `store` of any agent: that is for it alone.",
    )
    retention: Length = Field(timedelta(days=90), description="How long timeline, runs and sent messages are kept.")
    log_retention: Length = Field(timedelta(days=7), description="How long collected log lines are kept.")
    log_size: Annotated[Size, Field(gt=0)] = Field(
        Size(1_073_741_824), description="About how large the log store may grow, e.g. 500MB, 1GiB."
    )
    traces: TraceKeys | None = Field(None, description="Where spans are sent. Without it none are.")
    ping: PingKeys | None = Field(
        None, description="A dead man's switch outwards: somebody else pages when this agent falls silent."
    )
    page: Names = Field(
        (),
        description="Channels that are told of a channel that doesn't work. Default: its fallbacks, or else the other "
        "channels that services are paged by.",
    )
    control: tuple[Address, ...] = Field(
        (),
        description="host:port of things that always answer: when none does, a failing remote target isn't believed.",
    )


class ProcessKeys(Envelope):
    command: Argv = Field(min_length=1, description="Program and arguments as a list. No shell is involved.")
    cwd: str | None = Field(None, description="Where it runs; relative to this file's folder, which is the default.")
    env: Texts = Field(
        default_factory=dict,
        description="Added to PATH, HOME and the like; the agent's other variables, maybe secret, are not passed on.",
    )
    stop_timeout: Duration = Field(timedelta(seconds=5), description="Between SIGTERM and SIGKILL.")


class ChannelKeys(Envelope):
    type: str = Field(description="One of the channel types.")
    fallback: Names = Field((), description="Channels that get a page which this one did not take.")
    per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, allow_inf_nan=False, description="Messages per second at most. Default: what the type allows."
    )


class LogKeys(Envelope):
    service: str = Field(description="The service that the lines belong to.")
    files: Names | None = Field(None, description="Patterns of files to follow, e.g. /var/log/nginx/*.log.")
    units: Names | None = Field(None, description="systemd units whose journal is followed.")
    journal: Names | None = Field(None, description="Another word for `units`.")
