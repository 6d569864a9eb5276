"""Talking to supervisord through its XML-RPC interface (supervisord.org/api.html), with a timeout."""

import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from agent.core.durations import format_duration
from agent.local_http import DaemonAddress, NoReply, ask
from agent.ports import Options
from agent.subprocesses import describe_exit

SOCKET = "/var/run/supervisor.sock"
_NAME = re.compile(r"[^\s:*]+(:[^\s:*]+)?")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # XML has none, but supervisord writes those of a log
_FAULTS = {6: "shutdown", 10: "not_found", 20: "no_file", 21: "not_executable", 40: "died", 50: "not_spawned"}


def _program_name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > 255:
        raise ValueError(f"{text!r} is no name of a program: expected something like photos-api or workers:worker_01")
    return text


class SupervisordTarget(Options):
    """A program and the supervisord that runs it."""

    program: Annotated[str, AfterValidator(_program_name)] = Field(
        description="The program's name, as `group:name` where it is one of several", examples=["photos-api"]
    )
    server: DaemonAddress = Field(
        default=SOCKET,
        validate_default=True,
        description="supervisord's unix socket, or http://host:port of its inet_http_server",
    )
    username: str = Field(default="", description="Where supervisord asks for one")
    password: SecretStr | None = Field(default=None, description="Where supervisord asks for one")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password belong together: give both or none")
        return self


class NoProgram(Exception):
    """Something of a program could not be learned or done. `reason` is a bounded slug: "not_found", "auth",
    "not_executable", "not_spawned", "died" (it ended while it was starting), "supervisord" (it says no for some other
    reason), or a slug of `agent.local_http.NoReply` (it can't be asked)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program's state, in supervisord's own words. `started` and `ended` are None where it never did; `now` is the
    time on supervisord's clock."""

    name: str
    state: str
    now: datetime
    started: datetime | None = None
    ended: datetime | None = None
    exit_status: int = 0
    pid: int = 0
    error: str = ""

    @property
    def uptime(self) -> timedelta:
        return max(timedelta(0), self.now - self.started) if self.started else timedelta(0)

    def describe(self) -> str:
        """One line for people: "photos is EXITED: exit code 3 at 03:04:05 UTC"."""
        match self.state:
            case "RUNNING" | "STARTING" | "STOPPING":
                more = f"pid {self.pid}, up {format_duration(self.uptime)}"
            case "EXITED":
                at = f" at {self.ended:%H:%M:%S} UTC" if self.ended else ""
                more = describe_exit(self.exit_status) + at
            case "STOPPED":
                more = f"since {self.ended:%Y-%m-%d %H:%M:%S} UTC" if self.ended else "it was never started"
            case _:
                more = self.error
        return f"{self.name} is {self.state}" + (f": {more}" if more else "")


async def info(target: SupervisordTarget, timeout: float) -> Program:
    """A program's state. Raises NoProgram."""
    said = await call(target, "getProcessInfo", target.program, timeout=timeout)
    try:
        return Program(
            name=target.program,
            state=str(said["statename"]),
            now=datetime.fromtimestamp(said["now"], UTC),
            started=_moment(said["start"]),
            ended=_moment(said["stop"]),
            exit_status=int(said["exitstatus"]),
            pid=int(said["pid"]),
            error=" ".join(str(said["spawnerr"]).split())[:300],
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise NoProgram("protocol", f"supervisord gave no state of {target.program}: {str(said)[:100]}") from None


async def last_lines(target: SupervisordTarget, stream: str, lines: int, timeout: float) -> str:
    """The last lines of its log of "Stdout" or "Stderr". Raises NoProgram, also where it keeps none."""
    said = await call(target, f"tailProcess{stream}Log", target.program, 0, 16_384, timeout=timeout)
    text = said[0] if isinstance(said, list) and said and isinstance(said[0], str) else ""
    return "\n".join(text.splitlines()[-lines:])


async def call(target: SupervisordTarget, method: str, *arguments: Any, timeout: float) -> Any:
    """What a method of the `supervisor` namespace returns. Raises NoProgram."""
    from xmlrpc.client import dumps  # with its XML parser: only where supervisord is used

    headers = {"Content-Type": "text/xml"}
    if target.password is not None:
        pair = f"{target.username}:{target.password.get_secret_value()}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    try:
        body = dumps(arguments, f"supervisor.{method}").encode()
        reply = await ask(target.server, "POST", "/RPC2", body=body, headers=headers, timeout=timeout)
    except NoReply as trouble:
        raise NoProgram(trouble.reason, f"supervisord: {trouble}") from None
    if reply.status == 401:
        raise NoProgram("auth", "supervisord does not take the username and password")
    if reply.status != 200:
        raise NoProgram("protocol", f"supervisord answered {reply.status}")
    return _returned(reply.body, target.program)


def _returned(body: bytes, program: str) -> Any:
    from xml.parsers.expat import ExpatError
    from xmlrpc.client import Error, Fault, loads

    try:
        return loads(_CONTROL.sub(b"?", body))[0][0]
    except Fault as fault:
        text = " ".join(str(fault.faultString).split())[:300]
        raise NoProgram(_FAULTS.get(int(fault.faultCode), "supervisord"), f"supervisord: {text}") from None
    except (Error, ExpatError, ValueError, TypeError, IndexError):
        raise NoProgram("protocol", f"supervisord's answer about {program} is no XML-RPC") from None


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
