"""codeblue doctor on a real host: what it says is what systemd, polkit and the file system would do."""

import json
from typing import Any

import pytest

from tests.systemd.host import Host, config
from tests.systemd.machine import as_text

INSTALLED = "/etc/codeblue/config.yaml"


def doctor(host: Host, path: str = INSTALLED, user: str = "") -> dict[str, dict[str, str]]:
    said = host.machine.run(
        "/opt/codeblue/bin/codeblue", "doctor", "--json", "--config", path, check=False, user=user, timeout=60
    )
    return {row["subject"]: row for row in json.loads(said)}


def broken() -> dict[str, Any]:
    found = config()
    found["services"] += [
        {"name": "a", "checks": [{"systemd": "nosuch"}], "restart": {"systemd": "stranger"}},
        {"name": "b", "checks": [{"command": ["/usr/lib/nosuch"]}], "restart": {"command": ["/etc/passwd"]}},
        {"name": "c", "checks": [{"systemd": {"unit": "mine", "scope": "user"}}]},
    ]
    found["logs"] += [{"service": "a", "files": ["/var/log/secret/*.log"]}, {"service": "b", "files": ["/run/adm.log"]}]
    return found


def test_an_installed_agent_lacks_nothing(host: Host) -> None:
    found = doctor(host)
    assert {row["subject"] for row in found.values() if row["state"] == "missing"} == set()
    assert found["permission restart nginx.service"]["text"] == "codeblue may"
    assert found["unit nginx.service"]["text"] == "nginx.service is active (running)"
    assert found["journal"]["text"] == "can be read by codeblue"
    assert found["listen 127.0.0.1:9797"]["text"] == "the running agent answers there"
    assert found["descriptors"]["text"].startswith("codeblue.service may open 65,536 files")
    assert found["store"]["state"] == "ok"
    assert host.machine.code("/opt/codeblue/bin/codeblue", "doctor", "--config", INSTALLED) == 0


@pytest.fixture(scope="module")
def ill(host: Host) -> dict[str, dict[str, str]]:
    machine = host.machine
    machine.run("install", "-d", "-m", "700", "/var/log/secret")
    machine.write("/run/adm.log", "", 0o640)
    machine.run("chgrp", "adm", "/run/adm.log")
    machine.write("/etc/codeblue/ill.yaml", as_text(broken()))
    assert machine.code("/opt/codeblue/bin/codeblue", "doctor", "--config", "/etc/codeblue/ill.yaml") == 1
    return doctor(host, "/etc/codeblue/ill.yaml")


@pytest.mark.parametrize(
    ("subject", "text", "remedy"),
    [
        ("unit nosuch.service", "is not installed", "systemctl list-unit-files"),
        ("permission restart stranger.service", "codeblue may not", "codeblue install"),
        ("user unit mine.service", "Failed to connect to bus", "loginctl enable-linger codeblue"),
        ("check b", "there is no program /usr/lib/nosuch", "install it"),
        ("restart b", "/etc/passwd can't be run by codeblue", "chmod +x"),
        ("log /var/log/secret/*.log", "/var/log/secret can't be looked into by codeblue", "adm"),
    ],
)
def test_what_will_not_work_is_missing_and_has_a_remedy(
    ill: dict[str, dict[str, str]], subject: str, text: str, remedy: str
) -> None:
    row = ill[subject]
    assert row["state"] == "missing"
    assert text in row["text"]
    assert remedy in row["remedy"]


def test_the_group_adm_opens_the_hosts_logs(ill: dict[str, dict[str, str]]) -> None:
    assert ill["log /run/adm.log"]["state"] == "ok"


def test_the_agents_own_user_is_told_what_only_root_can_ask(host: Host) -> None:
    row = doctor(host, user="codeblue")["permission restart nginx.service"]
    assert (row["state"], row["remedy"]) == ("unknown", "run codeblue doctor as root")


def test_a_user_outside_the_journals_group_is_told_so(host: Host) -> None:
    host.machine.run("useradd", "--system", "outsider")
    host.machine.write("/tmp/open.yaml", as_text(config()))
    found = doctor(host, "/tmp/open.yaml", user="outsider")
    row = found["journal"]
    assert found["store"]["state"] == "missing"
    assert row["state"] == "missing"
    assert "usermod -aG systemd-journal outsider" in row["remedy"]
