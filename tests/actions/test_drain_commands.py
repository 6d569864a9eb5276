"""Draining by commands, and the upstream of a real nginx."""

import asyncio
import os
import signal
import urllib.request
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.actions.drains import DRAINS
from agent.ports import NotDrained
from tests.processes import executable
from tests.servers import NGINX, answering, free_port, nginx, serve

COMMAND = DRAINS["command"]


def script(path: Path, text: str) -> str:
    return str(executable(path, f"#!/bin/sh\n{text}\n"))


async def test_a_program_takes_it_out_and_another_puts_it_back(tmp_path: Path) -> None:
    out, back = (
        script(tmp_path / "out", f"echo $1 >{tmp_path}/state"),
        script(tmp_path / "back", f"rm {tmp_path}/state"),
    )
    drain = COMMAND.build(COMMAND.options.model_validate({"drain": [out, "web-1"], "undrain": [back]}))
    assert await drain.held() == ""
    assert await drain.drain() == "drained by out"
    assert (tmp_path / "state").read_text() == "web-1\n"
    assert await drain.undrain() == "put back by back"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("echo no such pool >&2; exit 3", "out: exit code 3: no such pool", id="it fails"),
        pytest.param("exec sleep 60", "out did not end within 300ms", id="it hangs"),
    ],
)
async def test_a_program_that_does_not_do_it_is_told(tmp_path: Path, text: str, why: str) -> None:
    out = script(tmp_path / "out", text)
    written = {"drain": [out], "undrain": [out], "timeout": "300ms"}
    with pytest.raises(NotDrained, match=why):
        await COMMAND.build(COMMAND.options.model_validate(written)).drain()


def test_no_shell_and_no_relative_path() -> None:
    with pytest.raises(ValidationError, match="no absolute path"):
        COMMAND.options.model_validate({"drain": ["out"], "undrain": ["/bin/true"]})


needs_nginx = pytest.mark.skipif(not Path(NGINX).exists(), reason=f"needs {NGINX}: run tests/install-debian-packages")


def says(word: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(word), word)


def said(port: int) -> set[str]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return {direct.open(f"http://127.0.0.1:{port}/", timeout=5).read().decode() for _ in range(8)}


class Balanced:
    """A real nginx before two servers, whose upstream is a file that two scripts change."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.port = free_port()
        self.folder = folder
        self.upstream = folder / "upstream.conf"
        self.upstream.write_text("".join(f"server 127.0.0.1:{port};\n" for port in ports))
        self.http = (
            f"upstream web {{ include {self.upstream}; }} "
            f"server {{ listen 127.0.0.1:{self.port}; location / {{ proxy_pass http://web; }} }}"
        )
        nginx_argv = [
            NGINX,
            "-p",
            f"{folder}/nginx",
            "-e",
            f"{folder}/nginx/error.log",
            "-c",
            f"{folder}/nginx/nginx.conf",
        ]
        first = f"127.0.0.1:{ports[0]}"
        self.options = {
            "drain": [script(folder / "out", f"exec sed -i 's/{first};/{first} down;/' {self.upstream}")],
            "undrain": [
                script(folder / "in", f"exec sed -i -e 's/{first} down;/{first};/' -e '/oops/d' {self.upstream}")
            ],
            "test": [*nginx_argv, "-t", "-q"],
            "reload": [*nginx_argv, "-s", "reload"],
        }

    async def settles(self, expected: set[str]) -> set[str]:
        """Who answers, once nginx has got that far."""
        for _ in range(200):
            if (now := await asyncio.to_thread(said, self.port)) == expected:
                break
            await asyncio.sleep(0.02)
        return now


@needs_nginx
async def test_a_server_leaves_the_upstream_of_a_real_nginx_and_comes_back(tmp_path: Path) -> None:
    async with serve(answering(says(b"one"))) as one, serve(answering(says(b"two"))) as two:
        web = Balanced(tmp_path, (one, two))
        drain = DRAINS["nginx"].build(DRAINS["nginx"].options.model_validate(web.options))
        with nginx(tmp_path, web.http):
            assert await web.settles({"one", "two"}) == {"one", "two"}
            assert await drain.drain() == "taken out of nginx by out and a reload"
            assert await web.settles({"two"}) == {"two"}
            assert await drain.undrain() == "put back into nginx by in and a reload"
            assert await web.settles({"one", "two"}) == {"one", "two"}


@needs_nginx
async def test_a_file_that_nginx_would_not_take_is_changed_back_and_nothing_is_reloaded(tmp_path: Path) -> None:
    async with serve(answering(says(b"one"))) as one, serve(answering(says(b"two"))) as two:
        web = Balanced(tmp_path, (one, two))
        web.options["drain"] = [script(tmp_path / "out", f"echo oops >>{web.upstream}")]
        drain = DRAINS["nginx"].build(DRAINS["nginx"].options.model_validate(web.options))
        with nginx(tmp_path, web.http) as process:
            with pytest.raises(NotDrained, match="would not take it, so it was undone"):
                await drain.drain()
            assert "oops" not in web.upstream.read_text()
            os.kill(process.pid, signal.SIGHUP)  # nginx would still start with it
            assert await web.settles({"one", "two"}) == {"one", "two"}
