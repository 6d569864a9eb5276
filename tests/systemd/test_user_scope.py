"""A user's own systemd: restarted without root, without polkit, and without a session's environment."""

import json
from collections.abc import Iterator

import pytest

from tests.systemd.host import Host
from tests.systemd.machine import wait_for

_RESTART = """import asyncio, json, sys
from datetime import UTC, datetime
from agent.actions import ACTIONS
from agent.core.commands import Restart
action = ACTIONS["systemd"]
options = action.options.model_validate({"unit": sys.argv[1], "scope": "user"})
order = Restart(key="k", service="mine", incident="i", action="systemd", attempt=1, at=datetime.now(UTC))
outcome = asyncio.run(action.build(options, None).perform(order))
print(json.dumps([outcome.outcome, outcome.detail]))
"""


class UsersManager:
    """systemd --user of the agent's user, as lingering brings it up."""

    def __init__(self, host: Host) -> None:
        self.machine = host.machine
        self.folder = f"/run/user/{self.machine.run('id', '-u', 'codeblue').strip()}"

    def start(self) -> None:
        run = self.machine.run
        run("install", "-d", "-o", "codeblue", "-g", "codeblue", "-m", "700", self.folder)
        self.machine.write("/etc/systemd/user/mine.service", "[Service]\nExecStart=/bin/sleep infinity\n")
        environment = f"--setenv=XDG_RUNTIME_DIR={self.folder}"
        own = ("--uid=codeblue", "--property=Delegate=yes", "--property=Type=notify", environment)
        run("systemd-run", "--quiet", "--unit=users-manager", *own, "/lib/systemd/systemd", "--user")

    def systemctl(self, *arguments: str) -> str:
        environment = ("env", f"XDG_RUNTIME_DIR={self.folder}")
        return self.machine.run(*environment, "systemctl", "--user", *arguments, user="codeblue").strip()

    def restart(self, unit: str) -> tuple[str, str]:
        said = self.machine.run("/opt/codeblue/bin/python", "-c", _RESTART, unit, user="codeblue")
        outcome, detail = json.loads(said)
        return outcome, detail


@pytest.fixture(scope="module")
def manager(host: Host) -> Iterator[UsersManager]:
    manager = UsersManager(host)
    manager.start()
    manager.systemctl("start", "mine")
    yield manager
    host.machine.run("systemctl", "stop", "users-manager")


def test_a_killed_unit_of_a_user_is_restarted_by_the_users_own_systemd(manager: UsersManager) -> None:
    manager.systemctl("kill", "--signal=KILL", "mine")
    wait_for("mine has failed", lambda: manager.systemctl("show", "-p", "ActiveState", "--value", "mine") == "failed")
    assert manager.restart("mine") == ("done", "mine.service is active (running)")


def test_a_users_own_stop_is_not_fought(manager: UsersManager) -> None:
    manager.systemctl("stop", "mine")
    outcome, detail = manager.restart("mine")
    assert outcome == "refused"
    assert "stopped on request at" in detail
    manager.systemctl("start", "mine")
