"""One machine for all tests of this folder, with the agent installed in it and running as its unit."""

from collections.abc import Iterator

import pytest

from tests.systemd.host import Host
from tests.systemd.machine import Machine, NotBooted, booted, missing


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Booted once a session. Where that is not possible its tests are skipped, and say why."""
    if why := missing():
        pytest.skip(why)
    try:
        with booted(tmp_path_factory.mktemp("machine") / "root") as machine:
            yield machine
    except NotBooted as error:
        pytest.skip(f"systemd can't be booted here: {error}")


@pytest.fixture(scope="session")
def host(machine: Machine) -> Host:
    host = Host(machine)
    host.set_up()
    return host
