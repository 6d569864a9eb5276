"""`addresses: each`: a name that DNS gives several addresses for, on real servers at addresses of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, CheckType, ResolveError
from agent.runtime.curl import CurlClient
from checks.each_address import MOST
from checks.http import HTTP
from checks.tcp import TCP
from tests.servers import Authority, Handler, answering, free_port, serve, silent

OK = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
BROKEN = answering(b"HTTP/1.1 503 Oh\r\nContent-Length: 4\r\n\r\noops")
REDIS = answering(b"+PONG\r\n")
PING = {"send": r"PING\r\n\r\n", "expect": "+PONG"}


class Tools:
    """The real engine, and a name that has the addresses it is told to have."""

    def __init__(self, answer: Sequence[str] | ResolveError) -> None:
        self.resolver = self
        self.answer = answer
        self.http = CurlClient(self)
        self.asked: list[tuple[str, int]] = []

    async def resolve(self, host: str, *, family: int = 0, timeout: float) -> Sequence[str]:
        self.asked.append((host, family))
        if isinstance(self.answer, ResolveError):
            raise self.answer
        return self.answer


async def ask(
    type_: CheckType[Any], answer: Sequence[str] | ResolveError, timeout: float = 2.0, **options: Any
) -> CheckResult:
    tools = Tools(answer)
    try:
        ctx = CheckContext("photos", "pulse", timeout, tools)  # type: ignore[arg-type]
        return await type_.run(type_.options.model_validate({"addresses": "each", **options}), ctx)
    finally:
        await tools.http.close()


@asynccontextmanager
async def servers(**handlers: Handler) -> AsyncIterator[tuple[int, list[str]]]:
    """Servers at 127.0.0.2, .3 … on the same port: the port, and their addresses in the order of the handlers."""
    port = free_port()
    addresses = [f"127.0.0.{number}" for number in range(2, 2 + len(handlers))]
    async with AsyncExitStack() as stack:
        for address, handler in zip(addresses, handlers.values(), strict=True):
            await stack.enter_async_context(serve(handler, address=address, port=port))
        yield port, addresses


async def test_all_addresses_are_well_and_the_result_says_how_many() -> None:
    async with servers(a=OK, b=OK, c=OK) as (port, addresses):
        result = await ask(HTTP, addresses, url=f"http://photos:{port}/")
    assert (result.verdict, result.summary) == (Verdict.PASS, "200 OK (each of 3 addresses)")
    assert (result.values["addresses"], result.values["addresses_not_well"]) == (3, 0)


async def test_one_bad_address_of_three_is_a_fail_that_names_it_and_lists_the_others() -> None:
    async with servers(a=OK, b=BROKEN, c=OK) as (port, addresses):
        result = await ask(HTTP, addresses, url=f"http://photos:{port}/")
    assert (result.verdict, result.reason, result.target) == (Verdict.FAIL, "status", "127.0.0.3")
    assert result.summary == "1 of 3 addresses: 127.0.0.3: 503 Service Unavailable, expected 200"
    assert result.evidence["addresses"].splitlines() == [
        "127.0.0.2  pass: 200 OK",
        "127.0.0.3  fail: 503 Service Unavailable, expected 200",
        "127.0.0.4  pass: 200 OK",
    ]
    assert "oops" in result.evidence["body"]
    assert (result.values["addresses"], result.values["addresses_not_well"]) == (3, 1)


async def test_a_port_that_one_address_refuses_fails_though_any_other_would_have_done() -> None:
    async with servers(a=REDIS, b=REDIS) as (port, addresses):
        result = await ask(TCP, [*addresses, "127.0.0.9"], address=f"photos:{port}", **PING)
        lenient = await ask(TCP, ["127.0.0.9", *addresses], address=f"photos:{port}", **PING, addresses="any")
    assert (result.verdict, result.reason, result.target) == (Verdict.FAIL, "refused", "127.0.0.9")
    assert result.summary == f"1 of 3 addresses: 127.0.0.9: connection refused by 127.0.0.9:{port}"
    assert lenient.verdict is Verdict.PASS


async def test_addresses_that_hang_leave_the_others_their_whole_time() -> None:
    async with servers(a=silent, b=silent, c=REDIS) as (port, addresses):
        result = await ask(TCP, addresses, timeout=0.3, address=f"photos:{port}", **PING)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "timeout")
    assert result.summary.startswith("2 of 3 addresses: 127.0.0.2, 127.0.0.3: no answer within")
    assert "127.0.0.4  pass" in result.evidence["addresses"]


async def test_tls_asks_each_address_for_the_certificate_of_the_name(tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    port = free_port()
    async with (
        serve(OK, address="127.0.0.2", port=port, tls=authority.issue("photos").context()),
        serve(OK, address="127.0.0.3", port=port, tls=authority.issue("other").context()),
    ):
        options = {"url": f"https://photos:{port}/", "ca_file": authority.file}
        result = await ask(HTTP, ["127.0.0.2", "127.0.0.3"], certificate={"warn_days": 0, "fail_days": 0}, **options)
    assert (result.reason, result.target) == ("certificate", "127.0.0.3")
    assert result.summary.startswith("1 of 2 addresses: 127.0.0.3: ")


async def test_a_name_with_one_address_reads_as_ever() -> None:
    async with servers(a=OK) as (port, addresses):
        result = await ask(HTTP, addresses, url=f"http://photos:{port}/")
    assert (result.verdict, result.summary) == (Verdict.PASS, "200 OK")


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        pytest.param(ResolveError("dns", "photos is not known"), Verdict.FAIL, "dns", id="no such name"),
        pytest.param(ResolveError("local", "no thread"), Verdict.UNKNOWN, "local", id="no means of our own"),
        pytest.param([f"127.0.1.{n}" for n in range(MOST + 1)], Verdict.UNKNOWN, "addresses", id="far too many"),
    ],
)
@pytest.mark.parametrize("type_", [HTTP, TCP], ids=["http", "tcp"])
async def test_a_name_that_cannot_be_asked(
    type_: CheckType[Any], answer: Sequence[str] | ResolveError, verdict: Verdict, reason: str
) -> None:
    where = {"url": "http://photos:9/"} if type_ is HTTP else {"address": "photos:9"}
    result = await ask(type_, answer, **where)
    assert (result.verdict, result.reason) == (verdict, reason)


async def test_the_family_is_that_of_the_check() -> None:
    tools = Tools(["127.0.0.1"])
    ctx = CheckContext("photos", "pulse", 0.5, tools)  # type: ignore[arg-type]
    await TCP.run(TCP.options.model_validate({"address": "photos:9", "addresses": "each", "family": 4}), ctx)
    await tools.http.close()
    assert tools.asked == [("photos", 4)]


async def test_a_cancelled_check_leaves_no_request_behind() -> None:
    async with servers(a=silent, b=silent) as (port, addresses):
        before = asyncio.all_tasks()
        check = asyncio.create_task(ask(TCP, addresses, timeout=30, address=f"photos:{port}", expect="x"))
        await asyncio.sleep(0.05)
        check.cancel()
        with pytest.raises(asyncio.CancelledError):
            await check
        assert not {task for task in asyncio.all_tasks() - before if "ask" in repr(task.get_coro())}
