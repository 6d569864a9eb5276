"""What a probe that got no whole answer says to a person woken by it."""

from agent.ports import HttpAnswer

LONGEST = 500  # characters: a server may redirect to a name of a hundred thousand
_REASONS = {"redirects": "redirect", "scheme": "redirect"}


def reason_of(error: str) -> str:
    """The result's reason for an engine's error slug."""
    return _REASONS.get(error, error)


def error_summary(answer: HttpAnswer, place: str, timeout: float) -> str:
    """One line: what happened, to whom, and how far it had come."""
    message = answer.message
    lines = {
        "refused": f"connection refused by {place}",
        "unreachable": f"{place} cannot be reached: {message}",
        "dns": message,
        "tls": f"TLS with {place} failed: {message}",
        "certificate": _certificate(answer, place),
        "reset": f"{place} broke off the connection: {message}",
        "redirects": message,
        "scheme": message,
        "protocol": f"{place} does not answer in proper HTTP: {message}",
        "local": f"could not tell: {message}",
        "timeout": timeout_summary(answer, timeout),
    }
    line = lines.get(answer.error, f"{place}: {message}")
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def timeout_summary(answer: HttpAnswer, timeout: float) -> str:
    """How far the probe came before its time was up."""
    done = answer.phases
    begin = f"no answer within {timeout:g} s: "
    if "dns" not in done:
        return begin + (answer.message or "the name server did not answer")
    if "connect" not in done:
        return begin + "the connection was never accepted"
    connected = f"connected after {_milliseconds(done['dns'] + done['connect'])}"
    if "first_byte" in done:
        first = _milliseconds(sum(done.values()) - done.get("transfer", 0.0))
        return f"the answer did not end within {timeout:g} s: first byte after {first}, then {len(answer.body)} bytes"
    if "tls" in done:
        return f"{begin}{connected}, TLS took {_milliseconds(done['tls'])}, first byte never came"
    if answer.url.startswith("https:"):
        return f"{begin}{connected}, the TLS handshake never ended"
    return f"{begin}{connected}, first byte never came"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2g} s"


def _certificate(answer: HttpAnswer, place: str) -> str:
    told = answer.certificate
    until = told.get("until", "")
    lines = {
        "expired": f"the certificate of {place} expired on {until}",
        "not yet valid": f"the certificate of {place} is not valid before {told.get('from', '')}",
        "self-signed": f"the certificate of {place} is self-signed: nobody who is trusted vouches for it",
        "untrusted": f"the certificate of {place} is signed by nobody who is trusted: {told.get('issuer', '')}",
        "revoked": f"the certificate of {place} is revoked",
        "name": f"the certificate of {place} is for another name: {told.get('names') or told.get('subject', '')}",
    }
    return lines.get(told.get("problem", ""), f"the certificate of {place} does not verify: {answer.message}")
