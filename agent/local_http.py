"""One HTTP request to a daemon of this host: Docker's and supervisord's interfaces are HTTP over a unix socket.

It is asyncio's own streams and the standard library's parser, because that is all it takes: no thread that could be
left hanging, no connection that stays open, no library of its own for three kinds of requests a minute.
"""

import asyncio
import errno
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

LIMIT = 1_048_576  # bytes of an answer that are read
_REASONS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.ECONNREFUSED: "refused",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
}


def _daemon_address(text: str) -> str:
    """The address in one of two forms, `unix:///path` and `http://host:port`. Raises ValueError."""
    example = "expected the path of a socket such as /run/docker.sock, or an address such as http://127.0.0.1:9001"
    if text.startswith(("/", "unix:")):
        path = text.removeprefix("unix://")
        if not PurePosixPath(path).is_absolute() or "\0" in path or len(path.encode()) > 107:
            raise ValueError(f"{text!r} is no path of a unix socket (absolute, at most 107 bytes): {example}")
        return f"unix://{path}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme not in ("http", "tcp") or parts.username or parts.path not in ("", "/"):
        raise ValueError(example)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


DaemonAddress = Annotated[str, AfterValidator(_daemon_address)]
"""The field type of a daemon's address in options: a socket's path, or `http://host:port` (also `tcp://`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer, whatever its status; `truncated` says that its body was cut."""

    status: int
    body: bytes
    truncated: bool = False


class NoReply(Exception):
    """No answer came. `reason` is a bounded slug: "missing" (no such socket), "refused" (nobody listens on it),
    "permission", "timeout", "reset", "protocol" (that was no HTTP), "network" for anything else."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def ask(
    server: str,
    method: str,
    target: str,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    limit: int = LIMIT,
) -> Reply:
    """Send one request on a connection of its own and read the answer to its end. `server` is a DaemonAddress.

    Raises NoReply, also when it takes more than `timeout` seconds in all.
    """
    fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    try:
        async with asyncio.timeout(timeout):
            raw = await _exchange(server, head.encode("latin-1") + b"\r\n" + body, limit)
    except TimeoutError:
        raise NoReply("timeout", f"{server} did not answer within {timeout:g} s") from None
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "network")
        raise NoReply(reason, f"{server} can't be asked: {error.strerror or type(error).__name__}") from None
    return _parsed(raw, method, server, limit)


async def _exchange(server: str, request: bytes, limit: int) -> bytes:
    if server.startswith("unix://"):
        reader, writer = await asyncio.open_unix_connection(server.removeprefix("unix://"))
    else:
        address = urlsplit(server)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(request)
        await writer.drain()
        raw = bytearray()
        while len(raw) <= limit and (block := await reader.read(65_536)):
            raw += block
        return bytes(raw)
    finally:
        writer.transport.abort()


class _Socket(io.BytesIO):
    """Bytes that were received already, as the parser wants to have them."""

    def makefile(self, mode: str) -> io.BytesIO:  # noqa: ARG002 - the parser's way of asking for the bytes
        return self


def _parsed(raw: bytes, method: str, server: str, limit: int) -> Reply:
    from http.client import HTTPException, HTTPResponse, IncompleteRead

    answer = HTTPResponse(_Socket(raw), method=method)  # type: ignore[arg-type]
    truncated = len(raw) > limit
    try:
        answer.begin()
        body = answer.read()
    except IncompleteRead as cut:
        if not truncated:
            raise NoReply("protocol", f"{server} stopped in the middle of its answer") from None
        body = cut.partial
    except (HTTPException, ValueError):
        said = "nothing" if not raw else f"no HTTP: {raw[:40]!r}"
        raise NoReply("protocol" if raw else "reset", f"{server} answered {said}") from None
    return Reply(status=answer.status, body=body, truncated=truncated)
