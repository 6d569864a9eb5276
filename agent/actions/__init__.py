"""The ways of restarting a service."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agent.actions.command import COMMAND
from agent.actions.dependencies import DEPENDENCIES
from agent.actions.docker import DOCKER
from agent.actions.hook import HOOK
from agent.actions.kubernetes import KUBERNETES
from agent.actions.procedure import PROCEDURE
from agent.actions.process import PROCESS
from agent.actions.supervisord import SUPERVISORD
from agent.actions.systemd import SYSTEMD
from agent.ports import ActionType

ACTIONS: Mapping[str, ActionType[Any]] = MappingProxyType(
    {
        "command": COMMAND,
        "dependencies": DEPENDENCIES,
        "docker": DOCKER,
        "hook": HOOK,
        "kubernetes": KUBERNETES,
        "procedure": PROCEDURE,
        "process": PROCESS,
        "supervisord": SUPERVISORD,
        "systemd": SYSTEMD,
    }
)
