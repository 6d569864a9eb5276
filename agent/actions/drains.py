"""The ways of taking a replica out of the balance while it is restarted."""

from typing import Any

from agent.ports import DrainType, OnDemand

DRAINS: OnDemand[DrainType[Any]] = OnDemand(
    {
        "command": "agent.actions.drain_commands:COMMAND_DRAIN",
        "haproxy": "agent.actions.haproxy:HAPROXY",
        "nginx": "agent.actions.drain_commands:NGINX",
    }
)
