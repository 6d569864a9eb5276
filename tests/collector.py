"""rotel, a collector that others wrote: it takes traces by OTLP over HTTP and prints what it understood of them."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.servers import free_port


@contextmanager
def collecting(folder: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and the file that it prints to."""
    spec = find_spec("rotel")
    assert spec is not None, "rotel is not installed: it is among the development dependencies"
    assert spec.origin is not None
    port, printed = free_port(), folder / "collector.out"
    command = [str(Path(spec.origin).parent / "rotel-agent"), "start", "--exporter", "blackhole"]
    command += ["--batch-timeout", "20ms", "--pid-file", "collector.pid"]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    command += ["--debug-log", "traces", "--debug-log-verbosity", "detailed"]
    with printed.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        try:
            _wait_for_port(port)
            yield f"http://127.0.0.1:{port}", printed
        finally:
            process.terminate()
            process.wait(10)


def names_by_trace(printed: Path) -> dict[str, list[str]]:
    """The names of the spans that it printed, by trace id, in the order of their arrival."""
    found: dict[str, list[str]] = {}
    text = printed.read_text(errors="replace")
    for trace, name in re.findall(r"Trace ID +: ([0-9a-f]{32})\n.*?Name +: ([^\n]+)\n", text, re.DOTALL):
        found.setdefault(trace, []).append(name)
    return found


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the collector does not listen"
            time.sleep(0.02)
