"""The tcp check: connect, and if asked send something and wait for an answer."""

import asyncio
import os
import socket
import ssl
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType
from checks.address import family_number, split_address
from checks.connection import Connecting, Failed
from checks.each_address import ask_each
from checks.match import TooSlow, searched, slashed
from checks.tcp_options import TcpOptions, unescape

_READ_LIMIT = 65_536  # bytes that are looked through for the expected answer
_SHOWN = 2048


class _Probe(Connecting):
    """One run: what it asks, how much time is left, and what it found so far."""

    def __init__(self, options: TcpOptions, ctx: CheckContext, only: str) -> None:
        super().__init__(options.address, options.family, ctx, only)
        self.options = options
        self.answer = b""

    async def run(self) -> None:
        connection = await self.open()
        try:
            if self.options.tls or self.options.send or self.options.expect:
                await self.talk(connection)
        finally:
            connection.close()

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
            raise Failed("expression", f"could not tell: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise Failed("certificate", f"the certificate of {place} does not verify: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise Failed("tls", f"TLS with {place} failed: {error.reason or error}") from None
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
            raise Failed("local", f"could not tell: ca_file {ca_file}: {error.strerror or error}") from None
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
                raise Failed("mismatch", f"{self.options.address} {got} {end}, expected {wanted!r}")

    def silent(self) -> Failed:
        connected = f"connected after {self.phases['connect'] * 1000:.1f} ms"
        if self.options.tls and "tls" not in self.phases:
            return Failed("timeout", f"no answer within {self.timeout:g} s: {connected}, TLS never ended")
        if self.answer:
            got = f"answered {_shown(self.answer)} and no more within {self.timeout:g} s"
            return Failed("mismatch", f"{self.options.address} {got}, expected {self.options.expect!r}")
        return Failed("timeout", f"no answer within {self.timeout:g} s: {connected}, nothing came back")


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
    except Failed as failed:
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
