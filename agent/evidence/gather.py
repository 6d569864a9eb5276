"""Evidence of a service's processes, everything at once, in a bounded time and size."""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from time import monotonic

import structlog

from agent.evidence.background import TooMany, in_background
from agent.evidence.changes import files_of, recent_changes
from agent.evidence.descriptors import read_open_files
from agent.evidence.memory import describe_memory
from agent.evidence.proc import HOST, Host, Process, family
from agent.evidence.sockets import describe_sockets
from agent.evidence.stacks import find_tool, java_threads, python_stacks
from agent.evidence.table import process_table
from agent.evidence.tasks import describe_threads
from agent.evidence.trimming import trim, weight

log = structlog.get_logger()

SECONDS = 5.0
LIMIT = 262_144  # bytes
MARGIN = 0.1  # seconds that are kept back for putting it together
LEAST = 0.3  # seconds that a look at the processes gets even where the rest took all the time
ORDER = ("processes", "memory", "python stacks", "java threads", "sockets and files", "threads", "recent changes")
PROCESSES = 200  # that are looked at in depth


async def gather(
    pids: Sequence[int],
    *,
    seconds: float = SECONDS,
    limit: int = LIMIT,
    cgroup: str = "",
    paths: Sequence[str] = (),
    stacks: bool = True,
    host: Host = HOST,
) -> dict[str, str]:
    """What is known of these processes and their children, by name of the part: "processes" (like `ps`, secrets
    hidden), "memory" (cgroup, OOM kills), "python stacks" (py-spy), "java threads" (jcmd), "sockets and files",
    "threads", "recent changes". Parts that have nothing to say are left out; of those not finished in time just that
    is said. Takes `seconds` at most and `limit` bytes (UTF-8) in all, and never raises.

    OOM kills are looked for in cgroups with `cgroup` in their path too (a unit's name, a container's id), changes also
    among `paths`. Without `stacks` no program is run.
    """
    ends = monotonic() + max(0.0, seconds - MARGIN)
    try:
        async with asyncio.timeout(max(0.0, ends - monotonic())):
            processes = await in_background(partial(family, pids, host))
    except TimeoutError:
        return trim({"processes": f"not finished within {seconds:.2g} s"}, limit)
    except TooMany as trouble:
        return trim({"processes": f"not taken: {trouble}"}, limit)
    parts = _parts(processes[:PROCESSES], pids, cgroup, paths, host)
    if processes:
        parts |= _live_parts(processes[:PROCESSES], max(0.1, ends - monotonic()), stacks, host)
    texts = await _in_time(parts, ends, seconds)
    gone = [pid for pid in pids if all(process.pid != pid for process in processes)]
    if gone:
        said = ", ".join(map(str, gone[:20]))
        table = [texts.pop("processes")] if "processes" in texts else []
        texts = {"processes": "\n".join([*table, f"process {said} is gone"]), **texts}
    return trim({name: texts[name] for name in ORDER if name in texts}, limit)


async def add_processes(
    evidence: Mapping[str, str],
    pids: Sequence[int],
    *,
    began: float,
    cgroup: str = "",
    paths: Sequence[str] = (),
    host: Host = HOST,
) -> dict[str, str]:
    """The evidence that an action has, and what `gather` says of the service's processes, within what is left of
    `SECONDS` since `began` (monotonic) and of `LIMIT`."""
    left = max(LEAST, SECONDS - (monotonic() - began))
    room = max(0, LIMIT - weight(evidence))
    more = await gather(pids, seconds=left, limit=room, cgroup=cgroup, paths=paths, host=host)
    return trim({**evidence, **{name: text for name, text in more.items() if name not in evidence}}, LIMIT)


def _parts(
    processes: Sequence[Process], pids: Sequence[int], cgroup: str, paths: Sequence[str], host: Host
) -> dict[str, Awaitable[str]]:
    """What can be said of processes that have ended, too."""
    return {
        "memory": in_background(partial(describe_memory, processes, pids, cgroup, host)),
        "recent changes": in_background(partial(_changes, processes, paths, host)),
    }


def _live_parts(processes: Sequence[Process], seconds: float, stacks: bool, host: Host) -> dict[str, Awaitable[str]]:
    parts: dict[str, Awaitable[str]] = {
        "processes": process_table(processes, seconds=seconds / 2, host=host),
        "sockets and files": _descriptors(processes, seconds, host),
        "threads": in_background(partial(describe_threads, processes, host)),
    }
    if stacks:
        parts["python stacks"] = python_stacks(processes, seconds=seconds, tool=find_tool("py-spy"), host=host)
        parts["java threads"] = java_threads(processes, seconds=seconds, tool=find_tool("jcmd"), host=host)
    return parts


async def _descriptors(processes: Sequence[Process], seconds: float, host: Host) -> str:
    files = await in_background(partial(read_open_files, processes, host))
    sockets = "the sockets could not be read in time"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds / 2):
            sockets = await in_background(partial(describe_sockets, files.sockets, host))
    return "\n".join([*([sockets] if sockets else []), *files.lines])


def _changes(processes: Sequence[Process], paths: Sequence[str], host: Host) -> str:
    return recent_changes([*paths, *files_of(processes, host)], host=host)


async def _in_time(parts: Mapping[str, Awaitable[str]], ends: float, seconds: float) -> dict[str, str]:
    tasks = {name: asyncio.ensure_future(part) for name, part in parts.items()}
    try:
        await asyncio.wait(tasks.values(), timeout=max(0.0, ends - monotonic()))
        return {name: _said(name, task, seconds) for name, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()  # what they started is ended without anybody waiting for it


def _said(name: str, task: "asyncio.Future[str]", seconds: float) -> str:
    if not task.done():
        return f"not finished within {seconds:.2g} s"
    error = task.exception()
    if error is None:
        return task.result()
    if not isinstance(error, TooMany):
        log.warning("evidence_not_taken", part=name, error=f"{type(error).__name__}: {error}")
    return f"not taken: {error}"
