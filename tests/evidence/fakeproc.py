"""A /proc of one's own: files in the kernel's formats, for what no test can bring about on the real one."""

from pathlib import Path

from agent.evidence.proc import TICKS, Host


class FakeProc:
    """Up for 1000 s, with the processes that were added."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.cgroups = folder / "cgroups"
        self.host = Host(proc=self.proc, kernel_log=folder / "kmsg", logs=folder / "log")
        self._write("uptime", "1000.00 3900.00\n")

    def process(
        self,
        pid: int,
        *,
        ppid: int = 1,
        name: str = "photos",
        state: str = "S",
        started: float = 400.0,  # seconds after the boot
        command: str = "",
        cgroup: str = "0::/\n",
        open_files: tuple[str, ...] = (),
        limit: int = 1024,
    ) -> None:
        self._write(f"{pid}/stat", stat(pid, ppid, name, state, started))
        self._write(f"{pid}/cmdline", command.replace(" ", "\0") + "\0" if command else "")
        self._write(f"{pid}/cgroup", cgroup)
        self._write(f"{pid}/limits", f"Limit  Soft Limit  Hard Limit  Units\nMax open files  {limit}  524288  files\n")
        (self.proc / str(pid) / "fd").mkdir()
        for number, target in enumerate(open_files):
            (self.proc / str(pid) / "fd" / str(number)).symlink_to(target)

    def thread(self, pid: int, number: int, *, name: str, state: str, place: str = "0", stack: str = "") -> None:
        folder = f"{pid}/task/{number}"
        self._write(f"{folder}/stat", stat(number, 1, name, state, 400.0))
        self._write(f"{folder}/wchan", place)
        if stack:
            self._write(f"{folder}/stack", stack)

    def program(self, pid: int, path: str) -> None:
        (self.proc / str(pid) / "exe").symlink_to(path)

    def network(self, pid: int, table: str, *rows: str) -> None:
        self._write(f"{pid}/net/{table}", "header\n" + "".join(f"{row}\n" for row in rows))

    def memory(self, path: str, **files: str) -> None:
        """A cgroup of version 2, which is mounted at `cgroups`."""
        self._write("self/mountinfo", f"41 31 0:38 / {self.cgroups} rw,relatime - cgroup2 cgroup2 rw\n")
        folder = self.cgroups / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"cgroup_procs": "", **files}.items():
            (folder / name.replace("_", ".", 1)).write_text(text)

    def _write(self, path: str, text: str) -> None:
        file = self.proc / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def stat(pid: int, ppid: int, name: str, state: str, started: float) -> str:
    """/proc/PID/stat: 12.5 s of CPU time, 3 threads, 25600 pages."""
    before = f"{state} {ppid} 1 1 0 -1 4194304 100 0 0 0"
    times = f"{10 * TICKS} {int(2.5 * TICKS)} 0 0 20 0 3 0 {int(started * TICKS)}"
    return f"{pid} ({name}) {before} {times} 900000 25600 18446744073709551615 1 1 0 0 0 0 0\n"
