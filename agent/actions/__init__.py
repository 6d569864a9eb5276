"""The ways of restarting a service."""

from typing import Any

from agent.ports import ActionType, OnDemand

ACTIONS: OnDemand[ActionType[Any]] = OnDemand(
    {
        "command": "agent.actions.command:COMMAND",
        "dependencies": "agent.actions.dependencies:DEPENDENCIES",
        "docker": "agent.actions.docker:DOCKER",
        "hook": "agent.actions.hook:HOOK",
        "kubernetes": "agent.actions.kubernetes:KUBERNETES",
        "procedure": "agent.actions.procedure:PROCEDURE",
        "process": "agent.actions.process:PROCESS",
        "supervisord": "agent.actions.supervisord:SUPERVISORD",
        "systemd": "agent.actions.systemd:SYSTEMD",
    }
)
