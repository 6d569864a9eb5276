"""What the daemon's process has loaded: memory that every agent pays for as long as it runs."""

import subprocess
import sys
from pathlib import Path

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent

# At its end the process says which modules it holds. Nothing else is changed.
TOLD = """
import atexit, sys
atexit.register(lambda: print("\\n".join(sys.modules)))
sys.argv[0] = "codeblue"
from agent.daemon import main
main()
"""
OF_THE_TERMINAL = {"typer", "click", "rich", "pygments", "shellingham"}
OF_OTHERS = {"jinja2", "slack_sdk", "aiohttp", "requests", "opentelemetry", "apprise", "icalendar", "psycopg", "httpx"}
NEVER_USED = {"multiprocessing", "wsgiref", "socketserver", "configparser", "zipfile", "csv", "difflib"}


def test_a_daemon_holds_no_library_that_its_configuration_does_not_need(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent({"services": [{"name": "web", "checks": [{"http": web.url}]}]})
    argv = [sys.executable, "-c", TOLD, "run", "--config", str(agent.path), "--log-json"]
    agent.process = subprocess.Popen(
        argv, cwd=agent.folder, env=agent.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        agent.wait_until_ready()
        wait_for(lambda: agent.runs("web") >= 2)
        agent.process.terminate()
        said, complaints = agent.process.communicate(timeout=20)
    finally:
        agent.clean_up()
    loaded = {name.partition(".")[0] for name in said.decode().split()}
    assert agent.process.returncode == 0, complaints.decode()
    assert {"agent", "sqlalchemy", "structlog", "uvicorn"} <= loaded
    assert loaded & (OF_THE_TERMINAL | OF_OTHERS | NEVER_USED) == set()
    modules = set(said.decode().split())
    assert {name for name in modules if name.startswith("checks.")} >= {"checks.http"}
    assert modules & {"checks.tcp", "checks.systemd", "agent.actions.systemd", "alerts.channels.slack"} == set()


def test_the_daemon_logs_errors_on_a_terminal_as_plain_text(make_agent: MakeAgent) -> None:
    agent = make_agent({"services": [{"name": "web", "checks": [{"http": "http://127.0.0.1:9/"}]}]})
    agent.write_text("services: [{name: web}]")
    argv = [sys.executable, "-m", "agent.daemon", "run", "--config", str(agent.path)]
    done = subprocess.run(
        argv, cwd=agent.folder, env=agent.env, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "checks" in done.stderr
    assert done.stderr.endswith("codeblue: 1 problem in the configuration\n")
    assert "\x1b" not in done.stderr


MANY = 1000


def resident(make_agent: MakeAgent, web: Service, count: int) -> int:
    """KiB of an agent in whose memory this many services have run once."""
    services = [{"name": f"s{number}", "checks": [{"http": f"{web.url}?{number}"}]} for number in range(count)]
    agent = make_agent({"defaults": {"every": "20s", "timeout": "10s"}, "services": services})
    with agent.running("--log-json"):
        wait_for(lambda: agent.ask("/metrics")[1].count(b"codeblue_check_up{") == count, 60, "a first full round")
        status = Path(f"/proc/{agent.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_ten_thousand_targets_would_fit_into_ten_kib_each(make_agent: MakeAgent, web: Service) -> None:
    """Measured: 66 MiB for the program and less than 3 KiB for each target. The limits are far enough from that for
    other builds of Python and its libraries, and near enough to notice a library or an object per target more."""
    one = resident(make_agent, web, 1)
    each = (resident(make_agent, web, MANY) - one) / MANY
    assert one < 90 * 1024, f"{one / 1024:.0f} MiB for one target"
    assert each < 6, f"{each:.1f} KiB for each further target"
