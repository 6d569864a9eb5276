"""A real HAProxy of the tests' own, on loopback, with its stats socket below a folder."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers import free_port

HAPROXY = Path("/usr/sbin/haproxy")


def why_not() -> str:
    """Why no HAProxy can run here; empty if one can."""
    return "" if HAPROXY.exists() else f"needs {HAPROXY}: run tests/install-debian-packages"


class Haproxy:
    """A running one, asked through its socket as an operator would. It listens on `port`, and answers the runtime API
    on `socket` and on `api`, a port."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "ha.sock"
        self.port = free_port()
        self.api = free_port()

    def __call__(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(self.socket))
            line.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: line.recv(65_536), b"")).decode()

    def state(self, server: str) -> int:
        """What was forced on a server of the backend web: 0 nothing, 1 maintenance, 8 drain."""
        rows = (row.split() for row in self("show servers state web").splitlines())
        return next(int(row[6]) for row in rows if len(row) > 6 and row[3] == server)


@contextlib.contextmanager
def haproxy(folder: Path, **servers: int) -> Iterator[Haproxy]:
    """HAProxy before servers on these ports, in a backend `web`; underscores in their names stand for dashes."""
    found = Haproxy(folder)
    lines = "".join(f"  server {name.replace('_', '-')} 127.0.0.1:{port}\n" for name, port in servers.items())
    config = folder / "haproxy.cfg"
    config.write_text(
        f"global\n  stats socket {found.socket} mode 600 level admin\n"
        f"  stats socket ipv4@127.0.0.1:{found.api} level admin\n"
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n"
        f"listen web\n  bind 127.0.0.1:{found.port}\n{lines}"
    )
    argv = [str(HAPROXY), "-f", str(config), "-db"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        ends = time.monotonic() + 10
        while not _answers(found):
            if process.poll() is not None or time.monotonic() > ends:
                process.kill()
                raise RuntimeError(f"HAProxy did not start: {process.communicate()[1].decode()}")
            time.sleep(0.02)
        yield found
    finally:
        process.kill()
        process.communicate()


def _answers(found: Haproxy) -> bool:
    try:
        return "web" in found("show servers state web")
    except OSError:
        return False
