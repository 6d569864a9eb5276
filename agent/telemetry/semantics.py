"""Attributes of spans, in the names of OpenTelemetry's semantic conventions where there is one."""

from urllib.parse import urlsplit

from agent.core.events import Event
from agent.core.result import CheckResult, Verdict

Attributes = dict[str, str | int | float | bool]


def run_attributes(service: str, check: str, type: str, result: CheckResult) -> Attributes:
    """What is known of one run. `values["status"]` is an HTTP status (0: there was none), `evidence["request"]` is
    "METHOD URL"."""
    found: Attributes = {
        "codeblue.service": service,
        "codeblue.check": check,
        "codeblue.check.type": type,
        "codeblue.verdict": result.verdict.value,
        "codeblue.reason": result.reason,
        "codeblue.summary": result.summary,
    }
    if result.verdict is Verdict.FAIL:
        found["error.type"] = result.reason
    if status := result.values.get("status"):
        found["http.response.status_code"] = int(status)
    method, _, url = result.evidence.get("request", "").partition(" ")
    if url:
        found["http.request.method"] = method
        found["url.full"] = without_credentials(url)
    return found | (address(result.target) if result.target else {})


def event_attributes(event: Event) -> Attributes:
    """What an event says, with everything in its data."""
    found = {
        "codeblue.service": event.service,
        "codeblue.event": event.kind.value,
        "codeblue.incident": event.incident,
        "codeblue.check": event.check,
        "codeblue.text": event.text,
        **{f"codeblue.{key}": value for key, value in event.data.items()},
    }
    return {key: value for key, value in found.items() if value}


def address(target: str) -> Attributes:
    """`server.address` and `server.port` of "host", "host:port", "[v6]:port", a bare IPv6 address or a URL."""
    if target.count(":") > 1 and "[" not in target and "//" not in target:
        return {"server.address": target}
    try:
        parts = urlsplit(target if "//" in target else f"//{target}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    found: Attributes = {"server.address": host or target}
    return found | ({"server.port": port} if port else {})


def without_credentials(url: str) -> str:
    """The URL without user, password, query and fragment, which is where secrets travel."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
