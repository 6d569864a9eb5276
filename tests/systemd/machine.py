"""A machine for tests: a real systemd as pid 1, with D-Bus, polkit and a journal, in namespaces of its own.

    with booted(tmp_path) as machine:
        machine.run("systemctl", "start", "nginx")

It shows the host's files through an overlay whose changes live in memory, and shares neither processes nor mounts nor
network, /run, /tmp or cgroups with the host. The end of its pid 1 is the end of all of it; see boot.sh.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
NEEDED = ("sudo", "unshare", "nsenter", "setpriv", "pivot_root", "systemctl", "dbus-daemon", "pkcheck", "nginx")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> str:
    """Why no machine can be booted here; empty where one can."""
    if os.geteuid() != 0:
        return "needs root: it boots systemd in namespaces of its own"
    gone = [name for name in NEEDED if not any(Path(folder, name).exists() for folder in PATH.split(":"))]
    return f"needs {', '.join(gone)}: see tests/install-debian-packages" if gone else ""


class NotBooted(Exception):
    """This kernel or container does not let us; the text is what was said."""


@dataclass(frozen=True)
class Machine:
    """A running machine. `pid` is its pid 1, as the host numbers it."""

    pid: int

    def run(self, *argv: str, user: str = "", check: bool = True, timeout: float = 30) -> str:
        """Run a program inside, as root or as that user, and return what it printed. Raises for a failure unless
        `check` is false, in which case both outputs come back."""
        result = self._run(argv, user, timeout)
        if check and result.returncode != 0:
            raise AssertionError(f"{' '.join(argv)} ended with {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout if check else result.stdout + result.stderr

    def code(self, *argv: str, user: str = "") -> int:
        return self._run(argv, user, 30).returncode

    def _run(self, argv: tuple[str, ...], user: str, timeout: float) -> "subprocess.CompletedProcess[str]":
        enter = ("nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
        as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups") if user else ()
        return subprocess.run(
            [*enter, "--root", "--wd=/", "--", *as_user, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={"PATH": PATH, "LANG": "C.UTF-8"},
        )

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file inside."""
        file = Path(f"/proc/{self.pid}/root{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def read(self, path: str) -> str:
        return Path(f"/proc/{self.pid}/root{path}").read_text()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", f"--property={name}", "--value", "--", unit).strip()

    def get(self, path: str) -> Any:
        """What the agent inside answers, as JSON where it is."""
        text = self.run("/opt/codeblue/bin/python", "-c", _GET, path, timeout=10)
        return json.loads(text) if text.startswith(("{", "[")) else text


_GET = """import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9797" + sys.argv[1], timeout=5).read().decode())"""


def wait_for(what: str, look: Callable[[], Any], timeout: float = 15.0) -> Any:
    """The first true thing that `look` returns. Fails, saying what did not come, when the time is up."""
    ends = time.monotonic() + timeout
    while True:
        found: Any = None
        with contextlib.suppress(AssertionError):
            found = look()
        if found:
            return found
        if time.monotonic() > ends:
            raise AssertionError(f"did not happen within {timeout:g} s: {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A machine that is up, with the agent's code in /opt/codeblue. Raises NotBooted where that is not possible; on
    leaving, nothing of it is left. `folder` is an empty one to mount on, inside the machine's own namespace."""
    cgroup = f"codeblue-tests-{os.getpid()}-{folder.parent.name}"
    said = folder.with_suffix(".log")
    folder.mkdir(exist_ok=True)
    namespaces = ("--pid", "--fork", "--mount", "--uts", "--ipc", "--net", "--kill-child")
    boot = ("/bin/sh", str(HERE / "boot.sh"), str(folder), cgroup, str(REPOSITORY), sys.base_prefix)
    with said.open("w") as out:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *boot],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        machine = Machine(_first(process, said))
        _wait_until_up(machine, process, said)
        _put_in_place(machine)
        yield machine
    finally:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(_child(process.pid), signal.SIGKILL)
        process.wait(10)
        _remove_cgroup(cgroup)


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _first(process: "subprocess.Popen[bytes]", said: Path) -> int:
    ends = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(FileNotFoundError, IndexError):
            return _child(process.pid)
        time.sleep(0.02)
    raise NotBooted(said.read_text().strip() or "unshare started nothing")


def _wait_until_up(machine: Machine, process: "subprocess.Popen[bytes]", said: Path) -> None:
    ends = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < ends:
        name = Path(f"/proc/{machine.pid}/comm")
        if name.exists() and name.read_text().strip() == "systemd":
            with contextlib.suppress(subprocess.TimeoutExpired):
                if machine.run("systemctl", "is-system-running", check=False).strip() == "running":
                    return
        time.sleep(0.05)
    raise NotBooted(said.read_text().strip() or "systemd did not come up within 30 s")


def _put_in_place(machine: Machine) -> None:
    """/opt/codeblue: an environment as `python -m venv` makes it, whose packages are those of the tests'."""
    machine.write("/etc/ld.so.conf.d/python.conf", "/opt/python/lib\n")  # for an interpreter with a libpython.so
    machine.run("ldconfig")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    inside = packages.replace(str(REPOSITORY), "/opt/src", 1)
    home = "/opt/codeblue"
    machine.run("mkdir", "-p", f"{home}/bin")
    python = os.path.realpath(sys.executable).replace(sys.base_prefix, "/opt/python", 1)
    machine.run("ln", "-s", python, f"{home}/bin/python")
    machine.write(f"{home}/pyvenv.cfg", "home = /opt/python/bin\ninclude-system-site-packages = false\n")
    machine.write(f"{home}/lib/{version}/site-packages/codeblue.pth", f"/opt/src\n{inside}\n")
    script = f"#!{home}/bin/python\nimport sys\nfrom agent.daemon import main\nsys.exit(main())\n"
    machine.write(f"{home}/bin/codeblue", script, 0o755)


def _remove_cgroup(name: str) -> None:
    """The machine's cgroups are the kernel's, which keeps empty ones."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount = line.split()[4]
        if " - cgroup2 " in line and (top := Path(mount, name)).exists():
            for folder, _, _ in os.walk(top, topdown=False):
                _remove_empty(Path(folder))


def _remove_empty(folder: Path) -> None:
    for _ in range(100):  # its last processes may still be ending
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return


def as_text(values: Mapping[str, Any]) -> str:
    """A configuration file; JSON is YAML."""
    return json.dumps(values, indent=2)
