"""`codeblue demo`: the story that codeblue exists for, told by real processes in under a minute."""

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.commands.demo_agent import DemoAgent, StoryFailed, free_ports

CONFIG = """\
# Written by `codeblue demo`: everything happens quickly, so that the story fits into a minute.
agent: {{name: demo, listen: "127.0.0.1:{agent}", store: "sqlite:///demo.db"}}
defaults: {{every: 1s, timeout: 500ms, retry: 1s}}
services:
  - name: photos
    checks:
      - http: http://127.0.0.1:{photos}/health
      - {{heartbeat: {{every: 1s, grace: 4s}}, name: beat}}
    restart: {{process: photos, at_most: 3 per 1h, verify: 5s}}
    page: [{pagers}]
    notify: [terminal]
  - name: billing
    checks: [http: "http://127.0.0.1:{billing}/health"]
    restart: {{command: {useless}, at_most: 2 per 1h, verify: 2s, backoff: 1s}}
    page: [{pagers}]
    notify: [terminal]
    runbook: https://wiki.internal/billing
processes:
  photos:
    command: [python, -m, examples.hello, --port, "{photos}", --beat-every, "1"]
    cwd: {root}
    env: {{HELLO_BEAT_URL: "http://127.0.0.1:{agent}/beat/photos/beat"}}
  billing: {{command: [python, -m, examples.hello, --port, "{billing}"], cwd: {root}}}
channels:
  terminal: {{type: console, stream: stdout, color: never}}
{slack}"""


def tell(*, keep: bool, picture: Path | None = None) -> bool:
    """Run the whole story in a temporary folder. False if any of it did not happen as promised. `picture` is where an
    SVG of what was printed goes."""
    console = Console(highlight=False, record=picture is not None, width=136 if picture else None)
    folder = Path(tempfile.mkdtemp(prefix="codeblue-demo-"))
    ports = free_ports(3)
    config = folder / "config.yaml"
    config.write_text(_config(*ports))
    try:
        with DemoAgent(config, console) as agent:
            Story(agent, console, *ports).tell()
    except StoryFailed as failure:
        console.print(Text(f"\n✗ {failure}", style="bold red"))
        console.print(f"  The agent's log: {folder / 'agent.log'}", soft_wrap=True)
        return False
    finally:
        if keep:
            console.print(f"\nKept: {folder}", soft_wrap=True)
    if picture is not None:
        svg = console.export_svg(title="codeblue demo")
        picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL))  # nothing is fetched to look at it
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _config(agent: int, photos: int, billing: int) -> str:
    slack, pagers = "", "terminal"
    if os.environ.get("SLACK_BOT_TOKEN"):
        channel = os.environ.get("SLACK_CHANNEL", "#oncall")
        url = os.environ.get("SLACK_API_URL", "https://slack.com/api/")
        slack = f'  slack: {{type: slack, token: "${{SLACK_BOT_TOKEN}}", channel: "{channel}", api_url: "{url}"}}\n'
        pagers = "terminal, slack"
    return CONFIG.format(
        agent=agent,
        photos=photos,
        billing=billing,
        pagers=pagers,
        slack=slack,
        root=Path(__file__).resolve().parents[2],
        useless=f"[{shutil.which('true') or sys.executable}]",
    )


class Story:
    """Four chapters. Each does something to a real process and waits for what the agent says about it."""

    def __init__(self, agent: DemoAgent, console: Console, _: int, photos: int, billing: int) -> None:
        self._agent = agent
        self._console = console
        self._photos = f"http://127.0.0.1:{photos}"
        self._billing = f"http://127.0.0.1:{billing}"

    def tell(self) -> None:
        agent = self._agent
        self._chapter("Two services, checked every second; codeblue supervises both processes")
        agent.wait_until_up(f"{self._photos}/health", f"{self._billing}/health")
        self._proved("both are up")
        self._one_missed_beat()
        self._a_crash()
        self._stays_broken()
        self._recovers()
        self._console.print(
            f"\nThe story took {agent.seconds:.0f} s, and every part of it happened.", style="bold green"
        )

    def _one_missed_beat(self) -> None:
        self._chapter("1. photos hiccups: one check fails, the next one passes")
        self._post(f"{self._photos}/break")
        self._agent.wait_for("missed", "photos", 5)
        self._post(f"{self._photos}/mend")
        self._agent.wait_for("recovered_early", "photos", 5)
        self._agent.stay(1.2)  # its other check passes again, too
        self._proved("one missed beat: nothing was restarted, nobody was told", self._none("opened", "photos"))

    def _a_crash(self) -> None:
        self._chapter("2. photos crashes: kill -9")
        os.kill(self._agent.pid_of("photos"), signal.SIGKILL)
        self._agent.wait_for("restart_ordered", "photos", 10)
        self._agent.wait_for("restart_finished", "photos", 10)
        self._agent.wait_for("closed", "photos", 10)
        self._agent.wait_for_page("NOTE", "photos", 5)
        self._proved("two misses, one restart, verified: healed, and nobody was woken", self._none("paged", "photos"))

    def _stays_broken(self) -> None:
        self._chapter("3. billing breaks, and its restart command succeeds but does not help")
        self._post(f"{self._billing}/break")
        self._agent.wait_for("paged", "billing", 25)
        self._agent.wait_for_page("OPENED", "billing", 5)
        tried = self._agent.count("restart_ordered", "billing")
        self._proved("two restarts, no more than the budget, and then a page with the evidence", tried == 2)

    def _recovers(self) -> None:
        self._chapter("4. a human mends billing")
        self._post(f"{self._billing}/mend")
        self._agent.wait_for("closed", "billing", 10)
        self._agent.wait_for_page("RESOLVED", "billing", 5)
        self._agent.stay(4)
        told = [self._agent.pages(kind, "billing") for kind in ("OPENED", "RESOLVED")]
        self._proved("one page, and exactly one closing message", told == [1, 1])

    def _none(self, kind: str, service: str) -> bool:
        return self._agent.count(kind, service) == 0

    def _post(self, url: str) -> None:
        request = urllib.request.Request(url, method="POST")
        with contextlib.closing(urllib.request.urlopen(request, timeout=5)):
            pass

    def _chapter(self, title: str) -> None:
        self._console.print(Text(f"\n{title}", style="bold"))

    def _proved(self, what: str, happened: bool = True) -> None:
        if not happened:
            raise StoryFailed(f"this did not happen: {what}")
        self._console.print(Text(f"  ✓ {what}", style="green"))
