"""Every type of check, by the name that config gives it. A new check is its module and a line here."""

from typing import Any

from agent.ports import CheckType, OnDemand

CHECKS: OnDemand[CheckType[Any]] = OnDemand(
    {
        "http": "checks.http:HTTP",
        "tcp": "checks.tcp:TCP",
        "tls": "checks.tls:TLS",
        "heartbeat": "checks.heartbeat:HEARTBEAT",
        "process": "checks.process:PROCESS",
        "systemd": "checks.systemd:SYSTEMD",
        "docker": "checks.docker:DOCKER",
        "supervisord": "checks.supervisord:SUPERVISORD",
        "command": "checks.command:COMMAND",
        "host": "checks.host:HOST",
        "file": "checks.file:FILE",
        "log": "checks.log:LOG",
        "agent": "checks.agent:AGENT",
    }
)
