"""A real supervisord of the tests' own, with its socket, its logs and its programs below a folder."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SUPERVISORD = Path("/usr/bin/supervisord")
SUPERVISORCTL = Path("/usr/bin/supervisorctl")


def why_not() -> str:
    """Why no supervisord can run here; empty if one can."""
    return "" if SUPERVISORD.exists() else f"needs {SUPERVISORD}: run tests/install-debian-packages"


class Supervisor:
    """A running supervisord, asked through supervisorctl, as an operator would."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self._conf = folder / "supervisord.conf"
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, *arguments: str) -> str:
        argv = [str(SUPERVISORCTL), "-c", str(self._conf), *arguments]
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        return done.stdout.decode().strip()  # its exit code says whether all programs run

    def state(self, name: str) -> str:
        return self("status", name).split()[1]

    def pid(self, name: str) -> int:
        return int(self("pid", name))

    def wait(self, name: str, state: str, within: float = 15.0) -> None:
        end = time.monotonic() + within
        while (now := self.state(name)) != state:
            assert time.monotonic() < end, f"{name} is {now}, not {state}"
            time.sleep(0.05)

    def start(self, programs: str, server: str) -> None:
        self._conf.write_text(
            f"{server}\n[supervisord]\nnodaemon=true\nlogfile={self._log}\npidfile={self._conf.parent}/pid\n"
            f"childlogdir={self._conf.parent}\n[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.socket}\n{programs}\n"
        )
        argv = [str(SUPERVISORD), "-n", "-c", str(self._conf)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 15
        while "RUNNING" not in self("status"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"supervisord did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it with its programs."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def supervisord(folder: Path, programs: dict[str, str], *, inet: str = "") -> Iterator[Supervisor]:
    """A supervisord with these programs: for each name a shell script, and after a line of `---` its settings. One
    program at least must come to run. `inet` is what stands in an [inet_http_server] section."""
    supervisor = Supervisor(folder)
    sections = []
    for name, text in programs.items():
        script, _, settings = text.partition("---\n")
        (folder / f"{name}.sh").write_text(script)
        sections.append(f"[program:{name}]\ncommand=/bin/sh {folder}/{name}.sh\n{settings}")
    server = f"[unix_http_server]\nfile={supervisor.socket}\n" + (f"[inet_http_server]\n{inet}" if inet else "")
    try:
        supervisor.start("\n".join(sections), server)
        yield supervisor
    finally:
        supervisor.stop()
