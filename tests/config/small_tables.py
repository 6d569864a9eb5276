"""A small set of types, with one of every shape that options models have, to read configurations with."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from agent.config.model import Tables
from agent.core.result import CheckResult
from agent.durations import Duration
from agent.ports import ActionType, Channel, ChannelType, CheckContext, CheckType, ChildProcesses, Options, Remediator


class Login(Options):
    user: str
    password: SecretStr


class Expect(Options):
    status: int | list[int] = 200
    headers: dict[str, str] = Field(default_factory=dict)
    at_most: Duration | None = None
    values: dict[str, Any] = Field(default_factory=dict, alias="json")


class HttpOptions(Options):
    url: str = Field(description="What is fetched.", examples=["https://photos.internal/health"])
    method: Literal["GET", "HEAD", "POST"] = Field("GET", description="How it is asked.")
    expect: Expect = Field(default=Expect(), description="What a good answer looks like.")
    login: Login | None = Field(None, description="Basic authentication.")

    @field_validator("url")
    @classmethod
    def _scheme(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"expected a URL that begins with http:// or https://, got {url!r}")
        return url


class TcpOptions(Options):
    address: str = Field(description="host:port")


class HeartbeatOptions(Options):
    every: Duration
    grace: Duration


class NoOptions(Options):
    pass


class HostOptions(Options):
    disk: Annotated[int, Field(ge=1, le=100)] = 90


class ArgvOptions(Options):
    argv: list[str] = Field(min_length=1)


class UnitOptions(Options):
    unit: str


class ProcessOptions(Options):
    name: str


class SlackOptions(Options):
    token: SecretStr = Field(description="Bot token.")
    channel: str = Field(description="Where it posts.")
    api_url: str = "https://slack.com/api/"


class WebhookOptions(Options):
    url: str
    secret: SecretStr | None = None
    keys: list[SecretStr] = Field(default_factory=list)


async def run(options: Any, ctx: CheckContext) -> CheckResult:
    raise AssertionError("reading a configuration runs nothing")


def remediator(options: Any, children: ChildProcesses) -> Remediator:
    raise AssertionError("reading a configuration builds nothing")


def channel(name: str, options: Any) -> Channel:
    raise AssertionError("reading a configuration builds nothing")


_CHECKS = (
    CheckType(name="http", options=HttpOptions, run=run, about="Fetches a URL.", short="url"),
    CheckType(name="tcp", options=TcpOptions, run=run, about="Opens a connection.", short="address"),
    CheckType(name="heartbeat", options=HeartbeatOptions, run=run, about="Waits for a beat.", pushed=True),
    CheckType(name="command", options=ArgvOptions, run=run, about="Runs a plugin.", short="argv"),
    CheckType(name="host", options=HostOptions, run=run, about="Looks at this host."),
    CheckType(name="agent", options=NoOptions, run=run, about="Looks at the agent."),
)
_ACTIONS = (
    ActionType(name="systemd", options=UnitOptions, build=remediator, about="Restarts a unit.", short="unit"),
    ActionType(name="process", options=ProcessOptions, build=remediator, about="Restarts a child.", short="name"),
    ActionType(name="command", options=ArgvOptions, build=remediator, about="Runs a program.", short="argv"),
)
_CHANNELS = (
    ChannelType(name="slack", options=SlackOptions, build=channel, about="Posts to Slack."),
    ChannelType(name="webhook", options=WebhookOptions, build=channel, about="Posts JSON."),
    ChannelType(name="console", options=NoOptions, build=channel, about="Prints."),
)

TABLES = Tables(
    checks={t.name: t for t in _CHECKS},
    actions={t.name: t for t in _ACTIONS},
    channels={t.name: t for t in _CHANNELS},
)
