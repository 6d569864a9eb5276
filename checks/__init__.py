"""Every type of check, by the name that config gives it. A new check is its module and a line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agent.ports import CheckType
from checks.agent import AGENT
from checks.command import COMMAND
from checks.docker import DOCKER
from checks.file import FILE
from checks.heartbeat import HEARTBEAT
from checks.host import HOST
from checks.http import HTTP
from checks.log import LOG
from checks.process import PROCESS
from checks.supervisord import SUPERVISORD
from checks.systemd import SYSTEMD
from checks.tcp import TCP
from checks.tls import TLS

CHECKS: Mapping[str, CheckType[Any]] = MappingProxyType(
    {
        "http": HTTP,
        "tcp": TCP,
        "tls": TLS,
        "heartbeat": HEARTBEAT,
        "process": PROCESS,
        "systemd": SYSTEMD,
        "docker": DOCKER,
        "supervisord": SUPERVISORD,
        "command": COMMAND,
        "host": HOST,
        "file": FILE,
        "log": LOG,
        "agent": AGENT,
    }
)
