"""Where the program itself is: the stacks of Python by py-spy, those of Java by jcmd, where these are present."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from agent.argv import ArgvResult, run_argv
from agent.evidence.background import in_background
from agent.evidence.proc import HOST, Host, Process, program
from agent.evidence.redaction import redact_line
from agent.subprocesses import DEFAULT_PATH

MOST = 6  # processes of a service whose stacks are taken
GRACE = 0.2  # seconds between SIGTERM and SIGKILL
REST = 0.1  # seconds that are left then for saying so
LIMIT = 131_072  # bytes of each
_PYTHON = re.compile(r"(python|pypy)[\d.]*t?( \(deleted\))?")
_JAVA = re.compile(r"java( \(deleted\))?")


def find_tool(name: str) -> str | None:
    """The path of a program beside the agent's own interpreter or in the system's folders; never from elsewhere."""
    return shutil.which(name, path=f"{PurePath(sys.executable).parent}:{DEFAULT_PATH}")


async def python_stacks(processes: Sequence[Process], *, seconds: float, tool: str | None, host: Host = HOST) -> str:
    """What `py-spy dump` says of those that run Python; empty if there is none, or no py-spy. They are not paused."""
    pids = [process.pid for process in processes if _PYTHON.fullmatch(PurePath(program(process.pid, host)).name)]
    if not tool:
        return ""
    return await _dumps("py-spy", pids, [[tool, "dump", "--nonblocking", "--pid", str(pid)] for pid in pids], seconds)


async def java_threads(processes: Sequence[Process], *, seconds: float, tool: str | None, host: Host = HOST) -> str:
    """What `jcmd PID Thread.print` says of those that run Java; empty if there is none, or no jcmd."""
    java = [process.pid for process in processes if _JAVA.fullmatch(PurePath(program(process.pid, host)).name)]
    if not tool or not java:
        return ""
    ready = await in_background(lambda: [pid for pid in java if catches_quit(pid, host)])
    return await _dumps("jcmd", ready, [[tool, str(pid), "Thread.print"] for pid in ready], seconds)


def catches_quit(pid: int, host: Host = HOST) -> bool:
    """Whether it has a handler for SIGQUIT, by which jcmd knocks: a Java that is not ready for it would die."""
    try:
        text = (host.proc / str(pid) / "status").read_text("utf-8", "replace")
        caught = next(line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) & (1 << (signal.SIGQUIT - 1)))
    except (OSError, StopIteration, ValueError, IndexError):
        return False


async def _dumps(name: str, pids: Sequence[int], argvs: Sequence[Sequence[str]], seconds: float) -> str:
    chosen = argvs[:MOST]
    results = await asyncio.gather(
        *(
            run_argv(argv, timeout=max(0.05, seconds - GRACE - REST), grace=GRACE, limit=LIMIT, env=_home())
            for argv in chosen
        )
    )
    texts = [f"{pid}: {_read(name, result, seconds)}" for pid, result in zip(pids, results, strict=False)]
    if len(argvs) > MOST:
        texts.append(f"… {len(argvs) - MOST} more processes were not asked")
    return "\n\n".join(texts)


def _home() -> dict[str, str]:
    """A service's HOME may not exist, and Java writes there unless told otherwise."""
    return {"HOME": "/"} if not Path(os.environ.get("HOME", "/")).is_dir() else {}


def _read(name: str, result: ArgvResult, seconds: float) -> str:
    said = _without_command_line(result.stdout.decode("utf-8", "replace")).strip()
    if result.error:
        return f"{name}: {result.message}"
    if result.timed_out:
        said = f"{name}: not finished within {seconds:.2g} s" + (f"; so far:\n{said}" if said else "")
    elif result.exit_code != 0:
        complaint = result.stderr.decode("utf-8", "replace").strip() or said
        said = f"{name}: {redact_line(complaint.replace(chr(10), ' '))[:1_000]}"
    return said


def _without_command_line(text: str) -> str:
    """py-spy begins with the command line, secrets and line breaks and all, up to the interpreter's version."""
    if not text.startswith("Process "):
        return text
    version = re.search(r"^Python v\d", text, re.MULTILINE)
    return text[version.start() :] if version else ""
