"""The service manager is told over a datagram socket, and never waited for."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.runtime.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(2)
        yield listening


def test_it_says_what_it_is_told_to_in_one_datagram(manager: socket.socket) -> None:
    Notifier({"NOTIFY_SOCKET": manager.getsockname()}).send(READY=1, STATUS="watching 3 services")
    assert manager.recv(4096) == b"READY=1\nSTATUS=watching 3 services"


def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0codeblue-test-notify")
        listening.settimeout(2)
        Notifier({"NOTIFY_SOCKET": "@codeblue-test-notify"}).send(WATCHDOG=1)
        assert listening.recv(4096) == b"WATCHDOG=1"


def test_the_watchdogs_time_is_in_seconds(manager: socket.socket) -> None:
    assert Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"}).watchdog == 30.0


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "30000000"}])
def test_without_a_service_manager_it_says_nothing(env: dict[str, str]) -> None:
    notifier = Notifier(env)
    notifier.send(READY=1)
    assert notifier.watchdog == 0.0


def test_a_manager_that_is_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).send(READY=1)


def test_a_manager_that_does_not_read_never_holds_up_the_decision_loop(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(5000):  # more than any queue of datagrams holds
        notifier.send(WATCHDOG=1)
    assert manager.recv(4096) == b"WATCHDOG=1"
