"""What is done about memory: the garbage collector's rounds after the start, one heap, program text."""

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.runtime.memory import settle, unwritten_code


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


def mapping(place: str, anonymous: int) -> str:
    return f"{place}\nSize: 1024 kB\nRss: 512 kB\nAnonymous: {anonymous} kB\nVmFlags: rd ex mr mw me sd\n"


@pytest.mark.parametrize(
    ("place", "anonymous", "expected"),
    [
        pytest.param("1000-2000 r-xp 00000000 fe:01 77 /usr/lib/libc.so.6", 0, [(0x1000, 0x2000)], id="program text"),
        pytest.param("1000-2000 r-xp 00000000 fe:01 77 /usr/lib/my lib.so", 0, [(0x1000, 0x2000)], id="a blank"),
        pytest.param("1000-2000 r-xp 00000000 fe:01 77 /usr/lib/libc.so.6", 4, [], id="somebody has written to it"),
        pytest.param("1000-2000 r-xp 00000000 fe:01 77 /usr/lib/a.so (deleted)", 0, [], id="its file is gone"),
        pytest.param("1000-2000 rw-p 00000000 fe:01 77 /usr/lib/libc.so.6", 0, [], id="data that can be written"),
        pytest.param("1000-2000 rwxp 00000000 fe:01 77 /usr/lib/libc.so.6", 0, [], id="text that can be written"),
        pytest.param("1000-2000 r--p 00000000 fe:01 77 /usr/lib/libc.so.6", 0, [], id="constants, relocated perhaps"),
        pytest.param("1000-2000 r-xs 00000000 fe:01 77 /dev/shm/x", 0, [], id="shared with others"),
        pytest.param("1000-2000 r-xp 00000000 00:00 0", 0, [], id="made at run time"),
        pytest.param("1000-2000 r-xp 00000000 00:00 0 [vdso]", 0, [], id="the kernel's own"),
    ],
)
def test_only_program_text_that_is_as_in_its_file_is_unmapped(
    place: str, anonymous: int, expected: list[tuple[int, int]]
) -> None:
    other = mapping("5000-6000 rw-p 00000000 00:00 0 [heap]", 4)
    assert [*unwritten_code(other + mapping(place, anonymous) + other)] == expected


CODE = """
import re, ssl, sqlite3, decimal
from agent.runtime.memory import settle, unwritten_code
def resident():
    return int(re.search(r"RssFile:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = resident()
found = [*unwritten_code(open("/proc/self/smaps").read())]
settle()
after = resident()
three = sqlite3.connect(":memory:").execute("SELECT 3").fetchone()[0]
print(len(found) > 3, after < before, three, decimal.Decimal("1.5") * 2, len(ssl.RAND_bytes(8)))
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux only")
def test_settling_unmaps_program_text_which_runs_as_before() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == "True True 3 3.0 8"
