"""The tls check: which certificate is bad, and why."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from checks.tls import TLS, TlsOptions
from tests.checks.probing import run
from tests.servers import Authority, Pair, answering, closing, free_port, has_ipv6, self_signed, serve, silent


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def shake(pair: Pair, **options: Any) -> CheckResult:
    async with serve(silent, tls=pair.context()) as port:
        return await run(TLS, {"address": f"127.0.0.1:{port}", **options})


DAYS = [
    pytest.param(60, {}, Verdict.PASS, "certificate valid for 60 days", id="long valid"),
    pytest.param(20, {}, Verdict.WARN, "the certificate runs out in 20.0 days", id="a warning in time"),
    pytest.param(5, {}, Verdict.FAIL, "the certificate runs out in 5.0 days", id="a fail before it is too late"),
    pytest.param(
        5, {"warn_days": 3, "fail_days": 1}, Verdict.PASS, "certificate valid for 5 days", id="as config says"
    ),
]


@pytest.mark.parametrize(("days", "limits", "verdict", "summary"), DAYS)
async def test_the_days_left_decide(
    authority: Authority, days: float, limits: dict[str, float], verdict: Verdict, summary: str
) -> None:
    result = await shake(authority.issue("127.0.0.1", days=days), ca_file=authority.file, **limits)
    assert result.verdict is verdict
    assert result.summary.startswith(summary)
    assert result.values["certificate_days"] == pytest.approx(days, abs=0.01)
    assert list(result.phases) == ["dns", "connect", "tls"]


async def test_an_expired_certificate_says_when_it_expired(authority: Authority) -> None:
    result = await shake(authority.issue("127.0.0.1", days=-4), ca_file=authority.file)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "certificate")
    assert " expired on " in result.summary
    assert result.values["certificate_days"] == pytest.approx(-4, abs=0.01)
    assert "until: " in result.evidence["certificate"]


async def test_a_certificate_that_is_not_yet_valid_says_so(authority: Authority) -> None:
    result = await shake(authority.issue("127.0.0.1", days=900), ca_file=authority.file)
    assert " is not valid before " in result.summary


async def test_a_name_that_does_not_match_names_those_that_would(authority: Authority) -> None:
    result = await shake(authority.issue("photos.example"), ca_file=authority.file)
    assert result.reason == "certificate"
    assert result.summary.endswith("is for another name: DNS:photos.example")


async def test_the_server_name_is_the_one_that_is_verified(authority: Authority) -> None:
    result = await shake(authority.issue("photos.example"), ca_file=authority.file, server_name="photos.example")
    assert result.verdict is Verdict.PASS


async def test_a_self_signed_certificate_says_so(tmp_path: Path) -> None:
    assert "is self-signed" in (await shake(self_signed(tmp_path, "127.0.0.1"))).summary


async def test_an_authority_that_nobody_knows_is_named(authority: Authority) -> None:
    result = await shake(authority.issue("127.0.0.1"))
    assert "is signed by nobody who is trusted: " in result.summary
    assert "trustme" in result.summary


async def test_unverified_only_the_days_count(tmp_path: Path) -> None:
    assert (await shake(self_signed(tmp_path, "photos.example"), verify=False)).verdict is Verdict.PASS


async def test_a_closed_port_is_refused() -> None:
    result = await run(TLS, {"address": f"127.0.0.1:{free_port()}"})
    assert (result.verdict, result.reason) == (Verdict.FAIL, "refused")


async def test_a_port_without_tls_is_no_tls() -> None:
    async with serve(answering(b"no")) as port:
        silent_result = await run(TLS, {"address": f"127.0.0.1:{port}"}, timeout=0.3)
    async with serve(plain_text) as port:
        result = await run(TLS, {"address": f"127.0.0.1:{port}"})
    assert silent_result.reason == "timeout"
    assert (result.verdict, result.reason) == (Verdict.FAIL, "tls")


async def plain_text(reader: Any, writer: Any) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await silent(reader, writer)


async def test_a_silent_port_is_a_timeout_in_the_handshake() -> None:
    async with serve(silent) as port:
        result = await run(TLS, {"address": f"127.0.0.1:{port}"}, timeout=0.2)
    assert result.reason == "timeout"
    assert result.summary.endswith("the TLS handshake never ended")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
async def test_an_ipv6_address(authority: Authority) -> None:
    async with serve(closing, address="::1", tls=authority.issue("::1").context()) as port:
        result = await run(TLS, {"address": f"[::1]:{port}", "ca_file": authority.file})
    assert result.verdict is Verdict.PASS, result.summary


@pytest.mark.parametrize(
    "address", ["photos", "photos:0", "photos:99999", "::1:443", "https://photos:443", "a b:1", ":80"]
)
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match=r"expected host:port|is not a port"):
        TlsOptions(address=address)
