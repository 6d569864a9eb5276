"""A real dockerd of the tests' own: its own data, socket and containerd below a folder, no bridge, no iptables, the
vfs driver, and one image that is nothing but a static busybox. Root only; `why_not()` says why there is none."""

import contextlib
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DOCKERD = Path("/usr/sbin/dockerd")
DOCKER = Path("/usr/bin/docker")
BUSYBOX = Path("/bin/busybox")
IMAGE = "box"


def why_not() -> str:
    """Why no dockerd can run here; empty if one can."""
    if os.geteuid() != 0:
        return "needs root: dockerd makes namespaces and cgroups"
    missing = [str(path) for path in (DOCKERD, DOCKER, BUSYBOX) if not path.exists()]
    return f"needs {', '.join(missing)}: run tests/install-debian-packages" if missing else ""


class Docker:
    """A running daemon, asked through the docker command, as an operator would."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, *arguments: str, input: bytes | None = None) -> str:
        argv = [str(DOCKER), "--host", f"unix://{self.socket}", *arguments]
        done = subprocess.run(argv, capture_output=True, input=input, timeout=60)
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout.decode().strip()

    def run(self, name: str, script: str, *options: str) -> str:
        """Start a container on the host's network whose process 1 is this shell script; its name."""
        self(
            "run",
            "--detach",
            "--network=host",
            "--stop-timeout=1",
            f"--name={name}",
            *options,
            IMAGE,
            "/bin/sh",
            "-c",
            script,
        )
        return name

    def inspect(self, name: str) -> Any:
        return json.loads(self("inspect", name))[0]

    def state(self, name: str) -> Any:
        return self.inspect(name)["State"]

    def wait(self, name: str, until: Callable[[Any], bool], within: float = 20.0) -> None:
        """Until its state is as wanted."""
        end = time.monotonic() + within
        while not until(state := self.state(name)):
            assert time.monotonic() < end, state
            time.sleep(0.05)

    def start(self) -> None:
        (self._folder / "daemon.json").write_text("{}")
        argv = [
            str(DOCKERD),
            f"--config-file={self._folder}/daemon.json",
            f"--data-root={self._folder}/d",
            f"--exec-root={self._folder}/x",
            f"--pidfile={self._folder}/pid",
            f"--host=unix://{self.socket}",
            "--storage-driver=vfs",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ]
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"dockerd did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self("version")
        except RuntimeError:
            return False
        return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End the daemon, with its containers and its containerd, and unmount what it left."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def clean_up(self) -> None:
        self.stop()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            where = line.split()[1]
            if where.startswith(f"{self._folder}/"):
                subprocess.run(["umount", "--lazy", where], check=False, timeout=10)


@contextlib.contextmanager
def dockerd(folder: Path) -> Iterator[Docker]:
    """A daemon with the image `box`; containers and mounts are gone after the block."""
    docker = Docker(folder)
    try:
        docker.start()
        docker("import", "-", IMAGE, input=_busybox())
        yield docker
        if names := docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", *names)
    finally:
        docker.clean_up()


def _busybox() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in ("sh", "sleep", "cat", "tail", "test", "rm"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name in ("tmp", "proc", "dev", "sys", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
    return packed.getvalue()
