"""How the agent keeps its memory small, and its garbage collector out of the way."""

import ctypes
import gc

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
    What only building needed goes back to the system. May be called again, after a reload."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)
