"""What Docker says of a container, read into facts: the answers of its Engine API (docs.docker.com/engine/api)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator

from agent.subprocesses import describe_exit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_SIGNALLED = 128  # a container that signal n ended has the exit code 128 + n
_KILLED, _TERMINATED = 137, 143
_KILL_WAIT = timedelta(seconds=10)  # between a signal that Docker passed on and the end that it brought about
_STOP_WAIT = timedelta(seconds=60)  # for which one that was told to end is taken to be ending
_ENDING = frozenset({"2", "3", "9", "15", "37"})  # SIGINT, SIGQUIT, SIGKILL, SIGTERM, SIGRTMIN+3: those that ask to end


def container_name(text: str) -> str:
    """A container's name or id. Raises ValueError for what can't be one."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a container: expected something like photos-api")
    return text


ContainerName = Annotated[str, AfterValidator(container_name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container's state. `status` and `health` ("" without a health check) are Docker's own words; the last exit
    code is that of the last end, and `error` why it could not be started the last time."""

    name: str
    status: str
    id: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    restarts: int = 0  # by Docker itself, since it was last started by somebody
    policy: str = "no"
    retries: int = 0  # after which the policy on-failure gives up; 0: never
    health: str = ""
    health_failures: int = 0  # in a row
    health_output: str = ""  # of the last health check that ran
    tty: bool = False

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def would_be_restarted(self) -> bool:
        """Whether its restart policy has Docker start it again after an end like its last one. Docker does so at
        once; one that stays stopped nevertheless was stopped by somebody, or could not be started."""
        if self.policy == "on-failure":
            return self.exit_code != 0 and (self.retries == 0 or self.restarts < self.retries)
        return self.policy in ("always", "unless-stopped")

    def describe(self) -> str:
        """One line for people: "photos is exited: exit code 3 at 10:16:48 UTC, 2 restarts by Docker"."""
        more = []
        if self.oom_killed:
            more.append("killed for lack of memory")
        if self.status in ("exited", "dead", "restarting"):
            at = f" at {self.finished_at:%H:%M:%S} UTC" if self.finished_at else ""
            more.append(describe_end(self.exit_code) + at)
        if self.error:
            more.append(self.error)
        if self.restarts:
            more.append(f"{self.restarts} {'restart' if self.restarts == 1 else 'restarts'} by Docker")
        health = f" ({self.health})" if self.health and self.running else ""
        return f"{self.name} is {self.status}{health}" + (f": {', '.join(more)}" if more else "")


def describe_end(exit_code: int) -> str:
    """What a container's exit code means: "exit code 3", "killed by SIGKILL (137)"."""
    if _SIGNALLED < exit_code < _SIGNALLED + 65:
        return f"{describe_exit(_SIGNALLED - exit_code)} ({exit_code})"
    return describe_exit(exit_code)


def parse_inspect(text: bytes, name: str) -> Container:
    """Read the answer to `GET /containers/NAME/json`. Raises ValueError when it tells no state."""
    said = json.loads(text)
    state = _part(said, "State")
    if not isinstance(state.get("Status"), str):
        raise ValueError("no State.Status")
    health, policy = _part(state, "Health"), _part(_part(said, "HostConfig"), "RestartPolicy")
    checked = health.get("Log") or []
    return Container(
        name=name,
        status=state["Status"],
        id=str(said.get("Id") or name),
        exit_code=_figure(state, "ExitCode"),
        oom_killed=bool(state.get("OOMKilled")),
        error=" ".join(str(state.get("Error") or "").split())[:500],
        started_at=_moment(state.get("StartedAt")),
        finished_at=_moment(state.get("FinishedAt")),
        restarts=_figure(said, "RestartCount"),
        policy=str(policy.get("Name") or "no"),
        retries=_figure(policy, "MaximumRetryCount"),
        health="" if health.get("Status") in (None, "none") else str(health["Status"]),
        health_failures=_figure(health, "FailingStreak"),
        health_output=str(checked[-1].get("Output", "")).strip()[:4096] if checked else "",
        tty=bool(_part(said, "Config").get("Tty")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """Something that Docker did with a container: "start", "die", "kill" (passed a signal on), "stop" (on order)."""

    action: str
    at: datetime
    signal: str = ""  # the number, of a "kill"

    @property
    def asks_to_end(self) -> bool:
        return self.action == "kill" and self.signal in _ENDING


def parse_events(text: bytes) -> list[ContainerEvent]:
    """Read the answer to `GET /events`, one JSON object a line, oldest first. What is cut off at the end is left."""
    found = []
    for line in text.splitlines():
        try:
            said = json.loads(line)
            at = datetime.fromtimestamp(said["timeNano"] / 1e9, UTC)
            signal = str(said["Actor"]["Attributes"].get("signal", ""))
            found.append(ContainerEvent(action=str(said["Action"]), at=at, signal=signal))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def who_ended_it(events: Sequence[ContainerEvent]) -> bool | None:
    """Whether somebody asked Docker for a container's last end (`docker stop`, `docker kill`, a deployment tool).
    None when the events no longer reach back to it: the daemon keeps the last 256 of all, and none from before its
    own start."""
    ends = [number for number, event in enumerate(events) if event.action == "die"]
    if not ends:
        return None
    end = events[ends[-1]]
    starts = [number for number, event in enumerate(events[: ends[-1]]) if event.action == "start"]
    life = events[starts[-1] if starts else 0 : ends[-1]]
    stopped = any(event.action == "stop" for event in events[ends[-1] :])
    signalled = any(event.asks_to_end and end.at - event.at < _KILL_WAIT for event in life)
    return stopped or signalled


def is_being_stopped(events: Sequence[ContainerEvent], now: datetime) -> bool:
    """Whether Docker has just told it to end and it has not yet ended, as while `docker stop` waits."""
    last = events[-1] if events else None
    return last is not None and last.asks_to_end and now - last.at < _STOP_WAIT


def operators_stop(container: Container, events: Sequence[ContainerEvent]) -> str:
    """Why a container that does not run seems to have been stopped on purpose; empty if it broke.

    Its state alone can't tell: `docker stop` leaves 0, 143 or 137 as exit code, and so do a program that quits and one
    that the kernel kills. So, in this order: one that could not be started, or that ran out of memory, broke. One that
    Docker was asked to end (its events say so) was stopped. One that its restart policy would have started again was
    stopped, since Docker would have done it. What Docker ended for nobody broke, whatever its exit code. And when
    Docker's events no longer reach back, the exit codes of `docker stop` count as one.
    """
    if container.error or container.oom_killed:
        return ""
    if container.status == "created":
        return "it was created and never started"
    asked = who_ended_it(events)
    if asked:
        return "Docker was asked to stop it"
    if container.would_be_restarted:
        return f"its restart policy ({container.policy}) would have started it again, so it was stopped on purpose"
    if asked is None and container.exit_code in (0, _TERMINATED, _KILLED):
        return "it ended as after `docker stop`, and Docker's events no longer tell who ended it"
    return ""


def plain_log(raw: bytes, tty: bool) -> str:
    """The text of `GET /containers/NAME/logs`: frames of a byte for the stream, three of nothing, four for the length
    (big-endian), and that many of text; without frames where the container has a terminal."""
    if tty:
        return raw.decode("utf-8", "replace")
    text, start = bytearray(), 0
    while start + 8 <= len(raw):
        length = int.from_bytes(raw[start + 4 : start + 8], "big")
        text += raw[start + 8 : start + 8 + length]
        start += 8 + length
    return text.decode("utf-8", "replace")


def _part(said: Any, name: str) -> Mapping[str, Any]:
    part = said.get(name) if isinstance(said, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _figure(said: Mapping[str, Any], name: str) -> int:
    figure = said.get(name)
    return figure if isinstance(figure, int) else 0


def _moment(text: object) -> datetime | None:
    """Docker writes 0001-01-01 for never."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.year > 1 and moment.tzinfo else None
