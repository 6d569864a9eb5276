"""What changed in the last day: files, and what the package managers wrote down."""

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.evidence import recent_changes
from agent.evidence.changes import files_of
from agent.evidence.proc import Host, family

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "log/apt").mkdir(parents=True)
    return Host(logs=tmp_path / "log")


def local(ago: timedelta) -> str:
    """A time as package managers write it."""
    return f"{(NOW - ago).astimezone():%Y-%m-%d %H:%M:%S}"


def test_upgrades_of_the_last_day_are_told_the_newest_first(host: Host) -> None:
    (host.logs / "dpkg.log").write_text(
        f"{local(timedelta(days=2))} upgrade nginx:amd64 1.0 1.1\n"
        f"{local(timedelta(hours=3))} upgrade nginx:amd64 1.1 1.2\n"
        f"{local(timedelta(hours=3))} status installed nginx:amd64 1.2\n"
        f"{local(timedelta(minutes=12))} remove libfoo:amd64 2.0 <none>\n"
        "garbage\n2026-99-99 00:00:00 upgrade a b c\n"
    )
    assert recent_changes([], now=NOW, host=host).splitlines() == [
        "12m ago: dpkg: remove libfoo:amd64 2.0 → <none>",
        "3h ago: dpkg: upgrade nginx:amd64 1.1 → 1.2",
    ]


def test_apts_history_says_who_asked_for_what_without_secrets(host: Host) -> None:
    when = local(timedelta(minutes=30)).replace(" ", "  ")
    (host.logs / "apt/history.log").write_text(
        "\nStart-Date: 2025-12-01  10:00:00\nCommandline: apt upgrade\nEnd-Date: 2025-12-01  10:00:09\n"
        f"\nStart-Date: {when}\nCommandline: apt install -o a::password=x nginx\n"
        f"Requested-By: ada (1000)\nEnd-Date: {when}\n"
        f"\nStart-Date: {when}\nCommandline: apt full-upgrade\n"
    )
    assert recent_changes([], now=NOW, host=host).splitlines() == [
        "30m ago: apt: apt full-upgrade",
        "30m ago: apt: apt install -o a::password=*** nginx (by ada (1000))",
    ]


def test_dnf_is_read_too(host: Host) -> None:
    (host.logs / "dnf.rpm.log").write_text(
        "2026-01-02T11:00:00+0000 SUBDEBUG Upgraded: nginx-1.22.1-9.x86_64\n2026-01-02T11:00:00+0000 INFO --- logging\n"
    )
    assert recent_changes([], now=NOW, host=host) == "1h ago: dnf: upgraded nginx-1.22.1-9.x86_64"


def test_many_changes_are_bounded(host: Host) -> None:
    (host.logs / "dpkg.log").write_text(f"{local(timedelta(hours=1))} install a:all <none> 1\n" * 20_000)
    lines = recent_changes([], now=NOW, host=host).splitlines()
    assert len(lines) == 41
    assert lines[-1].endswith("more before")


def test_a_file_that_was_written_today_is_named_and_an_old_one_is_not(tmp_path: Path, host: Host) -> None:
    script = tmp_path / "app.py"
    script.write_text("")
    written = datetime.now(UTC)
    assert (
        recent_changes([str(script)], now=written + timedelta(minutes=12), host=host) == f"{script} was written 12m ago"
    )
    assert recent_changes([str(script)], now=written + timedelta(days=2), host=host) == ""
    assert recent_changes([str(tmp_path / "none")], host=host) == ""


def test_a_package_that_keeps_its_old_time_counts_by_the_change_of_its_inode(tmp_path: Path, host: Host) -> None:
    binary = tmp_path / "photos"
    binary.write_text("")
    os.utime(binary, (1_000_000_000, 1_000_000_000))
    later = datetime.now(UTC) + timedelta(hours=2)
    assert recent_changes([str(binary)], now=later, host=host) == f"{binary} was replaced or touched 2h ago"


@pytest.mark.parametrize("gone", [False, True], ids=["replaced", "removed"])
def test_a_program_that_was_replaced_under_its_running_process_is_told(tmp_path: Path, host: Host, gone: bool) -> None:
    binary = tmp_path / "photos"
    shutil.copy("/bin/sleep", binary)
    with subprocess.Popen([binary, "60"]) as process:
        time.sleep(0.05)
        binary.unlink()
        if not gone:
            shutil.copy("/bin/sleep", binary)
        said = recent_changes(files_of(family([process.pid])), host=host)
        process.kill()
    assert said == (
        f"{binary} was removed, and still runs"
        if gone
        else f"{binary} was replaced 0s ago, after the process was started: it runs the old one"
    )


def test_the_files_that_a_command_line_names_are_looked_at(tmp_path: Path) -> None:
    config = tmp_path / "photos.conf"
    config.write_text("")
    with subprocess.Popen(["/bin/sh", "-c", "read x", str(config), "/nowhere"], stdin=subprocess.PIPE) as process:
        files = list(files_of(family([process.pid])))
    assert files[1:] == [str(config)]
