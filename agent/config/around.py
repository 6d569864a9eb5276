"""What a service's parts refer to."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config.envelope import Defaults
from agent.config.model import ChannelSpec, Tables
from agent.config.routes import Routing


@dataclass(slots=True)
class Around:
    """What services refer to."""

    tables: Tables
    defaults: Defaults
    channels: Mapping[str, ChannelSpec]
    channel_names: list[str]
    process_names: list[str]
    routing: Routing
    allowed: frozenset[str] | None = None  # see agent.config.allowed
