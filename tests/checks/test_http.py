"""The http check against real servers: each reason, and what a person reads."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.result import CheckResult, Verdict
from checks.http import HTTP
from tests.checks.probing import run
from tests.servers import (
    Authority,
    Handler,
    Pair,
    answering,
    drip,
    free_port,
    huge,
    never_accepting,
    nginx,
    redirecting,
    resetting,
    self_signed,
    serve,
    silent,
)


def page(body: bytes = b"fine", status: bytes = b"200 OK", *fields: bytes) -> Handler:
    head = b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields])
    return answering(head + b"\r\n\r\n" + body)


async def ask(handler: Handler, timeout: float = 2.0, path: str = "/", **options: Any) -> CheckResult:
    async with serve(handler) as port:
        return await run(HTTP, {"url": f"http://127.0.0.1:{port}{path}", **options}, timeout=timeout)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


# ------------------------------------------------------------------------------------------------- passing


async def test_a_200_passes_with_phases_and_figures() -> None:
    result = await ask(page(b"fine"))
    assert (result.verdict, result.reason, result.summary) == (Verdict.PASS, "ok", "200 OK")
    assert list(result.phases) == ["dns", "connect", "first_byte", "transfer"]
    assert dict(result.values) == {"status": 200.0, "body_bytes": 4.0}
    assert (result.target, dict(result.evidence)) == ("127.0.0.1", {})


JSON = b'{"status": "ok", "ready": true, "queue": {"length": 3, "items": [{"id": 7}]}}'

PASSING = [
    pytest.param(page(b"", b"204 No Content"), {"status": 204}, id="a status"),
    pytest.param(page(b"", b"204 No Content"), {"status": "2xx"}, id="a class of status"),
    pytest.param(page(b"", b"503 Oh"), {"status": ["2xx", 503]}, id="a list of statuses"),
    pytest.param(page(b"x", b"200 OK", b"X-Role: primary"), {"headers": {"x-role": "primary"}}, id="a header"),
    pytest.param(page(b"x", b"200 OK", b"X-V: 12.3"), {"headers": {"X-V": r"/^12\./"}}, id="a header by expression"),
    pytest.param(page(b"all is well"), {"text": "is well"}, id="a text"),
    pytest.param(page(b"all is well"), {"text": ["all", "well"], "not_text": ["error"]}, id="texts and none of these"),
    pytest.param(page("grüße".encode()), {"text": "grüße"}, id="text beyond ASCII"),
    pytest.param(
        page("grüße".encode("latin-1"), b"200 OK", b"Content-Type: text/html; charset=ISO-8859-1"),
        {"text": "grüße"},
        id="text in its own character set",
    ),
    pytest.param(page(b"took 12 ms"), {"regex": r"took \d+ ms"}, id="a regular expression"),
    pytest.param(page(JSON), {"json": {"$.status": "ok", "$.ready": True}}, id="JSON values"),
    pytest.param(page(JSON), {"json": {"$.queue.length": "< 100", "$.queue.items[0]['id']": 7}}, id="JSON comparisons"),
    pytest.param(page(b"fine"), {"latency": "1s", "warn_latency": "900ms", "max_size": 4}, id="limits that are kept"),
]


@pytest.mark.parametrize(("handler", "expect"), PASSING)
async def test_what_is_expected_passes(handler: Handler, expect: dict[str, Any]) -> None:
    result = await ask(handler, expect=expect)
    assert (result.verdict, result.reason) == (Verdict.PASS, "ok"), result.summary


# ------------------------------------------------------------------------------------------------- failing

FAILING = [
    pytest.param(page(b"", b"503 Oh"), {}, "status", "503 Service Unavailable, expected 200", id="another status"),
    pytest.param(
        page(b"", b"404 Oh"),
        {"status": ["2xx", 503]},
        "status",
        "404 Not Found, expected 2xx or 503",
        id="none of these",
    ),
    pytest.param(page(b"", b"201 Created"), {}, "status", "201 Created, expected 200", id="200 is just 200"),
    pytest.param(
        page(),
        {"headers": {"X-Role": "a"}},
        "header",
        "no X-Role header, expected 'a'",
        id="a header that is not there",
    ),
    pytest.param(
        page(b"x", b"200 OK", b"X-Role: b"),
        {"headers": {"X-Role": "a"}},
        "header",
        "X-Role is 'b', expected 'a'",
        id="another header value",
    ),
    pytest.param(page(b"oops"), {"text": "fine"}, "text", "'fine' is not in the body", id="a text that is not there"),
    pytest.param(
        page(b"an error"), {"not_text": "error"}, "text", "'error' is in the body, and must not be", id="a bad text"
    ),
    pytest.param(page(b"oops"), {"regex": "f.ne"}, "text", "nothing matches /f.ne/ in the body", id="no match"),
    pytest.param(
        page(JSON), {"json": {"$.status": "up"}}, "json", "$.status is 'ok', expected 'up'", id="another JSON value"
    ),
    pytest.param(page(JSON), {"json": {"$.ready": 1}}, "json", "$.ready is true, expected 1", id="true is not 1"),
    pytest.param(
        page(JSON), {"json": {"$.queue.length": ">= 5"}}, "json", "$.queue.length is 3, expected '>= 5'", id="too few"
    ),
    pytest.param(
        page(JSON), {"json": {"$.nope[0]": 1}}, "json", "$.nope[0] is not there, expected 1", id="a path to nowhere"
    ),
    pytest.param(page(b"<html>"), {"json": {"$.a": 1}}, "json", "the body is not JSON: ", id="no JSON"),
    pytest.param(
        page(b"[" * 100_000), {"json": {"$.a": 1}}, "json", "the body is not JSON: ", id="JSON of great depth"
    ),
    pytest.param(
        page(b"12345"), {"max_size": 4}, "size", "the body has 5 bytes, at most 4 expected", id="too big a body"
    ),
    pytest.param(page(), {"latency": "1ms"}, "latency", "the answer took ", id="too slow"),
]


@pytest.mark.parametrize(("handler", "expect", "reason", "summary"), FAILING)
async def test_what_is_not_expected_fails_with_a_reason_and_a_line(
    handler: Handler, expect: dict[str, Any], reason: str, summary: str
) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005 if reason == "latency" else 0)
        await handler(reader, writer)

    result = await ask(slowly, expect=expect)
    assert (result.verdict, result.reason) == (Verdict.FAIL, reason)
    assert result.summary.startswith(summary), result.summary
    assert result.values["status"] > 0


async def test_a_slow_answer_can_be_a_warning() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await page()(reader, writer)

    result = await ask(slowly, expect={"warn_latency": "10ms"})
    assert (result.verdict, result.reason) == (Verdict.WARN, "latency")


async def test_all_that_is_wrong_is_evidence() -> None:
    result = await ask(page(b"oops", b"500 Oh"), expect={"text": "fine"})
    assert result.summary == "500 Internal Server Error, expected 200 (and 1 more)"
    assert "'fine' is not in the body" in result.evidence["all findings"]


# ------------------------------------------------------------------------------------------------- no answer


async def refused_port(timeout: float) -> CheckResult:
    return await run(HTTP, {"url": f"http://127.0.0.1:{free_port()}/"}, timeout=timeout)


async def test_a_refused_port_is_a_fail_with_reason_refused() -> None:
    result = await refused_port(2.0)
    assert (result.verdict, result.reason, result.target) == (Verdict.FAIL, "refused", "127.0.0.1")
    assert result.summary.startswith("connection refused by 127.0.0.1:")


BROKEN = [
    pytest.param(silent, "timeout", "first byte never came", id="never answers"),
    pytest.param(drip, "timeout", "the answer did not end within 0.3 s: first byte after ", id="drips"),
    pytest.param(resetting, "reset", "broke off the connection", id="resets"),
    pytest.param(answering(b"\x00\x01 garbage"), "protocol", "does not answer in proper HTTP", id="garbage"),
    pytest.param(answering(b"HTTP/1.1 000 No\r\n\r\n"), "protocol", "does not answer in proper HTTP", id="status 0"),
    pytest.param(
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "reset", "broke off", id="half a body"
    ),
]


@pytest.mark.parametrize(("handler", "reason", "summary"), BROKEN)
async def test_no_whole_answer_fails_and_says_how_far_it_came(handler: Handler, reason: str, summary: str) -> None:
    result = await ask(handler, timeout=0.3)
    assert (result.verdict, result.reason) == (Verdict.FAIL, reason)
    assert summary in result.summary
    assert result.took.total_seconds() < 1.0


async def test_a_port_that_never_accepts_says_so() -> None:
    with never_accepting() as port:
        result = await run(HTTP, {"url": f"http://127.0.0.1:{port}/"}, timeout=0.2)
    assert (result.reason, result.summary) == ("timeout", "no answer within 0.2 s: the connection was never accepted")


REDIRECTS = [
    pytest.param(
        redirecting("/x"), 0, "status", "302 Found, expected 200", id="not followed: an answer that is not 200"
    ),
    pytest.param(redirecting("/x"), 3, "redirect", "more than 3 redirects", id="a loop"),
    pytest.param(redirecting("file:///etc/passwd"), 3, "redirect", "redirected to file:///etc/passwd", id="to a file"),
    pytest.param(redirecting("http://[::1"), 3, "redirect", "redirected to 'http://[::1': ", id="to half an address"),
    pytest.param(redirecting("http://a.test:99999/"), 3, "redirect", "redirected to 'http://a.", id="to no port"),
    pytest.param(redirecting("http://a.test:0/"), 3, "redirect", "redirected to 'http://a.test:0/': 0", id="to port 0"),
    pytest.param(redirecting("http://a.test:abc/"), 3, "redirect", "redirected to 'http://a.", id="to no number"),
    pytest.param(redirecting("https:///x"), 3, "redirect", "redirected to 'https:///x': it names", id="to no host"),
    pytest.param(redirecting("http://a..test/"), 3, "dns", "a..test is not a host name", id="to no name"),
    pytest.param(redirecting("http://" + "a" * 9000), 3, "dns", "aaaa", id="to a name without an end"),
]


@pytest.mark.parametrize(("handler", "follow", "reason", "summary"), REDIRECTS)
async def test_redirects(handler: Handler, follow: int, reason: str, summary: str) -> None:
    result = await ask(handler, redirects=follow)
    assert (result.verdict, result.reason) == (Verdict.FAIL, reason)
    assert result.summary.startswith(summary), result.summary
    assert len(result.summary) <= 500
    assert "root:" not in str(result.evidence)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("/x?token=qsecret&b=qsecret", id="in circles"),
        pytest.param("ftp://a.test/?token=qsecret", id="to another scheme"),
        pytest.param("http://a.test:abc/?token=qsecret", id="to nowhere"),
    ],
)
async def test_what_a_redirect_carries_is_not_shown(location: str) -> None:
    result = await ask(redirecting(location), redirects=2)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "redirect")
    assert "token=***" in result.summary
    assert "qsecret" not in repr(result)


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        pytest.param("/a b", b"GET /a%20b HTTP/1.1", id="a blank"),
        pytest.param("/grüße?q=ä", b"GET /gr%C3%BC%C3%9Fe?q=%C3%A4 HTTP/1.1", id="UTF-8 as it is"),
        pytest.param("/a%20b?c=d&e=[1]", b"GET /a%20b?c=d&e=[1] HTTP/1.1", id="what is escaped stays"),
        pytest.param("/a\x01b", b"GET /a%01b HTTP/1.1", id="a control character"),
    ],
)
async def test_a_redirect_is_followed_as_browsers_do(location: str, asked: bytes) -> None:
    heard: list[bytes] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        first = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location.encode()
        writer.write(first if len(heard) == 1 else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    result = await ask(once, redirects=1)
    assert result.verdict is Verdict.PASS, result.summary
    assert heard[1] == asked


async def test_what_the_agent_lacks_is_unknown(authority: Authority) -> None:
    async with serve(page(), tls=authority.issue("127.0.0.1").context()) as port:
        result = await run(HTTP, {"url": f"https://127.0.0.1:{port}/", "ca_file": "/does/not/exist"})
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "local")


# ------------------------------------------------------------------------------------------------- big bodies


async def test_a_body_beyond_the_limit_passes_when_nothing_is_expected_of_it() -> None:
    result = await ask(huge(10_000_000), body_limit=1000)
    assert (result.verdict, result.values["body_bytes"]) == (Verdict.PASS, 1000.0)


TRUNCATED = [
    pytest.param({"json": {"$.a": 1}}, "truncated", "the JSON cannot be read", id="JSON"),
    pytest.param({"text": "end"}, "text", "'end' is not in the first 1000 bytes of the body", id="a text further on"),
    pytest.param({"max_size": 999}, "size", "the body has more than 1000 bytes", id="a size limit"),
]


@pytest.mark.parametrize(("expect", "reason", "summary"), TRUNCATED)
async def test_a_body_beyond_the_limit_fails_what_needs_all_of_it(
    expect: dict[str, Any], reason: str, summary: str
) -> None:
    result = await ask(huge(1_000_000), body_limit=1000, expect=expect)
    assert (result.verdict, result.reason) == (Verdict.FAIL, reason)
    assert result.summary.startswith(summary)


# ------------------------------------------------------------------------------------------- what is sent and shown


async def test_method_headers_body_credentials_and_trace_are_sent() -> None:
    heard: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serve(listening) as port:
        options = {
            "url": f"http://127.0.0.1:{port}/x?a=b",
            "method": "put",
            "headers": {"X-Key": "k1"},
            "body": "grüße",
            "auth": {"user": "ann", "password": "pässword"},
        }
        result = await run(HTTP, options, traceparent="00-aa-bb-01")
    assert result.verdict is Verdict.PASS
    head, _, body = heard[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"PUT /x?a=b HTTP/1.1"
    assert {b"X-Key: k1", b"Authorization: Basic YW5uOnDDpHNzd29yZA==", b"traceparent: 00-aa-bb-01"} <= set(lines)
    assert body == "grüße".encode()


async def test_a_user_with_an_empty_password_is_sent_all_the_same() -> None:
    """Some APIs take their key as the user."""
    heard: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    await ask(listening, auth={"user": "key", "password": ""})
    assert b"\r\nAuthorization: Basic a2V5Og==\r\n" in heard[0]


async def test_the_evidence_is_bounded_readable_and_without_secrets() -> None:
    async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = head + b"\xff\x00" + b"x" * 10_000
        fields = b"Set-Cookie: id=cookie1\r\nServer: nginx\r\nLocation: /next?key=qsecret\r\n"
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), fields, body))
        await writer.drain()

    options: dict[str, Any] = {"headers": {"X-Key": "hsecret"}, "auth": {"bearer": "bsecret"}}
    result = await ask(echoing, path="/x?token=usecret", **options)
    shown = repr(result)
    assert result.reason == "status"
    assert "Server: nginx".lower() in result.evidence["headers"].lower()
    assert "GET http://127.0.0.1" in result.evidence["request"]
    assert all(len(text) <= 2048 for text in result.evidence.values())
    assert "\0" not in result.evidence["body"]
    for secret in ("hsecret", "bsecret", "cookie1", "qsecret"):
        assert secret not in shown
    assert "token=usecret" not in result.evidence["request"]


async def test_a_password_that_is_echoed_is_not_shown_either() -> None:
    async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))
        await writer.drain()

    result = await ask(echoing, auth={"user": "ann", "password": "secret"})
    assert "Basic ***" in result.evidence["body"]
    assert "YW5uOnNlY3JldA==" not in repr(result)


# ------------------------------------------------------------------------------------------------- certificates


async def secure(pair: Pair, **options: Any) -> CheckResult:
    async with serve(page(), tls=pair.context()) as port:
        return await run(HTTP, {"url": f"https://127.0.0.1:{port}/", **options})


CERTIFICATES = [
    pytest.param(90, {}, Verdict.PASS, "200 OK", id="long valid"),
    pytest.param(14, {}, Verdict.WARN, "the certificate runs out in 14.0 days, on ", id="two weeks: a warning"),
    pytest.param(3, {}, Verdict.FAIL, "the certificate runs out in 3.0 days, on ", id="three days: a fail"),
    pytest.param(
        3, {"warn_days": 2, "fail_days": 1}, Verdict.PASS, "200 OK", id="three days are enough if config says so"
    ),
    pytest.param(
        30, {"fail_days": 45}, Verdict.FAIL, "the certificate runs out in 30.0 days", id="config asks for more"
    ),
    pytest.param(-2, {}, Verdict.FAIL, "the certificate of 127.0.0.1:", id="expired"),
]


@pytest.mark.parametrize(("days", "limits", "verdict", "summary"), CERTIFICATES)
async def test_the_days_that_a_certificate_has_left(
    authority: Authority, days: float, limits: dict[str, float], verdict: Verdict, summary: str
) -> None:
    result = await secure(authority.issue("127.0.0.1", days=days), ca_file=authority.file, certificate=limits)
    assert result.verdict is verdict, result.summary
    assert result.reason == ("ok" if verdict is Verdict.PASS else "certificate")
    assert result.summary.startswith(summary)
    assert result.values["certificate_days"] == pytest.approx(days, abs=0.01)
    assert "tls" in result.phases or days < 0


async def test_an_expired_certificate_fails_even_when_it_need_not_verify(authority: Authority) -> None:
    result = await secure(authority.issue("127.0.0.1", days=-2), verify=False)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "certificate")
    assert result.summary.startswith("the certificate expired 2.0 days ago")


async def test_a_self_signed_certificate_is_called_so(tmp_path: Path) -> None:
    result = await secure(self_signed(tmp_path, "127.0.0.1"))
    assert (result.verdict, result.reason) == (Verdict.FAIL, "certificate")
    assert "is self-signed" in result.summary


async def test_a_certificate_of_another_name_names_it(authority: Authority) -> None:
    result = await secure(authority.issue("photos.example"), ca_file=authority.file)
    assert result.reason == "certificate"
    assert "is for another name: DNS:photos.example" in result.summary


async def test_a_silent_tls_port_says_that_the_handshake_never_ended() -> None:
    async with serve(silent) as port:
        result = await run(HTTP, {"url": f"https://127.0.0.1:{port}/"}, timeout=0.2)
    assert result.reason == "timeout"
    assert result.summary.endswith("the TLS handshake never ended")


# ------------------------------------------------------------------------------------------------- nginx


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[int]:
    pair, port = authority.issue("127.0.0.1", "photos.example"), free_port()
    config = (
        f"server {{ listen {port} ssl http2; ssl_certificate {pair.cert}; ssl_certificate_key {pair.key};"
        f" ssl_client_certificate {authority.file}; ssl_verify_client on; return 200 $host; }}"
    )
    with nginx(tmp_path_factory.mktemp("mutual"), config):
        yield port


async def test_a_client_certificate_opens_what_asks_for_one(authority: Authority, mutual: int) -> None:
    me = authority.issue("agent.example")
    url = {"url": f"https://127.0.0.1:{mutual}/", "ca_file": authority.file}
    without = await run(HTTP, url)
    given = await run(HTTP, {**url, "client_cert": me.cert, "client_key": me.key, "http_version": 2})
    assert (without.verdict, without.reason) == (Verdict.FAIL, "status")
    assert given.verdict is Verdict.PASS, given.summary


async def test_the_server_name_is_said_in_tls_and_in_the_host_header(authority: Authority, mutual: int) -> None:
    me = authority.issue("agent.example")
    options = {
        "url": f"https://127.0.0.1:{mutual}/",
        "ca_file": authority.file,
        "client_cert": me.cert,
        "client_key": me.key,
        "server_name": "photos.example",
        "expect": {"text": "photos.example"},
    }
    assert (await run(HTTP, options)).verdict is Verdict.PASS


async def test_an_answer_in_another_http_version_fails(authority: Authority) -> None:
    result = await secure(authority.issue("127.0.0.1"), ca_file=authority.file, http_version="2")
    assert (result.verdict, result.reason) == (Verdict.FAIL, "protocol")
    assert result.summary == "answered in HTTP/1.1, expected HTTP/2"


# ------------------------------------------------------------------------------------------------- slow expressions


HOPELESS = "(a|aa)+$"
LONG = b"a" * 4000 + b"!"


@pytest.mark.parametrize(
    ("body", "expect"),
    [
        pytest.param(LONG, {"regex": HOPELESS}, id="in the body"),
        pytest.param(b'{"name": "' + LONG + b'"}', {"json": {"$.name": f"/{HOPELESS}/"}}, id="in a JSON value"),
    ],
)
async def test_an_expression_that_would_take_years_is_unknown_and_holds_nothing_up(
    body: bytes, expect: dict[str, Any]
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    result = await ask(page(body), timeout=30.0, expect=expect)
    ticking.cancel()
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "expression")
    assert "avoid repeats within repeats" in result.summary
    assert "body" in result.evidence
    assert ticks >= 20, "the event loop went on while it was searched for"


async def test_a_slow_expression_that_ends_is_given_the_time_in_a_thread() -> None:
    result = await ask(page(b"a" * 26 + b"!"), timeout=30.0, expect={"regex": "(a|aa)+$|!$"})
    assert result.verdict is Verdict.PASS, result.summary


async def test_no_more_than_two_slow_searches_go_on_at_once() -> None:
    results = await asyncio.gather(*(ask(page(LONG), timeout=30.0, expect={"regex": HOPELESS}) for _ in range(6)))
    assert {(result.verdict, result.reason) for result in results} == {(Verdict.UNKNOWN, "expression")}


async def test_the_search_keeps_to_the_time_of_the_check() -> None:
    result = await ask(page(LONG), timeout=0.1, expect={"regex": HOPELESS})
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "expression")
