"""What a started agent keeps for good is taken out of the garbage collector's rounds."""

import ctypes
import gc


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
