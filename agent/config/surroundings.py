"""What is beside the services: the agent's own settings, supervised processes, log sources."""

import re
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from agent.config.channels import check_channels
from agent.config.envelope import AgentKeys, Defaults, LogKeys, PingKeys, ProcessKeys
from agent.config.forms import Reading
from agent.config.model import AgentSpec, PingSpec, Traces
from agent.config.nearest import did_you_mean
from agent.config.registry import unique
from agent.config.report import Place
from agent.config.tree import Entry
from agent.config.types import is_loopback
from agent.core.durations import format_duration
from agent.ports import LogSpec, ProcessSpec


def read_agent(value: object, place: Place, channels: Collection[str], reading: Reading) -> AgentSpec | None:
    """The agent's own settings."""
    keys = reading.model(AgentKeys, {} if value is None else value, place)
    if not keys:
        return None
    if not keys.tokens and not is_loopback(keys.listen):
        reading.report.add(
            place.at("listen"), f"{keys.listen} can be reached by others: set agent.tokens, or listen on 127.0.0.1"
        )
    check_channels(keys.page, channels, place.at("page"), reading.report)
    traces = keys.traces
    rate = keys.fleet_restarts
    fleet: dict[str, Any] = {"fleet_at_most": rate.count, "fleet_per": rate.per} if rate else {}
    store = _absolute_store(keys.store, place.folder)
    fleet_store = _absolute_store(keys.fleet_store, place.folder) if keys.fleet_store else None
    if bool(rate) != bool(fleet_store):
        there, missing = ("fleet_restarts", "fleet_store") if rate else ("fleet_store", "fleet_restarts")
        reading.report.add(place.at(there), f"means nothing without {missing}: all agents of the fleet name both")
    if fleet_store == store:
        reading.report.add(
            place.at("fleet_store"), "is this agent's own store: expected a database that is no agent's store"
        )
    return AgentSpec(
        name=keys.name or socket.gethostname(),
        listen=keys.listen,
        store=store,
        tokens=keys.tokens,
        concurrency=keys.concurrency,
        per_host=keys.per_host,
        restarts_at_most=keys.restarts.count,
        restarts_per=keys.restarts.per,
        **fleet,
        fleet_store=fleet_store,
        retention=keys.retention,
        log_retention=keys.log_retention,
        log_size=int(keys.log_size),
        traces=Traces(endpoint=traces.endpoint, sample=traces.sample, headers=traces.headers, link=traces.link)
        if traces
        else None,
        ping=_ping(keys.ping),
        page=keys.page,
        control=keys.control,
        allow=keys.allow,
    )


def _ping(keys: PingKeys | None) -> PingSpec | None:
    if keys is None:
        return None
    fail_url = None
    if keys.on_trouble == "fail":
        fail_url = keys.fail_url or SecretStr(_failing(keys.url.get_secret_value()))
    return PingSpec(
        url=keys.url,
        fail_url=fail_url,
        every=keys.every,
        method=keys.method,
        timeout=keys.timeout.total_seconds(),
        headers=keys.headers,
        drill_within=keys.drill_within,
    )


def _failing(url: str) -> str:
    """The same address with /fail at the end of its path: the form of healthchecks.io."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def _absolute_store(url: str, folder: Path) -> str:
    found = re.fullmatch(r"sqlite:///([^/?:][^?]*)(\?.*)?", url)
    return f"sqlite:///{folder.resolve() / found[1]}{found[2] or ''}" if found else url


def read_defaults(value: object, place: Place, channels: Collection[str], reading: Reading) -> Defaults:
    """The defaults; the built-in ones, and reported, where they are wrong."""
    keys = reading.model(Defaults, {} if value is None else value, place)
    if not keys:
        return Defaults.model_validate({})
    for key in ("page", "notify"):
        check_channels(getattr(keys, key), channels, place.at(key), reading.report)
    if "timeout" in keys.model_fields_set and keys.timeout > keys.every:
        got, most = format_duration(keys.timeout), format_duration(keys.every)
        reading.report.add(place.at("timeout"), f"expected at most {most} (every), got {got}")
    return keys


def read_processes(entries: list[Entry], reading: Reading) -> dict[str, ProcessSpec]:
    """The processes that the agent supervises; `cwd` is absolute."""
    found = {}
    for entry in unique(entries, "process", reading.report):
        keys = reading.model(ProcessKeys, entry.value, entry.place)
        if keys:
            found[entry.name] = ProcessSpec(
                name=entry.name,
                command=keys.command,
                cwd=str((entry.place.folder / (keys.cwd or ".")).resolve()),
                env=keys.env,
                stop_timeout=keys.stop_timeout.total_seconds(),
            )
    return found


def read_logs(entries: list[Entry], services: Collection[str], reading: Reading) -> tuple[LogSpec, ...]:
    """The log sources; patterns are absolute."""
    specs = (_log(entry, services, reading) for entry in entries)
    return tuple(spec for spec in specs if spec)


def _log(entry: Entry, services: Collection[str], reading: Reading) -> LogSpec | None:
    place = entry.place
    keys = reading.model(LogKeys, entry.value, place)
    if not keys:
        return None
    given = [key for key in ("files", "units", "journal") if getattr(keys, key)]
    if len(given) != 1:
        got = " and ".join(given) or "neither"
        reading.report.add(place, f"expected either files or units (or journal), got {got}")
    if keys.service not in services:
        meant = did_you_mean(keys.service, services)
        reading.report.add(place.at("service"), f"there is no service {keys.service!r}{meant}")
    folder = place.folder.resolve()
    return LogSpec(
        service=keys.service,
        files=tuple(str(folder / pattern) for pattern in keys.files or ()),
        units=keys.units or keys.journal or (),
    )
