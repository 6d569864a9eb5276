"""Tests in several processes at once (`pytest -n 3`, pytest-xdist): which of them stay together, and which begin.

`tests/conftest.py` takes the hooks over. The tests of a file stay in one process, for what they share; those of
`TOGETHER` do so as a whole folder. What mostly waits for real processes comes first, so that at the end no process is
left alone with it.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/systemd/",)  # one machine is booted for all of it
WAITING = ("tests/bench/", "tests/endtoend/", "tests/systemd/", "tests/dashboards/", "tests/drills/")


def unit(nodeid: str) -> str:
    """What a test is handed out with: its folder or its file."""
    file = nodeid.split("::", 1)[0]
    return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def rank(nodeid: str) -> int:
    """What comes first has a lower one."""
    return next((place for place, folder in enumerate(WAITING) if nodeid.startswith(folder)), len(WAITING))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only where there are several processes: one alone keeps the order that was asked for."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadFileScheduling":
    """One that keeps units together, and the order."""
    from xdist.scheduler import LoadFileScheduling

    class ByUnit(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return ByUnit(config, log)
