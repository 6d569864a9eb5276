"""The configuration that comes with codeblue, as `make run` starts it, with other ports and more frequent checks."""

import os
import signal
from pathlib import Path

from tests.endtoend.agent import wait_for
from tests.endtoend.conftest import MakeAgent
from tests.servers import free_port

ROOT = Path(__file__).parents[2]


def test_hello_is_restarted_after_it_was_killed_and_nobody_is_woken(make_agent: MakeAgent) -> None:
    agent, hello = make_agent({}), free_port()
    text = (ROOT / "config.yaml").read_text()
    for written, here in (
        ("127.0.0.1:9797", f"127.0.0.1:{agent.port}"),
        ("127.0.0.1:8321", f"127.0.0.1:{hello}"),
        ("[python, -m, examples.hello]", f'[python, -m, examples.hello, --port, "{hello}"]'),
        ("cwd: .", f"cwd: {ROOT}"),
        ("every: 5s", "every: 1s"),
        ("retry: 2s", "retry: 300ms"),
        ("include: [conf.d/*.yaml]", ""),
    ):
        assert written in text
        text = text.replace(written, here)
    agent.write_text(text)
    with agent.running():
        wait_for(lambda: agent.health("hello") == "up")
        (started,) = agent.events("process_started")
        os.kill(started["pid"], signal.SIGKILL)
        wait_for(lambda: "NOTE  ℹ️ hello healed itself" in agent.log, 20, "the note on the terminal")
        timeline = [event["kind"] for event in agent.timeline("hello")]
        assert timeline.count("restart_ordered") == 1
        assert "paged" not in timeline
        assert agent.health("hello") == "up"
        assert agent.get("/api/explain/hello")["restarts"]["shared"] == {"host": 19}  # of 20
        wait_for(lambda: agent.value('codeblue_beats_total{kind="success",outcome="taken"}') > 0)
