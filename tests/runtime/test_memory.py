"""The garbage collector's rounds after the start."""

import gc
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
