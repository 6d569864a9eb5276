"""The tls check where TLS is asked for first: on real servers of each protocol, and on some that answer badly."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.result import CheckResult, Verdict
from checks.starttls import PROTOCOLS
from checks.tls import TLS, TlsOptions
from tests import starttls_servers as servers
from tests.checks.probing import run
from tests.processes import descriptors
from tests.servers import Authority, Handler, Pair, free_port, resetting, serve, silent
from tests.smtp_server import smtp_server

real = pytest.mark.skipif(bool(servers.why_not()), reason=servers.why_not() or "they run here")


@contextlib.contextmanager
def smtp(pair: Pair) -> Iterator[int]:
    with smtp_server(pair.context()) as box:
        yield box.port


REAL = {
    "imap": servers.imap,
    "pop3": servers.pop3,
    "ftp": servers.ftp,
    "ldap": servers.ldap,
    "postgres": servers.postgres,
}
EVERY = [
    pytest.param("smtp", smtp, id="smtp: aiosmtpd"),
    *(pytest.param(protocol, server, id=protocol, marks=real) for protocol, server in REAL.items()),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def shake(protocol: str, port: int, timeout: float = 5.0, **options: object) -> CheckResult:
    return await run(TLS, {"address": f"127.0.0.1:{port}", "starttls": protocol, **options}, timeout=timeout)


@pytest.mark.parametrize(("protocol", "server"), EVERY)
async def test_a_real_server_is_asked_for_tls_and_its_certificate_judged(
    protocol: str, server: servers.Server, authority: Authority
) -> None:
    with server(authority.issue("127.0.0.1", days=60)) as port:
        good = await shake(protocol, port, ca_file=authority.file)
        stranger = await shake(protocol, port)
        unverified = await shake(protocol, port, verify=False)
        other = await shake(protocol, port, ca_file=authority.file, server_name="mail.example")
    assert (good.verdict, good.summary) == (Verdict.PASS, "certificate valid for 60 days")
    assert good.values["certificate_days"] == pytest.approx(60, abs=0.01)
    assert list(good.phases) == ["dns", "connect", "starttls", "tls"]
    assert good.target == "127.0.0.1"
    assert (stranger.verdict, stranger.reason) == (Verdict.FAIL, "certificate")
    assert "signed by nobody who is trusted" in stranger.summary
    assert unverified.verdict is Verdict.PASS
    assert "is for another name: " in other.summary


@pytest.mark.parametrize(("protocol", "server"), EVERY[:2])
async def test_an_expired_certificate_is_found_behind_starttls_too(
    protocol: str, server: servers.Server, authority: Authority
) -> None:
    with server(authority.issue("127.0.0.1", days=-3)) as port:
        result = await shake(protocol, port, ca_file=authority.file)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "certificate")
    assert " expired on " in result.summary


@real
async def test_a_postgres_without_tls_says_so(authority: Authority) -> None:
    with servers.postgres(authority.issue("127.0.0.1"), tls=False) as port:
        result = await shake("postgres", port)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "starttls")
    assert "did not begin TLS in postgres: it does not offer TLS (ssl = off)" in result.summary


async def test_an_smtp_server_without_starttls_says_so() -> None:
    with smtp_server() as box:
        result = await shake("smtp", box.port)
    assert result.summary == f"127.0.0.1:{box.port} did not begin TLS in smtp: it does not offer STARTTLS"


def says(*replies: bytes) -> Handler:
    """Says these one after another, each but the first after it was told something, and then nothing."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, reply in enumerate(replies):
            if number:
                await reader.read(1024)
            writer.write(reply)
            await writer.drain()
        await reader.read()

    return handler


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.close()


BAD = [
    pytest.param("smtp", says(b"554 go away\r\n"), "it said '554 go away'", id="smtp: turned away"),
    pytest.param("smtp", says(b"SSH-2.0-OpenSSH_9.2\r\n", b""), "no answer within", id="smtp: not SMTP at all"),
    pytest.param(
        "smtp", says(b"220-a\r\n220 b\r\n", b"250-x\r\n250 SIZE\r\n"), "not offer STARTTLS", id="smtp: not offered"
    ),
    pytest.param(
        "smtp", says(b"220 a\r\n", b"250 STARTTLS\r\n", b"454 later\r\n"), "it said '454 later'", id="smtp: not now"
    ),
    pytest.param(
        "smtp",
        says(b"220 a\r\n", b"250 STARTTLS\r\n", b"220 go\r\n250 smuggled\r\n"),
        "'250 smuggled\\r\\n' in the clear after its yes",
        id="smtp: something smuggled in",
    ),
    pytest.param("imap", says(b"* BYE full\r\n"), "it said '* BYE full'", id="imap: turned away"),
    pytest.param("imap", says(b"* OK hi\r\n", b"* x\r\na BAD what\r\n"), "it said 'a BAD what'", id="imap: unknown"),
    pytest.param("pop3", says(b"+OK\r\n", b"-ERR no\r\n"), "it said '-ERR no'", id="pop3: refused"),
    pytest.param("ftp", says(b"220 hi\r\n", b"502 what?\r\n"), "it said '502 what?'", id="ftp: unknown"),
    pytest.param("postgres", says(b"", b"E"), "it said 'E'", id="postgres: an error"),
    pytest.param("ldap", says(b"", b"\x15\x03\x01"), "which is no LDAP", id="ldap: not LDAP at all"),
    pytest.param(
        "ldap",
        says(b"", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"),
        "it gave result code 52 to StartTLS",
        id="ldap: unavailable",
    ),
    pytest.param("ldap", says(b"", b"\x30\x05\x02\x01\x01\x78"), "no answer within", id="ldap: half an answer"),
    pytest.param("ldap", says(b"", b"\x30\x02\x02\x01"), "what is no answer to StartTLS", id="ldap: something else"),
    pytest.param("ldap", says(b"", b"\x30\x84\x7f\xff\xff\xff"), "announced 2147483647 bytes", id="ldap: far too long"),
    pytest.param("pop3", says(b"x" * 70_000), "it talked on for 65536 bytes", id="pop3: never stops"),
    pytest.param("postgres", hanging_up, "it hung up", id="postgres: hangs up"),
]


@pytest.mark.parametrize(("protocol", "handler", "said"), BAD)
async def test_a_server_that_answers_badly_is_a_fail_that_says_what_it_said(
    protocol: str, handler: Handler, said: str
) -> None:
    async with serve(handler) as port:
        result = await shake(protocol, port, timeout=0.5)
    assert (result.verdict, result.reason) in ((Verdict.FAIL, "starttls"), (Verdict.FAIL, "timeout"))
    assert said in result.summary


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_silent_server_is_a_timeout(protocol: str) -> None:
    async with serve(silent) as port:
        result = await shake(protocol, port, timeout=0.2)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "timeout")
    assert result.summary.endswith(f"did not say all that {protocol} needs before TLS")
    assert result.took.total_seconds() < 2


async def test_a_yes_without_a_handshake_is_a_timeout_of_tls() -> None:
    async with serve(says(b"+OK\r\n", b"+OK begin\r\n")) as port:
        result = await shake("pop3", port, timeout=0.5)
    assert result.reason == "timeout"
    assert result.summary.endswith("the TLS handshake never ended")


@pytest.mark.parametrize(("handler", "reason"), [(resetting, "reset"), (None, "refused")])
async def test_a_connection_that_breaks_or_never_is_says_so(handler: Handler | None, reason: str) -> None:
    if handler is None:
        result = await shake("postgres", free_port())
    else:
        async with serve(handler) as port:
            result = await shake("postgres", port)
    assert (result.verdict, result.reason) == (Verdict.FAIL, reason)


async def test_no_descriptor_is_left_open(authority: Authority) -> None:
    with smtp_server(authority.issue("127.0.0.1").context()) as box:
        await shake("smtp", box.port)
        before = descriptors()
        for options in ({}, {"ca_file": authority.file}, {"verify": False}):
            await shake("smtp", box.port, **options)
    async with serve(silent) as port:
        await shake("smtp", port, timeout=0.1)
    assert descriptors() <= before


def test_a_protocol_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="smtp"):
        TlsOptions.model_validate({"address": "127.0.0.1:1", "starttls": "xmpp"})
