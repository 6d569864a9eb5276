"""The tcp check: connect, say something, and hold the answer against what is expected."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydantic import ValidationError

from agent.core.result import Verdict
from agent.ports import CheckContext, ResolveError
from checks.tcp import TCP
from checks.tcp_options import TcpOptions, unescape
from tests.checks.probing import run
from tests.servers import (
    Authority,
    Handler,
    free_port,
    has_ipv6,
    never_accepting,
    resetting,
    self_signed,
    serve,
    silent,
)


async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of Redis as PING needs; it answers in two pieces."""
    if await reader.readuntil(b"\r\n") == b"PING\r\n":
        writer.write(b"+PO")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b"NG\r\n")
        await silent(reader, writer)


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await silent(reader, writer)


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"421 too busy\r\n")
    await writer.drain()


async def chattering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def test_a_port_that_takes_the_connection_passes() -> None:
    async with serve(silent) as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}"})
    assert (result.verdict, result.reason, result.summary) == (Verdict.PASS, "ok", "connected")
    assert (list(result.phases), result.target) == (["dns", "connect"], "127.0.0.1")


PASSING = [
    pytest.param(redis, {"send": r"PING\r\n", "expect": "+PONG"}, id="an answer in pieces"),
    pytest.param(greeting, {"expect": "/^220 .* ESMTP/"}, id="a greeting by expression"),
    pytest.param(greeting, {"expect": r"ESMTP\r\n"}, id="escapes in what is expected"),
]


@pytest.mark.parametrize(("handler", "options"), PASSING)
async def test_the_expected_answer_passes(handler: Handler, options: dict[str, str]) -> None:
    async with serve(handler) as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}", **options})
    assert (result.verdict, result.summary) == (Verdict.PASS, "answered as expected")
    assert result.phases["first_byte"] >= 0


FAILING = [
    pytest.param(silent, {"expect": "hi"}, "timeout", "nothing came back", id="says nothing"),
    pytest.param(greeting, {"expect": "250"}, "mismatch", "answered '220 mail.example", id="says something else"),
    pytest.param(hanging_up, {"expect": "220"}, "mismatch", "and then closed, expected '220'", id="hangs up"),
    pytest.param(chattering, {"expect": "220"}, "mismatch", "no match in 65536 bytes", id="never stops talking"),
    pytest.param(resetting, {"send": "x", "expect": "220"}, "reset", "broke off the connection", id="resets"),
    pytest.param(silent, {"tls": True}, "timeout", "TLS never ended", id="silent in the handshake"),
    pytest.param(greeting, {"tls": True}, "tls", "TLS with 127.0.0.1", id="no TLS there"),
]


@pytest.mark.parametrize(("handler", "options", "reason", "summary"), FAILING)
async def test_another_answer_fails_with_a_reason_and_a_line(
    handler: Handler, options: dict[str, Any], reason: str, summary: str
) -> None:
    async with serve(handler) as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}", **options}, timeout=0.3)
    assert (result.verdict, result.reason) == (Verdict.FAIL, reason), result.summary
    assert summary in result.summary
    assert result.took.total_seconds() < 1
    assert all(len(text) <= 2048 for text in result.evidence.values())


async def test_an_expression_that_takes_too_long_is_unknown() -> None:
    async def greets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"a" * 2000 + b"!")
        await writer.drain()

    async with serve(greets) as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}", "expect": "/(a|aa)+$/"}, timeout=10.0)
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "expression")
    assert "avoid repeats" in result.summary


async def test_a_refused_port_is_a_fail_with_reason_refused() -> None:
    port = free_port()
    result = await run(TCP, {"address": f"127.0.0.1:{port}"})
    assert (result.verdict, result.reason) == (Verdict.FAIL, "refused")
    assert result.summary == f"connection refused by 127.0.0.1:{port}"


async def test_a_connection_to_itself_is_a_refused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, the kernel may choose the very port that is asked as the one to ask from."""
    port = free_port()

    class FromThere(socket.socket):
        def __init__(self, *kind: int) -> None:
            super().__init__(*kind)
            self.bind(("127.0.0.1", port))

    monkeypatch.setattr("checks.connection.socket.socket", FromThere)
    result = await run(TCP, {"address": f"127.0.0.1:{port}"})
    assert (result.verdict, result.reason) == (Verdict.FAIL, "refused")


async def test_a_port_that_never_accepts_times_out() -> None:
    with never_accepting() as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}"}, timeout=0.2)
    assert (result.reason, result.verdict) == ("timeout", Verdict.FAIL)
    assert "never accepted the connection" in result.summary


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
async def test_an_ipv6_address() -> None:
    async with serve(silent, address="::1") as port:
        result = await run(TCP, {"address": f"[::1]:{port}"})
    assert (result.verdict, result.target) == (Verdict.PASS, "::1")


async def test_tls_is_verified_against_the_given_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serve(greeting, tls=authority.issue("127.0.0.1").context()) as port:
        address = {"address": f"127.0.0.1:{port}", "tls": True, "expect": "220"}
        good = await run(TCP, {**address, "ca_file": authority.file})
        unknown = await run(TCP, address)
        unverified = await run(TCP, {**address, "verify": False})
    assert (good.verdict, unverified.verdict) == (Verdict.PASS, Verdict.PASS), good.summary
    assert list(good.phases) == ["dns", "connect", "tls", "first_byte"]
    assert (unknown.verdict, unknown.reason) == (Verdict.FAIL, "certificate")


async def test_a_self_signed_certificate_fails(tmp_path: Path) -> None:
    async with serve(greeting, tls=self_signed(tmp_path, "127.0.0.1").context()) as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}", "tls": True})
    assert result.reason == "certificate"
    assert "self-signed" in result.summary


async def test_a_ca_file_that_is_not_there_is_our_own_lack() -> None:
    async with serve(silent) as port:
        result = await run(TCP, {"address": f"127.0.0.1:{port}", "tls": True, "ca_file": "/does/not/exist"})
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "local")


class Names:
    """Tools that know names as they are told."""

    def __init__(self, answer: list[str] | ResolveError) -> None:
        self.resolver = self
        self.answer = answer

    async def resolve(self, host: str, *, family: int = 0, timeout: float) -> list[str]:
        if isinstance(self.answer, ResolveError):
            raise self.answer
        return self.answer


async def probe(answer: list[str] | ResolveError, port: int, timeout: float = 1.0) -> Any:
    ctx = CheckContext("photos", "port", timeout, Names(answer))  # type: ignore[arg-type]
    return await TCP.run(TcpOptions(address=f"photos:{port}"), ctx)


async def test_any_of_several_addresses_will_do_and_the_result_names_it() -> None:
    with never_accepting("127.0.0.8") as port:
        async with serve(silent, port=port):
            result = await probe(["127.0.0.9", "127.0.0.8", "127.0.0.1"], port)
    assert (result.verdict, result.target) == (Verdict.PASS, "127.0.0.1")


NAMES = [
    pytest.param(ResolveError("dns", "photos is not known to DNS"), Verdict.FAIL, "dns", id="no such name"),
    pytest.param(ResolveError("timeout", "no answer"), Verdict.FAIL, "timeout", id="a name server that is silent"),
    pytest.param(ResolveError("local", "no thread"), Verdict.UNKNOWN, "local", id="no means of our own"),
]


@pytest.mark.parametrize(("error", "verdict", "reason"), NAMES)
async def test_a_name_that_is_not_found(error: ResolveError, verdict: Verdict, reason: str) -> None:
    result = await probe(error, 80)
    assert (result.verdict, result.reason, result.summary) == (verdict, reason, str(error))


def test_it_works_on_the_loop_that_the_agent_runs_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def both() -> list[Any]:
        async with (
            serve(redis) as plain,
            serve(greeting, tls=authority.issue("127.0.0.1").context()) as secure,
        ):
            options = {"address": f"127.0.0.1:{secure}", "tls": True, "ca_file": authority.file, "expect": "220"}
            return [
                await run(TCP, {"address": f"127.0.0.1:{plain}", "send": r"PING\r\n", "expect": "+PONG"}),
                await run(TCP, options),
                await run(TCP, {"address": f"127.0.0.1:{free_port()}"}),
            ]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(both())
    assert [result.reason for result in results] == ["ok", "ok", "refused"]


@pytest.mark.parametrize(
    ("text", "raw"),
    [(r"PING\r\n", b"PING\r\n"), (r"\x00\xFF\\n", b"\x00\xff\\n"), ("grüße\n", "grüße\n".encode()), (r"\t\0", b"\t\0")],
)
def test_escapes_become_bytes(text: str, raw: bytes) -> None:
    assert unescape(text) == raw


REFUSED = [
    pytest.param({"send": r"\q"}, "not an escape", id="an unknown escape"),
    pytest.param({"send": "\\"}, "not an escape", id="a lonely backslash"),
    pytest.param({"expect": "/(/"}, "not a regular expression", id="a broken expression"),
    pytest.param({"expect": ""}, "at least 1", id="nothing expected"),
    pytest.param({"server_name": "a"}, "need tls: true", id="a TLS option without TLS"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_wrong_option_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TcpOptions.model_validate({"address": "photos:80", **options})
