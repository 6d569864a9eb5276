"""Restarts by a real systemd, asked for by the agent as its own user over D-Bus, with leave from polkit."""

import pytest

from tests.systemd.host import Host
from tests.systemd.machine import wait_for

NO_QUESTIONS = "--no-ask-password"


def test_a_killed_nginx_is_restarted_by_the_agents_own_user_and_nobody_is_woken(host: Host) -> None:
    assert host.machine.run("ps", "-o", "user=", "-C", "codeblue").split() == ["codeblue"]
    before = host.machine.show("nginx.service", "MainPID")
    host.systemctl("kill", "--signal=KILL", "nginx")
    note = host.page("nginx", "note")
    assert "healed" in note["title"]
    assert "restart by systemd: done (nginx.service is active (running))" in note["facts"]["Tried"]
    assert host.machine.show("nginx.service", "MainPID") not in ("0", before)
    assert host.pages("nginx", "opened") == []
    wait_for("nginx is up again", lambda: host.health("nginx") == "up")


def test_the_agents_user_may_restart_the_units_of_its_configuration_and_do_nothing_else(host: Host) -> None:
    def may(verb: str, unit: str) -> bool:
        return host.machine.code("systemctl", verb, NO_QUESTIONS, unit, user="codeblue") == 0

    assert may("restart", "watched.service")
    for verb, unit in [("restart", "stranger"), ("stop", "watched"), ("mask", "watched"), ("restart", "dbus")]:
        assert not may(verb, f"{unit}.service"), f"{verb} {unit}"
    assert host.machine.code("systemctl", "daemon-reload", NO_QUESTIONS, user="codeblue") != 0
    assert host.machine.code("systemctl", "restart", NO_QUESTIONS, "watched.service", user="nobody") != 0
    assert host.state("stranger") == "active"


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("enabled", id="a unit that a target wants"),
        pytest.param("static", id="a unit that nothing wants, which systemd forgets"),
        pytest.param("java", id="a program that ends with 143, which systemd calls failed"),
    ],
)
def test_an_operators_stop_is_not_fought_and_the_page_says_so(host: Host, unit: str) -> None:
    host.systemctl("stop", unit)
    page = host.page(unit, "opened")
    assert "stopped on request at" in page["note"]
    assert host.state(unit) in ("inactive", "failed")
    assert host.machine.show(f"{unit}.service", "NRestarts") == "0"
    host.systemctl("start", unit)
    host.page(unit, "resolved")
    assert len(host.pages(unit, "resolved")) == 1


def test_a_unit_that_ended_by_itself_in_good_order_is_started_again(host: Host) -> None:
    pid = host.machine.show("ended.service", "MainPID")
    host.machine.run("kill", "-TERM", pid)
    assert "restart by systemd: done" in host.page("ended", "note")["facts"]["Tried"]
    assert host.state("ended") == "active"
    assert host.pages("ended", "opened") == []


def test_a_masked_unit_is_left_alone(host: Host) -> None:
    host.systemctl("mask", "-q", "masked")
    host.systemctl("stop", "masked")
    host.machine.run("rm", "/run/masked-is-fine")
    assert "is masked: an operator wants it off" in host.page("masked", "opened")["note"]
    assert host.state("masked") == "inactive"
    host.systemctl("unmask", "-q", "masked")


def test_a_unit_that_never_starts_hits_systemds_limit_and_the_page_says_how_to_lift_it(host: Host) -> None:
    host.machine.write("/run/flop-is-broken", "")
    host.systemctl("kill", "--signal=KILL", "flop")
    page = host.page("flop", "opened", timeout=25)
    assert "systemd's own start limit is hit" in page["facts"]["Tried"]
    assert "systemctl reset-failed" in page["facts"]["Tried"]
    assert "start limit hit" in page["summary"]
    host.machine.run("rm", "/run/flop-is-broken")
    host.systemctl("reset-failed", "flop")
    host.systemctl("start", "flop")
    host.page("flop", "resolved")


def test_a_unit_that_is_still_starting_is_waited_for_and_nobody_is_paged(host: Host) -> None:
    host.systemctl("start", "--no-block", "slow")
    first = wait_for("slow starts", lambda: host.machine.show("slow.service", "InvocationID"))
    host.machine.run("rm", "/run/slow-is-fine")
    wait_for("the agent has looked", lambda: "still starting" in str(host.machine.get("/api/services/slow")))
    assert host.state("slow") == "activating"
    wait_for("slow is up", lambda: host.state("slow") == "active")
    host.machine.write("/run/slow-is-fine", "")
    wait_for("slow is well", lambda: host.health("slow") == "up")
    assert host.machine.show("slow.service", "InvocationID") == first
    assert host.pages("slow", "opened") == []
    assert "not now" in host.page("slow", "note")["facts"]["Tried"]
