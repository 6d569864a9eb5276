"""The http check: ask a URL on a new connection, and hold the answer against what is expected."""

import base64
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache, partial
from time import monotonic
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from agent.core.durations import format_duration
from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType, HttpAnswer, HttpRequest
from agent.threads import Busy, OwnThreads
from checks.address import family_number
from checks.certificate import Limits, certificate_finding, certificate_values
from checks.each_address import ask_each
from checks.http_expect import Finding, body_text, findings, status_text
from checks.http_options import Expect, HttpOptions
from checks.match import TooSlow
from checks.probe_error import error_summary, reason_of

_AS_USUAL = Expect.model_validate({})
_BODY_SHOWN = 2048
# What helps at night. Never cookies, credentials or anything else that is not listed.
_HEADERS_SHOWN = ("content-type", "content-length", "server", "location", "retry-after", "via", "x-request-id")
_PATIENCE = 0.5  # seconds of CPU time for an expression that is not found or excluded at once
_searches = OwnThreads("search", at_most=2)
_QUERY_VALUE = re.compile(r"(?<==)[^&#\s']+")


async def check_http(options: HttpOptions, ctx: CheckContext) -> CheckResult:
    """PASS when the whole answer came in time and is as expected; WARN for a slow one or a certificate that runs out
    soon; UNKNOWN when the agent itself lacked something, or an expression takes too long on what was answered."""
    if options.addresses == "each":
        return await ask_each(host(options), family_number(options.family), ctx, partial(_ask, options))
    return await _ask(options, "", ctx)


async def _ask(options: HttpOptions, address: str, ctx: CheckContext) -> CheckResult:
    """One request: to this address, or as the name says where none is given."""
    request = _request(options, ctx)
    request.resolve_to = address or None
    answer = await ctx.tools.http.fetch(request)
    values = _figures(answer.status, len(answer.body))
    if not answer.error and answer.status == 200 and options.expect is None and answer.certificate_expires is None:
        return ctx.passed("200 OK", phases=answer.phases, values=values, target=answer.address)
    try:
        wrong = [] if answer.error else await _held_against(options.expect or _AS_USUAL, answer, ctx)
    except TooSlow as error:
        more: dict[str, Any] = {"phases": answer.phases, "values": values, "evidence": _evidence(options, answer)}
        summary = f"could not tell: {error}"
        return ctx.unknown("expression", summary, target=answer.address or host(options), **more)
    return _judge(options, ctx, answer, values, wrong)


async def _held_against(expect: Expect, answer: HttpAnswer, ctx: CheckContext) -> list[Finding]:
    """What is wrong with the answer. Where an expression takes its time it gets some more, in a thread, so that no
    other check is held up by it. Raises TooSlow when even that is not enough."""
    try:
        return list(findings(expect, answer))
    except TooSlow:
        left = ctx.timeout - (monotonic() - ctx.began)
        slowly = partial(findings, expect, answer, _PATIENCE)
        try:
            return await _searches.run(lambda: list(slowly()), timeout=max(left, 0.0))
        except (TimeoutError, Busy):
            pass
        raise


def _judge(
    options: HttpOptions, ctx: CheckContext, answer: HttpAnswer, values: Mapping[str, float], wrong: list[Finding]
) -> CheckResult:
    values = {**values, **certificate_values(answer, ctx.started)}
    more: dict[str, Any] = {"phases": answer.phases, "values": values, "target": answer.address or host(options)}
    if answer.error:
        reason = reason_of(answer.error)
        summary = error_summary(answer, _place(options), ctx.timeout)
        summary = _public(summary) if reason == "redirect" else summary
        more["evidence"] = _evidence(options, answer)
        return (ctx.unknown if reason == "local" else ctx.failed)(reason, summary, **more)
    wrong = [*wrong, *_slow(options.expect, "latency", answer)]
    warned = [*_slow(options.expect, "warn_latency", answer)]
    limits = options.certificate
    found = certificate_finding(answer, ctx.started, Limits(limits.warn_days, limits.fail_days) if limits else Limits())
    if found:
        (wrong if found.failed else warned).append((found.reason, found.summary))
    if options.http_version and answer.http_version != options.http_version:
        wrong.append(("protocol", f"answered in HTTP/{answer.http_version}, expected HTTP/{options.http_version}"))
    if not wrong and not warned:
        return ctx.passed(status_text(answer.status), **more)
    reason, summary = (wrong or warned)[0]
    if len(wrong) > 1:
        summary += f" (and {len(wrong) - 1} more)"
    more["evidence"] = _evidence(options, answer, wrong or warned)
    return (ctx.failed if wrong else ctx.warned)(reason, summary, **more)


@lru_cache(maxsize=1024)
def _figures(status: int, size: int) -> Mapping[str, float]:
    """Most targets say the same thing for hours: equal figures are one object."""
    return MappingProxyType({"status": float(status), "body_bytes": float(size)})


def _request(options: HttpOptions, ctx: CheckContext) -> HttpRequest:
    request = HttpRequest(url=options.url, timeout=ctx.timeout, headers=_headers(options, ctx.traceparent))
    if options.url[4] == "s":
        request.want_certificate = True
        request.verify = options.verify
        request.ca_file, request.server_name = options.ca_file, options.server_name
        request.client_cert, request.client_key = options.client_cert, options.client_key
    if len(options.model_fields_set) > 1:
        _add_rest(request, options)
    return request


def _add_rest(request: HttpRequest, options: HttpOptions) -> None:
    request.method, request.body_limit = options.method, options.body_limit
    request.max_redirects = options.redirects
    request.family = family_number(options.family)
    request.server_name = options.server_name
    request.http_version = options.http_version or ""
    request.body = None if options.body is None else options.body.encode()


def _headers(options: HttpOptions, traceparent: str) -> tuple[str, ...]:
    if not (traceparent or options.headers or options.auth):
        return ()
    lines = [f"{name}: {value.get_secret_value()}" for name, value in (options.headers or {}).items()]
    auth = options.auth
    if auth and auth.bearer:
        lines.append(f"Authorization: Bearer {auth.bearer.get_secret_value()}")
    elif auth and auth.password is not None:  # it may be empty: some APIs take a key as the user
        pair = f"{auth.user}:{auth.password.get_secret_value()}".encode()
        lines.append(f"Authorization: Basic {base64.b64encode(pair).decode()}")
    if traceparent:
        lines.append(f"traceparent: {traceparent}")
    return tuple(lines)


def _slow(expect: Expect | None, name: str, answer: HttpAnswer) -> list[tuple[str, str]]:
    limit: timedelta | None = getattr(expect, name) if expect else None
    if limit is None or answer.total <= limit.total_seconds():
        return []
    return [("latency", f"the answer took {answer.total * 1000:.0f} ms, at most {format_duration(limit)} expected")]


def _evidence(options: HttpOptions, answer: HttpAnswer, wrong: list[tuple[str, str]] | None = None) -> dict[str, str]:
    """What a person wants to see of a bad answer: bounded, and without anything secret."""
    shown = {"request": f"{options.method} {_public(answer.url or options.url)}"}
    if wrong and len(wrong) > 1:
        shown["all findings"] = "\n".join(summary for _, summary in wrong)
    if answer.status:
        fields = [f"{name}: {answer.headers[name]}" for name in _HEADERS_SHOWN if name in answer.headers]
        shown["headers"] = "\n".join([status_text(answer.status), *(_public(line) for line in fields)])[:_BODY_SHOWN]
    if answer.body:
        # The secrets go before the cut, so that no half of one is left at the end of what is shown.
        text = _without_secrets(options, body_text(answer))
        shown["body"] = text[:_BODY_SHOWN].replace("\0", "�")
    return shown


def _without_secrets(options: HttpOptions, text: str) -> str:
    """A server may echo what it was sent."""
    auth = options.auth
    secrets = [value.get_secret_value() for value in (options.headers or {}).values()]
    secrets += [secret.get_secret_value() for secret in (auth.password, auth.bearer) if secret] if auth else []
    secrets += [line.rpartition(" ")[2] for line in _headers(options, "") if line.startswith("Authorization: Basic")]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > 3:
            text = text.replace(secret, "***")
    return text


def _public(text: str) -> str:
    """A URL, or a line with one, without the values in its query: they are often keys."""
    before, mark, query = text.partition("?")
    return before + mark + _QUERY_VALUE.sub("***", query)


def host(options: HttpOptions) -> str:
    return urlsplit(options.url).hostname or ""


@lru_cache(maxsize=1024)
def _place_of(url: str) -> str:
    return urlsplit(url).netloc


def _place(options: HttpOptions) -> str:
    return _place_of(options.url)


HTTP = CheckType(
    name="http",
    options=HttpOptions,
    run=check_http,
    about="Asks an HTTP or HTTPS URL on a new connection and holds status, headers, body, latency and certificate "
    "against what is expected.",
    short="url",
    keeps_time=True,
    host=host,
)
