"""What `systemctl show` prints about units in their various states (as systemd 252 words it)."""

from pathlib import Path

from tests.processes import executable

BASE = {
    "Id": "photos.service",
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "ExecMainCode": "0",
    "ExecMainStatus": "0",
    "NRestarts": "0",
    "UnitFileState": "enabled",
    "ConditionResult": "yes",
    "ConditionTimestampMonotonic": "4211840",
    "InactiveEnterTimestampMonotonic": "0",
    "StateChangeTimestampMonotonic": "4211990",
    "Job": "",
    "MainPID": "714",
    "MemoryCurrent": "7331840",
    "StatusText": "",
}
ENDED = {
    "MainPID": "0",
    "MemoryCurrent": "[not set]",
    "InactiveEnterTimestampMonotonic": "9125839",
    "StateChangeTimestampMonotonic": "9125839",
}
STATES: dict[str, dict[str, str]] = {
    "running": {},
    "done": {"SubState": "exited", "MainPID": "0", "ExecMainCode": "1", "MemoryCurrent": "18446744073709551615"},
    "masked_running": {"LoadState": "masked", "UnitFileState": "masked"},
    "starting": {"ActiveState": "activating", "SubState": "start", "StatusText": "replaying the log"},
    "waits_to_restart": {
        "ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code",
        "ExecMainCode": "1", "ExecMainStatus": "1", "NRestarts": "2", **ENDED,
    },
    "crash_loop": {
        "ActiveState": "activating", "SubState": "auto-restart", "Result": "signal",
        "ExecMainCode": "3", "ExecMainStatus": "11", "NRestarts": "5", **ENDED,
    },
    "reloading": {"ActiveState": "reloading", "SubState": "reload"},
    "stopping": {"ActiveState": "deactivating", "SubState": "stop-sigterm"},
    "failed": {
        "ActiveState": "failed", "SubState": "failed", "Result": "exit-code",
        "ExecMainCode": "1", "ExecMainStatus": "3", **ENDED,
    },
    "killed": {
        "ActiveState": "failed", "SubState": "failed", "Result": "signal",
        "ExecMainCode": "2", "ExecMainStatus": "9", **ENDED,
    },
    "oom": {
        "ActiveState": "failed", "SubState": "failed", "Result": "oom-kill",
        "ExecMainCode": "2", "ExecMainStatus": "9", **ENDED,
    },
    "start_limit": {  # after failures, systemd keeps their result …
        "ActiveState": "failed", "SubState": "failed", "Result": "exit-code",
        "ExecMainCode": "1", "ExecMainStatus": "1", "NRestarts": "5",
        **ENDED, "StateChangeTimestampMonotonic": "9125921",
    },
    "start_limit_of_successes": {  # … and names the limit only where there was none
        "ActiveState": "failed", "SubState": "failed", "Result": "start-limit-hit",
        "ExecMainCode": "1", "ExecMainStatus": "0", "NRestarts": "5",
        **ENDED, "StateChangeTimestampMonotonic": "9125921",
    },
    "stopped": {"ActiveState": "inactive", "SubState": "dead", "ExecMainCode": "2", "ExecMainStatus": "15", **ENDED},
    "stopped_java": {
        "ActiveState": "failed", "SubState": "failed", "Result": "exit-code",
        "ExecMainCode": "1", "ExecMainStatus": "143", **ENDED,
    },
    "forgotten": {  # a static unit after `systemctl stop`, or that never ran: systemd says the same of both
        "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "static", **ENDED, "ConditionResult": "no",
        "ConditionTimestampMonotonic": "0", "InactiveEnterTimestampMonotonic": "0",
        "StateChangeTimestampMonotonic": "0",
    },
    "start_queued": {
        "ActiveState": "inactive", "SubState": "dead", "Job": "133", **ENDED, "ConditionResult": "no",
        "ConditionTimestampMonotonic": "0", "InactiveEnterTimestampMonotonic": "0",
    },
    "never_started": {
        "ActiveState": "inactive", "SubState": "dead", **ENDED, "ConditionResult": "no",
        "ConditionTimestampMonotonic": "0", "InactiveEnterTimestampMonotonic": "0",
    },
    "disabled": {
        "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled", **ENDED, "ConditionResult": "no",
        "ConditionTimestampMonotonic": "0", "InactiveEnterTimestampMonotonic": "0",
    },
    "condition": {"ActiveState": "inactive", "SubState": "dead", **ENDED, "ConditionResult": "no"},
    "masked": {
        "LoadState": "masked", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "masked",
        "LoadError": 'org.freedesktop.systemd1.UnitMasked "Unit photos.service is masked."', **ENDED,
    },
    "not_found": {
        "LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "",
        "LoadError": 'org.freedesktop.systemd1.NoSuchUnit "Unit photos.service not found."', **ENDED,
    },
    "bad_setting": {
        "LoadState": "bad-setting", "ActiveState": "inactive", "SubState": "dead",
        "LoadError": 'org.freedesktop.systemd1.BadUnitSetting "Unit photos.service has a bad unit file setting."',
        **ENDED,
    },
    "maintenance": {"ActiveState": "maintenance", "SubState": "cleaning"},
}  # fmt: skip


def shown(state: str) -> str:
    """The text for a unit in that state."""
    return "".join(f"{name}={value}\n" for name, value in (BASE | STATES[state]).items())


def stand_in(folder: Path, *, show: str = "", stderr: str = "", exit_code: int = 0, restart: str = "exit 0") -> Path:
    """A `systemctl` that writes down its arguments in `calls`, prints `show` when asked for a unit's state, and runs
    the shell line `restart` when told to restart one."""
    (folder / "show").write_text(show)
    (folder / "stderr").write_text(stderr)
    text = f"""#!/bin/sh
cd {folder}
echo "$@" >> calls
cat stderr >&2
case "$*" in
*" show "*) cat show; exit {exit_code} ;;
*" restart "*) {restart} ;;
esac
"""
    return executable(folder / "systemctl", text)
