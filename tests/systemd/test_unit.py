"""The agent as a unit of a real systemd: its end, its reload, its watchdog, its sandbox."""

from tests.systemd.host import Host, config
from tests.systemd.machine import as_text, wait_for


def test_the_unit_is_ready_only_when_the_agent_watches(host: Host) -> None:
    assert host.machine.show("codeblue.service", "Type") == "notify"
    assert host.machine.show("codeblue.service", "StatusText").startswith("watching ")
    assert host.machine.get("/readyz")["ready"] is True


def test_the_sandbox_leaves_the_agent_without_privileges(host: Host) -> None:
    pid = host.machine.show("codeblue.service", "MainPID")
    status = dict(line.split(":\t") for line in host.machine.read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    exposure = host.machine.run("systemd-analyze", "security", "--no-pager", "codeblue.service")
    assert float(exposure.split("codeblue.service: ")[1].split()[0]) < 3


def test_a_reload_takes_over_the_configuration_and_a_bad_one_changes_nothing(host: Host) -> None:
    pid = host.machine.show("codeblue.service", "MainPID")
    path = "/etc/codeblue/config.yaml"
    before = host.machine.read(path)

    def names() -> list[str]:
        return [each["name"] for each in host.machine.get("/api/services")]

    more = {"name": "added", "checks": [{"tcp": "127.0.0.1:80"}]}
    host.machine.write(path, as_text(config(services=[more])), 0o644)
    host.systemctl("reload", "codeblue")
    wait_for("the added service is watched", lambda: "added" in names())
    host.machine.write(path, "services: 7", 0o644)
    host.systemctl("reload", "codeblue")
    wait_for("the bad one is told", lambda: "codeblue_config_reload_success 0" in host.machine.get("/metrics"))
    assert "added" in names()
    host.machine.write(path, before, 0o644)
    host.systemctl("reload", "codeblue")
    wait_for("the first one is back", lambda: "added" not in names())
    assert host.machine.show("codeblue.service", "MainPID") == pid


def test_an_agent_that_hangs_is_killed_by_the_watchdog_and_goes_on_with_the_open_incident(host: Host) -> None:
    host.systemctl("stop", "watched")
    opened = host.page("watched", "opened")
    restarts = int(host.machine.show("codeblue.service", "NRestarts"))
    host.machine.run("kill", "-STOP", host.machine.show("codeblue.service", "MainPID"))
    host.systemctl("start", "watched")
    wait_for(
        "systemd starts it again", lambda: int(host.machine.show("codeblue.service", "NRestarts")) == restarts + 1, 25
    )
    closing = host.page("watched", "resolved")
    assert closing["incident"] == opened["incident"]
    wait_for("the agent is ready", lambda: host.machine.get("/readyz")["ready"])
    assert [page["kind"] for page in host.pages("watched") if page["kind"] != "note"] == ["opened", "resolved"]


def test_a_stop_is_clean_and_quick(host: Host) -> None:
    host.machine.run("systemctl", "stop", "codeblue", timeout=10)
    assert host.machine.show("codeblue.service", "Result") == "success"
    assert host.machine.show("codeblue.service", "ExecMainStatus") == "0"
    host.systemctl("start", "codeblue")
    assert host.state("codeblue") == "active"


def test_installing_again_changes_nothing_and_keeps_a_changed_configuration(host: Host) -> None:
    path = "/etc/codeblue/config.yaml"
    assert "created    /etc/codeblue/config.yaml" in host.said
    before = host.machine.read(path)
    rule = host.machine.read("/etc/polkit-1/rules.d/50-codeblue.rules")
    host.machine.write(path, before + "\n", 0o640)
    again = host.machine.run("/opt/codeblue/bin/codeblue", "install", "--config", "/root/config.yaml")
    assert "kept       /etc/codeblue/config.yaml" in again
    assert host.machine.read(path) == before + "\n"
    assert host.machine.read("/etc/polkit-1/rules.d/50-codeblue.rules") == rule
    assert "created" not in again
    host.machine.write(path, before, 0o640)
