"""How the agent keeps its memory small, and its garbage collector out of the way."""

import ctypes
import gc
import mmap
from collections.abc import Iterator
from pathlib import Path

# Parameters of mallopt(3), glibc's only.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 128 * 1024  # bytes: glibc's own choice, before it learns otherwise


def frugal() -> None:
    """Call it before there are threads. A daemon of a few threads needs no heap for each; and a large block, such as
    the text of a scrape, shall go back to the system each time instead of teaching malloc to keep such blocks."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE)):
            mallopt(parameter, value)


def settle() -> None:
    """Call it once everything is built. Ten thousand services are hundreds of thousands of objects that live as long as
    the agent: a full collection would walk through all of them, for 90 ms in which no check runs, and find nothing.
    What only building needed goes back to the system, program text too. May be called again, after a reload."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)
    _unmap_code()


def _unmap_code() -> None:
    """Two thirds of the pages of libraries that a start has read (schema builders, parsers, set-up of TLS) are not read
    again, but the kernel keeps pages of programs that are mapped longer than others. What runs is mapped again from
    the page cache when it is next read: a hundred faults of a few microseconds, once."""
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    try:
        smaps = Path("/proc/self/smaps").read_text()
    except OSError:  # no Linux, or a process that may not be looked into
        return
    if madvise is None:
        return
    for start, end in unwritten_code(smaps):
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def unwritten_code(smaps: str) -> Iterator[tuple[int, int]]:
    """The addresses, from and to, of program text that is exactly as in its file: of no other page can it be said that
    nothing is lost with it. `smaps` is what /proc/PID/smaps says (proc(5))."""
    place: tuple[int, int] | None = None
    for line in smaps.splitlines():
        first, *rest = line.split(None, 5)
        if not first.endswith(":"):
            start, _, end = first.partition("-")
            code = (
                len(rest) == 5 and rest[0] == "r-xp" and rest[4].startswith("/") and not rest[4].endswith(" (deleted)")
            )
            place = (int(start, 16), int(end, 16)) if code else None
        elif first == "Anonymous:" and rest[0] == "0" and place is not None:
            yield place
