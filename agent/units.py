"""What systemd says of a unit: the text of `systemctl show`, read into facts.

The properties are those of org.freedesktop.systemd1(5); one that an older systemd does not have is left out there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from agent.subprocesses import describe_exit

PROPERTIES = (
    "Id,LoadState,LoadError,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts,UnitFileState,"
    "ConditionResult,ConditionTimestampMonotonic,InactiveEnterTimestampMonotonic,StateChangeTimestampMonotonic,"
    "ActiveEnterTimestampMonotonic,Job,MainPID,MemoryCurrent,StatusText"
)
_KINDS = ("service", "socket", "target", "timer", "mount", "automount", "swap", "path", "slice", "scope", "device")
_NAME = re.compile(r"[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\-]*(@[A-Za-z0-9:_.\\-]*)?")
_UNSET = 2**64 - 1  # how systemd writes a figure that it does not have


def unit_name(text: str) -> str:
    """A unit's full name; `.service` is added where there is no type. Raises ValueError for what can't be one."""
    name = text if text.rpartition(".")[2] in _KINDS else f"{text}.service"
    stem = name.rpartition(".")[0]
    if not _NAME.fullmatch(stem) or len(name) > 255:
        raise ValueError(f"{text!r} is no unit name: expected something like nginx.service or worker@1.service")
    if stem.endswith("@"):
        raise ValueError(f"{text!r} is a template: name an instance of it, as in {stem}1.service")
    return name


UnitName = Annotated[str, AfterValidator(unit_name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit's state. The states and the result are systemd's own words. `exit_code` is the last one of the main
    process, `signal` what killed it; None where it has not ended or was ended the other way."""

    name: str
    load: str
    active: str
    sub: str
    result: str = "success"
    load_error: str = ""
    file_state: str = ""
    condition: bool = True  # false: one of its Condition…= was not met when it was last started
    ran: bool = False  # it was active before, since the boot, and is no longer; systemd forgets that (see `forgotten`)
    start_refused: bool = False  # it failed, and since then systemd has refused to start it: its start limit is hit
    job: bool = False  # systemd has a job for it that is not done
    exit_code: int | None = None
    signal: int | None = None
    restarts: int = 0
    main_pid: int = 0
    memory: int | None = None  # bytes
    status: str = ""  # what the service says of itself (sd_notify STATUS=)
    active_since: float | None = None  # on the kernel's monotonic clock, seconds; None while it is not active

    @property
    def masked(self) -> bool:
        return self.load == "masked" or self.file_state in ("masked", "masked-runtime")

    @property
    def stopped(self) -> bool:
        """It is not running, and not because it broke: an operator's `systemctl stop` or `disable`, a plain SIGTERM,
        or an end of its own with exit code 0. systemd's properties don't tell these apart; its journal does
        (`agent.systemctl.last_job`)."""
        ended = self.active == "inactive" and self.result == "success" and self.load == "loaded"
        return ended and self.condition and (self.ran or self.file_state == "disabled")

    @property
    def forgotten(self) -> bool:
        """systemd says that it never ran, which is also what it says of every unit that was stopped in good order and
        that no active unit wants (a static one, say): it unloads those, and their past with them."""
        return self.active == "inactive" and self.load == "loaded" and not self.ran

    @property
    def start_limit_hit(self) -> bool:
        """systemd starts it no more for now. `Result` rarely says so: it keeps the reason of the failure before."""
        return self.result == "start-limit-hit" or self.start_refused

    def describe(self) -> str:
        """One line for people: "nginx.service is failed (failed): exit-code, exit code 1, 3 restarts by systemd"."""
        more = []
        if self.masked:
            more.append("masked")
        if self.result != "success":
            more.append(self.result)
        if self.active in ("failed", "inactive") or self.sub == "auto-restart":
            more += self._last_exit()
        if self.start_refused and self.result != "start-limit-hit":
            more.append("start limit hit")
        if self.restarts:
            more.append(f"{self.restarts} {'restart' if self.restarts == 1 else 'restarts'} by systemd")
        if self.status:
            more.append(f"it says: {self.status}")
        state = self.active if self.sub in ("", self.active) else f"{self.active} ({self.sub})"
        return f"{self.name} is {state}" + (f": {', '.join(more)}" if more else "")

    def _last_exit(self) -> list[str]:
        if self.signal is not None:
            return [describe_exit(-self.signal)]
        return [] if self.exit_code is None else [describe_exit(self.exit_code)]


class NoUnit(Exception):
    """The state of a unit could not be learned. `reason` is a bounded slug: "no_systemd" (no manager runs here),
    "timeout", a slug of `agent.subprocesses.NotStarted` ("missing": no systemctl), "systemctl" for anything else."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_show(text: str) -> Unit:
    """Read what `systemctl show --property=…` printed about one unit. Raises NoUnit if it says no state."""
    said = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    if not said.get("ActiveState") or not said.get("LoadState"):
        raise NoUnit("systemctl", f"systemctl did not say the unit's state: {text.strip()[:200]!r}")
    code = said.get("ExecMainCode", "0")  # waitid's si_code: 1 exited, 2 killed, 3 dumped core; older ones say words
    status = _figure(said, "ExecMainStatus") or 0
    entered = _figure(said, "ActiveEnterTimestampMonotonic") or 0
    ended = _figure(said, "InactiveEnterTimestampMonotonic") or 0
    changed = _figure(said, "StateChangeTimestampMonotonic") or 0  # a refused start changes failed to failed
    return Unit(
        name=said.get("Id", ""),
        load=said["LoadState"],
        active=said["ActiveState"],
        sub=said.get("SubState", ""),
        result=said.get("Result") or "success",
        load_error=_bus_message(said.get("LoadError", "")),
        file_state=said.get("UnitFileState", ""),
        condition=not (said.get("ConditionResult") == "no" and _figure(said, "ConditionTimestampMonotonic")),
        ran=bool(ended),
        start_refused=said["ActiveState"] == "failed" and 0 < ended < changed,
        job=bool(said.get("Job")),
        exit_code=status if code in ("1", "exited") else None,
        signal=status if code in ("2", "3", "killed", "dumped") else None,
        restarts=_figure(said, "NRestarts") or 0,
        main_pid=_figure(said, "MainPID") or 0,
        memory=_figure(said, "MemoryCurrent"),
        status=said.get("StatusText", "")[:200],
        active_since=entered / 1e6 if said["ActiveState"] == "active" and entered else None,
    )


def _figure(said: Mapping[str, str], name: str) -> int | None:
    text = said.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 and int(text) != _UNSET else None


def _bus_message(text: str) -> str:
    """LoadError is printed as `name "message"`."""
    return text.partition(" ")[2].strip('"') or text
