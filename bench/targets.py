"""What is checked: one nginx on thousands of loopback addresses, servers that hang, victims that are switched off."""

import asyncio
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.processes import run_to_end, start, stop

NGINX = "/usr/sbin/nginx"
PER_NET = 250  # addresses used of each 127.x.y.0/24


def addresses(count: int, second: int) -> list[str]:
    """That many distinct loopback addresses, from 127.`second`.0.1 on."""
    return [f"127.{second}.{number // PER_NET}.{number % PER_NET + 1}" for number in range(count)]


def free_port() -> int:
    """A port that nobody listens on just now, on any address."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Targets:
    """What every system is pointed at: URLs by the names of the targets."""

    answering: dict[str, str]
    hanging: dict[str, str]
    victims: dict[str, str]

    def all(self) -> dict[str, str]:
        return {**self.answering, **self.hanging, **self.victims}


def make_targets(count: int, hanging: float, victims: int, ports: tuple[int, int, int]) -> Targets:
    """`count` targets of which the part `hanging` never answers, and some victims beside them."""
    silent = round(count * hanging)
    return Targets(
        answering={address: f"http://{address}:{ports[0]}/" for address in addresses(count - silent, 1)},
        hanging={address: f"http://{address}:{ports[1]}/" for address in addresses(silent, 2)},
        victims={address: f"http://{address}:{ports[2]}/" for address in addresses(victims, 3)},
    )


class Nginx:
    """One worker that answers on every loopback address, and logs when it answered on which."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "nginx"
        self.port = port
        self.log = self.folder / "access.log"

    def config(self) -> str:
        paths = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return (
            f"worker_processes 1;\nworker_rlimit_nofile 20000;\npid {self.folder}/pid;\n"
            f"error_log {self.folder}/error.log;\n"
            "events { worker_connections 10000; }\n"
            f"http {{\n{paths}"
            "    log_format bench '$msec $server_addr';\n"
            f"    access_log {self.log} bench buffer=64k flush=1s;\n"
            f"    server {{ listen *:{self.port} backlog=4096; location / {{ return 200 'ok'; }} }}\n}}\n"
        )

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        path = self.folder / "nginx.conf"
        path.write_text(self.config())
        run_to_end([NGINX, "-p", str(self.folder), "-c", str(path)])

    async def stop(self) -> None:
        pid = self.folder / "pid"
        if pid.exists():
            await stop(int(pid.read_text()))


class Hanging:
    """A process that takes connections on every loopback address and never says a word."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._pid = 0

    def start(self) -> None:
        argv = [sys.executable, "-m", "bench.hanging", str(self._port)]
        self._pid = start(argv, self._folder / "hanging.log").pid

    async def stop(self) -> None:
        if self._pid:
            await stop(self._pid)


class Victims:
    """Small servers of our own that can be switched off one by one; then their port refuses. They count their
    requests, because these are checks like any other."""

    def __init__(self, hosts: list[str], port: int) -> None:
        self._hosts = hosts
        self._port = port
        self._servers: dict[str, asyncio.Server] = {}
        self.served: Counter[str] = Counter()

    async def start(self) -> None:
        for host in self._hosts:
            self._servers[host] = await asyncio.start_server(self._serve, host, self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.served[writer.get_extra_info("sockname")[0]] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a client that went away
        finally:
            writer.close()

    def switch_off(self, host: str) -> None:
        self._servers.pop(host).close()

    def stop(self) -> None:
        for host in list(self._servers):
            self.switch_off(host)
