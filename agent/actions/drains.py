"""The ways of taking a replica out of the balance while it is restarted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agent.actions.drain_commands import COMMAND_DRAIN, NGINX
from agent.actions.haproxy import HAPROXY
from agent.ports import DrainType

DRAINS: Mapping[str, DrainType[Any]] = MappingProxyType(
    {"command": COMMAND_DRAIN, "haproxy": HAPROXY, "nginx": NGINX},
)
