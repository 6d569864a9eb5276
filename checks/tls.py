"""The tls check: shake hands, after asking for it where a protocol wants that, and look at the certificate."""

import asyncio
import socket
from dataclasses import replace
from time import monotonic
from typing import Any

from pydantic import Field

from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType, HttpAnswer, HttpRequest, Options
from checks.address import AddressText, Family, family_number, split_address
from checks.certificate import Limits, certificate_finding, certificate_values
from checks.connection import Connecting, Failed
from checks.probe_error import error_summary, reason_of
from checks.starttls import NotOffered, Protocol, ask_for_tls


class TlsOptions(Options):
    """A TLS handshake with an address, and how long its certificate must still be valid."""

    address: AddressText = Field(description="host:port, such as mail.internal:993 or [::1]:443")
    starttls: Protocol | None = Field(
        default=None,
        description="the protocol in which TLS is asked for; without it the handshake comes at once",
    )
    server_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="the name that is asked for and verified, when not the address",
    )
    verify: bool = Field(default=True, description="false: only the time that is left counts")
    ca_file: str | None = Field(default=None, description="PEM file of trusted certificates, instead of the host's own")
    family: Family = Field(
        default="any", description="which addresses of the name are tried: IPv4 (4), IPv6 (6) or both"
    )
    warn_days: float = Field(default=21, ge=0, description="a certificate with fewer days left is a WARN")
    fail_days: float = Field(default=7, ge=0, description="a certificate with fewer days left is a FAIL")


async def check_tls(options: TlsOptions, ctx: CheckContext) -> CheckResult:
    """PASS for a handshake with a certificate that verifies and has days enough left, WARN for fewer; FAIL says which
    it is: expired, of another name, self-signed, untrusted, or no TLS at all."""
    request = _request(options, ctx)
    if options.starttls is None:
        return _judge(options, ctx, await ctx.tools.http.fetch(request))
    way = Connecting(options.address, options.family, ctx)
    try:
        connection = await _asked_for_tls(options.starttls, options.address, way)
    except Failed as failed:
        verdict = ctx.unknown if failed.reason == "local" else ctx.failed
        return verdict(failed.reason, str(failed), phases=way.phases, target=way.address or way.host)
    with connection:
        request.connection, request.resolve_to = connection, way.address
        request.timeout = max(way.left(), 0.001)
        answer = await ctx.tools.http.fetch(request)
    tls = {name: seconds for name, seconds in answer.phases.items() if name == "tls"}
    return _judge(options, ctx, replace(answer, phases={**way.phases, **tls}))


async def _asked_for_tls(protocol: Protocol, place: str, way: Connecting) -> socket.socket:
    """A connection on which the handshake may begin; the caller closes it. Raises Failed."""
    connection = await way.open()
    began = monotonic()
    try:
        async with asyncio.timeout(way.left()):
            await ask_for_tls(protocol, connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, TimeoutError):
            text = f"no answer within {way.timeout:g} s: {place} did not say all that {protocol} needs before TLS"
            raise Failed("timeout", text) from None
        if isinstance(error, NotOffered):
            raise Failed("starttls", f"{place} did not begin TLS in {protocol}: {error}") from None
        if isinstance(error, OSError):
            raise way.explain(error, way.address) from None
        raise
    way.phases["starttls"] = monotonic() - began
    return connection


def _request(options: TlsOptions, ctx: CheckContext) -> HttpRequest:
    return HttpRequest(
        url=f"https://{options.address}/",
        timeout=ctx.timeout,
        connect_only=True,
        want_certificate=True,
        verify=options.verify,
        ca_file=options.ca_file,
        server_name=options.server_name,
        family=family_number(options.family),
    )


def _judge(options: TlsOptions, ctx: CheckContext, answer: HttpAnswer) -> CheckResult:
    values = certificate_values(answer, ctx.started)
    more: dict[str, Any] = {"phases": answer.phases, "values": values, "target": answer.address or host(options)}
    if answer.error:
        reason = reason_of(answer.error)
        more["evidence"] = _evidence(answer.certificate)
        verdict = ctx.unknown if reason == "local" else ctx.failed
        return verdict(reason, error_summary(answer, options.address, ctx.timeout), **more)
    found = certificate_finding(answer, ctx.started, Limits(options.warn_days, options.fail_days))
    if found:
        more["evidence"] = _evidence(answer.certificate)
        return (ctx.failed if found.failed else ctx.warned)(found.reason, found.summary, **more)
    left = values.get("certificate_days")
    if left is None:
        return ctx.failed("tls", f"{options.address} showed no certificate", **more)
    return ctx.passed(f"certificate valid for {left:.0f} days", **more)


def _evidence(certificate: Any) -> dict[str, str]:
    lines = [f"{name}: {value}" for name, value in certificate.items() if value]
    return {"certificate": "\n".join(lines)[:2048]} if lines else {}


def host(options: TlsOptions) -> str:
    return split_address(options.address)[0]


TLS = CheckType(
    name="tls",
    options=TlsOptions,
    run=check_tls,
    about="Shakes hands in TLS (where need be after STARTTLS) and says how many days the certificate has left, and "
    "whether and why it is not trusted.",
    short="address",
    keeps_time=True,
    host=host,
)
