"""Why apprise could not send: it only says no, so the reason is found in what it logs, none of which is shown. Pure."""

import re
from collections.abc import Callable, Sequence

from agent.ports import DeliveryError

_HTTP = re.compile(r"\berror=(\d{3})\b")
_SMTP = re.compile(r"\((\d{3}), b?['\"]")
_AWAY = re.compile(r"connection error|socket exception", re.IGNORECASE)
_LATER = frozenset({408, 425, 429})
_REASONS = {401: "auth", 403: "auth", 404: "not_found", 410: "not_found", 408: "timeout", 429: "rate_limited"}
_SMTP_AUTH = frozenset({530, 534, 535, 538})


def why_not(service: str, said: Sequence[str], meaning: Callable[[int], str] = lambda _: "") -> DeliveryError:
    """The error that these log lines of one attempt tell of. The newest line with a status decides; where there is
    none, it is taken for something that passes. `meaning` is the service's own word for a status."""
    for line in reversed(said):
        if found := _HTTP.search(line):
            return _http(service, int(found[1]), meaning(int(found[1])))
        if found := _SMTP.search(line):
            return _smtp(service, int(found[1]))
    if any(_AWAY.search(line) for line in said):
        return DeliveryError("network", f"{service} can't be reached", retryable=True)
    return DeliveryError("server", f"{service} did not take it, and apprise does not say why", retryable=True)


def _http(service: str, status: int, meaning: str) -> DeliveryError:
    text = f"{service} answered {status} ({meaning})" if meaning else f"{service} answered {status}"
    retryable = status in _LATER or not 300 <= status < 500
    return DeliveryError(_REASONS.get(status, "server" if retryable else "invalid"), text, retryable=retryable)


def _smtp(service: str, code: int) -> DeliveryError:
    text = f"{service}'s mail server answered {code}"
    if code in _SMTP_AUTH:
        return DeliveryError("auth", text, retryable=False)
    final = 500 <= code < 600
    return DeliveryError("invalid" if final else "server", text, retryable=not final)
