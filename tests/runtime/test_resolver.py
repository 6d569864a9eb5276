"""Names to addresses: what hangs, hangs alone."""

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator

import pytest

from agent.ports import ResolveError
from agent.runtime.resolver import ThreadResolver


class Dns:
    """A system resolver whose `stuck*` names hang until the test ends."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []
        self.error: OSError | UnicodeError | None = None

    def __call__(self, host: str, family: int) -> tuple[str, ...]:
        self.asked.append(host)
        if host.startswith("stuck"):
            self.released.wait(30)
        if self.error:
            raise self.error
        return (f"127.0.0.{family or 1}",)


@pytest.fixture
def dns() -> Iterator[Dns]:
    dns = Dns()
    yield dns
    dns.released.set()


async def test_a_name_gives_its_addresses_in_the_family_asked_for(dns: Dns) -> None:
    resolver = ThreadResolver(dns)
    assert await resolver.resolve("photos", timeout=2) == ("127.0.0.1",)
    assert await resolver.resolve("photos", family=6, timeout=2) == ("127.0.0.6",)


async def test_nothing_is_kept_from_one_look_up_to_the_next(dns: Dns) -> None:
    resolver = ThreadResolver(dns)
    for _ in range(3):
        await resolver.resolve("photos", timeout=2)
    assert dns.asked == ["photos"] * 3


async def test_a_name_that_hangs_times_out_and_delays_no_other(dns: Dns) -> None:
    resolver = ThreadResolver(dns)
    stuck = [asyncio.ensure_future(resolver.resolve(f"stuck{n}", timeout=0.5)) for n in range(60)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(resolver.resolve("photos", timeout=0.4), 0.4) == ("127.0.0.1",)
    errors = await asyncio.gather(*stuck, return_exceptions=True)
    assert {error.reason for error in errors if isinstance(error, ResolveError)} == {"timeout"}


async def test_a_name_that_hangs_holds_one_thread_however_often_it_is_asked(dns: Dns) -> None:
    resolver = ThreadResolver(dns, threads=2)
    for _ in range(5):
        with pytest.raises(ResolveError) as caught:
            await resolver.resolve("stuck", timeout=0.02)
        assert caught.value.reason == "timeout"
    assert dns.asked == ["stuck"]
    assert await resolver.resolve("photos", timeout=2) == ("127.0.0.1",)


async def test_a_look_up_that_no_thread_was_free_for_is_our_own_lack(dns: Dns) -> None:
    resolver = ThreadResolver(dns, threads=2)
    stuck = [asyncio.ensure_future(resolver.resolve(f"stuck{n}", timeout=1)) for n in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(ResolveError) as caught:
        await resolver.resolve("photos", timeout=0.05)
    assert caught.value.reason == "local"
    dns.released.set()
    await asyncio.gather(*stuck)
    assert await resolver.resolve("photos", timeout=2) == ("127.0.0.1",)


async def test_threads_end_when_nothing_is_asked(dns: Dns) -> None:
    before = threading.active_count()
    resolver = ThreadResolver(dns, linger=0.05)
    await asyncio.gather(*(resolver.resolve(f"host{n}", timeout=2) for n in range(10)))
    for _ in range(100):
        if threading.active_count() <= before:
            break
        await asyncio.sleep(0.02)
    assert threading.active_count() <= before
    assert await resolver.resolve("photos", timeout=2) == ("127.0.0.1",)


async def test_a_name_that_no_thread_could_be_had_for_is_looked_up_when_one_can(
    dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = ThreadResolver(dns)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(ResolveError) as caught:
            await resolver.resolve("photos", timeout=0.05)
    assert caught.value.reason == "local"
    assert await resolver.resolve("photos", timeout=2) == ("127.0.0.1",)


ERRORS = [
    pytest.param(socket.gaierror(socket.EAI_NONAME, "x"), "dns", "photos is not known to DNS", id="no such name"),
    pytest.param(socket.gaierror(socket.EAI_AGAIN, "later"), "dns", "could not look up photos: later", id="for now"),
    pytest.param(socket.gaierror(socket.EAI_MEMORY, "full"), "local", "could not look up photos: full", id="no memory"),
    pytest.param(OSError(errno.EMFILE, "too many"), "local", "could not look up photos: too many", id="no descriptors"),
    pytest.param(UnicodeError("label too long"), "dns", "photos is not a host name", id="no name at all"),
]


@pytest.mark.parametrize(("error", "reason", "message"), ERRORS)
async def test_an_error_says_whose_fault_it_is(
    dns: Dns, error: OSError | UnicodeError, reason: str, message: str
) -> None:
    dns.error = error
    with pytest.raises(ResolveError, match=message) as caught:
        await ThreadResolver(dns).resolve("photos", timeout=2)
    assert caught.value.reason == reason


async def test_the_system_knows_localhost() -> None:
    assert "127.0.0.1" in await ThreadResolver().resolve("localhost", family=4, timeout=5)
