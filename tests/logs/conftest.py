"""What the log pipeline says, also in its threads."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

Said = list[MutableMapping[str, Any]]


@pytest.fixture
def said() -> Iterator[Said]:
    """Every entry that is logged during the test, from whatever thread."""
    entries: Said = []

    def keep(_logger: object, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entries.append({**entry, "log_level": method})
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0))
    yield entries
    structlog.configure(**before)
