"""The tcp check: connect, and if asked send something and wait for an answer."""

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Sequence
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from agent.core.model import CheckResult
from agent.ports import CheckContext, CheckType, ResolveError
from checks.address import family_number, join_address, split_address
from checks.each_address import ask_each
from checks.match import TooSlow, searched, slashed
from checks.tcp_options import TcpOptions, unescape

_READ_LIMIT = 65_536  # bytes that are looked through for the expected answer
_SHOWN = 2048
_LITERAL = re.compile(r"\d+\.\d+\.\d+\.\d+|.*:.*")
_LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}


class _Failed(Exception):
    """The probe ends here, with this reason and line."""

    def __init__(self, reason: str, summary: str) -> None:
        super().__init__(summary)
        self.reason = reason


class _Probe:
    """One run: what it asks, how much time is left, and what it found so far."""

    def __init__(self, options: TcpOptions, ctx: CheckContext, only: str) -> None:
        self.only = only
        self.options = options
        self.resolver = ctx.tools.resolver
        self.timeout = ctx.timeout
        self.ends = monotonic() + ctx.timeout
        self.host, self.port = split_address(options.address)
        self.phases: dict[str, float] = {}
        self.address = ""
        self.answer = b""

    def left(self) -> float:
        return self.ends - monotonic()

    async def run(self) -> None:
        began = monotonic()
        addresses = await self.addresses()
        self.phases["dns"] = monotonic() - began
        connection = await self.connect(addresses)
        try:
            if self.options.tls or self.options.send or self.options.expect:
                await self.talk(connection)
        finally:
            connection.close()

    async def addresses(self) -> Sequence[str]:
        if self.only:
            return (self.only,)
        if _LITERAL.fullmatch(self.host):
            return (self.host,)
        try:
            family = family_number(self.options.family)
            return await self.resolver.resolve(self.host, family=family, timeout=self.timeout)
        except ResolveError as error:
            raise _Failed(error.reason, str(error)) from None

    async def connect(self, addresses: Sequence[str]) -> socket.socket:
        """The first address that takes the connection. None may use up the time of those after it."""
        failure = _Failed("dns", f"{self.host} has no address")
        for position, address in enumerate(addresses):
            began = monotonic()
            self.address = address
            try:
                connection = await self.connect_one(address, self.left() / (len(addresses) - position))
            except OSError as error:
                failure = self.explain(error, address)
            else:
                self.phases["connect"] = monotonic() - began
                return connection
        raise failure

    async def connect_one(self, address: str, timeout: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(connection, (address, self.port))
        except BaseException:
            connection.close()
            raise
        return connection

    async def talk(self, connection: socket.socket) -> None:
        began = monotonic()
        place = self.options.address
        secure = self.secure() if self.options.tls else {}
        writer = None
        try:
            async with asyncio.timeout(self.left()):
                reader, writer = await asyncio.open_connection(sock=connection, **secure)
                if secure:
                    self.phases["tls"] = monotonic() - began
                    began = monotonic()
                if self.options.send:
                    writer.write(unescape(self.options.send))
                    await writer.drain()
                if self.options.expect:
                    await self.expect(reader, began, self.options.expect)
        except TimeoutError:
            raise self.silent() from None
        except TooSlow as error:
            raise _Failed("expression", f"could not tell: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise _Failed(
                "certificate", f"the certificate of {place} does not verify: {error.verify_message}"
            ) from None
        except ssl.SSLError as error:
            raise _Failed("tls", f"TLS with {place} failed: {error.reason or error}") from None
        except OSError as error:
            raise self.explain(error, self.address) from None
        finally:
            if writer is not None:
                writer.transport.abort()

    def secure(self) -> dict[str, Any]:
        """What asyncio is told of TLS."""
        ca_file = self.options.ca_file
        try:
            changed = os.stat(ca_file).st_mtime_ns if ca_file else 0
            context = _tls_context(self.options.verify, ca_file, changed)
        except OSError as error:  # of which ssl.SSLError is one: the file holds no certificates
            raise _Failed("local", f"could not tell: ca_file {ca_file}: {error.strerror or error}") from None
        return {"ssl": context, "server_hostname": self.options.server_name or self.host}

    async def expect(self, reader: asyncio.StreamReader, began: float, wanted: str) -> None:
        while not _found(wanted, self.answer):
            more = await reader.read(4096)
            if more and not self.answer:
                self.phases["first_byte"] = monotonic() - began
            self.answer += more
            if not more or len(self.answer) >= _READ_LIMIT:
                if _found(wanted, self.answer):
                    return
                end = "and then closed" if not more else f"and no match in {len(self.answer)} bytes"
                got = f"answered {_shown(self.answer)}" if self.answer else "answered nothing"
                raise _Failed("mismatch", f"{self.options.address} {got} {end}, expected {wanted!r}")

    def silent(self) -> _Failed:
        connected = f"connected after {self.phases['connect'] * 1000:.1f} ms"
        if self.options.tls and "tls" not in self.phases:
            return _Failed("timeout", f"no answer within {self.timeout:g} s: {connected}, TLS never ended")
        if self.answer:
            got = f"answered {_shown(self.answer)} and no more within {self.timeout:g} s"
            return _Failed("mismatch", f"{self.options.address} {got}, expected {self.options.expect!r}")
        return _Failed("timeout", f"no answer within {self.timeout:g} s: {connected}, nothing came back")

    def explain(self, error: OSError, address: str) -> _Failed:
        place = join_address(address, self.port)
        if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
            return _Failed("timeout", f"no answer within {self.timeout:g} s: {place} never accepted the connection")
        if error.errno == errno.ECONNREFUSED:
            return _Failed("refused", f"connection refused by {place}")
        if error.errno in (errno.ECONNRESET, errno.EPIPE) or isinstance(error, ConnectionError):
            return _Failed("reset", f"{place} broke off the connection")
        if error.errno in _LACKS:
            return _Failed("local", f"could not tell: {error.strerror}")
        return _Failed("unreachable", f"{place} cannot be reached: {error.strerror or error}")


async def check_tcp(options: TcpOptions, ctx: CheckContext) -> CheckResult:
    """PASS when the connection is taken and the expected answer comes in time; UNKNOWN when the agent itself lacked
    something to ask with."""
    if options.addresses == "each":
        return await ask_each(host(options), family_number(options.family), ctx, partial(_ask, options))
    return await _ask(options, "", ctx)


async def _ask(options: TcpOptions, address: str, ctx: CheckContext) -> CheckResult:
    """One connection: to this address, or to whichever of the name's takes it where none is given."""
    probe = _Probe(options, ctx, address)
    try:
        await probe.run()
    except _Failed as failed:
        evidence = {"answer": _decoded(probe.answer)[:_SHOWN]} if probe.answer else {}
        verdict = ctx.unknown if failed.reason in ("local", "expression") else ctx.failed
        return verdict(
            failed.reason,
            str(failed),
            phases=probe.phases,
            evidence=evidence,
            target=probe.address or probe.host,
        )
    return ctx.passed(
        "answered as expected" if options.expect else "connected", phases=probe.phases, target=probe.address
    )


@lru_cache(maxsize=64)
def _tls_context(verify: bool, ca_file: str | None, _changed: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _found(wanted: str, answer: bytes) -> bool:
    expression = slashed(wanted)
    if expression is None:
        return unescape(wanted) in answer
    return searched(expression, _decoded(answer))


def _decoded(answer: bytes) -> str:
    return answer.decode(errors="replace").replace("\0", "�")


def _shown(answer: bytes) -> str:
    text = repr(_decoded(answer))
    return text if len(text) <= 120 else text[:119] + "…"


def host(options: TcpOptions) -> str:
    return split_address(options.address)[0]


TCP = CheckType(
    name="tcp",
    options=TcpOptions,
    run=check_tcp,
    about="Connects to host:port; can send a text, wait for an answer, and do so in TLS.",
    short="address",
    keeps_time=True,
    host=host,
)
