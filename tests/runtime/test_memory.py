"""The garbage collector's rounds after the start."""

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from agent.runtime.memory import settle


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


class Ring:
    def __init__(self) -> None:
        self.me = self


def test_what_lives_at_the_start_is_left_out_of_later_collections() -> None:
    kept = Ring()
    settle()
    assert gc.get_freeze_count() > 0
    assert all(thing is not kept for thing in gc.get_objects())


def test_garbage_of_the_start_is_freed_not_frozen() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    del ring
    settle()
    assert gone() is None


def test_settling_again_frees_what_a_reload_left_behind() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    settle()
    del ring
    gc.collect()
    assert gone() is not None, "frozen: no collection sees it"
    settle()
    assert gone() is None


ONE_HEAP = """
import ctypes, os, threading
from agent.runtime.memory import frugal
frugal()
def use():
    kept.append([bytes(600) for _ in range(200)])
kept = []
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fopen(os.fsencode("/dev/stdout"), b"w"))
libc.malloc_info(0, stream)
libc.fclose(stream)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="glibc's malloc only")
def test_threads_share_one_heap() -> None:
    done = subprocess.run([sys.executable, "-c", ONE_HEAP], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.count("<heap nr=") == 1
