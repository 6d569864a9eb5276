"""A TCP connection to a place on the network, and in people's words why there is none."""

import asyncio
import errno
import re
import socket
from collections.abc import Sequence
from time import monotonic

from agent.ports import CheckContext, ResolveError
from checks.address import Family, family_number, join_address, split_address

_LITERAL = re.compile(r"\d+\.\d+\.\d+\.\d+|.*:.*")
_LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}


class Failed(Exception):
    """The probe ends here, with this reason and line."""

    def __init__(self, reason: str, summary: str) -> None:
        super().__init__(summary)
        self.reason = reason


class Connecting:
    """The way to `place` (host:port) within the time of one run: `phases` and `address` say how far it came. `only` is
    the one address to try, empty for all that the name has."""

    def __init__(self, place: str, family: Family, ctx: CheckContext, only: str = "") -> None:
        self.only = only
        self.family = family
        self.resolver = ctx.tools.resolver
        self.timeout = ctx.timeout
        self.ends = monotonic() + ctx.timeout
        self.host, self.port = split_address(place)
        self.phases: dict[str, float] = {}
        self.address = ""

    def left(self) -> float:
        return self.ends - monotonic()

    async def open(self) -> socket.socket:
        """A connection that does not block, which the caller closes. Raises Failed."""
        began = monotonic()
        addresses = await self.addresses()
        self.phases["dns"] = monotonic() - began
        return await self.connect(addresses)

    async def addresses(self) -> Sequence[str]:
        if self.only:
            return (self.only,)
        if _LITERAL.fullmatch(self.host):
            return (self.host,)
        try:
            family = family_number(self.family)
            return await self.resolver.resolve(self.host, family=family, timeout=self.timeout)
        except ResolveError as error:
            raise Failed(error.reason, str(error)) from None

    async def connect(self, addresses: Sequence[str]) -> socket.socket:
        """The first address that takes the connection. None may use up the time of those after it."""
        failure = Failed("dns", f"{self.host} has no address")
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
        """Raises OSError. Where nobody listens on a port of this host, the kernel may choose that very port to connect
        from, once in some ten thousand tries: the connection is one to itself (RFC 9293, 3.5)."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(connection, (address, self.port))
            if connection.getsockname() == connection.getpeername():
                raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens: it was connected to itself")
        except BaseException:
            connection.close()
            raise
        return connection

    def explain(self, error: OSError, address: str) -> Failed:
        place = join_address(address, self.port)
        if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
            return Failed("timeout", f"no answer within {self.timeout:g} s: {place} never accepted the connection")
        if error.errno == errno.ECONNREFUSED:
            return Failed("refused", f"connection refused by {place}")
        if error.errno in (errno.ECONNRESET, errno.EPIPE) or isinstance(error, ConnectionError):
            return Failed("reset", f"{place} broke off the connection")
        if error.errno in _LACKS:
            return Failed("local", f"could not tell: {error.strerror}")
        return Failed("unreachable", f"{place} cannot be reached: {error.strerror or error}")
