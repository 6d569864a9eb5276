"""The services of the soak's world, and the configuration that watches them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.targets import addresses

EVERY, TIMEOUT, RETRY, MISSES = 1.0, 0.9, 0.2, 2
PAGE_DEADLINE = 10.0
HOST_BUDGET = (60, 60.0)  # restarts in that many seconds
GROUP_BUDGET = (6, 60.0)
GROUP = "pool"
STORM = 20  # services that go down within ten seconds are one storm
SHIFT = "shift"
PEOPLE = {"alice": "U0ALICE", "bob": "U0BOB"}  # whom Slack knows; they are asked one after the other
WINDOW = 3.0  # seconds over which lines are counted, and how old a file may be
BEAT, GRACE = 2.0, 1.0
PAGES = (("oncall",), ("team",), ("hook",), ("oncall", "hook"), ("team", "hook"))

# How each kind can be broken; what lies outside of `VAGUE` fails every single run while it lasts.
MODES: Mapping[str, tuple[str, ...]] = {
    "http": ("refuse", "status", "body", "hang", "drip", "reset", "flap"),
    "tcp": ("refuse", "mute", "wrong", "hangup", "flap"),
    "beat": ("silent", "says_fail"),
    "command": ("bad", "hang", "unknown"),
    "child": ("killed", "stopped", "stubborn"),
    "pid": ("killed",),
    "age": ("stale", "deleted"),
    "log": ("errors", "silent"),
}
VAGUE = frozenset({"flap", "unknown"})
SLOW = {"silent": max(BEAT + GRACE, WINDOW), "stale": WINDOW}  # seconds until the first run can see it
LINGERS = {"errors": WINDOW}  # seconds for which runs go on to see it afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. `at_most` restarts in any `per` seconds; `target` is the thing itself, whatever it is called now."""

    name: str
    target: str
    kind: str
    address: str
    page: tuple[str, ...]
    recover: int = 1
    restart: str = ""  # "command", "process" or none
    at_most: int = 3
    per: float = 40.0
    verify: float = 4.0
    backoff: float = 1.0
    remind: float = 0.0
    depends_on: tuple[str, ...] = ()
    group: str = ""
    every: float = EVERY
    flapping: bool = False
    escalate: str = ""

    @property
    def modes(self) -> tuple[str, ...]:
        return MODES[self.kind]

    def detection(self, mode: str) -> float:
        """Seconds after which an incident must be open, at the latest, when nothing else is wrong."""
        return SLOW.get(mode, 0.0) + self.every + RETRY + 2 * TIMEOUT + 3.0

    def afterglow(self, mode: str) -> float:
        """Seconds after its end in which an outage may still open an incident: runs that had begun, one each
        `every`, and the second of two misses of which the first was the last thing seen."""
        return LINGERS.get(mode, 0.0) + self.every + RETRY + 2 * TIMEOUT + 0.5


CHAIN: Mapping[str, tuple[str, ...]] = {
    "db": (),
    "api1": ("db",),
    "api2": ("db",),
    "api3": ("db",),
    "web": ("api1",),
}
KINDS = {"http": 14, "tcp": 9, "beat": 8, "command": 6, "child": 6, "pid": 4, "age": 4, "log": 4}
SOME = {"http": 4, "tcp": 2, "beat": 1, "command": 1, "child": 1, "pid": 1, "age": 1, "log": 1}


def make_services(kinds: Mapping[str, int] = KINDS) -> list[Service]:
    """Of each kind that many, and five that depend on each other: web on api1, the apis on db."""
    kind_of = [kind for kind, count in kinds.items() for _ in range(count)]
    hosts = iter(addresses(len(kind_of) + len(CHAIN), 7))
    pages, made = cycle(PAGES), []
    for number, kind in enumerate(kind_of):
        name = f"{kind}-{number:02d}"
        grouped = kind == "http" and number < kinds["http"] // 2
        made.append(
            Service(
                name=name,
                target=name,
                kind=kind,
                address=next(hosts),
                page=next(pages),
                recover=1 + number % 2,
                restart=_restart(kind, number),
                group=GROUP if grouped else "",
                remind=15.0 if number % 7 == 0 else 0.0,
                flapping=number % 5 == 4,
                escalate=SHIFT if number % 3 == 0 else "",
            )
        )
    for name, parents in CHAIN.items():
        kind = "tcp" if name == "db" else "http"
        made.append(
            Service(name=name, target=name, kind=kind, address=next(hosts), page=next(pages), depends_on=parents)
        )
    return made


def _restart(kind: str, number: int) -> str:
    if kind == "child":
        return "process"
    return "command" if kind == "pid" or (kind in ("http", "tcp", "command") and number % 2 == 0) else ""


def renamed(service: Service) -> Service:
    """The same thing under another name; a second time it has its first name again."""
    return replace(service, name=service.target if service.name != service.target else f"{service.target}-r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything is."""

    folder: Path
    port: int  # of all targets, each on an address of its own
    listen: int
    oncall: str
    team: str
    hook: str
    token: str

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def database(self) -> Path:
        return self.state / "codeblue.db"

    @property
    def stamps(self) -> Path:
        return self.folder / "stamps"

    def of(self, target: str, what: str) -> Path:
        """A file of that target's own."""
        return self.folder / "targets" / f"{target}.{what}"


def configuration(services: Iterable[Service], places: Places) -> dict[str, Any]:
    """What the agent is told. A file of JSON is one of YAML."""
    chosen = list(services)
    names = {service.name for service in chosen}
    slack = {"type": "slack", "token": places.token, "timeout": "3s", "per_second": 20}
    return {
        "agent": {
            "name": "soak",
            "listen": f"127.0.0.1:{places.listen}",
            "store": f"sqlite:///{places.database}",
            "restarts": rate(*HOST_BUDGET),
        },
        "storm": {"services": STORM, "within": "10s", "calm": "10s"} if len(chosen) > STORM else "off",
        "people": {name: {"contacts": {"oncall": user}} for name, user in PEOPLE.items()},
        "escalation": {SHIFT: {"steps": [{"notify": name, "wait": "8s"} for name in PEOPLE], "ack_for": "20s"}},
        "defaults": {
            "every": f"{EVERY:g}s",
            "timeout": f"{TIMEOUT * 1000:.0f}ms",
            "misses": MISSES,
            "retry": f"{RETRY * 1000:.0f}ms",
            "page_deadline": f"{PAGE_DEADLINE:g}s",
            "unknown_after": "20s",
            "flapping": "0 per 1h",
        },
        "groups": {GROUP: {"restarts": rate(*GROUP_BUDGET), "share": "34%"}},
        "channels": {
            "oncall": {**slack, "channel": "C0000000001", "api_url": places.oncall, "fallback": ["hook"]},
            "team": {**slack, "channel": "C0000000001", "api_url": places.team, "fallback": ["terminal"]},
            "hook": {"type": "webhook", "url": places.hook, "timeout": "3s", "fallback": ["terminal"]},
            "terminal": {"type": "console", "stream": "stdout"},
        },
        "processes": {
            service.target: {
                "command": ["python", "-I", "-S", str(places.folder / "child.py"), service.address, str(places.port),
                            str(places.of(service.target, ""))],
                "stop_timeout": "1s",
            }
            for service in chosen
            if service.kind == "child"
        },
        "logs": [
            {"files": [str(places.of(service.target, "log"))], "service": service.name}
            for service in chosen
            if service.kind == "log"
        ],
        "services": [_told(service, places, names) for service in chosen],
    }  # fmt: skip


def _told(service: Service, places: Places, names: set[str]) -> dict[str, Any]:
    every = {"every": f"{service.every:g}s", "recover": service.recover}
    told: dict[str, Any] = {
        "name": service.name,
        "checks": [{**check, **every} for check in _checks(service, places)],
        "page": list(service.page),
        "notify": ["terminal"],
        "depends_on": [name for name in service.depends_on if name in names],
        "remind": f"{service.remind:g}s",
    }
    if service.flapping:
        told |= {"flapping": "4 per 1m", "calm": "10s"}
    if service.group:
        told |= {"group": service.group, "gather": {"by": "group", "wait": "2s", "interval": "10s"}}
    if service.escalate:
        told["escalate"] = service.escalate
    if service.restart:
        by = {"process": service.target} if service.restart == "process" else {"command": _command(service, places)}
        limits = {"at_most": rate(service.at_most, service.per), "verify": f"{service.verify:g}s"}
        told["restart"] = {**by, **limits, "backoff": f"{service.backoff:g}s"}
    return told


def _command(service: Service, places: Places) -> dict[str, Any]:
    stuck = str(places.of(service.target, "stuck"))
    return {"argv": [str(places.folder / "restart"), str(places.stamps), service.target, stuck], "timeout": "2s"}


def _checks(service: Service, places: Places) -> list[dict[str, Any]]:
    where = f"{service.address}:{places.port}"
    match service.kind:
        case "http":
            return [{"http": {"url": f"http://{where}/health", "expect": {"status": 200, "text": "all is fine"}}}]
        case "tcp" | "child":
            return [{"tcp": {"address": where, "expect": "ok"}}]
        case "beat":
            return [{"heartbeat": {"every": f"{BEAT:g}s", "grace": f"{GRACE:g}s"}, "name": "beat"}]
        case "command":
            argv = [str(places.folder / "plugin"), str(places.of(service.target, "mode"))]
            return [{"command": {"argv": argv}}]
        case "pid":
            return [{"process": {"pidfile": str(places.of(service.target, "pid"))}}]
        case "age":
            return [{"file": {"path": str(places.of(service.target, "age")), "max_age": f"{WINDOW:g}s"}}]
        case _:
            return [
                {"log": {"match": "ERROR boom", "at_most": rate(0, WINDOW)}, "name": "errors"},
                {"log": {"match": "alive", "at_least": rate(1, WINDOW)}, "name": "alive"},
            ]


def rate(count: int, seconds: float) -> str:
    return f"{count} per {seconds:g}s"
