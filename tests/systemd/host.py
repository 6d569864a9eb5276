"""What runs in the machine: units to look after, a receiver of pages, and the agent's configuration for them."""

import json
from typing import Any

from tests.systemd.machine import Machine, as_text, wait_for

UNITS = "/usr/local/lib/systemd/system"  # not /etc, where a unit can't be masked
SLEEP = "ExecStart=/bin/sleep infinity"
JAVA = """ExecStart=/bin/sh -c 'trap "exit 143" TERM; sleep infinity & wait'"""
FLOP = (
    "ExecStart=/bin/sh -c 'test -e /run/flop-is-broken && exit 1; exec sleep infinity'\nRestart=always\nRestartSec=50ms"
)
SLOW = "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep 6; systemd-notify --ready; exec sleep infinity'"
TALKER = "ExecStart=/bin/sh -c 'while sleep 1; do echo level=error msg=disk-on-fire trace_id=4bf92f3577b34da6; done'"
WANTED = "[Install]\nWantedBy=multi-user.target\n"

SERVICES = {  # unit: its [Service] section, and whether a target wants it
    "enabled": (SLEEP, True),
    "static": (SLEEP, False),
    "java": (JAVA, True),
    "ended": (SLEEP, False),
    "masked": (SLEEP, True),
    "flop": (FLOP, True),
    "slow": (SLOW, True),
    "watched": (SLEEP, True),
    "stranger": (SLEEP, True),  # no service of the configuration names it
    "talker": (TALKER, False),  # what it says in the journal is kept
    "pages": ("ExecStart=/usr/bin/python3 /opt/pages.py", True),
}

_RECEIVER = """import json
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/pages", "ab") as file:
            file.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", 9000), Handler).serve_forever()
"""


def config(**more: Any) -> dict[str, Any]:
    """The agent's configuration: a service for each unit but the stranger, and nginx over HTTP."""

    def service(name: str, check: dict[str, Any], **restart: Any) -> dict[str, Any]:
        return {
            "name": name,
            "checks": [check],
            "restart": {
                "systemd": f"{name}.service",
                "at_most": "2 per 1h",
                "verify": "5s",
                "backoff": "0s",
                **restart,
            },
            "page": ["pages"],
            "notify": ["pages"],
        }

    looked_at = ("enabled", "static", "java", "ended", "flop", "watched")
    marked = ("slow", "masked")  # up while there is a file: their units' state is no failure to the systemd check
    services = [service(name, {"systemd": name}) for name in looked_at]
    services += [service(name, {"file": f"/run/{name}-is-fine"}, verify="30s") for name in marked]
    services.append(service("nginx", {"http": "http://127.0.0.1:80/"}))
    return {
        "agent": {"name": "machine", "store": "sqlite:////var/lib/codeblue/codeblue.db"},
        "defaults": {"every": "1s", "timeout": "900ms", "misses": 2, "retry": "300ms", "recover": 1},
        "services": [*services, *more.get("services", [])],
        "logs": [{"journal": ["talker.service"], "service": "nginx"}],
        "channels": {"pages": {"type": "webhook", "url": "http://127.0.0.1:9000/"}},
    }


class Host:
    """The machine with all of that running, and the agent installed and up."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.said = ""  # by codeblue install

    def set_up(self) -> None:
        machine = self.machine
        for name, (section, wanted) in SERVICES.items():
            machine.write(f"{UNITS}/{name}.service", f"[Service]\n{section}\n{WANTED if wanted else ''}")
        machine.write("/opt/pages.py", _RECEIVER)
        for name in ("slow", "masked"):
            machine.write(f"/run/{name}-is-fine", "")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", "-q", "nginx", *(name for name, (_, wanted) in SERVICES.items() if wanted))
        machine.run("systemctl", "start", "nginx", *(name for name in SERVICES if name != "slow"))
        machine.write("/root/config.yaml", as_text(config()))
        self.said = machine.run("/opt/codeblue/bin/codeblue", "install", "--config", "/root/config.yaml")
        machine.write(
            "/etc/systemd/system/codeblue.service.d/quick.conf", "[Service]\nWatchdogSec=3\nRestartSec=200ms\n"
        )
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", "-q", "codeblue")
        machine.run("systemctl", "start", "codeblue")
        names = [each["name"] for each in config()["services"]]
        wait_for("every service is up", lambda: all(self.health(name) == "up" for name in names))

    def health(self, service: str) -> str:
        return next(str(each["health"]) for each in self.machine.get("/api/services") if each["name"] == service)

    def pages(self, service: str, kind: str = "") -> list[dict[str, Any]]:
        """What people were sent about a service, oldest first."""
        try:
            lines = self.machine.read("/run/pages").splitlines()
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines]
        return [page for page in found if page["service"] == service and kind in ("", page["kind"])]

    def page(self, service: str, kind: str, timeout: float = 15) -> dict[str, Any]:
        """The first notice of that kind about the service, which may still be to come."""
        return dict(wait_for(f"{kind} about {service}", lambda: self.pages(service, kind), timeout)[0])

    def state(self, unit: str) -> str:
        return self.machine.show(f"{unit}.service", "ActiveState")

    def systemctl(self, *arguments: str) -> None:
        self.machine.run("systemctl", *arguments)
