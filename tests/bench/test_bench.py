"""The benchmark's own arithmetic, and that every system takes the configuration that it is given."""

import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config.load import load
from agent.tables import TABLES
from bench.__main__ import arguments, plans
from bench.access_log import AccessLog, cadence, percentile
from bench.beats_load import content_length
from bench.measure import Outcome, Plan
from bench.processes import cpu_ticks, ended, family, start, stop, usage
from bench.report import HEAD, row, table
from bench.systems import Codeblue, Monit, Prometheus
from bench.targets import Nginx, Victims, addresses, free_port, make_targets
from bench.web import get

TARGETS = make_targets(20, 0.05, 3, (8001, 8002, 8003))


def test_ten_thousand_targets_have_as_many_loopback_addresses() -> None:
    hosts = addresses(10_000, 1)
    assert len(set(hosts)) == 10_000
    assert all(host.startswith("127.1.") and 1 <= int(host.rsplit(".", 1)[1]) <= 250 for host in hosts)


def test_a_part_of_the_targets_hangs_and_victims_come_on_top() -> None:
    assert (len(TARGETS.answering), len(TARGETS.hanging), len(TARGETS.victims)) == (19, 1, 3)
    assert len(TARGETS.all()) == 23
    assert set(TARGETS.hanging.values()) == {"http://127.2.0.1:8002/"}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(0.5, 50.0, id="the median of 1 to 100"),
        pytest.param(0.99, 99.0, id="one in a hundred is longer"),
        pytest.param(1.0, 100.0, id="the longest"),
    ],
)
def test_a_percentile_is_the_nearest_rank(part: float, expected: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], part) == expected


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.5))


def test_an_interval_counts_in_the_window_in_which_it_ends() -> None:
    seen = cadence({"a": [0.0, 10.0, 20.0, 30.0], "b": [5.0, 27.0]}, 15.0, 30.0)
    assert (seen.checks, seen.p50, seen.longest) == (2, 10.0, 22.0)


def test_the_access_log_is_read_on_from_where_it_ended_even_within_a_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log.read()
    path.write_text("1.5 127.1.0.1\n2.5 127.")
    log.read()
    assert log.first_round(["127.1.0.1", "127.1.0.2"]) is None
    with path.open("a") as file:
        file.write("1.0.2\n3.5 127.1.0.1\n")
    log.read()
    assert log.hits == {"127.1.0.1": [1.5, 3.5], "127.1.0.2": [2.5]}
    assert log.first_round(["127.1.0.1", "127.1.0.2"]) == 2.5


def test_cpu_time_is_user_and_system_time_of_the_process_and_its_children() -> None:
    fields = " ".join(str(number) for number in range(4, 45))
    assert cpu_ticks(f"17 (a (b) c) S {fields}") == 14 + 15 + 16 + 17


def test_usage_includes_children_and_a_stopped_process_has_ended(tmp_path: Path) -> None:
    child = "import time; print(1, flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    log = tmp_path / "log"
    parent = start([sys.executable, "-c", code], log)

    async def scenario() -> None:
        async with asyncio.timeout(20):
            while not log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        both = family([parent.pid])
        assert len(both) == 2
        assert usage([parent.pid]).rss > usage(both[1:]).rss > 1000
        assert usage([parent.pid]).cpu > 0
        await stop(both[1])
        await stop(parent.pid)

    asyncio.run(scenario())
    assert ended(parent.pid)


def test_a_victim_answers_until_it_is_switched_off() -> None:
    async def scenario() -> None:
        port = free_port()
        victims = Victims(["127.3.0.1", "127.3.0.2"], port)
        await victims.start()
        for _ in range(2):
            assert await get(f"http://127.3.0.1:{port}/") == b"ok"
        victims.switch_off("127.3.0.1")
        with pytest.raises(ConnectionRefusedError):
            await get(f"http://127.3.0.1:{port}/")
        assert victims.served == {"127.3.0.1": 2}
        victims.stop()

    asyncio.run(scenario())


def test_codeblue_takes_its_configuration(tmp_path: Path) -> None:
    system = Codeblue(tmp_path, TARGETS)
    system.configure()
    config = load(tmp_path / "config.yaml", TABLES)
    checks = [check for service in config.services.values() for check in service.checks]
    assert {check.options.url for check in checks} == set(TARGETS.all().values())  # type: ignore[attr-defined]
    assert {(check.every.total_seconds(), check.timeout) for check in checks if check.every} == {(10.0, 3.0)}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param('{"event":"opened","service":"127.3.0.1"}\n', {"127.3.0.1"}, id="an incident was opened"),
        pytest.param('{"event":"missed","service":"127.3.0.1"}\n', set(), id="one miss is none"),
        pytest.param('{"event":"opened","service":"127.3', set(), id="a line that is still being written"),
    ],
)
async def test_codeblue_calls_down_what_it_opens_an_incident_for(tmp_path: Path, line: str, found: set[str]) -> None:
    (tmp_path / "output.log").write_text("codeblue watches\n" + line)
    assert await Codeblue(tmp_path, TARGETS).down() == found


async def test_monit_calls_down_what_it_logs_as_an_error(tmp_path: Path) -> None:
    stamp = "[2026-11-21T10:00:00+0000]"
    (tmp_path / "monit.log").write_text(
        f"{stamp} warning  : '127.3.0.1' failed protocol test [HTTP]\n{stamp} error    : '127.3.0.2' failed protocol\n"
    )
    assert await Monit(tmp_path, TARGETS).down() == {"127.3.0.2"}


@pytest.mark.skipif(not Path("/usr/bin/promtool").exists(), reason="needs Debian's prometheus")
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    Prometheus(tmp_path, TARGETS).configure()
    done = subprocess.run(
        ["/usr/bin/promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "targets.json").read_text())[0]["targets"] == list(TARGETS.all().values())


@pytest.mark.skipif(not Path("/usr/bin/monit").exists(), reason="needs Debian's monit")
def test_monit_takes_its_configuration(tmp_path: Path) -> None:
    Monit(tmp_path, TARGETS).configure()
    argv = ["/usr/bin/monit", "-t", "-c", str(tmp_path / "monitrc")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin") is None, reason="needs Debian's nginx")
def test_nginx_logs_which_address_was_asked(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path, free_port())
    nginx.start()
    pid = int((nginx.folder / "pid").read_text())

    async def scenario() -> None:
        log = AccessLog(nginx.log)
        for host in ("127.1.0.1", "127.1.39.250"):
            assert await get(f"http://{host}:{nginx.port}/") == b"ok"
        async with asyncio.timeout(10):
            while len(log.hits) < 2:
                log.read()
                await asyncio.sleep(0.05)
        assert sorted(log.hits) == ["127.1.0.1", "127.1.39.250"]
        await nginx.stop()

    asyncio.run(scenario())
    assert not os.path.exists(f"/proc/{pid}")


def test_every_system_runs_at_every_size_and_with_every_part_hanging() -> None:
    chosen = arguments(["codeblue", "monit", "--targets", "10", "20", "--hanging", "0", "0.1", "--seconds", "5"])
    assert [(plan.system.name, plan.count, plan.hanging) for plan in plans(chosen)] == [
        (name, count, part) for count in (10, 20) for part in (0.0, 0.1) for name in ("codeblue", "monit")
    ]


def test_an_unknown_system_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["nagios"])
    assert "expected some of codeblue, prometheus+blackbox, monit, heartbeats" in capsys.readouterr().err


def test_a_row_of_the_table_says_what_was_measured() -> None:
    outcome = Outcome(
        Plan(Codeblue, 1000, 0.05, 10.0, victims=3),
        first_round=9.96,
        cpu=95.0,
        checks=950,
        rss=10_240,
        peak=20_480,
        cadence=cadence({"a": [0.0, 10.0]}, 0.0, 20.0),
        detection=[6.0, 8.0],
        load=0.5,
    )
    assert dict(zip(HEAD, row(outcome), strict=True)) == {
        "system": "codeblue",
        "targets": "1000",
        "hanging": "5%",
        "checks/s": "95.0",
        "CPU ms/check": "0.100",
        "KiB/target": "10.2",
        "RSS MiB": "10",
        "peak MiB": "20",
        "interval p50": "10.00",
        "p99": "10.00",
        "max s": "10.00",
        "first round s": "10.0",
        "detection med/max s": "7.0/8.0 (2 of 3)",
        "load": "0.5",
    }
    assert len({len(line) for line in table([outcome]).splitlines()}) == 1


def test_what_a_run_did_not_give_is_a_dash() -> None:
    cells = dict(zip(HEAD, row(Outcome(Plan(Monit, 10, 0.0, 10.0))), strict=True))
    assert {cells[name] for name in ("hanging", "CPU ms/check", "interval p50", "p99", "first round s")} == {"-"}


@pytest.mark.parametrize(
    ("head", "length"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nX: y", 15, id="it says so"),
        pytest.param(b"HTTP/1.1 204 No Content", 0, id="it says nothing"),
    ],
)
def test_the_sender_of_beats_knows_where_an_answer_ends(head: bytes, length: int) -> None:
    assert content_length(head) == length
