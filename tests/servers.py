"""Real servers for tests, on loopback only.

with nginx(tmp_path, "server { listen 127.0.0.1:%d; return 200; }" % free_port()):
    ...
async with serve(drip) as port:              # a raw server whose handler misbehaves
    ...
pair = Authority(tmp_path).issue("localhost", days=-1)      # certificates, expired ones too
"""

import asyncio
import contextlib
import errno
import itertools
import os
import random
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

NGINX = "/usr/sbin/nginx"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


FIRST_PORT, PORTS_EACH, PROCESSES = 12_000, 2_500, 8  # below the range from which the kernel takes ports by itself
_numbers = itertools.count(random.SystemRandom().randrange(PORTS_EACH))


def free_port(address: str = "127.0.0.1") -> int:
    """A port on which nothing listens just now, and that is given to nobody else: neither by the kernel to whoever
    connects or binds without a wish, nor to tests that run in another process beside this one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    for number in itertools.islice(_numbers, PORTS_EACH):
        port = FIRST_PORT + process * PORTS_EACH + number % PORTS_EACH
        with socket.socket(family, socket.SOCK_STREAM) as listener, contextlib.suppress(OSError):
            listener.bind((address, port))
            return port
    raise OSError(errno.EADDRNOTAVAIL, f"none of {PORTS_EACH} ports can be bound at {address}")


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    try:
        free_port("::1")
    except OSError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------- nginx


@contextlib.contextmanager
def nginx(folder: Path, http: str, *, timeout: float = 10.0) -> Iterator[subprocess.Popen[bytes]]:
    """nginx with its own prefix below `folder`; `http` is what stands inside its http block. It answers when the block
    is entered, and is gone (with its workers) when it is left. Each request is a line of `folder/nginx/access.log`."""
    home = folder / "nginx"
    home.mkdir(exist_ok=True)
    temporary = "".join(f"{kind}_temp_path {home}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log notice;"
        "events { worker_connections 4096; }"
        f"http {{ access_log {home}/access.log; client_body_temp_path {home}/body; {temporary}\n{http}\n}}"
    )
    argv = [NGINX, "-p", str(home), "-e", f"{home}/error.log", "-c", f"{home}/nginx.conf"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(home / "error.log", "start worker process ", process, timeout)
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_for(log: Path, line: str, process: subprocess.Popen[bytes], timeout: float) -> None:
    ends = time.monotonic() + timeout
    while not (log.exists() and line in log.read_text()):
        if process.poll() is not None or time.monotonic() > ends:
            process.kill()
            _, said = process.communicate()
            raise RuntimeError(f"nginx did not start: {said.decode()}")
        time.sleep(0.01)


# ---------------------------------------------------------------------------------------------------- certificates


@dataclass(frozen=True)
class Pair:
    """PEM files of a certificate (with its chain) and its key."""

    cert: str
    key: str

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


class Authority:
    """A certificate authority of its own; `file` is what clients trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._ca = trustme.CA()
        self.file = str(folder / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, days: float = 90) -> Pair:
        """A certificate for these names or addresses that runs out in so many days, or did so that long ago."""
        until = datetime.now(UTC) + timedelta(days=days)
        issued = self._ca.issue_cert(*names, not_before=until - timedelta(days=365), not_after=until)
        stem = f"{self._name}-{names[0].replace(':', '_').replace('*', '_')}-{days:g}"
        pair = Pair(str(self._folder / f"{stem}.crt"), str(self._folder / f"{stem}.key"))
        Path(pair.cert).unlink(missing_ok=True)
        for part in issued.cert_chain_pems:
            part.write_to_path(pair.cert, append=True)
        issued.private_key_pem.write_to_path(pair.key)
        return pair


def self_signed(folder: Path, name: str) -> Pair:
    """A certificate that vouches for itself, as they are made in a hurry."""
    pair = Pair(str(folder / "self.crt"), str(folder / "self.key"))
    kind = "IP" if name[-1].isdigit() else "DNS"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN={name}"
        f" -addext subjectAltName={kind}:{name} -addext basicConstraints=critical,CA:FALSE"
        f" -keyout {pair.key} -out {pair.cert}".split(),
        check=True,
        capture_output=True,
        timeout=30,
    )
    return pair


# ---------------------------------------------------------------------------------------------------- raw servers


@contextlib.asynccontextmanager
async def serve(
    handler: Handler, *, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server whose every connection is given to the handler; gives its port. Connections end with the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await handler(reader, writer)
        except asyncio.CancelledError:
            pass  # the block was left
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, address, port, ssl=tls, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@contextlib.contextmanager
def never_accepting(address: str = "127.0.0.1") -> Iterator[int]:
    """A port whose queue is full: connections to it are neither taken nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The head of one HTTP request."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(raw: bytes) -> Handler:
    """Answers every request with these bytes, and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return handler


def redirecting(location: str, status: int = 302) -> Handler:
    """Redirects every request there."""
    return answering(b"HTTP/1.1 %d Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location.encode()))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and never says a word."""
    while await reader.read(4096):
        pass


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A good beginning, then a byte every now and then, for ever."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A header that never ends, slowly."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Header fields as fast as they are taken, for ever."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the request, then resets the connection."""
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the request and closes without an answer."""
    await read_request(reader)
    writer.close()
    await writer.wait_closed()


def huge(size: int, *, chunked: bool = False) -> Handler:
    """A body of so many bytes, with its length or in chunks."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % length)
        block = b"x" * 65536
        for _ in range(size // len(block)):
            writer.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"x" * (size % len(block)))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return handler
