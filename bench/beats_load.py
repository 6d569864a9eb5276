"""`python -m bench.beats_load PORT RATE SECONDS SERVICES`: pushes heartbeats at a fixed rate, whatever comes back.

A beat's latency runs from the moment at which it was due, so that a server that stalls cannot hide it by slowing the
sender. Connections are kept alive, as many as are needed. Prints one JSON object.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import cast

import uvloop

GOOD = b"HTTP/1.1 200"


class Connection(asyncio.Protocol):
    """Sends one beat at a time, and gives itself back to `idle` when it was answered."""

    def __init__(self, idle: list["Connection"], latencies: list[float]) -> None:
        self._idle = idle
        self._latencies = latencies
        self._due = 0.0
        self._buffer = b""
        self.refused = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self._due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < content_length(head):
            return
        self._buffer = b""
        if head.startswith(GOOD):
            self._latencies.append(perf_counter() - self._due)
        else:
            self.refused += 1
        self._idle.append(self)


def content_length(head: bytes) -> int:
    """Of a response's header block; 0 where it names none."""
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def request(port: int, service: str) -> bytes:
    return f"POST /beat/{service}/beat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n".encode()


async def push(port: int, rate: float, seconds: float, services: int) -> dict[str, float]:
    """Send `rate * seconds` beats in turn to the services, then wait for the last answers for up to 10 s."""
    loop = asyncio.get_running_loop()
    idle: list[Connection] = []
    latencies: list[float] = []
    everyone: list[Connection] = []
    requests = [request(port, f"s{number}") for number in range(services)]

    async def connect() -> None:
        _, connection = await loop.create_connection(lambda: Connection(idle, latencies), "127.0.0.1", port)
        everyone.append(connection)
        idle.append(connection)

    await asyncio.gather(*(connect() for _ in range(64)))
    total, sent, begin = int(rate * seconds), 0, perf_counter()
    while sent < total:
        now = perf_counter()
        while sent < total and begin + sent / rate <= now:
            if not idle:
                await connect()
            idle.pop().send(requests[sent % services], begin + sent / rate)
            sent += 1
        await asyncio.sleep(0.001)
    took = perf_counter() - begin
    for _ in range(1000):
        if len(idle) == len(everyone):
            break
        await asyncio.sleep(0.01)
    latencies.sort()
    return {
        "sent": sent,
        "rate": sent / took,
        "answered": len(latencies),
        "refused": sum(connection.refused for connection in everyone),
        "mean": sum(latencies) / max(1, len(latencies)),
        "p99": latencies[int(len(latencies) * 0.99)] if latencies else 0.0,
        "max": latencies[-1] if latencies else 0.0,
    }


if __name__ == "__main__":
    arguments = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(push(*arguments))))
