"""sudoers lines: exactly the named units, and taken by visudo itself."""

import shutil
from pathlib import Path

import pytest

from agent.commands import deployment
from agent.commands.install import CannotInstall, install
from agent.commands.sudoers import Order, complaint, orders_of, sudoers
from agent.config.load import load
from agent.config.model import ConfigError
from agent.tables import TABLES
from tests.systemd.machine import as_text

PROGRAM = "/opt/codeblue/bin/codeblue"
needs_visudo = pytest.mark.skipif(
    shutil.which("visudo", path="/usr/sbin:/usr/bin") is None, reason="needs sudo: see tests/install-debian-packages"
)


def config(folder: Path, *restarts: object) -> Path:
    services = [
        {"name": f"s{number}", "checks": [{"tcp": "127.0.0.1:1"}], "restart": restart}
        for number, restart in enumerate(restarts)
    ]
    path = folder / "mine.yaml"
    path.write_text(as_text({"agent": {"store": "sqlite:////var/lib/codeblue/codeblue.db"}, "services": services}))
    return path


def through_sudo(unit: str, verb: str = "restart", **more: str) -> dict[str, object]:
    return {"systemd": {"unit": unit, "verb": verb, "sudo": "/usr/bin/sudo", **more}}


def orders(folder: Path, *restarts: object) -> list[Order]:
    return orders_of(load(config(folder, *restarts), TABLES, {}))


def test_there_is_a_line_for_each_command_word_for_word(tmp_path: Path) -> None:
    found = orders(tmp_path, through_sudo("nginx"), through_sudo("nginx", "reload"), {"systemd": "other"})
    lines = [line for line in sudoers(found).splitlines() if "NOPASSWD" in line]
    systemctl = "codeblue ALL=(root) NOPASSWD: /usr/bin/timeout -k 1 31 /usr/bin/systemctl --system"
    assert lines == [
        f"{systemctl} reload --no-ask-password -- nginx.service",
        f"{systemctl} restart --no-ask-password -- nginx.service",
    ]


def test_the_time_that_a_command_may_take_is_part_of_what_is_allowed(tmp_path: Path) -> None:
    found = orders(tmp_path, through_sudo("db", timeout="1500ms"), through_sudo("db"), through_sudo("db"))
    assert [order.argv[:4] for order in found] == [
        ("/usr/bin/timeout", "-k", "1", "3"),
        ("/usr/bin/timeout", "-k", "1", "31"),
    ]


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        pytest.param("a:b", r"-- a\:b.service", id="a colon"),
        pytest.param(r"dev-disk\x2da.service", r"-- dev-disk\\\\x2da.service", id="a backslash"),
    ],
)
def test_what_has_a_meaning_in_sudoers_is_escaped(tmp_path: Path, unit: str, written: str) -> None:
    assert sudoers(orders(tmp_path, through_sudo(unit))).splitlines()[-1].endswith(written)


def test_what_goes_through_sudo_is_not_granted_by_polkit_as_well(tmp_path: Path) -> None:
    loaded = load(config(tmp_path, through_sudo("nginx"), {"systemd": "other"}), TABLES, {})
    assert deployment.grants_of(loaded) == {"other.service": ("restart",)}


@needs_visudo
@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("nginx", id="a plain name"),
        pytest.param("worker@1", id="an instance"),
        pytest.param("a:b", id="a colon"),
        pytest.param(r"dev-disk\x2da.service", id="an escaped name"),
    ],
)
def test_visudo_takes_it(tmp_path: Path, unit: str) -> None:
    assert complaint(sudoers(orders(tmp_path, through_sudo(unit)))) == ""


@needs_visudo
def test_what_visudo_does_not_take_is_told_before_it_is_written() -> None:
    assert "syntax error" in complaint("codeblue ALL=(root NOPASSWD: oops\n")


def told(root: Path, given: Path, *, sudo: bool) -> dict[str, str]:
    steps, _ = install(given, root, PROGRAM, TABLES, dry_run=False, sudo=sudo)
    return {step.what: step.state for step in steps if step.what.startswith("/etc/")}


@needs_visudo
def test_it_is_readable_by_root_alone_and_the_unit_lets_the_agent_use_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    found = told(root, config(tmp_path, through_sudo("nginx")), sudo=True)
    assert found[f"/{deployment.SUDOERS_FILE}"] == "created"
    assert f"/{deployment.RULE_FILE}" not in found
    assert (root / deployment.SUDOERS_FILE).stat().st_mode & 0o777 == 0o440
    assert "NoNewPrivileges=no" in (root / deployment.UNIT_FILE).read_text()
    assert set(told(root, config(tmp_path, through_sudo("nginx")), sudo=True).values()) == {"unchanged"}


@needs_visudo
def test_units_with_and_without_sudo_have_both_files_each_with_its_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    told(root, config(tmp_path, through_sudo("nginx"), {"systemd": "other"}), sudo=True)
    assert "other" not in (root / deployment.SUDOERS_FILE).read_text()
    assert "nginx" not in (root / deployment.RULE_FILE).read_text()


def test_a_configuration_with_sudo_is_not_installed_without_saying_so(tmp_path: Path) -> None:
    with pytest.raises(CannotInstall, match=r"has sudo for restart nginx.service: say --sudo"):
        told(tmp_path / "root", config(tmp_path, through_sudo("nginx")), sudo=False)
    assert not (tmp_path / "root").exists()


def test_sudo_for_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotInstall, match="no restart of the configuration says sudo"):
        told(tmp_path / "root", config(tmp_path, {"systemd": "nginx"}), sudo=True)


def test_a_file_of_somebody_elses_is_not_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/sudoers.d").mkdir(parents=True)
    (root / deployment.SUDOERS_FILE).write_text("# by hand\n")
    told(root, config(tmp_path, {"systemd": "nginx"}), sudo=False)
    assert (root / deployment.SUDOERS_FILE).read_text() == "# by hand\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"sudo": "sudo"}, "must be absolute paths", id="a name to be looked for"),
        pytest.param({"sudo": "/usr/bin/sudo", "systemctl": "systemctl"}, "absolute paths", id="some systemctl"),
        pytest.param({"sudo": "/usr/bin/sudo", "scope": "user"}, "a user's own need no leave", id="a user's unit"),
    ],
)
def test_sudo_is_for_the_systems_units_and_by_its_path(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, {"systemd": {"unit": "nginx", **options}}), TABLES, {})
    assert said in str(caught.value)
