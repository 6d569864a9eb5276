"""The way without polkit: an agent of its own machine that restarts a unit through sudo, and may do nothing else."""

from collections.abc import Iterator

import pytest

from tests.systemd.host import SLEEP, UNITS, WANTED
from tests.systemd.machine import Machine, NotBooted, as_text, booted, missing, wait_for

SUDO = "/usr/bin/sudo"
ODD = r"odd\x2dna:me.service"
WORDS = ("/usr/bin/timeout", "-k", "1", "31", "/usr/bin/systemctl", "--system")
CONFIG = {
    "agent": {"name": "machine", "store": "sqlite:////var/lib/codeblue/codeblue.db"},
    "defaults": {"every": "1s", "timeout": "900ms", "misses": 2, "retry": "300ms", "recover": 1},
    "services": [
        {
            "name": "worker",
            "checks": [{"systemd": "worker@1"}],
            "restart": {"systemd": {"unit": "worker@1", "sudo": SUDO}, "verify": "5s"},
        },
        {
            "name": "odd",
            "checks": [{"systemd": ODD}],
            "restart": {"systemd": {"unit": ODD, "sudo": SUDO}},
        },
        {
            "name": "hanging",
            "checks": [{"file": "/run/hanging-is-fine"}],
            "restart": {
                "systemd": {"unit": "stranger@2", "sudo": SUDO, "systemctl": "/opt/hangs", "timeout": "2s"},
                "verify": "5s",
                "at_most": "1 per 1h",
            },
        },
    ],
}
HANGS = """#!/bin/sh
case "$*" in *" restart "*) ;; *) exec /usr/bin/systemctl "$@" ;; esac
trap '' TERM HUP
/bin/sleep 12345 &
/bin/sleep 12345
wait
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if why := missing():
        pytest.skip(why)
    try:
        with booted(tmp_path_factory.mktemp("sudo") / "root") as machine:
            machine.run("systemctl", "mask", "--now", "-q", "polkit")
            for name in ("worker@", "stranger@"):
                machine.write(f"{UNITS}/{name}.service", f"[Service]\n{SLEEP}\n{WANTED}")
            machine.write(f"{UNITS}/{ODD}", f"[Service]\n{SLEEP}\n{WANTED}")
            machine.write("/opt/hangs", HANGS, 0o755)
            machine.write("/run/hanging-is-fine", "")
            machine.run("systemctl", "daemon-reload")
            machine.run("systemctl", "start", "worker@1", "stranger@1", "stranger@2", ODD)
            machine.write("/root/config.yaml", as_text(CONFIG))
            said = machine.run("/opt/codeblue/bin/codeblue", "install", "--sudo", "--config", "/root/config.yaml")
            assert "restart (sudo) worker@1.service" in said
            machine.run("systemctl", "start", "codeblue")
            yield machine
    except NotBooted as error:
        pytest.skip(f"systemd can't be booted here: {error}")


def health(machine: Machine, service: str) -> str:
    return next(str(each["health"]) for each in machine.get("/api/services") if each["name"] == service)


def test_a_killed_unit_is_restarted_through_sudo_where_there_is_no_polkit(machine: Machine) -> None:
    wait_for("it is watched", lambda: health(machine, "worker") == "up")
    before = machine.show("worker@1.service", "MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", "worker@1")
    wait_for("it runs again", lambda: machine.show("worker@1.service", "MainPID") not in ("0", before), 20)
    wait_for("it is up", lambda: health(machine, "worker") == "up")
    shown = machine.run("journalctl", "--no-pager", "_COMM=sudo")
    assert f"COMMAND={' '.join(WORDS)} restart --no-ask-password -- worker@1.service" in shown


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        pytest.param(("restart", "--no-ask-password", "--", "worker@1.service"), True, id="its verb on its unit"),
        pytest.param(("restart", "--no-ask-password", "--", "stranger@1.service"), False, id="another unit"),
        pytest.param(("stop", "--no-ask-password", "--", "worker@1.service"), False, id="another verb"),
        pytest.param(("restart", "--no-ask-password", "--", "worker@1.service", "ssh"), False, id="one more unit"),
        pytest.param(("restart", "--no-ask-password", "--", "worker@1.servicex"), False, id="a longer name"),
        pytest.param(("restart", "worker@1.service"), False, id="other words for it"),
        pytest.param(("restart", "--no-ask-password", "--", ODD), True, id="a name with a backslash and a colon"),
        pytest.param(("restart", "--no-ask-password", "--", "odd-na:me.service"), False, id="what it might stand for"),
        pytest.param((), False, id="a command without its words"),
        pytest.param(("daemon-reload",), False, id="something else altogether"),
    ],
)
def test_exactly_the_named_unit_and_verb_are_allowed(machine: Machine, words: tuple[str, ...], allowed: bool) -> None:
    assert (machine.code(SUDO, "-n", *WORDS, *words, user="codeblue") == 0) is allowed
    assert machine.code(SUDO, "-n", *WORDS, *words, user="nobody") != 0


def test_what_hangs_is_roots_and_is_ended_all_the_same_with_all_that_it_started(machine: Machine) -> None:
    def hanging() -> str:
        return machine.run("pgrep", "--full", "^/bin/sleep 12345", check=False)

    wait_for("it is watched", lambda: health(machine, "hanging") == "up")
    machine.run("rm", "/run/hanging-is-fine")
    wait_for("it hangs", lambda: len(hanging().split()) == 2)
    wait_for("the agent gives up on it", lambda: "did not end within 2s" in str(machine.get("/api/services/hanging")))
    wait_for("nothing is left of it", lambda: hanging() == "")
    machine.write("/run/hanging-is-fine", "")


def test_the_agent_itself_has_no_privilege_and_can_write_nothing_but_its_own(machine: Machine) -> None:
    pid = machine.show("codeblue.service", "MainPID")
    status = dict(line.split(":\t") for line in machine.read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "0"
    root = machine.run("nsenter", f"--target={pid}", "--mount", "grep", " / / ", "/proc/self/mountinfo")
    assert " ro," in root, "ProtectSystem=strict"


def test_the_doctor_says_what_sudo_allows(machine: Machine) -> None:
    def permission(**more: str) -> str:
        said = machine.run(
            "/opt/codeblue/bin/codeblue", "doctor", "--config", "/etc/codeblue/config.yaml", check=False, **more
        )
        return next((line for line in said.splitlines() if "permission restart worker@1" in line), said)

    assert "codeblue may, through sudo" in permission()
    machine.run("mv", "/etc/sudoers.d/codeblue", "/root/sudoers")
    assert "codeblue may not, through sudo" in permission()
    machine.run("mv", "/root/sudoers", "/etc/sudoers.d/codeblue")


def test_the_doctor_says_when_the_agents_own_unit_forbids_it(machine: Machine) -> None:
    place = "/etc/systemd/system/codeblue.service.d/no-sudo.conf"
    machine.write(place, "[Service]\nNoNewPrivileges=yes\n")
    machine.run("systemctl", "daemon-reload")
    said = machine.run("/opt/codeblue/bin/codeblue", "doctor", "--config", "/etc/codeblue/config.yaml", check=False)
    assert "NoNewPrivileges=yes" in said
    machine.run("rm", place)
    machine.run("systemctl", "daemon-reload")


def test_installing_without_sudo_takes_the_lines_away(machine: Machine) -> None:
    said = machine.run("/opt/codeblue/bin/codeblue", "install", check=False)
    assert "say --sudo, or leave sudo out" in said
    text = machine.read("/etc/codeblue/config.yaml").replace(f'"sudo": "{SUDO}"', '"scope": "system"')
    machine.write("/etc/codeblue/config.yaml", text, 0o640)
    said = machine.run("/opt/codeblue/bin/codeblue", "install")
    assert "removed    /etc/sudoers.d/codeblue" in said
    assert machine.code("test", "-e", "/etc/sudoers.d/codeblue") != 0
    assert "worker@1.service" in machine.read("/etc/polkit-1/rules.d/50-codeblue.rules")
